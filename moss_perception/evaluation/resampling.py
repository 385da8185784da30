"""Intervals by drawing episodes with replacement: many measures of the same draws at once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from moss_perception.core.errors import ShapeError
import numpy as np

REPEATS = 2000
LEVEL = 0.95
ECE_BINS = 10
# So many numbers in one array of draws keep memory small whatever the number of attempts.
_BLOCK = 1_000_000


@dataclass(frozen=True)
class Interval:
    """
    A figure and how sure it is.

    :ivar value: NaN where it is undefined.
    :ivar low: lower end of the 95 % interval, NaN likewise.
    :ivar high: upper end.
    :ivar why: in words, why it is undefined, or what limits the interval; else empty.
    """

    value: float = float('nan')
    low: float = float('nan')
    high: float = float('nan')
    why: str = ''

    @property
    def defined(self) -> bool:
        """Whether there is a figure."""
        return bool(np.isfinite(self.value))


@dataclass(frozen=True)
class Scored:
    """
    Scores with their outcomes.

    :ivar scores: probabilities of success, float64, shape ``(N,)``, finite.
    :ivar labels: bool, shape ``(N,)``.
    :ivar episodes: what is drawn as a whole, integers, shape ``(N,)``.
    :raises ShapeError: if the lengths differ.
    """

    scores: np.ndarray
    labels: np.ndarray
    episodes: np.ndarray

    def __post_init__(self):
        shapes = {np.shape(self.scores), np.shape(self.labels), np.shape(self.episodes)}
        if len(shapes) != 1 or np.ndim(self.scores) != 1:
            raise ShapeError('expected scores, labels and episodes of one length, got '
                             f'{sorted(shapes)}')

    def __len__(self) -> int:
        return len(self.scores)


Measure = Callable[[Scored, np.ndarray], np.ndarray]


def auroc(sample: Scored, weights: np.ndarray) -> np.ndarray:
    """
    Compute areas under the ROC curve.

    :param weights: how often each attempt counts, shape ``(R, N)``.
    :returns: float64, shape ``(R,)``; ties count half, NaN where only one class is left.
    """
    won, lost = _by_score(sample, weights)
    below = np.cumsum(lost, axis=1) - lost
    return _ratio((won * (below + lost / 2)).sum(axis=1), won.sum(axis=1) * lost.sum(axis=1))


def auprc(sample: Scored, weights: np.ndarray) -> np.ndarray:
    """
    Compute average precision: the area under the steps of the precision-recall curve.

    :param weights: shape ``(R, N)``.
    :returns: float64, shape ``(R,)``; NaN where only one class is left: without failures it is 1
        for any scores.
    """
    won, lost = (part[:, ::-1] for part in _by_score(sample, weights))
    true, false = np.cumsum(won, axis=1), np.cumsum(lost, axis=1)
    area = (won * true / np.maximum(true + false, 1e-300)).sum(axis=1)
    both = (true[:, -1] > 0) & (false[:, -1] > 0)
    return np.where(both, _ratio(area, true[:, -1]), np.nan)


def brier(sample: Scored, weights: np.ndarray) -> np.ndarray:
    """Compute mean squared differences of score and outcome, in [0, 1]; see :func:`auroc`."""
    return _ratio(weights @ (sample.scores - sample.labels) ** 2, weights.sum(axis=1))


def ece(sample: Scored, weights: np.ndarray) -> np.ndarray:
    """Compute expected calibration errors over ten bins of equal width; see :func:`auroc`."""
    which = np.minimum((sample.scores * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.zeros((len(sample), ECE_BINS))
    gaps[np.arange(len(sample)), which] = sample.scores - sample.labels
    return _ratio(np.abs(weights @ gaps).sum(axis=1), weights.sum(axis=1))


def balanced_accuracy(sample: Scored, weights: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Compute the mean of the shares of successes and of failures that are told rightly."""
    said = sample.scores >= threshold
    shares = [_ratio(weights[:, of] @ (said[of] == outcome), weights[:, of].sum(axis=1))
              for outcome, of in ((True, sample.labels), (False, ~sample.labels))]
    return (shares[0] + shares[1]) / 2


MEASURES: dict[str, Measure] = {'auroc': auroc, 'auprc': auprc, 'brier': brier, 'ece': ece,
                                'balanced_accuracy': balanced_accuracy}
# These compare successes with failures.
NEED_BOTH = ('auroc', 'auprc', 'balanced_accuracy')


def _by_score(sample: Scored, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum the weights of successes and of failures at each score, lowest first."""
    order = np.argsort(sample.scores, kind='stable')
    ordered = sample.scores[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    weights, labels = weights[:, order].astype(float), sample.labels[order]
    return (np.add.reduceat(weights * labels, starts, axis=1),
            np.add.reduceat(weights * ~labels, starts, axis=1))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.where(below > 0, above / below, np.nan)


def value_of(measure: Measure, sample: Scored) -> float:
    """Compute a measure of the attempts themselves; NaN where it is undefined."""
    if not len(sample):
        return float('nan')
    return float(measure(sample, np.ones((1, len(sample))))[0])


def draw(sample: Scored, measures: dict[str, Measure], *, repeats: int = REPEATS,
         seed: int = 0) -> dict[str, np.ndarray]:
    """
    Compute measures of episodes drawn with replacement.

    The same episodes and seed give the same draws: differences of two checkpoints on the same
    attempts are paired.

    :returns: by name, float64, shape ``(repeats,)``, NaN where a draw leaves one undefined.
    """
    found: dict[str, list] = {name: [] for name in measures}
    if not len(sample):
        return {name: np.full(repeats, np.nan) for name in measures}
    for weights in _weights(sample.episodes, repeats, seed):
        for name, measure in measures.items():
            found[name].append(measure(sample, weights))
    return {name: np.concatenate(parts) for name, parts in found.items()}


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
    Make a percentile interval of draws.

    :param value: of the attempts themselves.
    :param drawn: shape ``(R,)``; draws that are undefined are left out.
    :param why: why ``value`` is undefined, should it be.
    """
    if not np.isfinite(value):
        return Interval(why=why)
    known = drawn[np.isfinite(drawn)]
    if len(known) < len(drawn) / 2:
        return Interval(value, why='too few attempts for an interval')
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # A perfect order stays perfect in every draw, which makes nothing certain.
    note = 'no draw differs, so the interval is too narrow' if low == high else ''
    return Interval(float(value), float(low), float(high), note)


def wilson(count: int, total: int) -> Interval:
    """
    Bound a share by Wilson's interval.

    :param count: of those that count, 0 to ``total``.
    :param total: of all; of none the share is undefined.
    """
    from scipy import stats
    if not total:
        return Interval(why='there are none')
    found = stats.binomtest(count, total).proportion_ci(LEVEL, method='wilson')
    return Interval(count / total, float(found.low), float(found.high))


def difference_of_shares(first: Interval, second: Interval) -> Interval:
    """
    Bound the difference of two independent shares (Newcombe's hybrid of Wilson intervals).

    :returns: first less second.
    """
    if not (first.defined and second.defined):
        return Interval(why=first.why or second.why)
    gap = first.value - second.value
    below = np.hypot(first.value - first.low, second.high - second.value)
    above = np.hypot(first.high - first.value, second.value - second.low)
    return Interval(gap, float(gap - below), float(gap + above))
