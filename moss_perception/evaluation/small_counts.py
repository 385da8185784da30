"""
Bounds that hold for few attempts, where the bootstrap is too sure.

Drawn from three attempts that are ranked without an error, every bootstrap sample is ranked
without one, and the interval of the AUROC shrinks to 1. The bounds here follow from the counts of
both outcomes instead. :func:`moss_perception.evaluation.intervals.measure_interval` uses the wider
of both.

Sources: AUROC: R. G. Newcombe, Confidence intervals for an effect size measure based on the
Mann-Whitney statistic, part 2, Statistics in Medicine 25 (2006), method 5. Average precision:
K. Boyd, K. H. Eng and C. D. Page, Area under the precision-recall curve, ECML PKDD 2013, the
binomial interval, with Wilson's bounds. Balanced accuracy: A. Donner and G. Y. Zou, Closed-form
confidence intervals for functions of the normal mean and standard deviation, Statistical Methods
in Medical Research 21 (2012), of two Wilson intervals.
"""

import math

from moss_perception.evaluation.metrics import Scored
import numpy as np

LEAST_OF_EACH = 5
"""Fewest scored attempts of each outcome for a figure that compares successes with failures."""

LEAST_ATTEMPTS = 2 * LEAST_OF_EACH
"""Fewest scored attempts for the interval of any other figure of scores."""

FEW = 50
"""With fewer attempts of an outcome, the bounds here widen those of the bootstrap."""

# Quantile of the normal distribution for a level of 95 %.
_Z = 1.959963984540054
_STEPS = 60


def counts_of_each(sample: Scored) -> tuple[int, int]:
    """Return the numbers of episodes with a success and of episodes with a failure."""
    return (len(np.unique(sample.episodes[sample.labels])),
            len(np.unique(sample.episodes[~sample.labels])))


def too_few(sample: Scored) -> str:
    """Say why successes can't be compared with failures; empty if there are enough."""
    if not len(sample):
        return 'no attempt has a score'
    held = int(sample.labels.sum())
    if held in (0, len(sample)):
        return f'all {len(sample)} scored attempts are {"successes" if held else "failures"}'
    if min(held, len(sample) - held) < LEAST_OF_EACH:
        return (f'it needs at least {LEAST_OF_EACH} scored successes and {LEAST_OF_EACH} scored '
                f'failures, and there are {held} and {len(sample) - held}')
    return ''


def wilson_bounds(share: float, total: float) -> tuple[float, float]:
    """
    Bound a share by Wilson's score interval.

    :param share: in [0, 1].
    :param total: number of trials, above 0; need not be whole.
    """
    square = _Z * _Z / total
    middle = share + square / 2
    reach = math.sqrt(square * (share * (1 - share) + square / 4))
    return max(0.0, (middle - reach) / (1 + square)), min(1.0, (middle + reach) / (1 + square))


def auroc_bounds(area: float, successes: int, failures: int) -> tuple[float, float]:
    """
    Bound an AUROC by Newcombe's method 5.

    The bounds are the areas at which the observed one is just as far away as 1.96 standard
    errors, where the standard error is that of the bound, not of the observed area.

    :param area: in [0, 1].
    :param successes: number of independent successes, at least 1; ``failures`` likewise.
    """
    pairs, mean = successes * failures, (successes + failures) / 2 - 1

    def beyond(bound: float) -> bool:
        spread = (1 - bound) / (2 - bound) + bound / (1 + bound)
        variance = bound * (1 - bound) * (1 + mean * spread) / pairs
        return (area - bound) ** 2 > _Z * _Z * variance

    return _edge(beyond, 0.0, area), _edge(beyond, 1.0, area)


def _edge(beyond, outside: float, inside: float) -> float:
    """Find the bound between a value that is too far away and one that is not."""
    if not beyond(outside):
        return outside
    for _ in range(_STEPS):
        middle = (outside + inside) / 2
        outside, inside = (middle, inside) if beyond(middle) else (outside, middle)
    return outside


def average_precision_bounds(value: float, successes: int) -> tuple[float, float]:
    """Bound an average precision as a share of the successes."""
    return wilson_bounds(value, successes)


def balanced_accuracy_bounds(sample: Scored, threshold: float) -> tuple[float, float]:
    """Bound the mean of the two rates by the method of variance estimates recovery."""
    predicted = sample.scores >= threshold
    below = above = middle = 0.0
    for outcome, count in zip((True, False), counts_of_each(sample), strict=True):
        rate = float((predicted[sample.labels == outcome] == outcome).mean())
        low, high = wilson_bounds(rate, count)
        middle += rate / 2
        below, above = math.hypot(below, (rate - low) / 2), math.hypot(above, (high - rate) / 2)
    return middle - below, middle + above
