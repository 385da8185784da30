"""Find the score of an executed grasp among recorded scores."""

from bisect import bisect_right
from collections.abc import Sequence
import math

from moss_perception.core.grasp_match import nearest_grasp
from moss_perception.core.scores import GraspScores
from moss_perception.evaluation.matching import (
    Attempt,
    EXECUTED,
    ExecutedScore,
    Matcher,
    NEAREST,
    NO_PLACE,
    ScoredSample,
)
from moss_perception.evaluation.outputs import FrameScores
import numpy as np


class RecordedScores:
    """
    Finds executed grasps among the scores of frames.

    If the outcome names the candidate, its row is used in all scores of the same PoseArray, which
    is identified by its stamp. Otherwise the candidate nearest to the executed grasp is used,
    within the tolerances of :mod:`moss_perception.core.grasp_match`, and marked as ``nearest``.

    :param scores: scores of all frames.
    :param attempts: attempts with their executed grasps.
    :param candidate_stamps: stamps of the recorded candidate messages, nanoseconds; they identify
        the current candidates if the frame of a selection has no recorded scores.
    """

    def __init__(self, scores: Sequence[FrameScores], attempts: Sequence[Attempt],
                 candidate_stamps: Sequence[int] = ()):
        of_frame = {one.stamp_ns: one.scores.candidates_stamp_ns for one in scores}
        stamps = sorted(candidate_stamps)
        self._current: dict[int, int] = {}
        for attempt in attempts:
            newest = bisect_right(stamps, attempt.stamp_ns)
            self._current[id(attempt)] = of_frame.get(
                attempt.stamp_ns, stamps[newest - 1] if newest else 0)

    def of(self, frame: FrameScores, attempt: Attempt) -> ExecutedScore | None:
        """Return the executed grasp's score in a frame; ``None`` if it is not among them."""
        index, source = self._named(frame, attempt), EXECUTED
        if index is None:
            index, source = _nearest(frame, attempt), NEAREST
        if index is None:
            return None
        row = frame.scores.candidates[index]
        if row['reason'] in NO_PLACE:
            return None
        return ExecutedScore(float(row['score']), float(row['uncertainty']), source)

    def sample(self, frame: FrameScores, during: Sequence[Attempt],
               ood_score: float = math.nan) -> ScoredSample:
        """Return a frame's scores for the attempts in progress at its stamp."""
        found = [(attempt, self.of(frame, attempt)) for attempt in during]
        default = frame.scores.default
        return ScoredSample(
            frame.stamp_ns, float(default['score']), float(default['uncertainty']), ood_score,
            [(attempt, score) for attempt, score in found if score is not None])

    def give(self, frame: FrameScores, matcher: Matcher, ood_score: float = math.nan) -> None:
        """Add a frame's scores to the attempts in progress at its stamp."""
        matcher.take(self.sample(frame, matcher.during(frame.stamp_ns), ood_score))

    def _named(self, frame: FrameScores, attempt: Attempt) -> int | None:
        index, current = attempt.outcome.candidate, self._current[id(attempt)]
        known = (index is not None and current > 0
                 and frame.scores.candidates_stamp_ns == current
                 and index < len(frame.scores.candidates))
        return index if known else None


def _nearest(frame: FrameScores, attempt: Attempt) -> int | None:
    if attempt.position is None or attempt.frame_id != frame.frame_id:
        return None
    return nearest_grasp(frame.scores.positions, _yaws(frame.scores), attempt.position,
                         attempt.yaw)


def _yaws(scores: GraspScores) -> np.ndarray:
    """Return the closing directions about the optical axis, shape ``(K,)``, radians."""
    x, y, z, w = scores.orientations.astype(float).T
    return np.arctan2(2 * (x * y + z * w), w * w + x * x - y * y - z * z)
