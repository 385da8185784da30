"""Grasps to score in addition to the candidates, such as the one being executed."""

from dataclasses import dataclass

from moss_perception.core.frames import yaws_from_orientations
from moss_perception.core.grasp_match import nearest_grasp
from moss_perception.core.scores import ScoreReason, WatchedScores
from moss_perception.runtime.grasp_points import GraspPoints
import numpy as np


@dataclass(frozen=True)
class WatchedRows:
    """
    The rows of the watched grasps among the network's inputs.

    :ivar encoded: float32, shape ``(N, V)``: the default grasp, the visible candidates, then the
        watched grasps that no candidate repeats.
    :ivar rows: int, shape ``(W,)``: the row of each watched grasp; -1 where it can't be scored.
    :ivar reasons: of :class:`ScoreReason`, shape ``(W,)``.
    :ivar listed: bool, shape ``(W,)``: whether it is one of the candidates.
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


def add_watched(points: GraspPoints, watched: GraspPoints | None,
                under_way: np.ndarray | None = None) -> WatchedRows:
    """
    Add the watched grasps to those of a frame.

    A watched grasp that is among the candidates is not scored a second time, so that it has the
    candidate's score to the last bit, as in an evaluation of recorded scores. Of one that is
    under way less than the candidate's lead time is left, so that it has a score of its own.

    :param points: the default grasp and the candidates.
    :param watched: the watched grasps; ``None`` for none.
    :param under_way: bool, shape ``(W,)``: which of them are; ``None`` for none.
    """
    if watched is None:
        nothing = np.zeros(0, int)
        return WatchedRows(points.encoded, nothing, nothing, nothing.astype(bool))
    count, added = len(watched.positions), []
    rows, listed = np.full(count, -1), np.zeros(count, bool)
    apart = under_way if under_way is not None and points.lead_times is not None else (
        np.zeros(count, bool))
    seen = points.reasons == ScoreReason.SCORED
    positions, yaws = points.positions[seen], yaws_from_orientations(points.orientations[seen])
    wanted = yaws_from_orientations(watched.orientations)
    scored = np.flatnonzero(watched.reasons == ScoreReason.SCORED)
    for index, row in zip(scored, watched.encoded[1:], strict=True):
        candidate = nearest_grasp(positions, yaws, watched.positions[index], wanted[index])
        listed[index] = candidate is not None
        # The last column is the lead time.
        if candidate is None or (
                apart[index] and points.encoded[1 + candidate, -1] != row[-1]):
            rows[index] = len(points.encoded) + len(added)
            added.append(row)
        else:
            rows[index] = 1 + candidate
    return WatchedRows(np.stack([*points.encoded, *added]), rows, watched.reasons, listed)
