"""bag_evaluator over real DDS: the test is the camera, and loses frames on purpose."""

import re
import signal
import time

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.writer import RecordingWriter
from moss_perception.evaluation.pictures import to_jpeg
from moss_perception.evaluation.record_files import read_evaluation
from moss_perception.evaluation.replay import read_images, replay
from moss_perception.evaluation.shown import stamps_shown
from moss_perception.ros.player.topics import message_class
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
                       domain='real', motion='steady', object='box')
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

    def connect(self, listeners=1):
        for topic, publisher in self._publishers.items():
            count = listeners if topic == '/image/compressed' else 1
            self._wait_for(lambda p=publisher, n=count: p.get_subscription_count() >= n, 20,
                           f'{count} subscribers of {topic}')
        time.sleep(0.25)

    def show(self, processed, lost, burst):
        """Publish all images but the lost; wait for what became of them after each burst."""
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
        self._wait_for(lambda: len(processed) >= shown, 20, f'{shown} fates')

    def go(self):
        for publisher in self._publishers.values():
            self._peer.node.destroy_publisher(publisher)


@pytest.fixture
def evaluator(harness, tmp_path):
    """Return a function that starts the node with parameters."""
    started = []

    def start(namespace='', **parameters):
        words = ['-r', f'__ns:=/{namespace}'] if namespace else []
        words += [word for name, value in parameters.items() for word in (
            '-p', f'{name}:={str(value).lower() if isinstance(value, bool) else value}')]
        started.append(harness.NodeProcess(tmp_path, 'bag_evaluator', ros_args=tuple(words)))
        return started[-1]
    yield start
    for process in started:
        process.stop()
        assert 'Traceback' not in process.output(), process.output()


def test_scores_in_time_equal_an_offline_replay_of_exactly_what_arrived(
        harness, peer, predictor, evaluator, recording, tiny_checkpoint, tmp_path):
    # One that waits for nothing: in bursts of six samples some are dropped for the newer ones.
    predictor.fresh(image_transport='compressed', orders='1,2,3')
    node = evaluator(bag=recording, model=tiny_checkpoint, record=tmp_path / 'record.json',
                     pace='1x', verify=True)
    harness.wait_for(lambda: 'listening' in node.output(), 40, 'the evaluator')
    camera = Camera(peer, harness, recording)
    camera.connect()
    camera.show(predictor.processed, LOST, burst=12)
    camera.go()
    assert node.wait(60) == 0, node.output()
    evaluation = read_evaluation(tmp_path / 'record.json')
    record, = evaluation.bags
    assert (record.frames, record.not_arrived) == (FRAMES, len(LOST))
    assert sum(record.fates.values()) == FRAMES - len(LOST)
    assert 'played at 1x: 4 of 70 frames did not arrive' in record.notes
    assert 'exactly the frames that arrived, bit for bit' in record.verified, record
    assert f'the scores of all {record.fates["scored"]} frames' in record.verified
    # What arrived is not what was recorded: all of it would have given other scores.
    whole = replay(recording, Predictor.load(str(tiny_checkpoint), threads=1))
    assert record.fates['scored'] < whole.fates['scored']
    assert record.attempts[0].source == 'executed'
    assert (evaluation.engine, evaluation.threads, evaluation.orders) == ('onnxruntime', 1, 3)


def test_in_lock_step_all_scores_are_those_of_the_offline_evaluation(
        harness, peer, predictor, evaluator, recording, tiny_checkpoint, tmp_path):
    predictor.fresh(image_transport='compressed', orders='1,2,3')
    node = evaluator(bag=recording, model=tiny_checkpoint, record=tmp_path / 'record.json',
                     pace='lock step', report=tmp_path / 'report', require='attempts>=1000')
    harness.wait_for(lambda: 'listening' in node.output(), 40, 'the evaluator')
    camera = Camera(peer, harness, recording)
    camera.connect()
    camera.show(predictor.processed, set(), burst=1)
    camera.go()
    # What is required and does not hold is told last, and is the status.
    assert node.wait(60) == 3, node.output()
    assert re.search(r'attempts +1 +>= 1000 +SHORT', node.output()), node.output()
    assert (tmp_path / 'report' / 'report.html').is_file()
    ours, = read_evaluation(tmp_path / 'record.json').bags
    whole = replay(recording, Predictor.load(str(tiny_checkpoint), threads=1), watch=False)
    assert ours.fates == whole.fates and ours.not_arrived == 0
    mine, theirs = ours.attempts[0], whole.attempts[0]
    assert (mine.score, mine.uncertainty) == (theirs.score, theirs.uncertainty)
    np.testing.assert_array_equal(mine.scores, theirs.scores)
    np.testing.assert_array_equal(mine.times_s, theirs.times_s)


