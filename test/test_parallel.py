"""Work of several processes: results in order, what a dead one was at done again."""

import os
from pathlib import Path
import time

from moss_perception.errors import ConfigError, WorkerError
from moss_perception.parallel import in_order
import pytest


def slow_first(number):
    time.sleep(0.2 * (number == 0))
    return number, os.getpid()


def die_once(item):
    marks, number = item
    mark = Path(marks) / str(number)
    if number == 2 and not mark.exists():
        mark.touch()
        os._exit(9)
    return number


def die(item):
    os._exit(9)


def refuse(item):
    raise ConfigError(f'{item} is not allowed: expected another')


# What the processes run has to be importable there, and tests are no modules.
@pytest.fixture(autouse=True)
def importable(monkeypatch):
    import sys
    import types
    folder = str(Path(__file__).parent)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([folder, os.environ.get('PYTHONPATH', '')]))
    module = types.ModuleType('test_parallel')
    for work in (slow_first, die_once, die, refuse):
        monkeypatch.setattr(work, '__module__', 'test_parallel')
        setattr(module, work.__name__, work)
    monkeypatch.setitem(sys.modules, 'test_parallel', module)


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
