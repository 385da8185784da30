"""
Confidence intervals, and a paired test of two models.

There is one function for each kind of value. :func:`bootstrap_interval` bounds a measure of
scores, :func:`mean_interval` a mean over scenes and :func:`statistic_interval` any statistic of
scenes; all three use the bootstrap. :func:`wilson` bounds a share, and
:func:`difference_of_shares` the difference of two independent shares.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from moss_perception.core.errors import MossError, ShapeError
from moss_perception.evaluation.metrics import Measure, Scored, value_of
import numpy as np

REPEATS = 2000
LEVEL = 0.95
# Largest number of values in an array of draws, to limit memory.
_BLOCK = 1_000_000


@dataclass(frozen=True)
class Interval:
    """
    A value with its interval; numbers are NaN if undefined.

    :ivar low: lower bound of the 95 % interval.
    :ivar high: upper bound.
    :ivar why: why the value is undefined or the interval limited; else empty.
    """

    value: float = float('nan')
    low: float = float('nan')
    high: float = float('nan')
    why: str = ''

    @property
    def defined(self) -> bool:
        """Whether the value is defined."""
        return bool(np.isfinite(self.value))


def require() -> None:
    """
    Check that SciPy is installed.

    :raises MossError: if it is missing.
    """
    if find_spec('scipy') is None:
        raise MossError('SciPy is missing, which intervals and tests need: pip install scipy')


def draw(sample: Scored, measures: Mapping[str, Measure], *, repeats: int = REPEATS,
         seed: int = 0) -> dict[str, np.ndarray]:
    """
    Compute measures of episodes drawn with replacement.

    The same episodes and seed give the same draws, so that differences of two checkpoints on the
    same attempts are paired.

    :returns: by name, float64, shape ``(repeats,)``; NaN if a draw leaves the measure undefined.
    """
    if not len(sample):
        return {name: np.full(repeats, np.nan) for name in measures}
    found = [{name: measure(sample, weights) for name, measure in measures.items()}
             for weights in _weights(sample.episodes, repeats, seed)]
    return {name: np.concatenate([part[name] for part in found]) for name in measures}


def _weights(episodes: np.ndarray, repeats: int, seed: int) -> Iterator[np.ndarray]:
    generator = np.random.default_rng(seed)
    _, which = np.unique(episodes, return_inverse=True)
    count = int(which.max()) + 1
    rows = max(1, _BLOCK // len(which))
    for begin in range(0, repeats, rows):
        size = min(rows, repeats - begin)
        # Many times as fast as drawing multinomial counts.
        drawn = generator.integers(count, size=(size, count)) + count * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        yield counts[:, which].astype(float)


def percentile_interval(value: float, drawn: np.ndarray, why: str = '') -> Interval:
    """
    Compute a percentile interval of draws.

    :param value: value of the measure on the original attempts.
    :param drawn: shape ``(R,)``; undefined draws are left out.
    :param why: reason to give if ``value`` is undefined.
    """
    if not np.isfinite(value):
        return Interval(why=why)
    known = drawn[np.isfinite(drawn)]
    if len(known) < len(drawn) / 2:
        return Interval(value, why='too few attempts for an interval')
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # A perfect ranking stays perfect in every draw, which does not make it certain.
    note = 'no draw differs, so the interval is too narrow' if low == high else ''
    return Interval(float(value), float(low), float(high), note)


def bootstrap_interval(measure: Measure, sample: Scored, why: str = '', *,
                       repeats: int = REPEATS, seed: int = 0) -> Interval:
    """
    Bound a measure of scores by drawing episodes with replacement.

    :param why: reason to give if the measure is undefined.
    :param repeats: number of draws; for these and ``seed`` see :func:`draw`.
    """
    drawn = draw(sample, {'it': measure}, repeats=repeats, seed=seed)['it']
    return percentile_interval(value_of(measure, sample), drawn, why)


def mean_interval(values: np.ndarray, *, repeats: int = REPEATS, seed: int = 0) -> Interval:
    """
    Bound a mean over scenes by drawing scenes with replacement.

    :param values: one value per scene, shape ``(N,)``, averaged over training seeds if several.
    :returns: the mean, without bounds for fewer than two scenes.
    """
    values = np.asarray(values, float)
    if len(values) < 2:
        return Interval(float(values.mean()) if len(values) else float('nan'),
                        why='an interval needs at least two scenes')
    drawn = np.concatenate([weights @ values / len(values)
                            for weights in _weights(np.arange(len(values)), repeats, seed)])
    return percentile_interval(float(values.mean()), drawn)


def statistic_interval(statistic: Callable[[np.ndarray], float], count: int, *,
                       repeats: int = 1000, seed: int = 0) -> Interval:
    """
    Bound any statistic of scenes by drawing scenes with replacement.

    :param statistic: takes the indices of the drawn scenes, int, shape ``(count,)``.
    :param count: number of scenes, at least 2.
    """
    scenes = np.arange(count)
    drawn = np.array([statistic(np.repeat(scenes, row.astype(int)))
                      for weights in _weights(scenes, repeats, seed) for row in weights])
    return percentile_interval(statistic(scenes), drawn)


def wilson(count: int, total: int) -> Interval:
    """
    Bound a share by Wilson's interval.

    :param count: numerator, 0 to ``total``.
    :param total: denominator; the share is undefined if it is 0.
    """
    from scipy import stats
    if not total:
        return Interval(why='there are none')
    found = stats.binomtest(count, total).proportion_ci(LEVEL, method='wilson')
    return Interval(count / total, float(found.low), float(found.high))


def difference_of_shares(first: Interval, second: Interval) -> Interval:
    """
    Bound the difference of two independent shares (Newcombe's hybrid of Wilson intervals).

    :returns: first minus second.
    """
    if not (first.defined and second.defined):
        return Interval(why=first.why or second.why)
    gap = first.value - second.value
    below = np.hypot(first.value - first.low, second.high - second.value)
    above = np.hypot(first.high - first.value, second.value - second.low)
    return Interval(gap, float(gap - below), float(gap + above))


def paired_test(ours: np.ndarray, theirs: np.ndarray, *, repeats: int = 9999,
                seed: int = 0) -> dict[str, float]:
    """
    Compare two models on the same scenes.

    :param ours: one value per scene, shape ``(N,)``, or per training seed and scene, ``(S, N)``;
        the test first averages over seeds, then draws scenes.
    :param theirs: values of the other model, of the same shape.
    :returns: ``difference`` of the means, its 95 % interval ``low`` to ``high`` (paired
        bootstrap), and ``p`` (two-sided sign-flip permutation test).
    :raises ShapeError: if the shapes differ.
    """
    from scipy import stats
    ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
    if ours.shape != theirs.shape or ours.ndim not in (1, 2):
        raise ShapeError('expected values of the same scenes and seeds, got '
                         f'{ours.shape} and {theirs.shape}')
    gaps = np.atleast_2d(ours - theirs).mean(axis=0)
    mean = mean_interval(gaps, repeats=repeats, seed=seed)
    p = 1.0
    if len(gaps) > 1 and gaps.any():
        p = stats.permutation_test((gaps,), lambda x, axis: np.mean(x, axis=axis),
                                   permutation_type='samples', vectorized=True, batch=1000,
                                   n_resamples=repeats, rng=np.random.default_rng(seed)).pvalue
    return {'difference': mean.value, 'low': mean.low, 'high': mean.high, 'p': float(p)}
