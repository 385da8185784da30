"""Each attempt's score against its true outcome."""

from collections.abc import Sequence
from dataclasses import dataclass
import math

from moss_perception.evaluation import matching
from moss_perception.evaluation.matching import Attempt
from moss_perception.ros.evaluator.observer import Scores
import numpy as np

HEADER = 'attempt  object      motion        score   +/-   outcome   at 0.5'


@dataclass(frozen=True)
class ScoredAttempt:
    """
    What was predicted of an attempt when it was decided.

    :ivar attempt: the attempt.
    :ivar stamp_ns: of the frame that was scored; ``None`` if there was none.
    :ivar score: of the executed grasp, NaN if there is none.
    :ivar uncertainty: likewise.
    """

    attempt: Attempt
    stamp_ns: int | None = None
    score: float = math.nan
    uncertainty: float = math.nan


def score_attempt(attempt: Attempt, heard: Sequence[Scores],
                  defaults: Sequence[float] = ()) -> ScoredAttempt:
    """
    Find what was predicted when an attempt was decided.

    That is the executed grasp's score in the newest scores at or before the decision, since the
    attempt began; the default grasp's score where the executed grasp isn't among them.

    :param attempt: the attempt.
    :param heard: scores in the order of arrival.
    :param defaults: the default grasp's score of each of them.
    """
    outcome = attempt.outcome
    of_it = [i for i, s in enumerate(heard)
             if outcome.start_ns <= s.stamp_ns <= outcome.decision_ns]
    if not of_it:
        return ScoredAttempt(attempt)
    newest = max(of_it, key=lambda i: heard[i].stamp_ns)
    rows, stamp_ns = heard[newest].rows, heard[newest].stamp_ns
    index = executed_row(attempt, rows)
    if index is not None:
        return ScoredAttempt(attempt, stamp_ns, float(rows['score'][index]),
                             float(rows['uncertainty'][index]))
    score = float(defaults[newest]) if newest < len(defaults) else math.nan
    return ScoredAttempt(attempt, stamp_ns, score)


def executed_row(attempt: Attempt, rows: np.ndarray) -> int | None:
    """
    Find the executed grasp among scored ones, by its position.

    :param rows: see :class:`moss_perception.ros.evaluator.observer.Scores`.
    """
    places = np.stack([rows['x'], rows['y'], rows['z']], axis=1).astype(float)
    return matching.executed_row(attempt.position, places)


def table_row(scored: ScoredAttempt) -> str:
    """Write an attempt as a line of the table under :data:`HEADER`."""
    outcome = scored.attempt.outcome
    known = math.isfinite(scored.score)
    mark = 'no score' if not known else (
        'right' if (scored.score >= 0.5) == outcome.success else 'WRONG')
    spread = f'{scored.uncertainty:5.2f}' if math.isfinite(scored.uncertainty) else '    -'
    score = f'{scored.score:5.2f}' if known else '    -'
    return (f'{outcome.attempt:7d}  {outcome.object[:10] or "-":10}  '
            f'{outcome.motion[:12] or "-":12}  {score} {spread}   '
            f'{"held" if outcome.success else "dropped":8}  {mark}')
