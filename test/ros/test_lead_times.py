"""Lead times in the node: by parameter, by topic, and what it says of those it can't use."""

import time

from diagnostic_msgs.msg import DiagnosticArray
from frames import candidates as grasps
from frames import frame, START_NS, WINDOW
from geometry_msgs.msg import Pose, PoseArray
from moss_perception.core.scores import GraspScores, read_scores
from moss_perception.models.checkpoint import save_checkpoint
from moss_perception.ros.common import conversions
from moss_perception.ros.predictor.node import GraspPredictor
import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from timed import expected_score, timed_checkpoint
from tiny import tiny_network

pytestmark = pytest.mark.timeout(120)
PLACES = [[0.0, 0.0, 0.5], [0.02, 0.0, 0.5]]


class Bench:
    """A node in the test's process, and a planner with a camera that it hears."""

    def __init__(self, checkpoint, **parameters):
        values = {'model_path': str(checkpoint), 'engine': 'torch', 'threads': 1,
                  'qos_reliability': 'reliable', **parameters}
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = GraspPredictor(context=self.context, parameter_overrides=[
            Parameter(name, value=value) for name, value in values.items()])
        self.peer = rclpy.create_node('planner', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        for one in (self.node, self.peer):
            self.executor.add_node(one)
        make, hear = self.peer.create_publisher, self.peer.create_subscription
        self.images, self.infos = make(Image, 'image', 10), make(CameraInfo, 'camera_info', 10)
        self.poses = make(PoseArray, 'grasp_candidates', 10)
        self.lead_times = make(PointCloud2, 'grasp_lead_times', 10)
        self.scores, self.processed, self.diagnostics = [], [], []
        hear(PointCloud2, 'grasp_predictor/grasp_scores', self.scores.append, 100)
        hear(Header, 'grasp_predictor/processed', self.processed.append, 100)
        hear(DiagnosticArray, '/diagnostics', self.diagnostics.append, 100)

    def configure(self) -> str:
        """Return the result of the transition."""
        return self.node.trigger_configure().name

    def activate(self) -> None:
        """Configure and activate the node, and wait until it hears the planner."""
        assert self.configure() == 'SUCCESS'
        assert self.node.trigger_activate().name == 'SUCCESS'
        publishers = (self.images, self.infos, self.poses, self.lead_times)
        self.spin_until(lambda: all(x.get_subscription_count() for x in publishers))
        self.infos.publish(CameraInfo(
            header=conversions.header(START_NS, 'camera'), width=32, height=32, d=[0.0] * 5,
            k=[40.0, 0.0, 15.5, 0.0, 40.0, 15.5, 0.0, 0.0, 1.0], distortion_model='plumb_bob'))

    def spin_until(self, there, timeout_s: float = 20.0) -> None:
        end = time.monotonic() + timeout_s
        while not there():
            assert time.monotonic() < end, 'nothing came'
            self.executor.spin_once(timeout_sec=0.02)

    def propose(self, k: int, places=PLACES, lead_times=None, frame_id='camera') -> None:
        """Publish candidates of frame ``k``, and their lead times."""
        given = grasps(k, places)
        message = PoseArray(header=conversions.header(given.stamp_ns, frame_id))
        for x, y, z in given.positions:
            pose = Pose()
            pose.position.x, pose.position.y, pose.position.z = x, y, z
            message.poses.append(pose)
        self.poses.publish(message)
        if lead_times is not None:
            self.time(k, lead_times, frame_id)

    def time(self, k: int, values, frame_id='camera') -> None:
        """Publish lead times of frame ``k``."""
        self.lead_times.publish(conversions.lead_times_to_cloud(
            frame(k).stamp_ns, frame_id, np.array(values, float)))

    def send(self, k: int):
        """Publish image ``k`` once all before it has come; return its scores, if any."""
        # A message that was published in this process is there at once; some turns take it in.
        for _ in range(10):
            self.executor.spin_once(timeout_sec=0.005)
        done, scored = len(self.processed), len(self.scores)
        self.images.publish(conversions.rgb_to_image(
            frame(k).image, frame(k).stamp_ns, 'camera'))
        self.spin_until(lambda: len(self.processed) > done)
        if self.processed[-1].frame_id != 'scored':
            return None
        self.spin_until(lambda: len(self.scores) > scored)
        return GraspScores.of(read_scores(self.scores[-1]))

    def values(self) -> dict[str, str]:
        """Return the next diagnostics of the node."""
        self.diagnostics.clear()
        self.spin_until(lambda: any('grasp_predictor' in status.name for array in
                                    self.diagnostics for status in array.status))
        return {pair.key: pair.value for pair in self.diagnostics[0].status[0].values}

    def close(self) -> None:
        """End both nodes."""
        if self.node._inputs is not None:
            self.node.trigger_deactivate()
        for one in (self.node, self.peer):
            one.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture(scope='module')
def timed(tmp_path_factory):
    """Return a checkpoint with time inputs."""
    return timed_checkpoint(tmp_path_factory.mktemp('timed') / 'timed.safetensors')


@pytest.fixture(scope='module')
def untimed(tmp_path_factory):
    """Return a checkpoint without time inputs."""
    path = tmp_path_factory.mktemp('untimed') / 'tiny.safetensors'
    save_checkpoint(path, tiny_network())
    return path


@pytest.fixture
def start(ros_domain):
    """Return a function that starts a bench."""
    started = []

    def begin(*args, **parameters):
        started.append(Bench(*args, **parameters))
        return started[-1]
    yield begin
    for bench in started:
        bench.close()


def test_each_candidate_is_scored_at_its_own_lead_time_and_the_rest_at_the_streams(start, timed):
    bench = start(timed, lead_time=0.625)
    bench.activate()
    for k in range(WINDOW - 1):
        assert bench.send(k) is None
    bench.propose(WINDOW - 1, lead_times=[0.25, 0.75])
    found = bench.send(WINDOW - 1)
    assert found.candidates['lead_time'].tolist() == [0.25, 0.75]
    np.testing.assert_allclose(
        found.candidates['score'], expected_score([0.25, 0.75]), atol=1e-6)
    assert found.default['lead_time'] == 0.625
    assert found.default['score'] == pytest.approx(expected_score(0.625), abs=1e-6)
    # Without lead times by the next frame, its candidates have the stream's.
    bench.propose(WINDOW)
    assert bench.send(WINDOW).candidates['lead_time'].tolist() == [0.625] * 2
    # Those that come first wait.
    bench.time(WINDOW + 1, [0.375, 0.5])
    bench.propose(WINDOW + 1)
    assert bench.send(WINDOW + 1).candidates['lead_time'].tolist() == [0.375, 0.5]
    bench.node.set_parameters([Parameter('lead_time', value=-1.0)])
    found = bench.send(WINDOW + 2)
    assert found.default['lead_time'] == 0.5
    values = bench.values()
    assert (values['lead_time'], values['clamped_lead_times'], values['refused_lead_times']) == (
        '0.5', '0', '0')


def test_what_the_checkpoint_was_not_trained_for_is_clamped_said_once_and_counted(
        start, timed, capfd):
    bench = start(timed)
    bench.activate()
    for k in range(WINDOW - 1):
        bench.send(k)
    for k in range(WINDOW - 1, WINDOW + 2):
        bench.propose(k, lead_times=[0.0, 2.0])
        assert bench.send(k).candidates['lead_time'].tolist() == [0.25, 0.75]
    assert bench.values()['clamped_lead_times'] == '6'
    assert capfd.readouterr().err.count(
        '2 lead times of candidates are clamped: expected 0.25 to 0.75 s, for which the '
        'checkpoint was trained; the diagnostics count further ones') == 1


def test_a_stream_beyond_the_trained_range_is_said_at_configuration(start, timed, capfd):
    bench = start(timed, lead_time=2.0)
    assert bench.configure() == 'SUCCESS'
    assert capfd.readouterr().err.count(
        'lead_time 2 s is clamped to 0.75 s: expected 0.25 to 0.75 s, for which the checkpoint '
        'was trained') == 1
    assert bench.node.set_parameters([Parameter('lead_time', value=0.5)])[0].successful
    assert bench.node.predictor.lead_time_s == 0.5


def test_lead_times_that_can_not_be_used_are_said_and_counted(start, timed, capfd):
    bench = start(timed)
    bench.activate()

    def said(words):
        for _ in range(10):
            bench.executor.spin_once(timeout_sec=0.02)
        assert words in capfd.readouterr().err

    bench.send(0)
    bench.propose(1, lead_times=[0.5] * 3)
    said('3 lead times came for 2 candidates: expected one for each; the lead time of the ')
    bench.time(2, [0.5, -0.5])
    said('refused: lead time -0.5 s of candidate 1 is not allowed: expected')
    bench.time(2, [0.5] * 2)
    bench.send(3)
    said('lead times stamped 10.200000000 match no candidates: expected the stamp of')
    bench.lead_times.publish(PointCloud2(header=conversions.header(START_NS, 'camera')))
    said('refused: the cloud of lead times lacks the fields lead_time; it has none')
    assert bench.values()['refused_lead_times'] == '4'


def test_a_checkpoint_without_time_inputs_refuses_the_parameter(start, untimed, capfd):
    bench = start(untimed, lead_time=0.5)
    assert bench.configure() == 'FAILURE'
    assert ("lead time 0.5 s is not allowed: the checkpoint of model 'moss_grasp' has no time "
            'inputs, expected no lead time or a checkpoint with time inputs'
            ) in capfd.readouterr().err
    bench.node.set_parameters([Parameter('lead_time', value=-1.0)])
    assert bench.configure() == 'SUCCESS'
    result, = bench.node.set_parameters([Parameter('lead_time', value=0.5)])
    assert not result.successful and 'has no time inputs' in result.reason


def test_a_checkpoint_without_time_inputs_leaves_out_the_topic_and_says_it_once(
        start, untimed, capfd):
    bench = start(untimed)
    bench.activate()
    for k in range(WINDOW):
        bench.propose(k, lead_times=[0.25, 0.75])
        found = bench.send(k)
    assert np.isnan(found.candidates['lead_time']).all() and np.isnan(found.default['lead_time'])
    assert np.isfinite(found.candidates['score']).all() and bench.scores[-1].is_dense
    assert capfd.readouterr().err.count(
        "lead times on /grasp_lead_times are not used: the checkpoint of model 'moss_grasp' has "
        'no time inputs; expected one that has them, or nobody to publish lead times') == 1
    assert 'lead_time' not in bench.values()
