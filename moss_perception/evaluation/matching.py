"""Match scores with attempts."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
import math

from moss_perception.core.frames import yaws_from_orientations
from moss_perception.core.grasp_match import nearest_grasp
from moss_perception.core.scores import ScoreReason
from moss_perception.data.outcomes import Outcome
from moss_perception.evaluation.attempts import Attempt
from moss_perception.evaluation.outputs import FrameScores
from moss_perception.evaluation.records import AttemptRecord
from moss_perception.runtime.predictor import MAX_GAP_S
import numpy as np

EXECUTED, NEAREST, DEFAULT, NONE = 'executed', 'nearest', 'default', 'none'
"""Kinds of scored grasps; see :attr:`moss_perception.evaluation.records.AttemptRecord.source`."""

NO_PLACE = (ScoreReason.NO_CALIBRATION, ScoreReason.FRAME_UNKNOWN)
"""Reasons to use the default grasp point: the grasp can't be projected into the image."""

REASONS: dict[int, str] = {
    ScoreReason.OUTSIDE_IMAGE: 'its pose is outside the image',
    ScoreReason.NO_CALIBRATION: 'there is no calibration that fits the images',
    ScoreReason.BEHIND_CAMERA: 'its pose is behind the camera',
    ScoreReason.FRAME_UNKNOWN: 'its pose is in another frame than the images',
    ScoreReason.NOT_A_NUMBER: 'its pose is not finite, or its orientation is no rotation',
    ScoreReason.BEYOND_LENS_MODEL: 'its pose is beyond the range of the lens model'}
"""Why an executed grasp has no score, in words."""

_COPIED = ('attempt', 'start_ns', 'decision_ns', 'end_ns', 'success', 'motion', 'object',
           'decision_guessed', 'executed', 'line')
NOT_LISTED = 'it is not among the scored candidates'
"""Why a known executed grasp has no recorded score; the images can still tell it."""

# Sources by precedence at a decision.
_ORDER = (EXECUTED, NEAREST, DEFAULT)


@dataclass(frozen=True)
class GraspScore:
    """
    The score of a grasp in one frame: of an attempt's executed grasp, or of the default one.

    :ivar score: in [0, 1]; NaN if the grasp can't be scored.
    :ivar uncertainty: in [0, 0.5]; NaN if the grasp can't be scored.
    :ivar source: ``executed``; ``nearest`` if the candidate was found only by its position and
        orientation; or ``default``.
    :ivar why: why the executed grasp has no score, in words; empty if it has one.
    :ivar proposed: whether the grasp was a candidate of this frame. The attempt's curve has a
        score from before the decision only if it was: a moving object may not have reached the
        place of the grasp yet.
    :ivar lead_time_s: lead time at which it was scored, seconds; NaN if not known.
    """

    score: float
    uncertainty: float
    source: str = EXECUTED
    proposed: bool = True
    lead_time_s: float = math.nan
    why: str = ''


@dataclass(frozen=True)
class _Sample:
    """The scores of one frame for one attempt."""

    stamp_ns: int
    grasp: GraspScore
    ood_score: float


@dataclass
class _Entry:
    attempt: Attempt
    met: bool = False
    samples: list[_Sample] = field(default_factory=list)
    fingers: np.ndarray = field(default_factory=lambda: np.zeros(0))

