"""What every node does with a bad start and with a signal, in processes of their own."""

import signal
import subprocess
import sys
import time

import pytest

NODES = ('grasp_predictor', 'grasp_gate', 'bag_player', 'moss')
OWN = {'moss': ('activate', 'nobody')}
# The node's own name, where it is not the executable's.
NAMES = {'moss': 'lifecycle_starter'}
LOGGED = {'moss': 'activate'}
FILES = {
    'cut off': ('a: [1, 2\n', "Couldn't parse params file"),
    'of another type': ('/**:\n  ros__parameters:\n    use_sim_time: soon\n', "'use_sim_time'"),
}


@pytest.mark.parametrize('fault', FILES)
@pytest.mark.parametrize('name', NODES)
def test_a_bad_parameter_file_is_one_line_and_status_1(harness, tmp_path, name, fault):
    text, words = FILES[fault]
    (tmp_path / 'own.yaml').write_text(text)
    process = harness.NodeProcess(tmp_path, name, *OWN.get(name, ()),
                                  ros_args=('--params-file', 'own.yaml'))
    assert process.wait() == 1, process.output()
    lines = process.output().strip().splitlines()
    assert len(lines) == 1 and words in lines[0], lines
    assert lines[0].startswith(f'{LOGGED.get(name, name)}: ')


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(('name', 'status'), [
    ('grasp_predictor', 0), ('grasp_gate', 0), ('bag_player', 130), ('moss', 130)])
def test_a_signal_ends_a_node_without_a_traceback(
        harness, peer, tmp_path, make_bag, factory, name, status, number):
    bag = make_bag(factory.camera_run(2))
    process = harness.NodeProcess(
        tmp_path, name, *OWN.get(name, ()), ros_args=(
            '-r', '__ns:=/signalled', '-p', f'bag:={bag}', '-p', 'start_delay:=60.0'))
    harness.wait_for(lambda: NAMES.get(name, name) in [
        node for node, space in peer.node.get_node_names_and_namespaces()
        if space == '/signalled'], 40.0, name)
    process.process.send_signal(number)
    assert process.wait() == status, process.output()
    assert 'Traceback' not in process.output()


@pytest.mark.parametrize(('name', 'status'), [('grasp_gate', 0), ('moss', 130)])
def test_the_same_ctrl_c_again_does_not_change_the_status(harness, peer, tmp_path, name, status):
    process = harness.NodeProcess(
        tmp_path, name, *OWN.get(name, ()), ros_args=('-r', '__ns:=/signalled'))
    harness.wait_for(lambda: (NAMES.get(name, name), '/signalled')
                     in peer.node.get_node_names_and_namespaces(), 40.0, name)
    # A second signal is the same Ctrl-C for three seconds; on a busy machine it is noticed late.
    until = time.monotonic() + 2.0
    while process.alive() and time.monotonic() < until:
        process.process.send_signal(signal.SIGINT)
        time.sleep(0.005)
    assert process.wait() == status, process.output()
    assert 'Traceback' not in process.output()


START = """
import os, random, signal, sys, threading, time
from moss_perception.core.errors import MossError
from moss_perception.ros.common.spinning import interruptible
from moss_perception.ros.common.spinning import run_node, serving, spin_for, spin_until
from rclpy.node import Node

def interrupt(number=signal.SIGINT):
    os.kill(os.getpid(), number)

def told(what):
    print(what, flush=True)

def later(delay_s, *numbers):
    def send():
        for number in numbers:
            time.sleep(delay_s)
            interrupt(number)
    threading.Thread(target=send, daemon=True).start()

class Told(Node):
    def __init__(self, callback=None):
        super().__init__('told')
        if callback:
            self.create_timer(0.01, callback)

    def destroy_node(self):
        super().destroy_node()
        told('freed')

"""


@pytest.fixture
def ends(tmp_path):
    """Return a function that runs a script after START: exit status and what it printed."""
    def ends(script):
        (tmp_path / 'script.py').write_text(START + script)
        done = subprocess.run([sys.executable, str(tmp_path / 'script.py')], capture_output=True,
                              text=True, timeout=100, check=False)
        return done.returncode, done.stdout.split(), done.stderr
    return ends


