"""Match scores with attempts."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
import math

from moss_perception.core.errors import CandidateError
from moss_perception.core.frames import to_candidates
from moss_perception.core.scores import ScoreReason
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import stamp_of
from moss_perception.data.outcomes import Outcome
from moss_perception.evaluation.records import AttemptRecord
from moss_perception.runtime.predictor import MAX_GAP_S
import numpy as np

EXECUTED, NEAREST, DEFAULT, NONE = 'executed', 'nearest', 'default', 'none'
"""Kinds of scored grasps; see :attr:`moss_perception.evaluation.records.AttemptRecord.source`."""

NO_PLACE = (ScoreReason.NO_CALIBRATION, ScoreReason.FRAME_UNKNOWN)
"""Reasons to use the default grasp point: the grasp can't be projected into the image."""

# Some CSV files give only the start of a grasp, which is then also the time of the decision. The
# decision was based on the images just before it.
LOOK_BACK_NS = 1_000_000_000
_COPIED = ('attempt', 'start_ns', 'decision_ns', 'end_ns', 'success', 'motion', 'object',
           'decision_guessed', 'executed')
# Sources by precedence at a decision.
_ORDER = (EXECUTED, NEAREST, DEFAULT)


@dataclass(frozen=True)
class Attempt:
    """
    A recorded grasp attempt and the grasp that was executed.

    :ivar outcome: recorded outcome.
    :ivar position: shape ``(3,)``, metres, or ``None`` if the executed grasp is unknown.
    :ivar yaw: closing direction of the gripper, radians about the optical axis.
    :ivar frame_id: frame of position and yaw.
    :ivar stamp_ns: stamp of the image by which the grasp was selected, nanoseconds.
    """

    outcome: Outcome
    position: np.ndarray | None = None
    yaw: float = 0.0
    frame_id: str = ''
    stamp_ns: int = 0


@dataclass(frozen=True)
class ExecutedScore:
    """
    The score of an attempt's executed grasp in one frame.

    :ivar score: in [0, 1]; NaN if the grasp can't be scored.
    :ivar uncertainty: in [0, 0.5]; NaN if the grasp can't be scored.
    :ivar source: ``executed``, or ``nearest`` if the candidate was found only by its position and
        orientation.
    :ivar proposed: whether the grasp was a candidate of this frame. The attempt's curve has a
        score from before the decision only if it was: a moving object may not have reached the
        place of the grasp yet.
    """

    score: float
    uncertainty: float
    source: str = EXECUTED
    proposed: bool = True


@dataclass(frozen=True)
class ScoredSample:
    """
    The scores of one recorded or replayed frame.

    :ivar stamp_ns: the frame's header stamp, nanoseconds.
    :ivar default: score of the default grasp point; NaN if unknown.
    :ivar default_uncertainty: its uncertainty; NaN if unknown.
    :ivar ood_score: OOD score of the frame; NaN if unknown.
    :ivar executed: attempts with the scores of their executed grasps, if available.
    """

    stamp_ns: int
    default: float = math.nan
    default_uncertainty: float = math.nan
    ood_score: float = math.nan
    executed: Sequence[tuple[Attempt, ExecutedScore]] = ()


@dataclass(frozen=True)
class _Sample:
    """The scores of one frame for one attempt."""

    stamp_ns: int
    source: str
    score: float
    uncertainty: float
    ood_score: float
    on_curve: bool


@dataclass
class _Entry:
    attempt: Attempt
    met: bool = False
    samples: list[_Sample] = field(default_factory=list)

    @property
    def begin_ns(self) -> int:
        outcome = self.attempt.outcome
        early = outcome.decision_ns == outcome.start_ns
        return outcome.start_ns - LOOK_BACK_NS * early


def executed_grasps(recording: Recording, outcomes: Sequence[Outcome], topic: str | None = None,
                    candidates_topic: str | None = None) -> list[Attempt]:
    """
    Find the grasp that was executed in each attempt.

    This is the recorded selection within the attempt that is nearest to the decision. Without a
    selection, it is the candidate that the outcome names, among the newest candidates at the
    decision. An attempt may have no executed grasp.

    :param outcomes: the attempts.
    :param topic: topic of the executed grasps; ``None`` for ``/selected_grasp``, if recorded.
    :param candidates_topic: topic of the candidates; ``None`` or empty for none.
    :raises BagError: if a given topic is missing, or a message can't be read.
    """
    grasps = recording.executed(topic)
    attempts = []
    for outcome in outcomes:
        found = [g for g in grasps if outcome.start_ns <= g.stamp_ns <= outcome.end_ns]
        if not (found and outcome.executed):
            attempts.append(Attempt(outcome, stamp_ns=outcome.decision_ns))
            continue
        grasp = min(found, key=lambda g: abs(g.stamp_ns - outcome.decision_ns))
        x, y, z, w = grasp.quaternion
        yaw = math.atan2(2 * (x * y + z * w), w * w + x * x - y * y - z * z)
        attempts.append(Attempt(outcome, grasp.position, yaw, grasp.frame_id, grasp.stamp_ns))
    return _with_named_candidates(recording, attempts, candidates_topic)