@pytest.mark.parametrize('strips', [True, False])
def test_of_a_live_run_the_report_shows_frames_where_asked(
        harness, peer, predictor, evaluator, recording, tiny_checkpoint, tmp_path, strips):
    predictor.fresh(image_transport='compressed', orders='1,2,3')
    node = evaluator(model=tiny_checkpoint, record=tmp_path / 'record.json', strips=strips,
                     report=tmp_path / 'report', domain='sim', threshold=0.75,
                     success_definition='held')
    harness.wait_for(lambda: 'listening' in node.output(), 40, 'the evaluator')
    camera = Camera(peer, harness, recording)
    camera.connect(listeners=1 + strips)
    outcomes = peer.node.create_publisher(DiagnosticArray, 'grasp_outcome', 10)
    harness.wait_for(outcomes.get_subscription_count, 20, 'who hears outcomes')
    camera.show(predictor.processed, set(), burst=1)
    with Recording(recording) as opened:
        (_, kind, _, raw), = opened.messages(['/grasp_outcome'])
    outcomes.publish(deserialize_message(raw, message_class(kind)))
    camera.go()
    assert node.wait(60) == 0, node.output()
    bag, = read_evaluation(tmp_path / 'record.json').bags
    page = (tmp_path / 'report' / 'report.html').read_text()
    assert 0 < bag.told['inference_p50_ms'] <= bag.told['inference_p95_ms']
    assert 'diagnostics told' in page
    assert 'A score of 0.75 or more' in page and '<strong>Success. </strong>held' in page
    if not strips:
        assert not bag.pictures and 'image/jpeg' not in page
        return
    stamps = stamps_shown(bag.attempts[0])
    assert len(stamps) == 6 and list(bag.pictures) == stamps
    assert page.count('image/jpeg') == 6 and 'frame not available' not in page
    found = read_images(recording, '/image/compressed', stamps)
    assert all(bag.pictures[stamp] == to_jpeg(found[stamp]) for stamp in stamps)


def test_a_predictor_of_another_checkpoint_is_refused(
        harness, peer, predictor, evaluator, recording, tmp_path):
    predictor.fresh(image_transport='compressed')
    node = evaluator(bag=recording, record=tmp_path / 'record.json')
    harness.wait_for(lambda: 'listening' in node.output(), 40, 'the evaluator')
    camera = Camera(peer, harness, recording)
    camera.connect()
    camera.show(predictor.processed, set(range(5, FRAMES)), burst=1)
    camera.go()
    assert node.wait(60) == 1
    assert 'the predictor runs the checkpoint' in node.output()
    assert not (tmp_path / 'record.json').exists()


@pytest.mark.parametrize('parameters, line', [
    ({'namespace': 'void', 'record': 'r.json', 'start_delay': 1.0},
     'nobody publishes /void/grasp_predictor/grasp_scores'),
    ({}, 'parameters record and report are empty'),
    ({'record': 'r.json', 'require': 'auroc>=0.5'}, 'parameter require goes with report'),
    ({'record': 'r.json', 'bag': '/nowhere'}, '/nowhere'),
    ({'report': 'r', 'require': 'beauty>=1'}, 'beauty'),
    ({'record': 'r.json', 'others': ['/nowhere.json']},
     '/nowhere.json is not a readable evaluation')])
def test_what_cannot_be_evaluated_is_one_line(evaluator, parameters, line):
    node = evaluator(**parameters)
    assert node.wait(60) == 1
    assert len([x for x in node.output().splitlines() if line in x]) == 1, node.output()


def test_an_interruption_leaves_nothing_behind(
        harness, predictor, evaluator, tiny_checkpoint, tmp_path):
    predictor.fresh()
    node = evaluator(record=tmp_path / 'record.json', model=tiny_checkpoint)
    harness.wait_for(lambda: 'listening' in node.output(), 40, 'the evaluator')
    node.process.send_signal(signal.SIGINT)
    assert node.wait(30) == 130, node.output()
    assert not (tmp_path / 'record.json').exists()
