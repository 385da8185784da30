"""GraspScorer with a predictor that the test plays, over DDS."""

from dataclasses import replace
import math
import threading
import time

from geometry_msgs.msg import Pose, PoseArray
from moss_perception.client import (
    GraspScorer,
    ProposalError,
    ScoredGrasps,
    ScoreReason,
    ScoresTimeoutError,
)
from moss_perception.core.errors import CandidateError
from moss_perception.core.lead_times import to_lead_times
from moss_perception.core.scores import Prediction, SCORE_DTYPE
from moss_perception.ros.common import conversions
import numpy as np
import pytest
import rclpy
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import PointCloud2

pytestmark = pytest.mark.timeout(60)
WAIT_S = 20.0


def poses(stamp_ns, count=2):
    """Return candidates in a row."""
    made = PoseArray(header=conversions.header(stamp_ns, 'camera'))
    for index in range(count):
        pose = Pose()
        pose.position.x, pose.position.z = 0.1 * index, 0.5
        made.poses.append(pose)
    return made


def cloud(stamp_ns, candidates_ns, scores, reason=ScoreReason.OUTSIDE_IMAGE):
    """Return scores of candidates in a row."""
    count, values = len(scores), np.array(scores, float)
    return conversions.scores_to_cloud(Prediction(
        stamp_ns=stamp_ns, frame_id='camera', score=0.99, uncertainty=0.1,
        default_point=np.zeros(3), default_orientation=np.array([0, 0, 0, 1.0]),
        candidates_stamp_ns=candidates_ns,
        points=np.array([[0.1 * k, 0, 0.5] for k in range(count)]).reshape(count, 3),
        orientations=np.tile([0, 0, 0, 1.0], (count, 1)), pixels=np.zeros((count, 2)),
        scores=values, uncertainties=np.where(np.isnan(values), np.nan, 0.1),
        reasons=np.where(np.isnan(values), reason, 0).astype(np.uint8), size=(1, 1),
        source=None, motion_features=np.zeros((1, 1, 1), np.float32)))


class Made:
    """A predictor of the test's own, spun by a thread; it scores each proposal as it is told."""

    def __init__(self):
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node('grasp_predictor', context=self.context)
        self.answers, self.times, self.proposed = [[0.9, 0.4]], [], []
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.scores = self.node.create_publisher(PointCloud2, '~/grasp_scores', 10)
        self.node.create_subscription(PoseArray, 'grasp_candidates', self.on_poses, latched)
        self.node.create_subscription(
            PointCloud2, 'grasp_lead_times', lambda one: self.times.append(to_lead_times(one)),
            latched)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.thread = threading.Thread(target=self.executor.spin, daemon=True)
        self.thread.start()

    def on_poses(self, message):
        self.proposed.append(message)
        stamp_ns = conversions.stamp_to_ns(message.header.stamp)
        for scores in self.answers:
            self.scores.publish(cloud(stamp_ns, stamp_ns, scores))

    def close(self):
        self.executor.shutdown()
        self.thread.join(5)
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def predictor(ros_domain):
    made = Made()
    yield made
    made.close()


@pytest.fixture
def planner(predictor):
    """Return a planner's node, which nobody spins yet."""
    node = rclpy.create_node('planner', context=predictor.context)
    yield node
    node.destroy_node()


def connected(scorer, predictor):
    end = time.monotonic() + WAIT_S
    while not (predictor.scores.get_subscription_count() and all(
            p.get_subscription_count() for p in (scorer._poses, scorer._times))):
        assert time.monotonic() < end, 'no connection'
        time.sleep(0.01)
    return scorer


def now_ns(node):
    return node.get_clock().now().nanoseconds


def test_a_planner_that_nobody_spins_receives_the_scores_of_its_candidates(predictor, planner):
    scorer = connected(GraspScorer(planner), predictor)
    stamp_ns = now_ns(planner)
    scores = scorer.score(poses(stamp_ns), [0.25, 0.5], timeout_s=WAIT_S)
    best = scores.best()
    assert (best.index, best.reason, scores.candidates_stamp_ns) == (
        0, ScoreReason.SCORED, stamp_ns)
    assert best.score == pytest.approx(0.9) and scores.default.index == -1
    target = scores.target(best)
    assert target.header == conversions.header(stamp_ns, 'camera')
    assert target.pose.position.z == 0.5
    assert scorer.is_fresh(scores) and scorer.latest is scores and scores.age_s < WAIT_S
    assert 0 < scores.latency_s == scorer.latency.longest_s and scorer.staleness.count == 1
    times, = predictor.times
    assert times.stamp_ns == stamp_ns and times.values.tolist() == [0.25, 0.5]
    assert not scorer.is_fresh(replace(scores, stamp_ns=stamp_ns - 10**9))


