"""Keys drive a recorder: in a terminal and, where stdin is none, as lines."""

import os
import pty
import signal
import subprocess
import termios
import time

from moss_perception.data.bags.reader import Recording
import pytest

pytestmark = pytest.mark.timeout(110)

# A bit longer than s is taken for a key that is held down.
HELD_S = 0.8


@pytest.fixture
def keys(programs, tmp_path, harness):
    """Return a function that starts ``moss attempts`` with its stdin, and says where it prints."""
    started = []

    def start(stdin, *words):
        path = tmp_path / f'keys_{len(started)}.log'
        with path.open('w') as log:
            started.append(subprocess.Popen(
                [*programs.command('moss'), 'attempts', *words], stdin=stdin, stdout=log,
                stderr=subprocess.STDOUT, env=programs.environment()))
        return started[-1], path.read_text
    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_keys_of_a_terminal_record_attempts_and_leave_it_as_it_was(bench, keys, harness):
    node = bench()
    leader, follower = pty.openpty()
    before = termios.tcgetattr(follower)
    process, output = keys(follower, '--node', node.name)

    def press(key, said):
        os.write(leader, key)
        harness.wait_for(lambda: said in output(), 30, f'{said!r} in {output()!r}')
    harness.wait_for(lambda: 's: start' in output(), 60, output)
    press(b's', 'no image has come on /image')
    node.show(5)
    time.sleep(HELD_S)
    press(b's', 'attempt 1 is being recorded')
    # A key that is held down repeats, and must not end it.
    press(b's', 's within 0.7 s of s is taken for a key held down')
    press(b'x', "'x' does nothing; s: start")
    assert 'attempt 1: succeeded' not in output()
    time.sleep(HELD_S)
    press(b's', 'attempt 1: succeeded')
    node.show(5)
    time.sleep(HELD_S)
    press(b's', 'attempt 2 is being recorded')
    press(b'c', 'the fingers have closed')
    press(b'f', 'attempt 2: failed')
    assert termios.tcgetattr(follower) != before
    os.write(leader, b'q')
    assert process.wait(20) == 0
    assert termios.tcgetattr(follower) == before
    os.close(leader)
    os.close(follower)
    assert node.process.alive()
    with Recording(node.out) as recording:
        assert [x.success for x in recording.outcomes()] == [True, False]


def test_lines_are_keys_where_stdin_is_no_terminal(bench, keys):
    node = bench()
    node.show(5)
    process, output = keys(subprocess.PIPE, '--node', node.name)
    process.communicate(b's\nd\n\nstart\ns', timeout=60)
    assert process.returncode == 0
    lines = output().splitlines()
    assert lines[0] == 'stdin is no terminal: each line is a key'
    assert [x for x in lines if x.startswith('attempt 1')] == [
        'attempt 1 is being recorded',
        f'attempt 1 is discarded; 0 succeeded, 0 failed in {node.out}',
        'attempt 1 is being recorded', next(x for x in lines if x.startswith('attempt 1: succ'))]


def test_a_recorder_that_is_not_there_or_ends_is_one_line(bench, keys, harness):
    process, output = keys(subprocess.DEVNULL, '--node', '/nobody', '--timeout', '1')
    assert process.wait(60) == 1
    assert '/nobody did not appear within 1 s: expected a running attempt_recorder' in output()
    assert 'Traceback' not in output()
    node = bench()
    process, output = keys(subprocess.PIPE, '--node', node.name)
    harness.wait_for(lambda: 's: start' in output(), 60, output)
    node.process.process.send_signal(signal.SIGKILL)
    node.process.wait()
    process.communicate(b's\n', timeout=90)
    assert process.returncode == 1 and 'did not answer next: expected it to run' in output()
