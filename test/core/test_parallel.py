"""Work of several processes: results in order, what a dead one was at done again."""

import os
from pathlib import Path
import subprocess
import sys
import time

from moss_perception.core.errors import ConfigError, WorkerError
from moss_perception.core.parallel import in_order
from pool_work import die, die_once, refuse, slow_first
import pytest


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    words = ('import sys; from moss_perception.core.parallel import in_order; '
             'import pool_work; '
             'list(in_order(pool_work.note_and_wait, [sys.argv[1]] * 2, 2))')
    # The folder of the tests is one that this process can import from.
    parent = subprocess.Popen([sys.executable, '-c', words, str(tmp_path)], env={
        **os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)})
    try:
        assert until(lambda: len(list(tmp_path.iterdir())) == 2, 60)
        workers = [int(path.name) for path in tmp_path.iterdir()]
    finally:
        parent.kill()
        parent.wait()
    assert until(lambda: not any(map(alive, workers)), 20), workers


def until(holds, timeout_s):
    deadline = time.monotonic() + timeout_s
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds()


def alive(process):
    try:
        # One that has ended and that nobody has waited for is none.
        return Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


def test_results_come_in_the_order_of_the_items_from_other_processes():
    found = list(in_order(slow_first, range(5), 2))
    assert [number for number, _ in found] == list(range(5))
    assert os.getpid() not in {process for _, process in found}


def test_what_a_dead_worker_was_at_is_done_again(tmp_path, caplog):
    items = [(str(tmp_path), number) for number in range(4)]
    assert list(in_order(die_once, items, 1, lambda item: f'item {item[1]}')) == [0, 1, 2, 3]
    assert 'a worker died; going on from item' in caplog.text


def test_an_item_that_kills_every_worker_ends_it():
    with pytest.raises(WorkerError, match='died 3 times over 7'):
        list(in_order(die, [7], 1))


def test_an_error_of_the_work_is_raised_as_it_is():
    with pytest.raises(ConfigError, match='5 is not allowed'):
        list(in_order(refuse, [5], 1))


def test_without_items_no_process_is_started():
    assert list(in_order(die, [], 4)) == []
