"""`grasp_gate` in a process of its own, over DDS."""

import signal
import subprocess
import time

from geometry_msgs.msg import PoseStamped
from moss_perception.core.clouds import cloud_fields
from moss_perception.core.scores import SCORE_DTYPE, ScoreReason
import numpy as np
import pytest
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import DescribeParameters, SetParameters
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header, String

PLACES = [(0.1, -0.2, 0.5), (0.123456789, 0.0, 0.6)]
TURNS = [(0.0, 0.0, 0.6, 0.8), (0.5, -0.5, 0.5, 0.5)]
GATE = ['grasp_gate', '--ros-args']
WAIT_S = 20.0


def make_cloud(stamp_ns, scores, places=PLACES, turns=TURNS, reason=ScoreReason.OUTSIDE_IMAGE,
               old=False):
    """Write scores of candidates, and those of a default grasp that is better than any."""
    rows = np.zeros(len(scores) + 1, SCORE_DTYPE)
    rows['score'], rows['uncertainty'] = [*scores, 0.99], 0.1
    rows['candidate'] = [*range(len(scores)), -1]
    for index, name in enumerate(('x', 'y', 'z')):
        rows[name][:-1] = [place[index] for place in places[:len(scores)]]
    rows['qw'] = 1.0
    for index, name in enumerate(('qx', 'qy', 'qz', 'qw')):
        rows[name][:-1] = [turn[index] for turn in turns[:len(scores)]]
    rows['reason'] = np.where(np.isnan(rows['score']), reason, ScoreReason.SCORED)
    fields = [PointField(name=name, offset=offset, datatype=datatype, count=1)
              for name, offset, datatype in cloud_fields(SCORE_DTYPE)
              if not old or name in ('x', 'y', 'z', 'score', 'uncertainty')]
    size = SCORE_DTYPE.itemsize
    return PointCloud2(
        header=Header(stamp=Time(nanoseconds=stamp_ns).to_msg(), frame_id='camera'), height=1,
        width=len(rows), point_step=size, row_step=size * len(rows), data=rows.tobytes(),
        fields=fields)


def assert_pose(pose, place, turn):
    # Poses travel as float32.
    p, q = pose.position, pose.orientation
    np.testing.assert_allclose((p.x, p.y, p.z, q.x, q.y, q.z, q.w), (*place, *turn), rtol=1e-6)


