"""The chain over real topics: player, predictor and gate, each in a process of its own."""

import time

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from moss_perception.data.bags.writer import RecordingWriter
import numpy as np
import pytest
from rclpy.time import Time
from std_msgs.msg import String

pytestmark = pytest.mark.timeout(110)

PERIOD_NS = 100_000_000
# Four seconds at the rate of recording: the gate hears of the player later than the predictor.
FRAMES = 40
WINDOW = 16
MATRIX = np.array([[40.0, 0, 20], [0, 40.0, 20], [0, 0, 1]])


@pytest.fixture
def start_ns():
    """Return now as the first stamp: the gate needs no /clock then, which it may hear too late."""
    return time.time_ns()


@pytest.fixture
def recording(tmp_path, start_ns):
    """Write images, their calibration and two candidates that move with every frame."""
    rng = np.random.default_rng(5)
    with RecordingWriter(tmp_path / 'bag') as writer:
        for index in range(FRAMES):
            stamp_ns = start_ns + index * PERIOD_NS
            writer.camera_info(stamp_ns, 40, 40, MATRIX)
            writer.candidates(stamp_ns, np.array(
                [[0.01, 0.002 * index, 0.5, 0.3], [-0.05, 0.001 * index, 0.6, 1.2]]))
            image = rng.integers(0, 256, (40, 40, 3), np.uint8)
            writer.image(stamp_ns, cv2.imencode('.jpg', image)[1].tobytes())
    return tmp_path / 'bag'


@pytest.fixture
def chain(harness, peer, tmp_path, tiny_checkpoint):
    """Start predictor and gate in a namespace of their own; return them and the player's start."""
    started = []

    def start(name, *ros_args):
        words = [word for pair in ros_args for word in ('-p', pair)]
        remaps = ('-r', '__ns:=/chain', '-r', 'image:=/image', '-r', 'camera_info:=/camera_info',
                  '-r', 'grasp_candidates:=/grasp_candidates',
                  '-r', 'grasp_scores:=/chain/grasp_predictor/grasp_scores')
        process = harness.NodeProcess(tmp_path, name, ros_args=(*remaps, *words))
        started.append(process)
        return process

    start.predictor = start(
        'grasp_predictor', f'model_path:={tiny_checkpoint}', 'image_transport:=compressed',
        'use_sim_time:=true')
    for label in ('configure', 'activate'):
        assert peer.transition('/chain/grasp_predictor', label), start.predictor.output()
    yield start
    for process in started:
        process.stop()
        assert 'Traceback' not in process.output(), process.output()


def player(start, recording, *more):
    return start('bag_player', f'bag:={recording}', 'publish_clock:=true',
                 'processed_topic:=/chain/grasp_predictor/processed', *more)


def test_a_recording_becomes_selected_grasps_with_the_stamps_of_its_frames(
        harness, peer, chain, recording, start_ns):
    selected = peer.listen(PoseStamped, '/chain/selected_grasp')
    states = peer.listen(String, '/chain/grasp_gate/state')
    # Any score will do: the weights are random.
    gate = chain('grasp_gate', 'min_score:=0.0', 'release_score:=0.0', 'max_uncertainty:=0.5',
                 'hold_time:=0.0', 'max_age:=60.0')
    harness.wait_for(lambda: peer.node.count_publishers('/chain/selected_grasp'), 40.0, 'gate')
    # The gate has to have heard of the scores' publisher before the first of them.
    harness.wait_for(lambda: peer.node.count_subscribers('/chain/grasp_predictor/grasp_scores'),
                     20.0, 'gate')
    playing = player(chain, recording, 'lock_step:=true')
    assert playing.wait() == 0, playing.output() + chain.predictor.output()
    scored = {start_ns + index * PERIOD_NS for index in range(WINDOW - 1, FRAMES)}
    harness.wait_for(lambda: stamps(selected) and max(stamps(selected)) == max(scored), 10.0,
                     f'the last selection; {gate.output()}; {states}')
    assert set(stamps(selected)) <= scored
    last = FRAMES - 1
    places = [(0.01, 0.002 * last), (-0.05, 0.001 * last)]
    position = selected[-1].pose.position
    assert any(np.allclose((position.x, position.y), place) for place in places)
    assert selected[-1].header.frame_id


def stamps(messages):
    return [Time.from_msg(message.header.stamp).nanoseconds for message in messages]


def test_a_recording_that_loops_resets_the_window_each_time(harness, peer, chain, recording):
    playing = player(chain, recording, 'loop:=true', 'rate:=20.0')
    harness.wait_for(lambda: 'stamp_backwards' in chain.predictor.output(), 60.0, 'a reset')
    heard = peer.listen(DiagnosticArray, '/diagnostics')

    def resets():
        return next((int(pair.value) for array in heard for status in array.status
                     if status.name == 'chain/grasp_predictor' for pair in status.values
                     if pair.key == 'resets/stamp_backwards' and int(pair.value) >= 2), 0)
    harness.wait_for(resets, 30.0, 'a second reset in the diagnostics')
    assert playing.alive(), playing.output()
    assert playing.stop() == 130
