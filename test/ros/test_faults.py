"""Faults of cameras, clocks and processes: the node scores again, and says what happened."""

import os
from pathlib import Path
import signal
import subprocess
import sys
import threading
import time

from diagnostic_msgs.msg import DiagnosticArray
from moss_perception.ros.common import conversions
from moss_perception.ros.system.grasp import grasp_system
from moss_perception.ros.system.supervisor import Supervisor
import numpy as np
import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

pytestmark = pytest.mark.timeout(120)
START, PERIOD, WINDOW = 10**9, 10**8, 16
GROUND = np.random.default_rng(5).integers(0, 255, (24, 32, 3), np.uint8)
BEST_EFFORT = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
CAMERA = """
import rclpy, sys, time
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node('killed_camera')
publisher = node.create_publisher(Image, '/image', 100)
image = Image(height=24, width=32, encoding='rgb8', step=96, data=bytes(range(256)) * 9)
image.header.frame_id = 'camera'
index = int(sys.argv[1])
while True:
    image.header.stamp.sec, nanosec = divmod(index, 10)
    image.header.stamp.nanosec = nanosec * 10**8
    publisher.publish(image)
    index += 1
    time.sleep(0.03)
"""


def image(index: float, frame_id: str = 'camera', ground=GROUND) -> Image:
    """Return the image of sample number ``index``."""
    return conversions.rgb_to_image(
        np.roll(ground, int(index), axis=1), START + round(index * PERIOD), frame_id)


def mono(index: float) -> Image:
    message = image(index)
    message.encoding, message.step = 'mono8', 32
    message.data = GROUND[..., 0].tobytes()
    return message


def scores_after(stream, make, first: int, publisher=None) -> list[str]:
    """Send one window of images; return what became of them."""
    stream.connect(make(first), publisher)
    return [stream.send(make(first + index), publisher) for index in range(1, WINDOW)]


def test_a_camera_that_is_killed_and_comes_back_is_scored_again(stream, programs):
    def camera(index):
        return subprocess.Popen([sys.executable, '-c', CAMERA, str(index)],
                                env=programs.environment())
    first = camera(100)
    try:
        stream.wait_for(lambda: stream.scores, 30, 'scores')
        first.kill()
        stream.status(lambda status, _: 'no frame on /image for' in status.message, 15)
        assert stream.process.alive()
        first.wait()
        seen = len(stream.scores)
        first = camera(100_000)
        stream.wait_for(lambda: len(stream.scores) > seen + 3, 30, 'scores again')
        _, values = stream.status(lambda _, v: v['resets/gap'] == '1')
        assert values['state'] == 'active'
    finally:
        first.kill()
        first.wait()


def test_a_publisher_that_restarts_as_another_one_is_scored_after_one_window(stream):
    assert scores_after(stream, image, 0)[-1] == 'scored'
    large = np.random.default_rng(6).integers(0, 255, (48, 64, 3), np.uint8)
    for first, (make, qos) in enumerate((
            (image, BEST_EFFORT),
            (lambda index: image(index, ground=large), 100),
            (mono, BEST_EFFORT),
            (lambda index: image(index, 'other_camera'), 100)), 1):
        stream.forget_publishers()
        publisher = stream.publisher(Image, '/image', qos, label=str(first))
        assert scores_after(stream, make, 1000 * first, publisher)[-1] == 'scored'
    _, values = stream.status(lambda _, v: 'resets/frame_id' in v or 'resets/gap' in v)
    assert values['refused'] == '0' and values['failures'] == '0'


def test_stamps_that_jump_by_years_cost_one_window(stream):
    assert scores_after(stream, image, 0)[-1] == 'scored'
    for first in (10**9, 0, 5):
        fates = scores_after(stream, image, first)
        assert fates[-1] == 'scored' and 'refused' not in fates
    _, values = stream.status(lambda _, v: int(v.get('resets/gap', 0)) >= 1)
    assert values['resets/backwards' if 'resets/backwards' in values else 'resets/gap']


def test_a_node_that_was_stopped_scores_the_newest_again(stream):
    publisher = stream.connect(image(0))
    stopped, index = stream.process.process, 1

    def publish(seconds):
        nonlocal index
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            publisher.publish(image(index))
            index += 1
            time.sleep(0.03)
    publish(1.0)
    stopped.send_signal(signal.SIGSTOP)
    publish(5.0)
    stopped.send_signal(signal.SIGCONT)
    goal_ns = START + index * PERIOD

    def scored_newer():
        publish(0.1)
        return any(conversions.stamp_to_ns(x.header.stamp) > goal_ns for x in stream.scores)
    stream.wait_for(scored_newer, 40, 'scores of images after the stop')
    assert stream.peer.state(stream.name) == 'active'


