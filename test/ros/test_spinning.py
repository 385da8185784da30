"""What every node does with a bad start and with a signal, in processes of their own."""

import os
import signal
import subprocess
import sys

from moss_perception.ros import spinning
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


def test_after_a_signal_nothing_is_freed_before_rclpys_own_thread_has_ended(tmp_path):
    # What that thread does is not to be seen from Python; that it is there is.
    script = tmp_path / 'ended.py'
    script.write_text("""
import os, signal, sys
import rclpy.signals
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from moss_perception.ros.spinning import run_node

shut_down, destroyed = SingleThreadedExecutor.shutdown, Node.destroy_node

def told(name, what):
    def tell(self, *args, **named):
        print(name, rclpy.signals.get_current_signal_handlers_options().name, flush=True)
        return what(self, *args, **named)
    return tell

SingleThreadedExecutor.shutdown = told('executor', shut_down)
Node.destroy_node = told('node', destroyed)

def made():
    node = Node('ended')
    print('before', rclpy.signals.get_current_signal_handlers_options().name, flush=True)
    node.create_timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT))
    return node

sys.exit(run_node('ended', made))
""")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split('\n')[:3] == ['before ALL', 'executor NO', 'node NO']


def test_a_second_ctrl_c_does_not_disturb_the_clean_up():
    before = signal.getsignal(signal.SIGINT)
    with spinning._uninterrupted():
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