def _with_named_candidates(recording: Recording, attempts: list[Attempt],
                           topic: str | None) -> list[Attempt]:
    """Look up executed grasps among the candidates if only the outcome names them."""
    wanted = [n for n, x in enumerate(attempts)
              if x.position is None and x.outcome.candidate is not None]
    if not (wanted and topic):
        return attempts
    newest: dict[int, tuple[int, str, bytes]] = {}
    for _, kind, _, raw in recording.messages([topic]):
        stamp_ns = stamp_of(raw)
        for n in wanted:
            if newest.get(n, (0,))[0] <= stamp_ns <= attempts[n].outcome.decision_ns:
                newest[n] = stamp_ns, kind, raw
    for n, (_, kind, raw) in newest.items():
        outcome = attempts[n].outcome
        try:
            listed = to_candidates(recording.deserialize(raw, kind))
        except CandidateError:
            continue
        index = outcome.candidate
        if index is not None and index < len(listed.positions):
            attempts[n] = Attempt(outcome, listed.positions[index], float(listed.yaws[index]),
                                  listed.frame_id, outcome.decision_ns)
    return attempts


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
        self._entries = sorted(self._given, key=lambda e: e.begin_ns)
        self._starts = [e.begin_ns for e in self._entries]
        # The latest end of all attempts up to each, to find those that began long ago.
        self._ends = list(accumulate((e.attempt.outcome.end_ns for e in self._entries), max))

    def during(self, stamp_ns: int) -> list[Attempt]:
        """Return the attempts in progress at a stamp."""
        return [entry.attempt for entry in self._open(stamp_ns)]

    def see(self, stamp_ns: int) -> None:
        """Record an image, whether it was scored or not."""
        for entry in self._open(stamp_ns):
            entry.met = True

    def take(self, sample: ScoredSample) -> None:
        """Add the scores of a frame."""
        for entry in self._open(sample.stamp_ns):
            entry.met = True
            entry.samples.append(_of_attempt(entry.attempt, sample))

    def records(self) -> tuple[AttemptRecord, ...]:
        """Return the attempts with images, in the order given."""
        return tuple(_record(entry, self._max_gap_ns) for entry in self._given if entry.met)

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


def _of_attempt(attempt: Attempt, sample: ScoredSample) -> _Sample:
    stamp_ns = sample.stamp_ns
    for other, found in sample.executed:
        if other is attempt:
            on_curve = found.proposed or stamp_ns > attempt.outcome.decision_ns
            return _Sample(stamp_ns, found.source, found.score, found.uncertainty,
                           sample.ood_score, on_curve)
    # If the executed grasp is unknown, the default grasp point is used throughout.
    known = attempt.position is not None or attempt.outcome.candidate is not None
    return _Sample(stamp_ns, DEFAULT, sample.default, sample.default_uncertainty,
                   sample.ood_score, not known)


def _record(entry: _Entry, max_gap_ns: int) -> AttemptRecord:
    outcome = entry.attempt.outcome
    values = {name: getattr(outcome, name) for name in _COPIED}
    values['times_s'] = np.array(
        [(sample.stamp_ns - outcome.decision_ns) / 1e9 for sample in entry.samples], float)
    if not outcome.executed:
        return AttemptRecord(**values, scores=np.full(len(entry.samples), math.nan))
    decided = _decided(entry.samples, outcome.decision_ns, max_gap_ns)
    values['scores'] = np.array(
        [sample.score if sample.on_curve else math.nan for sample in entry.samples], float)
    if decided is not None:
        known = decided.source != DEFAULT or not math.isnan(decided.score)
        values |= {'scored_ns': decided.stamp_ns, 'score': decided.score,
                   'uncertainty': decided.uncertainty, 'ood_score': decided.ood_score,
                   'source': decided.source if known else NONE}
    return AttemptRecord(**values)


def _decided(samples: Sequence[_Sample], decision_ns: int, max_gap_ns: int) -> _Sample | None:
    """Return the sample that counts at the decision; ``None`` if there is no fresh one."""
    fresh = [sample for sample in samples
             if 0 <= decision_ns - sample.stamp_ns <= max_gap_ns]
    for source in _ORDER:
        found = [sample for sample in fresh if sample.source == source]
        if found:
            return max(found, key=lambda sample: sample.stamp_ns)
    return None
