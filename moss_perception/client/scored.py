"""The scores of one frame as a planner reads them: poses, scores, reasons and their age."""

from collections import Counter
from dataclasses import dataclass
import math
from typing import Any

from geometry_msgs.msg import Pose, PoseStamped
from moss_perception.core.frames import stamp_to_ns
from moss_perception.core.scores import GraspScores, read_scores, reasons_in_words, ScoreReason
from moss_perception.ros.common.conversions import header, row_to_pose
import numpy as np

_KNOWN = frozenset(ScoreReason)


@dataclass(frozen=True)
class ScoredGrasp:
    """
    One grasp with its score, or with the reason why it has none.

    :ivar index: position in the PoseArray; -1 for the default grasp point.
    :ivar pose: the pose that was scored, in the camera's optical frame; NaN where the predictor
        could not place it.
    :ivar score: probability of success in [0, 1]; NaN without a score.
    :ivar uncertainty: standard deviation of that probability, in [0, 0.5]; NaN without a score.
    :ivar reason: why it has no score; ``ScoreReason.SCORED`` if it has one; the number of a
        reason that only a newer predictor knows.
    :ivar lead_time_s: the lead time at which it was scored, seconds; NaN if the checkpoint has no
        time inputs.
    """

    index: int
    pose: Pose
    score: float
    uncertainty: float
    reason: ScoreReason | int
    lead_time_s: float

    @classmethod
    def of(cls, row: np.void | np.ndarray) -> 'ScoredGrasp':
        """Read one row of scores."""
        reason = int(row['reason'])
        return cls(int(row['candidate']), row_to_pose(row), float(row['score']),
                   float(row['uncertainty']), ScoreReason(reason) if reason in _KNOWN else reason,
                   float(row['lead_time']))

    def is_acceptable(self, min_score: float, max_uncertainty: float) -> bool:
        """Whether it has a score, at least ``min_score``, that is certain enough."""
        # Comparisons with NaN are false: a grasp without a score is never acceptable.
        return self.score >= min_score and self.uncertainty <= max_uncertainty


@dataclass(frozen=True, eq=False)
class ScoredGrasps:
    """
    The scores of one frame.

    :ivar stamp_ns: stamp of the newest camera frame that was used, nanoseconds.
    :ivar frame_id: the camera's optical frame, in which the poses are.
    :ivar candidates_stamp_ns: stamp of the PoseArray that was scored, nanoseconds; 0 for none.
    :ivar grasps: the candidates, in the order of the PoseArray.
    :ivar default: the default grasp point; it is scored without candidates, too.
    :ivar received_ns: time of receipt by the node's clock, nanoseconds.
    :ivar latency_s: from the proposal until these scores came, seconds; NaN for every later frame
        of the same proposal, and for grasps that another node proposed.
    """

    stamp_ns: int
    frame_id: str
    candidates_stamp_ns: int
    grasps: tuple[ScoredGrasp, ...]
    default: ScoredGrasp
    received_ns: int
    latency_s: float = math.nan

    @classmethod
    def of(cls, message: Any, received_ns: int) -> 'ScoredGrasps':
        """
        Read a message of ``grasp_scores``.

        :param message: a sensor_msgs/PointCloud2.
        :param received_ns: time of receipt by the node's clock, nanoseconds.
        :raises ScoresError: if the cloud cannot be read.
        """
        scores = GraspScores.of(read_scores(message))
        return cls(
            stamp_to_ns(message.header.stamp), message.header.frame_id,
            scores.candidates_stamp_ns, tuple(ScoredGrasp.of(row) for row in scores.candidates),
            ScoredGrasp.of(scores.default), received_ns)

    @property
    def age_s(self) -> float:
        """Age of the camera frame at the receipt of its scores, seconds, by the node's clock."""
        return (self.received_ns - self.stamp_ns) / 1e9

    def best(self, min_score: float = 0.5, max_uncertainty: float = 0.25) -> ScoredGrasp | None:
        """
        Return the acceptable candidate with the highest score; ``None`` if none is acceptable.

        :param min_score: lowest acceptable score, in [0, 1].
        :param max_uncertainty: highest acceptable uncertainty, in [0, 0.5].
        """
        good = [one for one in self.grasps if one.is_acceptable(min_score, max_uncertainty)]
        return max(good, key=lambda one: one.score, default=None)

    def reasons(self) -> Counter[ScoreReason | int]:
        """Count the candidates by the reason why they have no score, or ``SCORED``."""
        return Counter(one.reason for one in self.grasps)

    def explain(self) -> str:
        """Say in words why ``best`` may have found nothing, such as ``3 outside image``."""
        if not self.grasps:
            return 'no candidates'
        highest = max((one.score for one in self.grasps
                       if one.reason is ScoreReason.SCORED), default=math.nan)
        counts = reasons_in_words([one.reason for one in self.grasps])
        return counts if math.isnan(highest) else f'{counts}, highest score {highest:.2f}'

    def target(self, grasp: ScoredGrasp) -> PoseStamped:
        """Return a grasp as a target for the robot, with the stamp and frame of the scores."""
        return PoseStamped(header=header(self.stamp_ns, self.frame_id), pose=grasp.pose)
