"""How sure a mean over scenes is, and whether two arms differ on the same scenes (SciPy)."""

from collections.abc import Callable
from importlib.util import find_spec

from moss_perception.core.errors import MossError, ShapeError
import numpy as np


def require() -> None:
    """
    Check that SciPy is there.

    :raises MossError: if it is missing.
    """
    if find_spec('scipy') is None:
        raise MossError('SciPy is missing, which intervals and tests need: pip install scipy')


def mean_interval(values: np.ndarray, *, level: float = 0.95, repeats: int = 5000,
                  seed: int = 0) -> tuple[float, float]:
    """
    Return a percentile interval of a mean by drawing scenes with replacement.

    :param values: one a scene, shape ``(N,)``; over several seeds their mean.
    :param level: coverage in (0, 1).
    :param repeats: number of draws.
    :param seed: of the draws.
    :returns: lower and upper end; NaN for fewer than two scenes.
    """
    from scipy import stats
    values = np.asarray(values, float)
    if len(values) < 2:
        return float('nan'), float('nan')
    found = stats.bootstrap((values,), np.mean, confidence_level=level, n_resamples=repeats,
                            method='percentile', vectorized=True, batch=1000,
                            rng=np.random.default_rng(seed)).confidence_interval
    return float(found.low), float(found.high)


def measure_interval(measure: Callable[[np.ndarray], float], count: int,
                     repeats: int = 1000) -> tuple[float, float]:
    """
    Return a 95 % percentile interval of what is measured of scenes drawn with replacement.

    :param measure: takes the indices of the scenes that are drawn, int, shape ``(count,)``.
    :param count: number of scenes, at least 2.
    :param repeats: number of draws.
    :returns: lower and upper end.
    """
    from scipy import stats
    found = stats.bootstrap((np.arange(count),), measure, vectorized=False, n_resamples=repeats,
                            method='percentile',
                            rng=np.random.default_rng(0)).confidence_interval
    return float(found.low), float(found.high)


def paired_test(ours: np.ndarray, theirs: np.ndarray, *, repeats: int = 9999,
                seed: int = 0) -> dict[str, float]:
    """
    Compare two arms on the same scenes.

    :param ours: one value a scene, shape ``(N,)``, or one a training seed and scene, ``(S, N)``:
        seeds are averaged first, so that scenes are what is drawn.
    :param theirs: of the same shape.
    :param repeats: number of draws.
    :param seed: of the draws.
    :returns: ``difference`` of the means, its 95 % interval ``low`` to ``high`` (paired
        bootstrap), and ``p`` (two-sided, the signs of the differences flipped at random).
    :raises ShapeError: if the shapes differ.
    """
    from scipy import stats
    ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
    if ours.shape != theirs.shape or ours.ndim not in (1, 2):
        raise ShapeError('expected values of the same scenes and seeds, got '
                         f'{ours.shape} and {theirs.shape}')
    gaps = np.atleast_2d(ours - theirs).mean(axis=0)
    low, high = mean_interval(gaps, repeats=repeats, seed=seed)
    p = 1.0
    if len(gaps) > 1 and gaps.any():
        p = stats.permutation_test((gaps,), lambda x, axis: np.mean(x, axis=axis),
                                   permutation_type='samples', vectorized=True, batch=1000,
                                   n_resamples=repeats, rng=np.random.default_rng(seed)).pvalue
    return {'difference': float(gaps.mean()) if len(gaps) else float('nan'), 'low': low,
            'high': high, 'p': float(p)}
