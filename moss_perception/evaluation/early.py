"""How early a score predicts the outcome, by time since the decision and to the outcome."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from moss_perception.evaluation.intervals import Interval, measure_interval
from moss_perception.evaluation.metrics import Scored
from moss_perception.evaluation.records import AttemptRecord
from moss_perception.evaluation.small_counts import too_few
import numpy as np

_MEASURES = ('auroc', 'balanced_accuracy')
_STEPS = 32
_SMALLEST_STEP_S = 0.1
# An older score says nothing about the present.
_FRESH_S = 0.35
# Stamps are nanoseconds; sums of decimal seconds are off by less than this.
_SAME_S = 1e-6
_REPEATS = 300


@dataclass(frozen=True)
class Curve:
    """
    Quality over time.

    :ivar times_s: float64, shape ``(K,)``, ascending; seconds since the decision, or seconds
        left until the outcome.
    :ivar auroc: AUROC at each time.
    :ivar balanced_accuracy: balanced accuracy at each time, at the threshold.
    :ivar attempts: number of attempts at each time, shape ``(K,)``.
    """

    times_s: np.ndarray
    auroc: tuple[Interval, ...]
    balanced_accuracy: tuple[Interval, ...]
    attempts: np.ndarray


def since_decision(attempts: Sequence[AttemptRecord], episodes: np.ndarray,
                   threshold: float = 0.5) -> Curve:
    """
    Compute the curve over the time since the decision, of attempts that have not ended.

    :param episodes: of the attempts, shape ``(N,)``; intervals draw these.
    :param threshold: lowest score that predicts a success, in [0, 1].
    """
    ends = np.array([_lasts_s(one) for one in attempts])
    times = [one.times_s[_counts(one)] for one in attempts]
    return _curve(attempts, episodes, threshold, times,
                  lambda time: np.where(time <= ends + _SAME_S, time, np.nan))


def to_outcome(attempts: Sequence[AttemptRecord], episodes: np.ndarray,
               threshold: float = 0.5) -> Curve:
    """Compute the curve over the time left to the outcome; see :func:`since_decision`."""
    ends = np.array([_lasts_s(one) for one in attempts])
    leads = [_lasts_s(one) - one.times_s[_counts(one)] for one in attempts]
    return _curve(attempts, episodes, threshold, leads, lambda lead: ends - lead)


def _lasts_s(attempt: AttemptRecord) -> float:
    return (attempt.end_ns - attempt.decision_ns) / 1e9


def _counts(attempt: AttemptRecord) -> np.ndarray:
    """Return which samples have a score and precede the outcome."""
    return np.isfinite(attempt.scores) & (attempt.times_s <= _lasts_s(attempt) + _SAME_S)


def _steps(times: list[np.ndarray]) -> np.ndarray:
    """Choose evenly spaced times over the range that most attempts cover."""
    times = [of for of in times if len(of)]
    if not times:
        return np.zeros(0)
    low = np.quantile([of.min() for of in times], 0.1)
    high = np.quantile([of.max() for of in times], 0.9)
    step = max(_SMALLEST_STEP_S, np.ceil((high - low) / _STEPS * 20) / 20)
    return step * np.arange(np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9) + 1)


def _curve(attempts: Sequence[AttemptRecord], episodes: np.ndarray, threshold: float,
           covered_s: list[np.ndarray], moments: Callable[[float], np.ndarray]) -> Curve:
    """
    Measure the scores at several times.

    :param covered_s: times of each attempt's scores.
    :param moments: converts a time to seconds since each attempt's decision.
    """
    labels = np.array([one.success for one in attempts], bool)
    rows = []
    for time_s in _steps(covered_s):
        scores = np.array([_score_at(one, moment) for one, moment in zip(
            attempts, moments(time_s), strict=True)])
        there = np.isfinite(scores)
        sample = Scored(scores[there], labels[there], episodes[there])
        if too_few(sample):
            continue
        rows.append((time_s, *(measure_interval(name, sample, threshold=threshold,
                                                repeats=_REPEATS)
                               for name in _MEASURES), len(sample)))
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    return Curve(np.array(columns[0], float), columns[1], columns[2], np.array(columns[3], int))


def _score_at(attempt: AttemptRecord, moment_s: float) -> float:
    """Return the newest score at a time since the decision, if it is fresh."""
    of = _counts(attempt) & (attempt.times_s <= moment_s + _SAME_S)
    of &= attempt.times_s > moment_s - _FRESH_S
    return float(attempt.scores[of][-1]) if of.any() else float('nan')
