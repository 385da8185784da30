"""Recorded attempts against scores: what was predicted when each of them was decided."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
import math

from moss_perception.data.bags.reader import Recording
from moss_perception.data.outcomes import Outcome
from moss_perception.evaluation.records import AttemptRecord
from moss_perception.runtime.predictor import MAX_GAP_S
import numpy as np

# Positions travel as float32.
SAME_PLACE_M = 1e-4
# Who notes only when a grasp began decided then, on what was seen just before.
LOOK_BACK_NS = 1_000_000_000
_TAKEN_OVER = ('attempt', 'start_ns', 'decision_ns', 'end_ns', 'success', 'motion', 'object',
               'decision_guessed')


@dataclass(frozen=True)
class Attempt:
    """
    A recorded grasp attempt and the grasp that was executed.

    :ivar outcome: what happened.
    :ivar position: shape ``(3,)``, metres, or ``None`` where no grasp was recorded.
    :ivar yaw: the direction in which the gripper closes, radians about the optical axis.
    :ivar frame_id: in which these are.
    """

    outcome: Outcome
    position: np.ndarray | None = None
    yaw: float = 0.0
    frame_id: str = ''


@dataclass(frozen=True)
class ScoredSample:
    """
    What one scored frame says, over topics or offline alike.

    :ivar stamp_ns: the frame's header stamp, nanoseconds.
    :ivar places: of the scored grasps, shape ``(K, 3)``, metres.
    :ivar scores: of each, in [0, 1], NaN where it can't be projected: shape ``(K,)``.
    :ivar uncertainties: likewise.
    :ivar default: score of the default grasp; NaN if unknown. ``default_uncertainty`` likewise.
    :ivar novelty: of the frame; NaN if unknown.
    """

    stamp_ns: int
    places: np.ndarray
    scores: np.ndarray
    uncertainties: np.ndarray
    default: float = math.nan
    default_uncertainty: float = math.nan
    novelty: float = math.nan


@dataclass(frozen=True)
class _Look:
    """What a sample says of one attempt."""

    stamp_ns: int
    source: str
    score: float
    uncertainty: float
    novelty: float


@dataclass
class _Entry:
    attempt: Attempt
    met: bool = False
    looks: list[_Look] = field(default_factory=list)

    @property
    def begin_ns(self) -> int:
        outcome = self.attempt.outcome
        early = outcome.decision_ns == outcome.start_ns
        return outcome.start_ns - LOOK_BACK_NS * early


def executed_grasps(recording: Recording, outcomes: Sequence[Outcome],
                    topic: str | None = None) -> list[Attempt]:
    """
    Find the grasp that was executed in each attempt: the one nearest to its decision.

    :param outcomes: the attempts.
    :param topic: of the grasps; ``None`` for ``/selected_grasp``, if it is there.
    :raises BagError: if a topic that was named isn't there, or a message can't be read.
    """
    grasps = recording.executed(topic)
    attempts = []
    for outcome in outcomes:
        of_it = [g for g in grasps if outcome.start_ns <= g.stamp_ns <= outcome.end_ns]
        if not of_it:
            attempts.append(Attempt(outcome))
            continue
        grasp = min(of_it, key=lambda g: abs(g.stamp_ns - outcome.decision_ns))
        x, y, z, w = grasp.quaternion
        yaw = math.atan2(2 * (x * y + z * w), w * w + x * x - y * y - z * z)
        attempts.append(Attempt(outcome, grasp.position, yaw, grasp.frame_id))
    return attempts


def executed_row(position: np.ndarray | None, places: np.ndarray) -> int | None:
    """
    Find the executed grasp among scored ones, by its position.

    :param position: shape ``(3,)``, metres; ``None`` if it isn't known.
    :param places: shape ``(K, 3)``, metres.
    """
    if position is None or not len(places):
        return None
    distances = np.linalg.norm(places - position, axis=1)
    if not np.isfinite(distances).any():
        return None
    nearest = int(np.nanargmin(distances))
    return nearest if distances[nearest] <= SAME_PLACE_M else None


class Matcher:
    """
    Gives each scored sample to the attempts that it is part of, as the samples come.

    What counts for an attempt is the executed grasp's score in its newest scores at or before the
    decision; the default grasp's where the executed grasp isn't among them. Samples count from the
    attempt's start on; where that is the decision as well, from a second before. Where the newest
    is older than a gap that empties the window, nothing was known at the decision.

    :param attempts: in any order; they may overlap.
    :param max_gap_ns: of the predictor, nanoseconds.
    """

    def __init__(self, attempts: Sequence[Attempt], max_gap_ns: int = round(MAX_GAP_S * 1e9)):
        self._max_gap_ns = max_gap_ns
        self._given = [_Entry(attempt) for attempt in attempts]
        self._entries = sorted(self._given, key=lambda e: e.begin_ns)
        self._starts = [e.begin_ns for e in self._entries]
        # How far back an attempt may begin and still last.
        self._ends = list(accumulate((e.attempt.outcome.end_ns for e in self._entries), max))

    def during(self, stamp_ns: int) -> list[Attempt]:
        """Return the attempts that last at a stamp."""
        return [entry.attempt for entry in self._open(stamp_ns)]

    def see(self, stamp_ns: int) -> None:
        """Note that there is an image of a stamp, scored or not."""
        for entry in self._open(stamp_ns):
            entry.met = True

    def take(self, sample: ScoredSample) -> None:
        """Take the scores of a frame."""
        for entry in self._open(sample.stamp_ns):
            entry.met = True
            entry.looks.append(_look(entry.attempt, sample))

    def records(self) -> tuple[AttemptRecord, ...]:
        """Return the attempts of which there are images, in the order given."""
        return tuple(_record(entry, self._max_gap_ns) for entry in self._given if entry.met)

    def unmet(self) -> list[Attempt]:
        """Return the attempts of which there is not one image."""
        return [entry.attempt for entry in self._given if not entry.met]

    def overlaps(self) -> list[tuple[int, int]]:
        """Return the numbers of attempts that begin before the one before them has ended."""
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


def _look(attempt: Attempt, sample: ScoredSample) -> _Look:
    row = executed_row(attempt.position, sample.places)
    if row is not None:
        return _Look(sample.stamp_ns, 'executed', float(sample.scores[row]),
                     float(sample.uncertainties[row]), sample.novelty)
    return _Look(sample.stamp_ns, 'default', sample.default, sample.default_uncertainty,
                 sample.novelty)


def _record(entry: _Entry, max_gap_ns: int) -> AttemptRecord:
    attempt, outcome = entry.attempt, entry.attempt.outcome
    # Where nobody says which grasp was executed, it is taken to be the default one throughout.
    curve = [look.score if look.source == 'executed' or attempt.position is None else math.nan
             for look in entry.looks]
    values = {name: getattr(outcome, name) for name in _TAKEN_OVER}
    values['times_s'] = np.array(
        [(look.stamp_ns - outcome.decision_ns) / 1e9 for look in entry.looks], float)
    values['scores'] = np.array(curve, float)
    decided = [look for look in entry.looks if look.stamp_ns <= outcome.decision_ns]
    newest = max(decided, key=lambda look: look.stamp_ns, default=None)
    if newest is not None and outcome.decision_ns - newest.stamp_ns <= max_gap_ns:
        known = newest.source == 'executed' or not math.isnan(newest.score)
        values |= {'scored_ns': newest.stamp_ns, 'score': newest.score,
                   'uncertainty': newest.uncertainty, 'novelty': newest.novelty,
                   'source': newest.source if known else 'none'}
    return AttemptRecord(**values)
