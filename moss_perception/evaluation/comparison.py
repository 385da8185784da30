"""
Compare checkpoints, domains and features.

:func:`compare_adaptation` compares an adapted checkpoint with the original,
:func:`compare_rankings` the rankings of several checkpoints in simulation and reality, and
:func:`compare_features` how well features separate out-of-distribution (OOD) samples.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from moss_perception.core.errors import ShapeError
from moss_perception.evaluation.intervals import paired_test
from moss_perception.evaluation.metrics import auroc, brier, ece, Scored, value_of
from moss_perception.runtime.ood import FALSE_ALARMS, fit_normal
import numpy as np

_EDGE = 1e-6
_NEIGHBOURS = 5
_MEMORY = 200

Distance = Callable[[np.ndarray], np.ndarray]


def log_losses(scores: np.ndarray, successes: np.ndarray) -> np.ndarray:
    """
    Return each attempt's negative log likelihood in nats.

    :param scores: probabilities of success, shape ``(n,)``.
    :param successes: bool, shape ``(n,)``.
    """
    return -np.log(np.clip(np.where(successes, scores, 1 - scores), _EDGE, 1.0))


def compare_adaptation(before: np.ndarray, rounds: list[np.ndarray], successes: np.ndarray,
                       seed: int = 0) -> dict[str, Any]:
    """
    Compare the scores of a checkpoint with those of adapted ones, on the same attempts.

    :param before: the checkpoint's scores, shape ``(n,)``.
    :param rounds: scores by fits without the attempt, one array for each cross-validation; their
        losses are averaged.
    :param successes: bool, shape ``(n,)``.
    :param seed: random seed of the interval.
    :returns: ``before`` and ``after`` with ``log_loss``, ``brier``, ``ece`` and ``auroc``;
        ``change`` of the log loss with its 95 % interval ``low`` to ``high``; ``verdict``:
        ``helps``, ``harms`` or ``cannot be told``.
    """
    losses = np.mean([log_losses(scores, successes) for scores in rounds], axis=0)
    test = paired_test(losses, log_losses(before, successes), seed=seed)
    verdict = ('helps' if test['high'] < 0 else 'harms' if test['low'] > 0
               else 'cannot be told')
    return {'attempts': len(successes), 'successes': int(successes.sum()),
            'before': _measure([before], successes), 'after': _measure(rounds, successes),
            'change': test['difference'], 'low': test['low'], 'high': test['high'],
            'verdict': verdict}


def _measure(rounds: list[np.ndarray], successes: np.ndarray) -> dict[str, float]:
    measured = [{'log_loss': log_losses(scores, successes).mean(),
                 **{name: value_of(measure, Scored.of(scores, successes))
                    for name, measure in (('brier', brier), ('ece', ece), ('auroc', auroc))}}
                for scores in rounds]
    return {name: float(np.mean([one[name] for one in measured])) for name in measured[0]}


@dataclass(frozen=True)
class Agreement:
    """
    How well the ranking in simulation predicts the ranking in another domain, as in SIMPLER.

    :ivar pearson: Pearson's correlation in [-1, 1]; NaN for fewer than three checkpoints.
    :ivar mmrv: mean maximum rank violation, in the unit of the measure, at best 0; NaN for fewer
        than two.
    :ivar why: why a value is undefined; else empty.
    """

    pearson: float
    mmrv: float
    why: str = ''


def mean_maximum_rank_violation(simulated: np.ndarray, real: np.ndarray) -> float:
    """
    Compute MMRV (arXiv 2405.05941): the loss of performance by wrongly ranked pairs.

    Each checkpoint contributes the largest real difference to a checkpoint that simulation ranks
    in the opposite order.

    :param simulated: performance in simulation, shape ``(N,)``.
    :param real: performance of the same checkpoints in reality.
    :raises ShapeError: if the lengths differ.
    """
    simulated, real = np.asarray(simulated, float), np.asarray(real, float)
    if simulated.shape != real.shape or simulated.ndim != 1:
        raise ShapeError('expected the performance of the same checkpoints, got shapes '
                         f'{simulated.shape} and {real.shape}')
    if len(real) < 2:
        return float('nan')
    swapped = (simulated[:, None] < simulated) != (real[:, None] < real)
    return float((np.abs(real[:, None] - real) * swapped).max(axis=1).mean())


def compare_rankings(simulated: np.ndarray, real: np.ndarray) -> Agreement:
    """
    Compare two rankings of checkpoints.

    :param simulated: performance in simulation, shape ``(N,)``, more is better.
    :param real: performance of the same checkpoints in another domain.
    """
    from scipy import stats
    simulated, real = np.asarray(simulated, float), np.asarray(real, float)
    if not (np.isfinite(simulated).all() and np.isfinite(real).all()):
        return Agreement(float('nan'), float('nan'),
                         'undefined: the measure is undefined for a checkpoint')
    mmrv = mean_maximum_rank_violation(simulated, real)
    if len(real) < 3:
        return Agreement(float('nan'), mmrv, "Pearson's r of two checkpoints is always 1 or -1: "
                         'expected at least three')
    if not (np.ptp(simulated) and np.ptp(real)):
        return Agreement(float('nan'), mmrv, "Pearson's r is undefined: all checkpoints perform "
                         'equally in one of the domains')
    correlation: Any = stats.pearsonr(simulated, real)
    return Agreement(float(correlation.statistic), mmrv)


def compare_features(sets: Mapping[str, Mapping[str, np.ndarray]],
                     false_alarms: float = FALSE_ALARMS) -> list[dict[str, Any]]:
    """
    Measure with every distance how well each feature separates OOD samples.

    :param sets: features by name, shape ``(n, F)``, of ``fitted``, ``held_out``,
        ``in_distribution`` and ``ood`` samples; ``held_out`` sets the limits.
    :param false_alarms: share of the held-out samples above the limit.
    :returns: ``feature``, ``width``, ``distance`` and the results of :func:`flagging`, best first.
    """
    rows = []
    for feature, fitted in sets['fitted'].items():
        for name, make in _DISTANCES.items():
            distance = make(fitted)
            limit = np.quantile(distance(sets['held_out'][feature]), 1 - false_alarms,
                                method='higher')
            rows.append({'feature': feature, 'width': fitted.shape[1], 'distance': name,
                         **flagging(distance(sets['in_distribution'][feature]),
                                    distance(sets['ood'][feature]), limit)})
    return sorted(rows, key=lambda row: -row['auroc'])


def flagging(in_distribution: np.ndarray, ood: np.ndarray, limit: float) -> dict[str, float]:
    """
    Measure how well a distance flags OOD samples.

    :param in_distribution: distances of in-distribution samples, shape ``(n,)``.
    :param ood: distances of OOD samples, shape ``(m,)``.
    :param limit: samples above this distance are flagged.
    :returns: ``auroc``; ``false_alarms`` and ``found``, the flagged shares of in-distribution and
        OOD samples; the ``median`` OOD distance and the ``largest`` in-distribution distance as
        multiples of the limit.
    """
    labels = np.repeat([False, True], [len(in_distribution), len(ood)])
    return {'auroc': value_of(auroc, Scored.of(np.concatenate([in_distribution, ood]), labels)),
            'false_alarms': float(np.mean(in_distribution > limit)),
            'found': float(np.mean(ood > limit)), 'median': float(np.median(ood) / limit),
            'largest': float(in_distribution.max() / limit)}


def _mahalanobis(fitted: np.ndarray) -> Distance:
    """Return the distance from a normal distribution."""
    mean, factor = fit_normal(fitted)
    return lambda features: np.linalg.norm((features - mean) @ factor, axis=1)


def _independent(fitted: np.ndarray) -> Distance:
    """Return the distance in standard deviations, as if features were independent."""
    mean, spread = fitted.mean(axis=0), np.maximum(fitted.std(axis=0), 1e-6)
    return lambda features: np.linalg.norm((features - mean) / spread, axis=1)


def _neighbours(fitted: np.ndarray) -> Distance:
    """Return the Mahalanobis distance to the fifth nearest of 200 remembered samples."""
    mean, factor = fit_normal(fitted)
    memory = ((fitted - mean) @ factor)[::max(1, len(fitted) // _MEMORY)]

    def distance(features: np.ndarray) -> np.ndarray:
        gaps = ((features - mean) @ factor)[:, None] - memory[None]
        return np.sort(np.linalg.norm(gaps, axis=2), axis=1)[:, min(_NEIGHBOURS, len(memory)) - 1]
    return distance


_DISTANCES: dict[str, Callable[[np.ndarray], Distance]] = {
    'Mahalanobis': _mahalanobis, 'independent': _independent, 'neighbours': _neighbours}
