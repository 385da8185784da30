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
                own_lead_times: bool = False) -> WatchedRows:
    """
    Add the watched grasps to those of a frame.

    A watched grasp that is among the candidates is not scored a second time, so that it has the
    candidate's score to the last bit, as in an evaluation of recorded scores. It is scored a
    second time if it has a lead time of its own that is not the candidate's, such as a measured
    one, or what is left of it while the grasp is under way.

    :param points: the default grasp and the candidates.
    :param watched: the watched grasps; ``None`` for none.
    :param own_lead_times: whether the watched grasps have lead times of their own.
    """
    if watched is None:
        nothing = np.zeros(0, int)
        return WatchedRows(points.encoded, nothing, nothing, nothing.astype(bool))
    rows, added = np.full(len(watched.positions), -1), []
    listed = np.zeros(len(rows), bool)
    timed = own_lead_times and points.lead_times is not None
    seen = points.reasons == ScoreReason.SCORED
    positions, yaws = points.positions[seen], yaws_from_orientations(points.orientations[seen])
    wanted = yaws_from_orientations(watched.orientations)
    scored = np.flatnonzero(watched.reasons == ScoreReason.SCORED)
    for index, row in zip(scored, watched.encoded[1:], strict=True):
        candidate = nearest_grasp(positions, yaws, watched.positions[index], wanted[index])
        listed[index] = candidate is not None
        # The last column is the lead time, where the network takes one.
        if candidate is None or timed and row[-1] != points.encoded[1 + candidate, -1]:
            rows[index] = len(points.encoded) + len(added)
            added.append(row)
        else:
            rows[index] = 1 + candidate
    return WatchedRows(np.stack([*points.encoded, *added]), rows, watched.reasons, listed)
