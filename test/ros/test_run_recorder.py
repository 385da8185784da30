"""run_recorder over real DDS: the test is the camera, and loses frames on purpose."""

import signal
import time

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray, PoseStamped
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.writer import RecordingWriter
from moss_perception.evaluation.outputs import read_outputs
from moss_perception.evaluation.recorded import evaluate_recorded
from moss_perception.evaluation.replay import replay
from moss_perception.evaluation.verification import verify
from moss_perception.ros.common.subscriptions import message_class, unconnected
from moss_perception.runtime.predictor import Predictor
import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage

pytestmark = pytest.mark.timeout(110)

START_NS = 1_700_000_000_000_000_000
PERIOD_NS = 50_000_000
FRAMES = 70
MATRIX = np.array([[40.0, 0, 20], [0, 40.0, 20], [0, 0, 1]])
DECISION = 60
# Of these the camera shows nothing to the predictor.
LOST = {5, 36, 37, 49}
TOPICS = {'/image/compressed': CompressedImage, '/camera_info': CameraInfo,
          '/grasp_candidates': PoseArray}


@pytest.fixture(scope='module')
def recording(tmp_path_factory):
    """Write one attempt: 20 images a second, two candidates that move with every frame."""
    path = tmp_path_factory.mktemp('recorded') / 'bag'
    rng = np.random.default_rng(8)
    with RecordingWriter(path) as writer:
        for index in range(FRAMES):
            stamp_ns = START_NS + index * PERIOD_NS
            grasps = np.array([[0.01, 0.002 * index, 0.5, 0.3], [-0.05, 0.001 * index, 0.6, 1.2]])
            writer.camera_info(stamp_ns, 40, 40, MATRIX)
            writer.candidates(stamp_ns, grasps)
            image = cv2.imencode('.jpg', rng.integers(0, 256, (40, 40, 3), np.uint8))[1]
            writer.image(stamp_ns, image.tobytes())
            if index == DECISION:
                writer.selected(stamp_ns, grasps[1])
        writer.outcome('held', attempt=1, start_ns=START_NS,
                       decision_ns=START_NS + DECISION * PERIOD_NS, end_ns=stamp_ns, success=True,
                       domain='real', motion='steady', object='box', candidate=1)
    return path


class Camera:
    """Publishes a recording's messages, as the test says."""

    def __init__(self, peer, harness, recording):
        self._publishers = {topic: peer.node.create_publisher(kind, topic, 100)
                            for topic, kind in TOPICS.items()}
        self._peer, self._wait_for = peer, harness.wait_for
        with Recording(recording) as opened:
            self.messages = [(topic, deserialize_message(raw, message_class(kind)))
                             for topic, kind, _, raw in opened.messages(TOPICS)]

    def connect(self, recorded=()):
        """Wait for the predictor, and for the recorder's subscriptions to some topics."""
        expected = [*(f'/grasp_predictor={topic}' for topic in TOPICS),
                    *(f'/run_recorder={topic}' for topic in recorded)]
        self._wait_for(lambda: not unconnected(self._peer.node, expected), 20, 'subscribers')
        time.sleep(0.25)

    def show(self, processed, lost, burst):
        """Publish all images but the lost; wait for their status after each burst."""
        shown = 0
        for topic, message in self.messages:
            index = (message.header.stamp.nanosec + (
                message.header.stamp.sec * 10**9 - START_NS)) // PERIOD_NS
            if topic == '/image/compressed' and index in lost:
                continue
            self._publishers[topic].publish(message)
            if topic == '/image/compressed':
                shown += 1
                if shown % burst == 0:
                    self._await(processed, shown)
        self._await(processed, shown)

    def _await(self, processed, shown):
        self._wait_for(lambda: len(processed) >= shown, 20, f'{shown} statuses')

    def go(self):
        for publisher in self._publishers.values():
            self._peer.node.destroy_publisher(publisher)


@pytest.fixture
def recorder(harness, tmp_path):
    """Return a function that starts the node with parameters."""
    started = []

    def start(namespace='', **parameters):
        words = ['-r', f'__ns:=/{namespace}'] if namespace else []
        words += [word for name, value in parameters.items() for word in (
            '-p', f'{name}:={str(value).lower() if isinstance(value, bool) else value}')]
        started.append(harness.NodeProcess(tmp_path, 'run_recorder', ros_args=tuple(words)))
        return started[-1]
    yield start
    for process in started:
        process.stop()
        assert 'Traceback' not in process.output(), process.output()


def played(recorder, harness, recording, path, **parameters):
    """Start a recorder of the outputs of a predictor to which a recording is played."""
    node = recorder(out=path, played=recording, inputs=False, images=False, **parameters)
    harness.wait_for(lambda: 'recording to' in node.output(), 40, 'the recorder')
    return node