class Peer:
    """The gate's surroundings: what it hears and what it says."""

    def __init__(self):
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node('peer', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.scores = self.node.create_publisher(PointCloud2, 'grasp_scores', 10)
        self.clock = self.node.create_publisher(Clock, '/clock', 10)
        self.states, self.selected = [], []
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.node.create_subscription(
            String, 'grasp_gate/state', lambda m: self.states.append(m.data), latched)
        self.hear(PoseStamped, 'selected_grasp')

    def hear(self, kind, topic):
        self.node.create_subscription(kind, topic, self.selected.append, 10)

    def until(self, happened, again=lambda: None, every_s=0.05):
        """Spin, doing `again` now and then, until something happened."""
        end, due = time.monotonic() + WAIT_S, 0.0
        while not happened():
            assert time.monotonic() < end, f'states {self.states}, selected {self.selected}'
            if time.monotonic() >= due:
                again()
                due = time.monotonic() + every_s
            self.executor.spin_once(timeout_sec=0.02)

    def score_now(self, scores, **changes):
        stamp_ns = time.time_ns()
        self.scores.publish(make_cloud(stamp_ns, scores, **changes))
        return stamp_ns

    def call(self, kind, service, request):
        client = self.node.create_client(kind, service)
        self.until(client.service_is_ready)
        future = client.call_async(request)
        self.until(future.done)
        # While the executor still knows it: a node that is destroyed with its clients may crash.
        self.node.destroy_client(client)
        return future.result()

    def close(self):
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def peer():
    peer = Peer()
    yield peer
    peer.close()


@pytest.fixture
def start(tmp_path, programs):
    running = []

    def start(command):
        if command[0] == 'grasp_gate':
            command = [*programs.command('grasp_gate'), *command[1:]]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=programs.environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        running.append(process)
        return process
    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_gate_waits_selects_keeps_releases_and_goes_stale(peer, start):
    gate = start([*GATE, '-p', 'max_age:=1.0'])
    peer.until(lambda: 'waiting' in peer.states)
    peer.until(lambda: peer.selected, lambda: peer.score_now([0.2, 0.9]))
    assert peer.states[-2:] == ['candidate', 'selected']
    chosen = peer.selected[-1]
    assert chosen.header.frame_id == 'camera'
    assert Time.from_msg(chosen.header.stamp).nanoseconds > 0
    assert_pose(chosen.pose, PLACES[1], TURNS[1])
    peer.until(lambda: peer.states[-1] == 'below threshold', lambda: peer.score_now([0.2, 0.3]))
    peer.until(lambda: peer.states[-1] == 'stale')
    gate.send_signal(signal.SIGINT)
    assert gate.wait(WAIT_S) == 0


def test_each_message_of_scores_is_reported_with_the_state_after_it(peer, start):
    start([*GATE, '-p', 'hold_time:=0.0'])
    reports = []
    peer.node.create_subscription(Header, 'grasp_gate/processed', reports.append, 10)

    def state_of(scores):
        sent = []

        def newest():
            at = [Time.from_msg(x.stamp).nanoseconds for x in reports]
            return sent and sent[-1] in at and reports[at.index(sent[-1])].frame_id
        # The first scores may be sent before the gate is discovered.
        peer.until(newest, lambda: sent.append(peer.score_now(scores)), every_s=0.3)
        return newest()
    assert [state_of(x) for x in ([], [0.2, 0.9], [0.1, 0.2])] == [
        'waiting', 'selected', 'below threshold']


def test_no_cloud_ends_the_gate_by_what_it_holds(peer, start):
    gate = start([*GATE, '-p', 'hold_time:=0.0'])
    peer.until(lambda: 'waiting' in peer.states)
    before_1970 = make_cloud(10**9, [0.9, 0.8])
    before_1970.header.stamp.sec = -1
    empty = PointCloud2(header=before_1970.header)
    peer.until(lambda: 'stale' in peer.states,
               lambda: [peer.scores.publish(x) for x in (before_1970, empty)])
    peer.until(lambda: peer.selected, lambda: peer.score_now([0.2, 0.9]))
    gate.send_signal(signal.SIGINT)
    output, _ = gate.communicate(timeout=WAIT_S)
    assert gate.returncode == 0 and 'Traceback' not in output, output
    assert 'MOSS081' in output and 'MOSS080' in output


def test_selected_grasp_has_the_stamp_of_its_scores(peer, start):
    start([*GATE, '-p', 'hold_time:=0.0'])
    stamps = []
    peer.until(lambda: len(peer.selected) >= 3,
               lambda: stamps.append(peer.score_now([0.9, 0.2])))
    heard = [Time.from_msg(m.header.stamp).nanoseconds for m in peer.selected]
    assert set(heard) <= set(stamps) and heard == sorted(set(heard))


def test_selected_grasp_is_the_pose_that_was_scored(peer, start):
    start([*GATE, '-p', 'hold_time:=0.0', '-p', 'max_age:=5.0'])
    peer.until(lambda: peer.selected, lambda: peer.score_now([0.9, 0.2]))
    # The same points, each time with other orientations.
    for step in range(1, 6):
        turn = (0.0, 0.0, float(np.sin(step)), float(np.cos(step)))
        stamp_ns = peer.score_now([0.9, 0.2], turns=[turn, turn])
        # Scores that were sent until the first was selected may be selected after it.
        peer.until(lambda stamp_ns=stamp_ns: Time.from_msg(
            peer.selected[-1].header.stamp).nanoseconds == stamp_ns)
        assert_pose(peer.selected[-1].pose, PLACES[0], turn)
    # The state is a topic of its own, which may be discovered later.
    peer.until(lambda: peer.states)
    assert peer.states[-1] == 'selected' and peer.states.count('selected') == 1


def test_the_default_grasp_point_is_no_candidate_and_the_log_says_why(peer, start):
    gate = start([*GATE, '-p', 'hold_time:=0.0'])
    peer.until(lambda: peer.selected, lambda: peer.score_now([0.9, 0.2]))
    peer.until(lambda: peer.states[-1:] == ['waiting'], lambda: peer.score_now([]))
    gate.send_signal(signal.SIGINT)
    assert 'the default grasp point is not a candidate' in gate.communicate(timeout=WAIT_S)[0]


def test_candidates_without_a_score_are_below_threshold_and_the_log_gives_the_reasons(peer, start):
    gate = start(GATE)
    peer.until(lambda: peer.states[-1:] == ['below threshold'], lambda: peer.score_now(
        [np.nan, np.nan], reason=ScoreReason.NO_CALIBRATION))
    gate.send_signal(signal.SIGINT)
    output = gate.communicate(timeout=WAIT_S)[0]
    assert 'no candidate has a score: 2 no calibration' in output


def test_scores_of_an_older_version_are_refused_and_the_gate_goes_on(peer, start):
    gate = start([*GATE, '-p', 'hold_time:=0.0'])

    def mix():
        peer.score_now([0.9, 0.2], old=True)
        peer.score_now([0.9, 0.2])

    # The first that arrives may be a new one: old ones follow it.
    peer.until(lambda: len(peer.selected) >= 3, mix)
    gate.send_signal(signal.SIGINT)
    assert 'lacks the fields qx, qy, qz, qw, candidate' in gate.communicate(timeout=WAIT_S)[0]


def test_scores_of_a_recording_are_stale_by_the_wall_clock_and_fresh_by_its_own(peer, start):
    stamp_ns = 1_700_000_000_000_000_000

    def play():
        peer.clock.publish(Clock(clock=Time(nanoseconds=stamp_ns).to_msg()))
        peer.scores.publish(make_cloud(stamp_ns, [0.9, 0.2]))

    gate = start([*GATE, '-p', 'hold_time:=0.0'])
    peer.until(lambda: 'stale' in peer.states, play)
    assert not peer.selected
    gate.send_signal(signal.SIGINT)
    assert 'use_sim_time' in gate.communicate(timeout=WAIT_S)[0]
    start([*GATE, '-p', 'hold_time:=0.0', '-p', 'use_sim_time:=true'])
    peer.until(lambda: peer.selected, play)
    stamp_ns += 600_000_000
    peer.until(lambda: peer.states[-1] == 'stale', lambda: peer.clock.publish(
        Clock(clock=Time(nanoseconds=stamp_ns).to_msg())))


def test_parameters_are_described_checked_and_applied(peer, start):
    start(GATE)
    names = ['min_score', 'max_uncertainty', 'hold_time', 'max_age', 'release_score',
             'switch_margin', 'explore']
    described = peer.call(DescribeParameters, 'grasp_gate/describe_parameters',
                          DescribeParameters.Request(names=names)).descriptors
    assert all(d.type == ParameterType.PARAMETER_DOUBLE and d.description
               and d.floating_point_range for d in described)

    def change(**values):
        request = SetParameters.Request(parameters=[
            Parameter(name, value=value).to_parameter_msg() for name, value in values.items()])
        return peer.call(SetParameters, 'grasp_gate/set_parameters', request).results[0]

    refusal = change(release_score=0.6)
    assert not refusal.successful and 'min_score=0.5' in refusal.reason
    assert not change(min_score=1.5).successful
    assert change(hold_time=0.0).successful and change(min_score=0.8).successful
    peer.until(lambda: peer.states[-1:] == ['below threshold'], lambda: peer.score_now([0.7, 0.2]))
    assert change(min_score=0.6).successful
    peer.until(lambda: peer.selected, lambda: peer.score_now([0.7, 0.2]))


@pytest.mark.parametrize(('argument', 'expected'), [
    ('min_score:=2.0', 'min_score=2.0 is not allowed: expected 0.0 to 1.0'),
    ('min_score:=high', "min_score='high' is not allowed: expected a number"),
    ('release_score:=0.7', 'release_score=0.7 is not allowed: expected in [0, min_score=0.5]')])
def test_a_wrong_parameter_at_start_is_one_line_and_status_1(start, argument, expected):
    gate = start([*GATE, '-p', argument])
    output = gate.communicate(timeout=WAIT_S)[0]
    assert gate.returncode == 1
    assert expected in output and len(output.strip().splitlines()) == 1
