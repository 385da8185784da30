"""
Confidence intervals, and a paired test of two models.

There is one function for each kind of value. :func:`measure_interval` bounds a measure of scores
over attempts, however few; :func:`bootstrap_interval` any measure of many,
:func:`mean_interval` a mean over scenes and :func:`statistic_interval` any statistic of
scenes; these use the bootstrap. :func:`wilson` bounds a share, and
:func:`difference_of_shares` the difference of two independent values with intervals.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec

from moss_perception.core.errors import MossError, ShapeError
from moss_perception.evaluation import small_counts
from moss_perception.evaluation.metrics import (
    balanced_accuracy,
    Measure,
    MEASURES,
    NEED_BOTH,
    Scored,
    value_of,
)
import numpy as np

REPEATS = 2000
LEVEL = 0.95
# Draws of fewer differ too little, and their interval would be too narrow.
_LEAST_RECORDINGS = 5
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


def percentile_interval(value: float, drawn: np.ndarray, why: str = '',
                        count: int | None = None) -> Interval:
    """
    Compute a percentile interval of draws.

    :param value: value of the measure on the original attempts.
    :param drawn: shape ``(R,)``; undefined draws are left out.
    :param why: reason to give if ``value`` is undefined.
    :param count: number of independent values that the draws are of, to expand the percentiles
        for few; ``None`` to leave them as they are.
    """
    if not np.isfinite(value):
        return Interval(why=why)
    known = drawn[np.isfinite(drawn)]
    if len(known) < len(drawn) / 2:
        return Interval(value, why='too few attempts for an interval')
    tail = (1 - LEVEL) / 2 if count is None else _tail(count)
    low, high = np.quantile(known, [tail, 1 - tail])
    # A perfect ranking stays perfect in every draw, which does not make it certain.
    note = 'no draw differs, so the interval is too narrow' if low == high else ''
    return Interval(float(value), float(low), float(high), note)


def _tail(count: int) -> float:
    """Return the share of draws beyond each bound, so that few values get a wider interval."""
    from scipy import stats
    if count < 2:
        return 0.0
    reach = np.sqrt(count / (count - 1)) * stats.t.ppf((1 + LEVEL) / 2, count - 1)
    return float(stats.norm.cdf(-reach))


def bootstrap_interval(measure: Measure, sample: Scored, why: str = '', *,
                       repeats: int = REPEATS, seed: int = 0) -> Interval:
    """
    Bound a measure of scores by drawing episodes with replacement.

    :param why: reason to give if the measure is undefined.
    :param repeats: number of draws; for these and ``seed`` see :func:`draw`.
    """
    drawn = draw(sample, {'it': measure}, repeats=repeats, seed=seed)['it']
    return percentile_interval(value_of(measure, sample), drawn, why)


def measure_interval(name: str, sample: Scored, *, threshold: float = 0.5,
                     drawn: np.ndarray | None = None, repeats: int = REPEATS,
                     seed: int = 0) -> Interval:
    """
    Bound a measure of scores; the interval also holds for few attempts.

    Measures that compare successes with failures get the wider of the bootstrap's interval and
    the bounds of :mod:`moss_perception.evaluation.small_counts`, up to
    :data:`~moss_perception.evaluation.small_counts.FEW` attempts of an outcome or if no draw
    differs. The percentiles of the others are expanded by the t distribution (T. Hesterberg, What
    teachers should know about the bootstrap, The American Statistician 69, 2015). Those of the
    ECE are then reflected at the value: draws have fewer different attempts, so a higher ECE.

    :param name: a key of :data:`moss_perception.evaluation.metrics.MEASURES`.
    :param threshold: lowest score that predicts a success, for the balanced accuracy.
    :param drawn: draws of the measure, shape ``(R,)``; ``None`` to draw them with ``seed``.
    :returns: undefined with the reason if there are too few attempts.
    """
    both = name in NEED_BOTH
    why = small_counts.too_few(sample) if both else '' if len(sample) else 'no attempt has a score'
    if why:
        return Interval(why=why)
    measure = measure_of(name, threshold)
    value = value_of(measure, sample)
    if not both and len(sample) < small_counts.LEAST_ATTEMPTS:
        return Interval(value, why='an interval needs at least '
                                   f'{small_counts.LEAST_ATTEMPTS} scored attempts')
    if drawn is None:
        drawn = draw(sample, {name: measure}, repeats=repeats, seed=seed)[name]
    if not both:
        found = percentile_interval(value, drawn, count=len(np.unique(sample.episodes)))
        return _reflected(found) if name == 'ece' else found
    found, counts = percentile_interval(value, drawn), small_counts.counts_of_each(sample)
    if min(counts) >= small_counts.FEW and found.low < found.high:
        return found
    return hull(found, *(
        small_counts.auroc_bounds(value, *counts) if name == 'auroc' else
        small_counts.average_precision_bounds(value, counts[0]) if name == 'auprc' else
        small_counts.balanced_accuracy_bounds(sample, threshold)))


def _reflected(found: Interval) -> Interval:
    """Reflect an interval at its value: the basic bootstrap, in [0, 1] and with the value."""
    if not np.isfinite(found.low):
        return found
    low, high = 2 * found.value - found.high, 2 * found.value - found.low
    return replace(found, low=max(0.0, min(low, found.value)),
                   high=min(1.0, max(high, found.value)))


def measure_of(name: str, threshold: float) -> Measure:
    """Return a measure by name, with the threshold of the balanced accuracy."""
    if name != 'balanced_accuracy':
        return MEASURES[name]
    return lambda sample, weights: balanced_accuracy(sample, weights, threshold)


def hull(found: Interval, low: float, high: float) -> Interval:
    """Widen an interval, so that it includes other bounds too; bounds that are NaN do not."""
    return Interval(found.value, float(np.fmin(found.low, low)), float(np.fmax(found.high, high)))


def few_recordings(count: int) -> str:
    """Return why recordings can't be drawn for an interval; empty if they are enough."""
    return '' if count >= _LEAST_RECORDINGS else (
        f'an interval needs at least {_LEAST_RECORDINGS} recordings')