def test_scores_in_time_equal_an_offline_replay_of_exactly_what_arrived(
        harness, peer, predictor, recorder, recording, tiny_checkpoint, tmp_path):
    # One that waits for nothing: in bursts of six samples some are dropped for the newer ones.
    predictor.fresh(image_transport='compressed', budget='1,2,3')
    node = played(recorder, harness, recording, tmp_path / 'run', pace='1x')
    camera = Camera(peer, harness, recording)
    camera.connect()
    camera.show(predictor.processed, LOST, burst=12)
    camera.go()
    assert node.wait(60) == 0, node.output()
    outputs = read_outputs(tmp_path / 'run')
    verification = verify(outputs, recording, tiny_checkpoint)
    record = evaluate_recorded(tmp_path / 'run', verification=verification)
    assert (record.path, record.frames, record.not_arrived) == (
        str(recording), FRAMES, len(LOST))
    assert sum(record.by_status.values()) == FRAMES - len(LOST)
    assert 'played at 1x: 4 of 70 frames did not arrive' in record.notes
    assert 'the received frames, bit for bit' in record.verified, record
    assert f'the scores of all {record.by_status["scored"]} frames' in record.verified
    # What arrived is not what was recorded: all of it would have given other scores.
    whole = replay(recording, Predictor.load(str(tiny_checkpoint), threads=1))
    assert record.by_status['scored'] < whole.by_status['scored']
    assert record.attempts[0].source == 'executed'
    assert np.isfinite(record.attempts[0].ood_score) == np.isfinite(whole.attempts[0].ood_score)


def test_in_lock_step_all_scores_are_those_of_the_offline_evaluation(
        harness, peer, predictor, recorder, recording, tiny_checkpoint, tmp_path):
    predictor.fresh(image_transport='compressed', budget='1,2,3')
    node = played(recorder, harness, recording, tmp_path / 'run', pace='lock step')
    camera = Camera(peer, harness, recording)
    camera.connect()
    camera.show(predictor.processed, set(), burst=1)
    camera.go()
    assert node.wait(60) == 0, node.output()
    ours = evaluate_recorded(tmp_path / 'run')
    whole = replay(recording, Predictor.load(str(tiny_checkpoint), threads=1))
    assert ours.by_status == whole.by_status and ours.not_arrived == 0
    mine, theirs = ours.attempts[0], whole.attempts[0]
    assert (mine.score, mine.uncertainty, mine.source) == (
        theirs.score, theirs.uncertainty, 'executed')
    np.testing.assert_array_equal(mine.times_s, theirs.times_s)


@pytest.mark.parametrize('images', [True, False])
def test_a_live_run_is_recorded_with_its_inputs_and_evaluated_without_anything_else(
        harness, peer, predictor, recorder, recording, tiny_checkpoint, tmp_path, images):
    predictor.fresh(image_transport='compressed', budget='1,2,3')
    node = recorder(out=tmp_path / 'run', images=images, attempts=1)
    harness.wait_for(lambda: 'recording to' in node.output(), 40, 'the recorder')
    camera = Camera(peer, harness, recording)
    camera.connect([topic for topic in TOPICS if images or 'image' not in topic])
    outcomes = peer.node.create_publisher(DiagnosticArray, 'grasp_outcome', 10)
    selected = peer.node.create_publisher(PoseStamped, 'selected_grasp', 10)
    for publisher in (outcomes, selected):
        harness.wait_for(publisher.get_subscription_count, 20, 'the recorder')
    camera.show(predictor.processed, set(), burst=1)
    # An outcome that can't be read is left out, and does not end the recorder.
    outcomes.publish(b'\0\1\0\0' + b'\xff' * 40)
    with Recording(recording) as opened:
        for topic, publisher in (('/selected_grasp', selected), ('/grasp_outcome', outcomes)):
            (_, kind, _, raw), = opened.messages([topic])
            publisher.publish(deserialize_message(raw, message_class(kind)))
    camera.go()
    assert node.wait(60) == 0, node.output()
    assert 'a message is left out (1 so far): 44 bytes are not a DiagnosticArray' in node.output()
    live = evaluate_recorded(tmp_path / 'run')
    whole = replay(recording, Predictor.load(str(tiny_checkpoint), threads=1))
    assert live.attempts[0].score == whole.attempts[0].score
    assert (live.frames, live.by_status) == (FRAMES, whole.by_status)
    assert 0 < live.diagnostics['inference_p50_ms'] <= live.diagnostics['inference_p95_ms']
    assert live.image_topic == ('/image/compressed' if images else '')
    if images:
        again = replay(tmp_path / 'run', Predictor.load(str(tiny_checkpoint), threads=1))
        assert again.by_status == whole.by_status
        assert again.attempts[0].score == live.attempts[0].score


@pytest.mark.parametrize('parameters, line', [
    ({'namespace': 'void', 'out': 'r', 'start_delay': 1.0},
     'nobody publishes /void/grasp_predictor/grasp_scores'),
    ({}, 'parameter out is empty'),
    ({'out': '.'}, 'exists already; recordings are not overwritten'),
    ({'out': 'r', 'outputs': False, 'inputs': False, 'images': False},
     'name nothing to record'),
    ({'out': 'r', 'qos_reliability': 'perhaps'}, 'qos_reliability')])
def test_what_cannot_be_recorded_is_one_line(recorder, tmp_path, parameters, line):
    node = recorder(**parameters)
    assert node.wait(60) == 1
    assert len([x for x in node.output().splitlines() if line in x]) == 1, node.output()
    assert not (tmp_path / 'r').exists()


def test_an_interruption_keeps_what_was_recorded(
        harness, peer, predictor, recorder, recording, tmp_path):
    predictor.fresh(image_transport='compressed')
    node = played(recorder, harness, recording, tmp_path / 'run')
    camera = Camera(peer, harness, recording)
    camera.connect()
    camera.show(predictor.processed, set(range(30, FRAMES)), burst=1)
    node.process.send_signal(signal.SIGINT)
    assert node.wait(30) == 130, node.output()
    camera.go()
    with Recording(tmp_path / 'run') as opened:
        assert opened.topics['/grasp_predictor/processed'].count == 30
