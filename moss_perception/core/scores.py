"""
Scores of grasps: a prediction, and the rows of ``~/grasp_scores`` as which it is published.

NumPy only: sensor_msgs_py is not on PyPI, and recordings are read without ROS.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

from moss_perception.core.clouds import read_rows
from moss_perception.core.errors import ScoresError
import numpy as np


class ScoreReason(IntEnum):
    """Why a grasp has no score; ``SCORED`` if it has one."""

    SCORED = 0
    OUTSIDE_IMAGE = 1
    NO_CALIBRATION = 2
    BEHIND_CAMERA = 3
    FRAME_UNKNOWN = 4
    NOT_A_NUMBER = 5
    BEYOND_LENS_MODEL = 6


def reasons_in_words(reasons: Iterable[int]) -> str:
    """Count reasons in words, the most frequent first: ``3 outside image, 1 behind camera``."""
    names = {one.value: one.name.lower().replace('_', ' ') for one in ScoreReason}
    return ', '.join(f'{count} {names.get(reason, f"reason {reason}")}'
                     for reason, count in Counter(map(int, reasons)).most_common())


def none_scored(reasons: Sequence[int] | np.ndarray) -> str:
    """
    Say that there are candidates, and that none has a score.

    :param reasons: of :class:`ScoreReason`, one a candidate.
    :returns: ``3 candidates, none scored: 3 no calibration``; empty if one is scored, or there
        are none.
    """
    count = len(reasons)
    if not count or any(reason == ScoreReason.SCORED for reason in reasons):
        return ''
    noun = 'candidate' if count == 1 else 'candidates'
    return f'{count} {noun}, none scored: {reasons_in_words(reasons)}'


@dataclass(frozen=True)
class WatchedScores:
    """
    Scores of the grasps that a predictor was told to watch, in their order.

    :ivar scores: float64, shape ``(W,)``, in [0, 1]; NaN where the grasp can't be scored.
    :ivar uncertainties: float64, shape ``(W,)``, in [0, 0.5]; NaN likewise.
    :ivar rows: int, shape ``(W,)``: row of each among the grasps that the network was given, of
        which row 0 is the default grasp; -1 where it can't be scored.
    :ivar reasons: of :class:`ScoreReason`, shape ``(W,)``.
    :ivar listed: bool, shape ``(W,)``: whether the grasp is one of the candidates, too; see
        :func:`moss_perception.core.grasp_match.nearest_grasp`.
    """

    scores: np.ndarray
    uncertainties: np.ndarray
    rows: np.ndarray
    reasons: np.ndarray
    listed: np.ndarray


@dataclass(frozen=True)
class Prediction:
    """
    The scores of the newest sample.

    :ivar stamp_ns: header stamp of the newest frame used, nanoseconds.
    :ivar frame_id: the camera's optical frame.
    :ivar score: probability in [0, 1] that a grasp at the default grasp point succeeds.
    :ivar uncertainty: standard deviation of that probability over the ensemble, in [0, 0.5].
    :ivar default_point: float64, shape ``(3,)``, metres; NaN without a calibrated camera.
    :ivar default_orientation: float64, shape ``(4,)``, quaternion x y z w.
    :ivar candidates_stamp_ns: stamp of the candidates that were scored, nanoseconds; 0 for none.
    :ivar points: float64, shape ``(K, 3)``: the candidates' positions in the camera's frame, in
        order, metres; NaN for candidates of another frame.
    :ivar orientations: float64, shape ``(K, 4)``: their quaternions x y z w; NaN likewise.
    :ivar pixels: float64, shape ``(K, 2)``: their image points (column, row) in the camera's
        image; NaN for candidates without a score.
    :ivar scores: float64, shape ``(K,)``, in [0, 1]; NaN for candidates without a score.
    :ivar uncertainties: float64, shape ``(K,)``, in [0, 0.5]; NaN likewise.
    :ivar reasons: uint8, shape ``(K,)``: why a candidate has no score, see
        :class:`ScoreReason`.
    :ivar motion_features: float32, shape ``(h, w, D)``: the model's motion map.
    :ivar size: height and width of the camera's image, pixels.
    :ivar source: the image that was scored, checked but not decoded; see :attr:`image`.
    :ivar missing_in_window: how many samples of the window repeat the one before.
    :ivar decode_s: seconds spent decoding and resizing.
    :ivar inference_s: seconds spent in the engine.
    :ivar ood_score: how far the network's features are from those of training, 0 or more; one in
        twenty training samples is above 1; NaN if the checkpoint cannot tell. Above 1 it
        inflates the uncertainties, see :func:`moss_perception.runtime.ood.inflate_uncertainty`.
    :ivar watched: scores of the watched grasps, apart from the candidates; ``None`` where none
        are watched.
    :ivar lead_times: float64, shape ``(K,)``: the lead time at which each candidate was scored,
        seconds; ``None`` for a checkpoint without time inputs.
    :ivar lead_time: that of the default grasp, seconds; NaN for a checkpoint without time inputs.
    :ivar clamped_lead_times: how many of these the checkpoint was not trained for, so that the
        nearest one that it was trained for was used.
    """

    stamp_ns: int
    frame_id: str
    score: float
    uncertainty: float
    default_point: np.ndarray
    default_orientation: np.ndarray
    candidates_stamp_ns: int
    points: np.ndarray
    orientations: np.ndarray
    pixels: np.ndarray
    scores: np.ndarray
    uncertainties: np.ndarray
    reasons: np.ndarray
    motion_features: np.ndarray
    size: tuple[int, int]
    source: Any
    missing_in_window: int = 0
    decode_s: float = 0.0
    inference_s: float = 0.0
    ood_score: float = float('nan')
    watched: WatchedScores | None = None
    lead_times: np.ndarray | None = None
    lead_time: float = float('nan')
    clamped_lead_times: int = 0

    @cached_property
    def image(self) -> np.ndarray:
        """
        The whole camera image that was scored: uint8, RGB, shape ``(H, W, 3)``.

        It is decoded on first use; the network reads a smaller one.
        """
        if isinstance(self.source, np.ndarray):
            return self.source
        # A planner reads scores without decoders.
        from moss_perception.core.images import decode
        return decode(self.source)


_FLOATS = ('x', 'y', 'z', 'qx', 'qy', 'qz', 'qw', 'score', 'uncertainty')
# Aligned, so that C++ iterators over the cloud read whole words.
SCORE_DTYPE = np.dtype(
    [(name, '<f4') for name in _FLOATS]
    + [('candidate', '<i4'), ('reason', 'u1'), ('candidates_sec', '<i4'),
       ('candidates_nanosec', '<u4'), ('lead_time', '<f4')], align=True)
"""One row of scores, as it lies in the cloud; see docs/planner.md for the fields."""

SCORE_NAMES: tuple[str, ...] = SCORE_DTYPE.names or ()
"""The fields of :data:`SCORE_DTYPE`, in their order."""

_OPTIONAL = ('lead_time',)
_REQUIRED = frozenset(SCORE_NAMES).difference(_OPTIONAL)

DEFAULT_GRASP = -1
"""``candidate`` of the row of the default grasp point."""

# What grasp_predictor published before scores carried what they score.
_FIRST_FIELDS = frozenset(('x', 'y', 'z', 'score', 'uncertainty'))


@dataclass(frozen=True)
class GraspScores:
    """
    The scores of one frame, split into candidates and the default grasp point.

    :ivar candidates: structured array of :data:`SCORE_DTYPE`, shape ``(K,)``: row ``i`` is pose
        ``i`` of the PoseArray that was scored.
    :ivar default: the row of the default grasp point.
    """

    candidates: np.ndarray
    default: np.void

    @classmethod
    def of(cls, rows: np.ndarray) -> 'GraspScores':
        """
        Split the rows of one cloud.

        :param rows: what :func:`read_scores` returned, shape ``(K + 1,)``.
        :raises ScoresError: if the candidates are not 0 to ``K - 1`` in order, or there is not
            exactly one row of the default grasp point.
        """
        default = rows[rows['candidate'] == DEFAULT_GRASP]
        candidates = rows[rows['candidate'] != DEFAULT_GRASP]
        numbers = candidates['candidate']
        if len(default) != 1 or not (numbers == np.arange(len(numbers))).all():
            raise ScoresError(
                f'score cloud has rows of candidates {rows["candidate"].tolist()}: expected '
                f'0, 1, 2 and so on, and {DEFAULT_GRASP} (the default grasp point) once')
        return cls(candidates, default[0])

    @property
    def positions(self) -> np.ndarray:
        """Positions of the candidates: float32, shape ``(K, 3)``, metres."""
        return positions_of(self.candidates)

    @property
    def orientations(self) -> np.ndarray:
        """Orientations of the candidates: float32, shape ``(K, 4)``, quaternions x y z w."""
        return np.stack([self.candidates[name] for name in ('qx', 'qy', 'qz', 'qw')], axis=1)

    @property
    def candidates_stamp_ns(self) -> int:
        """Stamp of the PoseArray that was scored, nanoseconds; 0 without candidates."""
        if not len(self.candidates):
            return 0
        first = self.candidates[0]
        return int(first['candidates_sec']) * 1_000_000_000 + int(first['candidates_nanosec'])


def positions_of(rows: np.ndarray) -> np.ndarray:
    """Return the positions of rows of scores: float32, shape ``(K, 3)``, metres."""
    return np.stack([rows['x'], rows['y'], rows['z']], axis=1)


def rows_of(prediction: Prediction) -> np.ndarray:
    """
    Write a prediction as rows of scores: each candidate in order, then the default grasp point.

    :returns: structured array of :data:`SCORE_DTYPE`, shape ``(K + 1,)``.
    """
    count = len(prediction.points)
    rows = np.zeros(count + 1, SCORE_DTYPE)
    columns = np.column_stack([prediction.points, prediction.orientations, prediction.scores,
                               prediction.uncertainties])
    default = [*prediction.default_point, *prediction.default_orientation, prediction.score,
               prediction.uncertainty]
    # Positions beyond float32 become infinite; they have no score.
    with np.errstate(over='ignore'):
        for index, name in enumerate(_FLOATS):
            rows[name] = np.append(columns[:, index], default[index])
    rows['candidate'] = np.append(np.arange(count), DEFAULT_GRASP)
    rows['reason'] = np.append(prediction.reasons, ScoreReason.SCORED)
    sec, nanosec = divmod(prediction.candidates_stamp_ns, 1_000_000_000)
    rows['candidates_sec'][:count], rows['candidates_nanosec'][:count] = sec, nanosec
    rows['lead_time'] = np.append(prediction.lead_times, prediction.lead_time) if (
        prediction.lead_times is not None) else np.nan
    return rows


def read_scores(message: Any) -> np.ndarray:
    """
    Read a cloud of grasp scores.

    :param message: with the fields of sensor_msgs/PointCloud2, from rclpy or from a recording.
        The fields of :data:`SCORE_DTYPE` may have any offsets and either byte order, other fields
        may lie between them, and floats may be float32 or float64. An older cloud lacks
        ``lead_time``, which is NaN then.
    :returns: structured array of :data:`SCORE_DTYPE`, one row a point.
    :raises ScoresError: if fields are missing or of another type, or the sizes do not fit.
    """
    there = {field.name for field in message.fields}
    if not there >= _REQUIRED and there >= _FIRST_FIELDS:
        missing = ', '.join(name for name in SCORE_NAMES if name in _REQUIRED - there)
        raise ScoresError(
            f'score cloud lacks the fields {missing}: an older grasp_predictor wrote '
            'it; replay the images instead of using the recorded scores')
    try:
        return read_rows(message, SCORE_DTYPE, 'score cloud', optional=_OPTIONAL)
    except ValueError as error:
        raise ScoresError(str(error)) from error
