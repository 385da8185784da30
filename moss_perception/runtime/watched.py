"""Grasps to score in addition to the candidates, such as the one being executed."""

from dataclasses import dataclass

from moss_perception.core.scores import ScoreReason, WatchedScores
from moss_perception.runtime.grasp_points import GraspPoints
import numpy as np

# Inputs of the network are in units of half an image, metres and gripper widths. Smaller
# differences come from rounding poses to float32 and do not change a score noticeably.
_SAME_GRASP = 1e-5
# Candidates follow an object at rest, which still settles by tenths of a millimetre.
_STILL_PROPOSED = 3e-4


@dataclass(frozen=True)
class WatchedRows:
    """
    The rows of the watched grasps among the network's inputs.

    :ivar encoded: float32, shape ``(N, 5)``: the default grasp, the visible candidates, then the
        watched grasps that no candidate repeats.
    :ivar rows: int, shape ``(W,)``: the row of each watched grasp; -1 where it can't be scored.
    :ivar reasons: of :class:`ScoreReason`, shape ``(W,)``.
    :ivar listed: bool, shape ``(W,)``: whether it is a candidate, up to a tenth of a millimetre.
    """

    encoded: np.ndarray
    rows: np.ndarray
    reasons: np.ndarray
    listed: np.ndarray

    def spread(self, scores: np.ndarray, uncertainties: np.ndarray) -> WatchedScores:
        """
        Return the scores of the watched grasps.

        :param scores: scores of all rows, shape ``(N,)``.
        :param uncertainties: uncertainties of all rows, shape ``(N,)``.
        """
        seen = self.rows >= 0
        return WatchedScores(
            np.where(seen, scores[self.rows], np.nan),
            np.where(seen, uncertainties[self.rows], np.nan),
            self.rows, self.reasons, self.listed)


def add_watched(points: GraspPoints, watched: GraspPoints | None) -> WatchedRows:
    """
    Add the watched grasps to those of a frame.

    A watched grasp that is among the candidates is not scored a second time, so that it has the
    candidate's score to the last bit, whatever the engine's rounding.

    :param points: the default grasp and the candidates.
    :param watched: the watched grasps; ``None`` for none.
    """
    if watched is None:
        nothing = np.zeros(0, int)
        return WatchedRows(points.encoded, nothing, nothing, nothing.astype(bool))
    count, added = len(watched.positions), []
    rows, listed = np.full(count, -1), np.zeros(count, bool)
    scored = np.flatnonzero(watched.reasons == ScoreReason.SCORED)
    for index, row in zip(scored, watched.encoded[1:], strict=True):
        gaps = _gaps(points.encoded[1:], row)
        listed[index] = (gaps <= _STILL_PROPOSED).any()
        if (gaps <= _SAME_GRASP).any():
            rows[index] = 1 + int(gaps.argmin())
        else:
            rows[index] = len(points.encoded) + len(added)
            added.append(row)
    return WatchedRows(np.stack([*points.encoded, *added]), rows, watched.reasons, listed)


def _gaps(encoded: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Compare grasps with a given one; half a turn of the gripper makes no difference."""
    gaps = [np.abs(encoded - row * (1, 1, 1, sign, sign)).max(axis=1, initial=0)
            for sign in (1, -1)]
    return np.minimum(*gaps)
