"""What every node does with a bad start and with a signal, in processes of their own."""

import os
import signal
import subprocess
import sys

from moss_perception.ros import interrupts
import pytest

NODES = ('grasp_predictor', 'grasp_gate', 'bag_player', 'autostart')
OWN = {'autostart': ('nobody',)}
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
    assert len(lines) == 1 and lines[0].startswith(f'{name}: ') and words in lines[0], lines


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(('name', 'status'), [
    ('grasp_predictor', 0), ('grasp_gate', 0), ('bag_player', 130), ('autostart', 130)])
def test_a_signal_ends_a_node_without_a_traceback(
        harness, peer, tmp_path, make_bag, factory, name, status, number):
    bag = make_bag(factory.camera_run(2))
    process = harness.NodeProcess(
        tmp_path, name, *OWN.get(name, ()), ros_args=(
            '-r', '__ns:=/signalled', '-p', f'bag:={bag}', '-p', 'start_delay:=60.0'))
    harness.wait_for(lambda: name in [
        node for node, space in peer.node.get_node_names_and_namespaces()
        if space == '/signalled'], 40.0, name)
    process.process.send_signal(number)
    assert process.wait() == status, process.output()
    assert 'Traceback' not in process.output()


def test_a_signal_amid_a_callback_is_raised_when_that_is_done(tmp_path):
    script = tmp_path / 'amid.py'
    script.write_text("""
import os, signal, sys
from moss_perception.ros.spinning import run_node
from rclpy.node import Node
from std_msgs.msg import String

class Amid(Node):
    def __init__(self):
        super().__init__('amid')
        self.publisher = self.create_publisher(String, 'words', 1)
        self.create_timer(0.01, self.on_timer)

    def on_timer(self):
        os.kill(os.getpid(), signal.SIGTERM)
        sum(range(1000))
        print('whole', flush=True)

    def destroy_node(self):
        os.kill(os.getpid(), signal.SIGTERM)
        self.publisher.publish(String(data='last words'))
        super().destroy_node()
        print('freed', flush=True)

sys.exit(run_node('amid', Amid, interrupted=130))
""")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True,
                          timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, 'whole\nfreed\n', '')


def test_signals_at_any_moment_of_a_busy_node_leave_nothing_half_made(tmp_path):
    script = tmp_path / 'busy.py'
    script.write_text("""
import os, random, signal, threading, time
from moss_perception.ros.spinning import run_node, spin
from rclpy.node import Node

def made():
    node = Node('busy')
    for _ in range(4):
        node.create_timer(0.0005, lambda: None)
    return node

def interrupt(delay_s):
    time.sleep(delay_s)
    os.kill(os.getpid(), signal.SIGINT)

seeded = random.Random(0)
for _ in range(30):
    thread = threading.Thread(target=interrupt, args=(0.05 + 0.1 * seeded.random(),))
    print(run_node('busy', made, lambda node: (thread.start(), spin(node)), interrupted=130))
    thread.join()
""")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True,
                          timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.split() == ['130'] * 30


def test_what_is_held_ends_first_and_an_inner_piece_does_not_end_the_outer():
    done = []
    with pytest.raises(KeyboardInterrupt), interrupts.handled(), interrupts.held():
        with interrupts.held():
            os.kill(os.getpid(), signal.SIGINT)
            done.append('inner')
        done.append('outer')
    assert done == ['inner', 'outer']


def test_one_ctrl_c_that_comes_twice_interrupts_once_and_a_later_one_again(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(interrupts.time, 'monotonic', lambda: now[0])
    before = signal.getsignal(signal.SIGINT)
    with interrupts.handled():
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        now[0] += 0.5
        os.kill(os.getpid(), signal.SIGINT)
        now[0] += 1.0
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