@pytest.mark.parametrize('kind', [SingleThreadedExecutor, MultiThreadedExecutor])
def test_waiting_inside_a_callback_does_not_deadlock(predictor, planner, kind):
    scorer, received = connected(GraspScorer(planner), predictor), []

    def on_timer():
        if len(received) < 20:
            received.append(scorer.score(poses(now_ns(planner)), timeout_s=WAIT_S))
    planner.create_timer(0.001, on_timer)
    executor = kind(context=predictor.context)
    executor.add_node(planner)
    end = time.monotonic() + WAIT_S
    while len(received) < 20 and time.monotonic() < end:
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    assert len(received) >= 20
    assert len({one.candidates_stamp_ns for one in received}) == len(received)


def test_waiting_beside_a_spinning_executor_handles_each_message_once(predictor, planner):
    streamed = []
    scorer = connected(GraspScorer(planner, streamed.append), predictor)
    executor = SingleThreadedExecutor(context=predictor.context)
    executor.add_node(planner)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    try:
        found = [scorer.score(poses(now_ns(planner)), timeout_s=WAIT_S) for _ in range(100)]
    finally:
        executor.shutdown()
        thread.join(5)
    assert sorted(x.stamp_ns for x in streamed) == [x.stamp_ns for x in found]
    assert scorer.latency.count == 100 and scorer.latency.median_s <= scorer.latency.p99_s


def test_a_coroutine_awaits_scores_and_learns_that_they_do_not_come(predictor, planner):
    scorer, ends = connected(GraspScorer(planner), predictor), []

    async def on_timer():
        timer.cancel()
        scores = await scorer.request(scorer.propose(poses(now_ns(planner))), WAIT_S)
        ends.append(scores.best().index)
        predictor.answers = []
        try:
            await scorer.request(scorer.propose(poses(now_ns(planner))), 0.1)
        except ScoresTimeoutError as error:
            ends.append(str(error))
    timer = planner.create_timer(0.001, on_timer)
    executor = SingleThreadedExecutor(context=predictor.context)
    executor.add_node(planner)
    end = time.monotonic() + WAIT_S
    while len(ends) < 2 and time.monotonic() < end:
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    assert ends[0] == 0
    assert ends[1].startswith('no scores of 2 candidates within 0.1 s: the newest scored frame')


def test_candidates_without_a_score_have_a_reason_and_are_never_the_best(predictor, planner):
    predictor.answers = [[math.nan, 0.2, math.nan]]
    scorer = connected(GraspScorer(planner), predictor)
    scores = scorer.score(poses(now_ns(planner), 3), timeout_s=WAIT_S)
    assert scores.best() is None and scores.best(0.1).index == 1
    assert scores.best(0.1, max_uncertainty=0.05) is None
    assert scores.reasons() == {ScoreReason.OUTSIDE_IMAGE: 2, ScoreReason.SCORED: 1}
    assert scores.explain() == '2 outside image, 1 scored, highest score 0.20'


def test_a_timeout_says_what_is_missing(predictor, planner):
    alone = GraspScorer(planner, predictor='nobody')
    with pytest.raises(ScoresTimeoutError, match='nobody publishes /nobody/grasp_scores'):
        alone.score(poses(1), timeout_s=0.02)
    scorer = connected(GraspScorer(planner), predictor)
    predictor.answers = []
    with pytest.raises(ScoresTimeoutError, match='has published none yet'):
        scorer.score(poses(10**9), timeout_s=0.1)
    predictor.answers = [[0.5, 0.5, 0.5]]
    with pytest.raises(ScoresTimeoutError, match='3 candidates: expected those of the 2'):
        scorer.score(poses(2 * 10**9), timeout_s=0.5)
    # What was refused before the proposal is not why this one has no scores.
    predictor.answers = []
    predictor.scores.publish(cloud(5 * 10**9, 10**9, [0.5, 0.5]))
    with pytest.raises(ScoresTimeoutError, match=r'candidates with stamp 1\.000 s; expected 3\.0'):
        scorer.score(poses(3 * 10**9), timeout_s=0.5)