def test_parameters_may_change_while_frames_flow(stream):
    assert scores_after(stream, image, 0)[-1] == 'scored'
    index = WINDOW
    for changes in ({'score_threshold': 0.9}, {'stride': 2}, {'budget': '1'}, {'stride': 1},
                    {'latency_budget': 0.2}, {'budget': 'auto'}, {'stride': 1001},
                    {'engine': 'torch'}, {'score_threshold': 'high'}):
        results = stream.peer.set(stream.name, **changes)
        refused = changes in ({'stride': 1001}, {'engine': 'torch'}, {'score_threshold': 'high'})
        assert [x.successful for x in results] == [not refused], changes
        fates = [stream.send(image(index + more)) for more in range(3)]
        assert set(fates) <= {'scored', 'stored'} and 'scored' in fates
        index += 3


@pytest.fixture
def own_node(harness, peer, tmp_path, tiny_checkpoint):
    """Return a function that starts a node in the namespace /faulty, in a state."""
    def start(state: str):
        bench = harness.PredictorBench(
            peer, tmp_path, '-p', f'model_path:={tiny_checkpoint}', namespace='/faulty')
        started.append(bench)
        for label in {'inactive': ('configure',),
                      'active': ('configure', 'activate'),
                      'finalized': ('configure', 'inactive_shutdown')}[state]:
            assert peer.transition(bench.name, label), bench.process.output()
        assert peer.state(bench.name) == state
        return bench
    started = []
    yield start
    for bench in started:
        if bench.process.alive():
            bench.process.process.kill()
            bench.process.wait()


def segments(pid: int) -> set[str]:
    """List the files of shared memory that a process has mapped."""
    maps = Path(f'/proc/{pid}/maps').read_text()
    return {word for word in maps.split() if word.startswith('/dev/shm/')}


@pytest.mark.parametrize(('state', 'number'), [
    # Of an unconfigured node, test_spinning.py has both.
    ('inactive', signal.SIGINT), ('active', signal.SIGINT), ('active', signal.SIGTERM),
    ('finalized', signal.SIGTERM)])
def test_a_signal_leaves_no_process_and_no_shared_memory(own_node, state, number):
    before = {str(x) for x in Path('/dev/shm').iterdir()}
    bench = own_node(state)
    process = bench.process.process
    # Of all that is new on this machine, what this process has; a port that the test sends to
    # stays as long as the test.
    new, shared = segments(process.pid) - before, segments(os.getpid())
    own = {x for x in new if '_port' not in x or x not in shared}
    assert own
    process.send_signal(number)
    assert bench.process.wait(20) == 0, bench.process.output()
    assert 'Traceback' not in bench.process.output()
    assert not [x for x in own if Path(x).exists()]
    assert not Path(f'/proc/{process.pid}').exists()


def test_a_killed_predictor_is_started_again_and_scores(
        programs, peer, harness, tmp_path, tiny_checkpoint):
    environment = programs.with_executables(tmp_path, 'grasp_predictor', 'moss')
    found = {x: Path(programs.executable(x)) if programs.prefix() else
             tmp_path / 'prefix' / 'lib' / 'moss_perception' / x
             for x in ('grasp_predictor', 'moss')}
    given = {'namespace': 'again', 'gate': 'false', 'console': 'false', 'respawn': 'true',
             'model': str(tiny_checkpoint)}
    lines = []
    supervisor = Supervisor(
        grasp_system(given), lambda name, line: lines.append(f'[{name}] {line}'),
        {'OMP_NUM_THREADS': '1', **{x: environment[x] for x in ('PYTHONPATH',)}}, found.get)
    status = peer.listen(DiagnosticArray, '/diagnostics')

    def values():
        return {x.key: x.value for array in status[-3:] for one in array.status
                if one.name == 'again/grasp_predictor' for x in one.values}
    ended = []
    waiting = threading.Thread(target=lambda: ended.append(supervisor.start().wait()))
    waiting.start()
    try:
        harness.wait_for(lambda: values().get('state') == 'active', 60, lines)
        assert 'restarts' not in values()
        supervisor._running['again/grasp_predictor'].popen.kill()
        harness.wait_for(lambda: values().get('restarts') == '1'
                         and values()['state'] == 'active', 60, lines)
        assert values()['restart_reason'] == 'signal SIGKILL'
        assert ('[run] again/grasp_predictor has ended with signal SIGKILL; starting it again'
                in lines)
    finally:
        supervisor.interrupt()
        waiting.join(30)
    assert ended == [0]