def test_a_signal_amid_a_callback_is_seen_when_that_is_done(ends):
    assert ends("""
def callback():
    interrupt(signal.SIGTERM)
    sum(range(1000))
    told('whole')

sys.exit(run_node('told', lambda: Told(callback), interrupted=130))
""") == (130, ['whole', 'freed'], '')


def test_a_signal_amid_the_making_of_a_node_lets_it_be_made_and_freed(ends):
    assert ends("""
def make():
    interrupt()
    return Told()

sys.exit(run_node('told', make, lambda node: told('worked'), interrupted=130))
""") == (130, ['freed'], '')


def test_signals_at_any_moment_of_a_busy_node_leave_nothing_half_made(ends):
    assert ends("""
def make():
    node = Told()
    for _ in range(4):
        node.create_timer(0.0005, lambda: None)
    return node

seeded = random.Random(0)
for _ in range(30):
    later(0.2 * seeded.random(), signal.SIGINT)
    told(run_node('told', make, interrupted=130))
""") == (0, ['freed', '130'] * 30, '')


def test_an_error_during_an_interrupt_is_told(ends):
    status, said, errors = ends("""
def callback():
    interrupt()
    raise MossError('what went wrong')

sys.exit(run_node('told', lambda: Told(callback), interrupted=130))
""")
    assert (status, said) == (1, ['freed'])
    assert 'what went wrong' in errors and 'Traceback' not in errors


def test_a_wait_without_an_end_ends_soon_after_a_signal(ends):
    status, said, errors = ends("""
def work(node):
    with serving(node) as spin_once:
        began = time.monotonic()
        later(0.3, signal.SIGINT)
        try:
            while True:
                spin_once(1000.0)
        finally:
            told(time.monotonic() - began)

sys.exit(run_node('told', Told, work, interrupted=130))
""")
    assert (status, said[1], errors) == (130, 'freed', '')
    # 0.3 s and a wait of 0.2 s; a busy machine takes longer.
    assert float(said[0]) < 5.0


def test_a_wait_ends_with_its_condition_or_its_time(ends):
    assert ends("""
def work(node):
    calls = []
    node.create_timer(0.01, lambda: calls.append(1))
    with serving(node) as spin_once:
        told(spin_until(spin_once, lambda: len(calls) > 2, 60.0))
        told(spin_until(spin_once, lambda: False, 0.1, 0.02))
        began = time.monotonic()
        spin_for(spin_once, 0.3)
        told(0.3 <= time.monotonic() - began)

sys.exit(run_node('told', Told, work))
""") == (0, ['True', 'False', 'True', 'freed'], '')


def test_long_work_may_be_interrupted_anywhere_whatever_becomes_of_the_interrupt(ends):
    assert ends("""
def work(node):
    with interruptible():
        later(0.1, signal.SIGINT)
        try:
            time.sleep(1000.0)
        except KeyboardInterrupt:
            raise ImportError('initialization failed')

sys.exit(run_node('told', Told, work, interrupted=130))
""") == (130, ['freed'], '')


def test_one_ctrl_c_that_comes_twice_leaves_the_clean_up_alone(ends):
    assert ends("""
class Slow(Told):
    def destroy_node(self):
        interrupt()
        super().destroy_node()

status = run_node('told', lambda: Slow(interrupt), interrupted=130)
interrupt()
sys.exit(status)
""") == (130, ['freed'], '')


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_second_one_later_ends_what_hangs(ends, number):
    assert ends(f"""
later(3.5, signal.SIGINT, {int(number)})
run_node('told', lambda: Told(lambda: time.sleep(1000.0)))
""") == (-number, [], '')


def test_a_node_after_another_one_is_not_ended_by_its_signal(ends):
    assert ends("""
told(run_node('told', lambda: Told(interrupt), interrupted=130))
told(run_node('told', Told, lambda node: told('worked'), interrupted=130))
try:
    interrupt()
except KeyboardInterrupt:
    told('as before')
""") == (0, ['freed', '130', 'worked', 'freed', '0', 'as', 'before'], '')