def mean_interval(values: np.ndarray, groups: np.ndarray | None = None, *,
                  repeats: int = REPEATS, seed: int = 0) -> Interval:
    """
    Bound a mean over scenes by drawing scenes, or groups of them, with replacement.

    :param values: one value per scene, shape ``(N,)``, averaged over training seeds if several.
    :param groups: of each scene, shape ``(N,)``; a draw's mean is that of the scenes that it has.
        ``None`` if each scene stands alone.
    :returns: the mean, without bounds for fewer than two scenes or groups.
    """
    values = np.asarray(values, float)
    which = np.arange(len(values)) if groups is None else np.asarray(groups)
    if len(np.unique(which)) < 2:
        return Interval(float(values.mean()) if len(values) else float('nan'),
                        why='an interval needs at least two '
                            + ('scenes' if groups is None else 'groups'))
    drawn = np.concatenate([weights @ values / weights.sum(axis=1)
                            for weights in _weights(which, repeats, seed)])
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
    if not total:
        return Interval(why='there are none')
    return Interval(count / total, *small_counts.wilson_bounds(count / total, total))


def difference_of_shares(first: Interval, second: Interval) -> Interval:
    """
    Bound the difference of two independent values, such as shares, by their intervals.

    For shares with Wilson's intervals this is Newcombe's hybrid method.

    :returns: first minus second.
    """
    if not (first.defined and second.defined):
        return Interval(why=first.why or second.why)
    gap = first.value - second.value
    below = np.hypot(first.value - first.low, second.high - second.value)
    above = np.hypot(first.high - first.value, second.value - second.low)
    return Interval(gap, float(gap - below), float(gap + above))


def paired_test(ours: np.ndarray, theirs: np.ndarray, groups: np.ndarray | None = None, *,
                repeats: int = 9999, seed: int = 0) -> dict[str, float]:
    """
    Compare two models on the same scenes.

    :param ours: one value per scene, shape ``(N,)``, or per training seed and scene, ``(S, N)``;
        the test first averages over seeds, then draws scenes.
    :param theirs: values of the other model, of the same shape.
    :param groups: of each scene, shape ``(N,)``, which are drawn and whose signs are flipped as
        one; ``None`` if each scene stands alone.
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
    mean = mean_interval(gaps, groups, repeats=repeats, seed=seed)
    sums = gaps if groups is None else np.bincount(
        np.unique(groups, return_inverse=True)[1], gaps)
    p = 1.0
    if len(sums) > 1 and sums.any():
        p = stats.permutation_test((sums,), lambda x, axis: np.mean(x, axis=axis),
                                   permutation_type='samples', vectorized=True, batch=1000,
                                   n_resamples=repeats, rng=np.random.default_rng(seed)).pvalue
    return {'difference': mean.value, 'low': mean.low, 'high': mean.high, 'p': float(p)}
