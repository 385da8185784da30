"""Choose the attempts and the frames of a report's film strips."""

from collections.abc import Sequence
from dataclasses import dataclass

from moss_perception.evaluation.records import AttemptRecord
import numpy as np

_FRAMES = 6


@dataclass(frozen=True)
class Choice:
    """
    A chosen attempt.

    :ivar kind: ``Best``, ``Worst`` or ``Most uncertain``.
    :ivar why: reason of the choice.
    :ivar index: index in the given attempts.
    """

    kind: str
    why: str
    index: int


def choose(attempts: Sequence[AttemptRecord]) -> list[Choice]:
    """
    Choose three attempts: the best, the worst and the most uncertain one.

    The best has the score nearest to its outcome, and the worst the score furthest from it. The
    most uncertain has the largest spread over the ensemble, or else the score nearest to 0.5.
    Adding attempts never makes one of the others chosen that was not chosen before.

    :param attempts: attempts without a score or without an executed grasp are ignored.
    """
    there = [n for n, one in enumerate(attempts) if one.executed and np.isfinite(one.score)]
    spread = any(np.isfinite(attempts[n].uncertainty) for n in there)
    doubt = ((lambda x: np.nan_to_num(x.uncertainty, nan=-1)) if spread else
             (lambda x: -abs(x.score - 0.5)))
    chosen: list[Choice] = []
    for kind, key, why in (
            ('Best', lambda x: -abs(x.score - x.success), 'score nearest to the outcome'),
            ('Worst', lambda x: abs(x.score - x.success), 'score furthest from the outcome'),
            ('Most uncertain', doubt, 'widest spread over the ensemble' if spread
             else 'score nearest to 0.5')):
        left = [n for n in there if all(n != one.index for one in chosen)]
        if left:
            chosen.append(Choice(kind, why, max(left, key=lambda n: key(attempts[n]))))
    return chosen


def moments(attempt: AttemptRecord) -> list[int]:
    """
    Choose the samples to show: evenly spaced over the attempt, including the decision.

    Only samples with a score of the executed grasp are used if there are enough. If the
    candidates move, it is one of them only at the decision, and all samples are used.

    :returns: indices of ``attempt.times_s``, ascending, at most six.
    """
    lasting = attempt.times_s <= (attempt.end_ns - attempt.decision_ns) / 1e9
    there = np.flatnonzero(lasting & np.isfinite(attempt.scores))
    if len(there) < _FRAMES:
        there = np.flatnonzero(lasting)
    if not len(there):
        return []
    places = np.linspace(0, len(there) - 1, min(_FRAMES, len(there))).round().astype(int)
    chosen = there[places]
    decided = there[np.argmin(np.abs(stamps_of(attempt)[there] - (
        attempt.scored_ns or attempt.decision_ns)))]
    chosen[np.argmin(np.abs(chosen - decided))] = decided
    return sorted(set(chosen.tolist()))


def stamps_of(attempt: AttemptRecord) -> np.ndarray:
    """Return the header stamps of an attempt's samples: int64 nanoseconds, shape ``(T,)``."""
    return attempt.decision_ns + np.round(attempt.times_s * 1e9).astype(np.int64)


def stamps_shown(attempt: AttemptRecord) -> list[int]:
    """Return the header stamps of the frames to show, nanoseconds, ascending."""
    return stamps_of(attempt)[moments(attempt)].tolist()
