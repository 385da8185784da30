"""The starter, against a lifecycle node in a process of its own."""

import signal
import subprocess
import sys

import pytest

IN_ARM = ('--ros-args', '-r', '__ns:=/arm')
NODE = """
import sys
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn as Result

class Stage(LifecycleNode):
    def on_configure(self, state):
        print('configuring', flush=True)
        return Result.FAILURE if sys.argv[1] == 'refuse' else Result.SUCCESS

rclpy.init()
if sys.argv[1] in ('unconfigured', 'stuck'):
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
    node = rclpy.create_node('another')
    said = DiagnosticArray(status=[DiagnosticStatus(
        name='arm/stage', values=[KeyValue(key='state', value=sys.argv[1])])])
    publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
    node.create_timer(0.2, lambda: publisher.publish(said))
    print('up', flush=True)
    rclpy.spin(node)
node = Stage('stage', namespace='/arm')
if sys.argv[1] == 'forget':
    service, answered = node._service_get_state, []
    answer = service.send_response
    service.send_response = lambda *words: answered.append(1) or (
        len(answered) > 1 and answer(*words))
if sys.argv[1] == 'mute':
    node._service_change_state.send_response = lambda *words: None
print('up', flush=True)
try:
    rclpy.spin(node)
except (KeyboardInterrupt, ExternalShutdownException):
    pass
"""


@pytest.fixture
def stage(tmp_path):
    """Return a function that starts the lifecycle node: it agrees or refuses."""
    started = []

    def start(behaviour):
        process = subprocess.Popen([sys.executable, '-c', NODE, behaviour], text=True,
                                   cwd=tmp_path, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline() == 'up\n'
        return process
    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def start(tmp_path, programs, ros_domain):
    """Return a function that starts the starter from another folder."""
    def start(*words):
        return subprocess.Popen(
            [*programs.command('moss'), 'activate', *words], cwd=tmp_path, text=True,
            env=programs.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return start


@pytest.fixture
def run(start):
    """Return a function that runs it to its end: exit status and output."""
    def run(*words):
        process = start(*words, *IN_ARM)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output
    return run


def test_a_node_becomes_active_and_an_active_one_is_left_so(stage, run):
    stage('agree')
    status, output = run('stage')
    assert status == 0, output
    assert 'configure done' in output
    assert 'activate done' in output
    assert run('stage') == (0, '')


def test_a_system_that_is_started_twice_fails_in_one_line(stage, run):
    stage('agree')
    assert run('stage')[0] == 0
    stage('unconfigured')
    status, output = run('stage')
    assert status == 1 and 'several nodes have the name /arm/stage: expected one' in output
    assert len(output.splitlines()) == 1


def test_a_node_whose_engine_is_busy_for_long_is_active(stage, run):
    stage('agree')
    assert run('stage')[0] == 0
    stage('stuck')
    assert run('stage') == (0, '')


def test_a_node_whose_first_answer_is_lost_is_asked_again(stage, run):
    stage('forget')
    status, output = run('stage', '--timeout', '20')
    assert status == 0 and 'activate done' in output, output


def test_a_transition_whose_answer_is_lost_is_known_by_the_state(stage, run):
    stage('mute')
    status, output = run('stage', '--timeout', '20')
    assert status == 0 and 'configure done' in output and 'activate done' in output, output


def test_a_refused_transition_is_named_and_fails(stage, run):
    stage('refuse')
    status, output = run('/arm/stage')
    assert status == 1
    assert '/arm/stage could not configure: its own log gives the reason' in output
    assert 'activate' not in output


def test_a_node_that_does_not_appear_is_named_and_fails(run):
    status, output = run('nobody', '--timeout', '1')
    assert status == 1
    assert 'nobody did not appear within 1 s: expected the service /arm/nobody/' in output


def test_an_interrupted_wait_ends_without_a_traceback(start):
    # It waits for a node that never comes; the discovery of its own client says that it is up.
    process = start('nobody', *IN_ARM, '--log-level', 'rcl:=debug')
    lines = []
    for line in process.stdout:
        lines.append(line)
        if 'change_state' in line and process.poll() is None:
            process.send_signal(signal.SIGINT)
            break
    rest, _ = process.communicate(timeout=30)
    assert process.returncode == 130, ''.join(lines) + rest
    assert 'Traceback' not in rest