def test_a_reason_that_only_a_newer_predictor_knows_stays_a_number(predictor, planner):
    scores = ScoredGrasps.of(cloud(10**9, 10**9, [math.nan, 0.5, math.nan], reason=77), 10**9)
    assert scores.reasons() == {77: 2, ScoreReason.SCORED: 1}
    assert scores.explain() == '2 reason 77, 1 scored, highest score 0.50'
    assert scores.best(min_score=0.0).index == 1


def misnumbered(number):
    """Return scores whose first candidate has a wrong number."""
    message = cloud(10**9, 10**9, [0.5, 0.5])
    rows = np.frombuffer(bytes(message.data), SCORE_DTYPE).copy()
    rows['candidate'][0] = number
    message.data = rows.tobytes()
    return message


def test_scores_that_cannot_be_read_are_refused_and_counted(predictor, planner):
    scorer = connected(GraspScorer(planner), predictor)
    predictor.answers = []
    for message in (PointCloud2(), misnumbered(77)):
        predictor.scores.publish(message)
    with pytest.raises(ScoresTimeoutError, match=r'rows of candidates \[77, 1, -1\]: expected 0'):
        scorer.score(poses(10**9), timeout_s=0.5)
    assert scorer.refused.total() == 2 and any('lacks the fields' in x for x in scorer.refused)


def test_refusals_are_counted_by_no_more_errors_than_a_stranger_may_invent(predictor, planner):
    scorer = GraspScorer(planner)
    for number in range(300):
        scorer._on_cloud(misnumbered(7 + number % 200))
    assert len(scorer.refused) == 64 and set(scorer.refused.values()) == {1}
    assert 'candidates [106, 1, -1]' in next(reversed(scorer.refused))


def test_proposals_that_cannot_be_scored_are_refused(planner):
    scorer = GraspScorer(planner)
    with pytest.raises(CandidateError, match='stamp above 0'):
        scorer.propose(poses(0))
    with pytest.raises(CandidateError, match=r'shape \(1,\): expected \(2,\)'):
        scorer.propose(poses(1), [0.5])
    with pytest.raises(CandidateError, match='lead time -1 s of candidate 1'):
        scorer.propose(poses(1), [0.5, -1.0])
    first = scorer.propose(poses(1))
    with pytest.raises(ProposalError, match='proposed already'):
        scorer.propose(poses(1))
    with pytest.raises(ProposalError, match='an empty proposal has no scores'):
        scorer.wait(scorer.propose(poses(2, 0)))
    scorer.propose(poses(3))
    scorer.propose(poses(1))
    with pytest.raises(ProposalError, match='forgotten'):
        scorer.scores_of(first)
    with pytest.raises(ProposalError, match='max_age_s=0 is not allowed'):
        GraspScorer(planner, max_age_s=0)
    assert scorer.latest is None and math.isnan(scorer.latency.median_s)
    scorer.destroy()


def test_a_predictor_that_starts_later_scores_the_newest_proposal(predictor, planner):
    stamp_ns = now_ns(planner)
    # Proposed before discovery: the publisher keeps it.
    scorer = GraspScorer(planner)
    proposal = scorer.propose(poses(stamp_ns))
    connected(scorer, predictor)
    end = time.monotonic() + WAIT_S
    while not predictor.proposed:
        assert time.monotonic() < end
        time.sleep(0.01)
    # Its scores may have come before the planner's subscription matched.
    predictor.scores.publish(cloud(stamp_ns, stamp_ns, [0.1, 0.6]))
    assert scorer.wait(proposal, WAIT_S).candidates_stamp_ns == stamp_ns


def test_scores_of_what_another_node_proposed_are_not_streamed(predictor, planner):
    streamed = []
    scorer = connected(GraspScorer(planner, streamed.append), predictor)
    stamp_ns = now_ns(planner)
    predictor.scores.publish(cloud(stamp_ns, 5, [0.9, 0.9, 0.9]))
    predictor.scores.publish(cloud(stamp_ns, 0, []))
    proposal = scorer.propose(poses(stamp_ns))
    assert scorer.wait(proposal, WAIT_S).candidates_stamp_ns == stamp_ns
    assert [one.candidates_stamp_ns for one in streamed] == [stamp_ns]
    assert scorer.staleness.count == 3