class Matcher:
    """
    Assigns scored samples to attempts, in the order of the samples.

    The score of an attempt is the newest score of its executed grasp at or before the decision,
    or else the newest score of the default grasp point. Samples count from the attempt's start
    on, or from a second earlier if the decision is at the start. Scores older than ``max_gap_ns``
    do not count. An attempt without an executed grasp has no score.

    :param attempts: attempts in any order; they may overlap.
    :param max_gap_ns: longest gap between samples before the predictor resets, nanoseconds.
    """

    def __init__(self, attempts: Sequence[Attempt], max_gap_ns: int = round(MAX_GAP_S * 1e9)):
        self._max_gap_ns = max_gap_ns
        self._given = [_Entry(attempt) for attempt in attempts]
        self._replayed: dict[tuple[int, int], AttemptRecord] = {}
        self._entries = sorted((x for x in self._given if not x.attempt.outcome.apart),
                               key=lambda e: e.attempt.begin_ns)
        self._starts = [e.attempt.begin_ns for e in self._entries]
        # The latest end of all attempts up to each, to find those that began long ago.
        self._ends = list(accumulate((e.attempt.outcome.end_ns for e in self._entries), max))

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcomes of all attempts, in the order in which they were given."""
        return [entry.attempt.outcome for entry in self._given]

    def during(self, stamp_ns: int) -> list[Attempt]:
        """Return the attempts in progress at a stamp."""
        return [entry.attempt for entry in self._open(stamp_ns)]

    def see(self, stamp_ns: int) -> None:
        """Record an image, whether it was scored or not."""
        for entry in self._open(stamp_ns):
            entry.met = True

    def take(self, stamp_ns: int, default: GraspScore,
             executed: Sequence[tuple[Attempt, GraspScore]] = (),
             ood_score: float = math.nan) -> None:
        """
        Add the scores of a frame.

        :param stamp_ns: the frame's header stamp, nanoseconds.
        :param default: score of the default grasp point.
        :param executed: attempts with the scores of their executed grasps, if available.
        :param ood_score: OOD score of the frame; NaN if unknown.
        """
        for entry in self._open(stamp_ns):
            entry.met = True
            found = (score for attempt, score in executed if attempt is entry.attempt)
            entry.samples.append(_Sample(stamp_ns, next(found, default), ood_score))

    def place(self, attempt: Attempt, fingers: np.ndarray) -> None:
        """Record where the camera sees the executed grasp of an attempt, for the pictures."""
        next(x for x in self._given if x.attempt is attempt).fingers = fingers

    def complete(self, replayed: Sequence[AttemptRecord]) -> None:
        """
        Use a replay's scores of executed grasps that have no score of their own.

        :param replayed: attempts of a replay of the same images; others are ignored.
        """
        self._replayed = {(x.attempt, x.start_ns): x for x in replayed if x.scored_executed}

    def records(self) -> tuple[AttemptRecord, ...]:
        """Return the attempts with images, in the order given."""
        found = (_record(entry, self._max_gap_ns) for entry in self._given if entry.met)
        return tuple(self._replayed.get((x.attempt, x.start_ns), x) if x.scored_elsewhere else x
                     for x in found)

    def unmet(self) -> list[Attempt]:
        """Return the attempts without any image."""
        return [entry.attempt for entry in self._given if not entry.met]

    def overlaps(self) -> list[tuple[int, int]]:
        """Return pairs of consecutive attempts that overlap in time, by their numbers."""
        pairs = zip(self._entries, self._entries[1:], strict=False)
        return [(a.attempt.outcome.attempt, b.attempt.outcome.attempt) for a, b in pairs
                if b.attempt.outcome.start_ns < a.attempt.outcome.end_ns]

    def _open(self, stamp_ns: int) -> list[_Entry]:
        found, at = [], bisect_right(self._starts, stamp_ns) - 1
        while at >= 0 and self._ends[at] >= stamp_ns:
            if self._entries[at].attempt.outcome.end_ns >= stamp_ns:
                found.append(self._entries[at])
            at -= 1
        return found


def _record(entry: _Entry, max_gap_ns: int) -> AttemptRecord:
    outcome, samples = entry.attempt.outcome, entry.samples
    values = {name: getattr(outcome, name) for name in _COPIED}
    values |= {'expected': entry.attempt.expected, 'fingers': entry.fingers}
    values['times_s'] = np.array(
        [(sample.stamp_ns - outcome.decision_ns) / 1e9 for sample in samples], float)
    if not outcome.executed:
        return AttemptRecord(**values, scores=np.full(len(samples), math.nan))
    values['scores'] = np.array([sample.grasp.score if _is_on_curve(entry.attempt, sample)
                                 else math.nan for sample in samples], float)
    if decided := _decided(samples, outcome.decision_ns, max_gap_ns):
        grasp = decided.grasp
        known = grasp.source != DEFAULT or not math.isnan(grasp.score)
        values |= {'scored_ns': decided.stamp_ns, 'score': grasp.score,
                   'uncertainty': grasp.uncertainty, 'ood_score': decided.ood_score,
                   'source': grasp.source if known else NONE,
                   'lead_time_s': grasp.lead_time_s,
                   'why': '' if grasp.source != DEFAULT and not math.isnan(grasp.score)
                   else grasp.why or entry.attempt.unknown}
    else:
        values['why'] = 'no image was scored at the decision or shortly before it'
    return AttemptRecord(**values)


def _is_on_curve(attempt: Attempt, sample: _Sample) -> bool:
    if sample.grasp.source == DEFAULT:
        # If the executed grasp is unknown, the default grasp point is used throughout.
        return attempt.position is None and attempt.outcome.candidate is None
    return sample.grasp.proposed or sample.stamp_ns > attempt.outcome.decision_ns


def _decided(samples: Sequence[_Sample], decision_ns: int, max_gap_ns: int) -> _Sample | None:
    """Return the sample that counts at the decision; ``None`` if there is no fresh one."""
    fresh = [sample for sample in samples
             if 0 <= decision_ns - sample.stamp_ns <= max_gap_ns]
    return max(fresh, default=None, key=lambda sample: (
        -_ORDER.index(sample.grasp.source), sample.stamp_ns))


def take_recorded(matcher: Matcher, frames: Sequence[FrameScores],
                  ood_scores: Mapping[int, float]) -> None:
    """
    Add the scores that a node published to the attempts in progress.

    If the outcome names the executed candidate, its row is used in all scores of the same
    PoseArray, which is identified by its stamp, unless the executed pose is known and another
    one. Otherwise the candidate nearest to the executed grasp is used, within the tolerances of
    :mod:`moss_perception.core.grasp_match`, and marked as ``nearest``.

    :param frames: scores of all frames.
    :param ood_scores: OOD scores by stamp, if known.
    """
    stamps = {frame.stamp_ns: frame.scores.candidates_stamp_ns for frame in frames}
    for frame in frames:
        executed = []
        for attempt in matcher.during(frame.stamp_ns):
            # The candidates that were scored in the frame of the selection, or else recorded.
            current = stamps.get(attempt.stamp_ns, attempt.candidates_stamp_ns)
            executed.append((attempt, _executed_score(frame, attempt, current)))
        matcher.take(frame.stamp_ns, _of_row(frame.scores.default, DEFAULT), executed,
                     ood_scores.get(frame.stamp_ns, math.nan))


def _executed_score(frame: FrameScores, attempt: Attempt, current: int) -> GraspScore:
    """Find the executed grasp among the scores of a frame; else return the default grasp's."""
    scores, index, source = frame.scores, attempt.outcome.candidate, EXECUTED
    if (index is None or index >= len(scores.candidates)
            or not 0 < current == scores.candidates_stamp_ns
            or _is_another(frame, attempt, index)):
        index, source = None, NEAREST
        if attempt.position is not None and attempt.frame_id == frame.frame_id:
            index = nearest_grasp(scores.positions, yaws_from_orientations(scores.orientations),
                                  attempt.position, attempt.yaw)
    if index is None:
        elsewhere = attempt.position is not None and attempt.frame_id != frame.frame_id
        return _of_row(scores.default, DEFAULT, '' if attempt.position is None else
                       foreign_frame(attempt, frame.frame_id) if elsewhere else NOT_LISTED)
    reason = int(scores.candidates[index]['reason'])
    if reason in NO_PLACE:
        return _of_row(scores.default, DEFAULT, why_not(reason))
    return _of_row(scores.candidates[index], source, why_not(reason))


def _is_another(frame: FrameScores, attempt: Attempt, index: int) -> bool:
    """Tell whether the recorded pose of the executed grasp is not that of a candidate."""
    position = attempt.position
    if attempt.named or position is None or attempt.frame_id != frame.frame_id or not (
            np.isfinite(position).all() and math.isfinite(attempt.yaw)):
        return False
    row = slice(index, index + 1)
    yaws = yaws_from_orientations(frame.scores.orientations[row])
    return nearest_grasp(frame.scores.positions[row], yaws, position, attempt.yaw) is None


def foreign_frame(attempt: Attempt, frame_id: str) -> str:
    """Return why a grasp in another frame than the images has no score."""
    return f'its pose is in frame {attempt.frame_id!r}, the images are in {frame_id!r}'


def why_not(reason: int) -> str:
    """Return why a grasp has no score, in words; empty if it has one."""
    return '' if reason == ScoreReason.SCORED else REASONS.get(
        reason, f'it has the unknown reason {reason}')


def _of_row(row: np.void, source: str, why: str = '') -> GraspScore:
    return GraspScore(float(row['score']), float(row['uncertainty']), source,
                      lead_time_s=float(row['lead_time']), why=why)
