"""A planner's side of ``grasp_predictor``: propose grasps, then await or stream their scores."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
import threading
import time
from typing import NamedTuple

from geometry_msgs.msg import PoseArray
from moss_perception.client.proposals import (
    Latency,
    Proposal,
    ProposalError,
    ScoresTimeoutError,
)
from moss_perception.client.refusals import Refusals
from moss_perception.client.scored import ScoredGrasps
from moss_perception.client.waiting import Inbox
from moss_perception.core.frames import check_lead_times
from moss_perception.core.recent import Recent
from moss_perception.core.text import one_line
from moss_perception.ros.common.conversions import lead_times_to_cloud, to_candidates
from moss_perception.ros.common.spinning import create_steady_timer
import numpy as np
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, qos_profile_sensor_data, QoSProfile
from rclpy.task import Future
from sensor_msgs.msg import PointCloud2

# The predictor scores the newest proposal: nobody waits for many at once.
_REMEMBERED = 64
_MEASURED = 1000
_DEPTH = 10
_EXPIRE_S = 0.05
_THROTTLE_S = 5.0


class _Awaited(NamedTuple):
    """A future of scores, and how long it may wait."""

    future: Future
    timeout_s: float
    until_s: float


@dataclass
class _Waiting:
    """A proposal, its first scores, and the futures to resolve with them."""

    proposal: Proposal
    scores: ScoredGrasps | None = None
    futures: list[_Awaited] = field(default_factory=list)


class GraspScorer:
    """
    Proposes grasps and receives their scores, on a node that you spin with any executor.

    All methods may be called from any thread and from callbacks. :meth:`score` and :meth:`wait`
    block; they receive the scores themselves, so they return inside a callback of a
    single-threaded executor, and where nobody spins the node. Meanwhile that executor serves
    nothing else: with ``use_sim_time``, the node's clock stands still. In a coroutine, use
    :meth:`request`.

    :param node: an rclpy node.
    :param on_scores: called with the scores of every frame for which proposals of this object were
        scored, not those of other nodes, in the thread that receives them: of
        your executor, or one that waits. A multi-threaded executor may call it beside your other
        callbacks.
    :param predictor: name of the predictor's node.
    :param candidates: topic on which the predictor receives candidates.
    :param lead_times: topic on which it receives their lead times.
    :param max_age_s: scores of an older frame are not fresh, seconds, above 0.
    :raises ProposalError: if ``max_age_s`` is not above 0.
    """

    def __init__(self, node: Node, on_scores: Callable[[ScoredGrasps], None] | None = None, *,
                 predictor: str = 'grasp_predictor', candidates: str = 'grasp_candidates',
                 lead_times: str = 'grasp_lead_times', max_age_s: float = 0.5):
        if not max_age_s > 0:
            raise ProposalError(f'max_age_s={max_age_s!r} is not allowed: expected above 0')
        self._node, self._on_scores, self._max_age_s = node, on_scores, max_age_s
        # A predictor that starts later receives the newest proposal, and can match its lead times.
        latched = QoSProfile(depth=_DEPTH, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._poses = node.create_publisher(PoseArray, candidates, latched)
        self._times = node.create_publisher(PointCloud2, lead_times, latched)
        self._lock = threading.RLock()
        self._proposals: Recent[int, _Waiting] = Recent(_REMEMBERED)
        # Those of the last frame, whoever proposed, and of the last frame with own proposals.
        self._newest: ScoredGrasps | None = None
        self._latest: ScoredGrasps | None = None
        self._delays: deque[float] = deque(maxlen=_MEASURED)
        self._ages: deque[float] = deque(maxlen=_MEASURED)
        self.refused = Refusals()
        """Messages of scores that could not be used, by the newest 64 errors."""
        # A coroutine that awaits scores holds the callback group that it was called in.
        group = MutuallyExclusiveCallbackGroup()
        self._inbox = Inbox(node, PointCloud2, f'{predictor}/grasp_scores', self._on_cloud,
                            qos_profile_sensor_data, group)
        create_steady_timer(node, _EXPIRE_S, self._expire, group)

    # ---- propose

    def propose(self, poses: PoseArray, lead_times_s: Sequence[float] | None = None) -> Proposal:
        """
        Publish candidates, which replace those before.

        :param poses: in the camera's optical frame, with the stamp of the image from which you
            computed them; an empty one withdraws the candidates.
        :param lead_times_s: time from the stamp of the newest image until the fingers close on
            each, seconds, 0 or more; ``None`` for that of the predictor.
        :raises CandidateError: if the stamp is 0, or the lead times do not fit.
        :raises ProposalError: if the stamp is that of the proposal before: their scores could not
            be told apart.
        """
        given = to_candidates(poses)
        times = None if lead_times_s is None else np.asarray(lead_times_s, np.float64)
        if times is not None:
            check_lead_times(times, len(poses.poses))
        with self._lock:
            if given.stamp_ns == next(reversed(self._proposals), None):
                raise ProposalError(
                    f'candidates with stamp {given.stamp_ns / 1e9:.3f} s were proposed already: '
                    'expected a stamp of its own for each proposal')
            proposal = Proposal(given.stamp_ns, len(poses.poses), time.monotonic())
            # A recording that loops repeats its stamps: the newest proposal counts.
            self._proposals[proposal.stamp_ns] = _Waiting(proposal)
        # Before the candidates: a frame between the two would be scored without them.
        if times is not None:
            self._times.publish(lead_times_to_cloud(given.stamp_ns, given.frame_id, times))
        self._poses.publish(poses)
        return proposal

    def score(self, poses: PoseArray, lead_times_s: Sequence[float] | None = None,
              timeout_s: float = 1.0) -> ScoredGrasps:
        """Propose candidates and wait for their scores: :meth:`propose`, then :meth:`wait`."""
        return self.wait(self.propose(poses, lead_times_s), timeout_s)

    # ---- receive

    def wait(self, proposal: Proposal, timeout_s: float = 1.0) -> ScoredGrasps:
        """
        Block until the first scores of a proposal have come.

        :param proposal: from :meth:`propose`, with at least one grasp.
        :param timeout_s: longest wait by the wall clock, seconds.
        :raises ScoresTimeoutError: if they do not come in time.
        :raises ProposalError: if the proposal is empty or forgotten.
        """
        waiting = self._find(proposal)
        self._inbox.receive_until(lambda: waiting.scores is not None, timeout_s)
        if waiting.scores is None:
            raise ScoresTimeoutError(self._why_not(proposal, timeout_s))
        return waiting.scores

    def request(self, proposal: Proposal, timeout_s: float = 1.0) -> Future:
        """
        Return a future of the first scores of a proposal, to be awaited in a coroutine.

        Its result is a :class:`ScoredGrasps`, or it raises :class:`ScoresTimeoutError`. The node
        has to be spun.

        :param proposal: from :meth:`propose`, with at least one grasp.
        :param timeout_s: longest wait by the wall clock, seconds.
        :raises ProposalError: if the proposal is empty or forgotten.
        """
        future = Future(executor=self._node.executor)
        with self._lock:
            waiting = self._find(proposal)
            if waiting.scores is not None:
                future.set_result(waiting.scores)
            else:
                waiting.futures.append(
                    _Awaited(future, timeout_s, time.monotonic() + timeout_s))
        return future

    def scores_of(self, proposal: Proposal) -> ScoredGrasps | None:
        """
        Return the first scores of a proposal at once; ``None`` if they have not come yet.

        :raises ProposalError: if the proposal is empty or forgotten.
        """
        return self._find(proposal).scores

    @property
    def latest(self) -> ScoredGrasps | None:
        """The newest scores of own proposals, if their frame is at most ``max_age_s`` old."""
        scores = self._latest
        return scores if scores is not None and self.is_fresh(scores) else None

    def is_fresh(self, scores: ScoredGrasps) -> bool:
        """Whether the scored frame is at most ``max_age_s`` old now, by the node's clock."""
        now_ns = self._node.get_clock().now().nanoseconds
        # A frame from the future has the stamps of another clock: its age is not known.
        return abs(now_ns - scores.stamp_ns) <= self._max_age_s * 1e9

    @property
    def latency(self) -> Latency:
        """From each proposal until its first scores came."""
        with self._lock:
            return Latency.of(tuple(self._delays))

    @property
    def staleness(self) -> Latency:
        """Age of the scored frames at the receipt of their scores, by the node's clock."""
        with self._lock:
            return Latency.of(tuple(self._ages))

    def destroy(self) -> None:
        """Remove the publishers and the subscription."""
        self._inbox.destroy()
        for publisher in (self._poses, self._times):
            self._node.destroy_publisher(publisher)

    # ---- inside

    def _find(self, proposal: Proposal) -> _Waiting:
        if not proposal.count:
            raise ProposalError('an empty proposal has no scores: expected at least one grasp')
        with self._lock:
            waiting = self._proposals.get(proposal.stamp_ns)
            if waiting is None or waiting.proposal is not proposal:
                raise ProposalError(
                    f'the proposal with stamp {proposal.stamp_ns / 1e9:.3f} s is forgotten: '
                    f'expected one of the last {_REMEMBERED}, of this scorer')
            return waiting

    def _on_cloud(self, message: PointCloud2) -> None:
        try:
            scores = ScoredGrasps.of(message, self._node.get_clock().now().nanoseconds)
        except Exception as error:  # noqa: BLE001, whatever a stranger publishes
            self.refused.add(one_line(error))
            self._node.get_logger().warning(one_line(f'scores refused: {error}'),
                                            throttle_duration_sec=_THROTTLE_S)
            return
        with self._lock:
            self._newest = scores
            self._ages.append(scores.age_s)
            waiting = self._own(scores)
            if waiting is None:
                return
            scores, futures = self._answer(waiting, scores)
            self._latest = scores
        for future in futures:
            future.set_result(scores)
        if self._on_scores is not None:
            self._on_scores(scores)

    def _own(self, scores: ScoredGrasps) -> _Waiting | None:
        """Return the own proposal that was scored; ``None`` if another node proposed."""
        waiting = self._proposals.get(scores.candidates_stamp_ns)
        if waiting is not None and len(scores.grasps) != waiting.proposal.count:
            self.refused.add(f'scores of {len(scores.grasps)} candidates: expected those of the '
                             f'{waiting.proposal.count} that were proposed with this stamp; '
                             'another node publishes candidates too')
            return None
        return waiting

    def _answer(self, waiting: _Waiting,
                scores: ScoredGrasps) -> tuple[ScoredGrasps, list[Future]]:
        """Give a proposal its first scores; return them with their latency, and who waits."""
        if waiting.scores is not None:
            return scores, []
        delay_s = time.monotonic() - waiting.proposal.sent_s
        self._delays.append(delay_s)
        waiting.scores = replace(scores, latency_s=delay_s)
        futures, waiting.futures = [x.future for x in waiting.futures], []
        return waiting.scores, [future for future in futures if not future.done()]

    def _expire(self) -> None:
        """Give up the futures that have waited too long."""
        now_s, late = time.monotonic(), []
        with self._lock:
            for waiting in self._proposals.values():
                open_ones = [x for x in waiting.futures if not x.future.done()]
                late += [(waiting.proposal, x) for x in open_ones if x.until_s <= now_s]
                waiting.futures = [x for x in open_ones if x.until_s > now_s]
        for proposal, awaited in late:
            awaited.future.set_exception(ScoresTimeoutError(
                self._why_not(proposal, awaited.timeout_s)))

    def _why_not(self, proposal: Proposal, timeout_s: float) -> str:
        """Say why a proposal has no scores, as far as is known here."""
        text = f'no scores of {proposal.count} candidates within {timeout_s:.3g} s: '
        latest = self._newest
        if not self._inbox.publishers:
            return (f'{text}nobody publishes {self._inbox.topic}; expected an active '
                    'grasp_predictor')
        if not self._poses.get_subscription_count():
            return (f'{text}nobody subscribes to {self._poses.topic_name}; expected an active '
                    'grasp_predictor')
        if refusal := self.refused.since(proposal.sent_s):
            return f'{text}{refusal}'
        if latest is None:
            return (f'{text}the predictor has published none yet; expected images at its '
                    'rate for as long as its window, and more patience')
        if latest.stamp_ns < proposal.stamp_ns:
            return (f'{text}the newest scored frame is from {latest.stamp_ns / 1e9:.3f} s, before '
                    f'their stamp {proposal.stamp_ns / 1e9:.3f} s; expected the stamp of an image')
        return (f'{text}the newest scores are of the candidates with stamp '
                f'{latest.candidates_stamp_ns / 1e9:.3f} s; expected '
                f'{proposal.stamp_ns / 1e9:.3f} s, with no later ones')
