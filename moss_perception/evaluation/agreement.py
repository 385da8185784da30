"""Agreement of two rankings of checkpoints: Pearson's correlation and MMRV, as in SIMPLER."""

from dataclasses import dataclass
from typing import Any

from moss_perception.core.errors import ShapeError
import numpy as np


@dataclass(frozen=True)
class Agreement:
    """
    How well the ranking in simulation predicts the ranking in another domain.

    :ivar pearson: correlation in [-1, 1]; NaN for fewer than three checkpoints.
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


def agreement(simulated: np.ndarray, real: np.ndarray) -> Agreement:
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
