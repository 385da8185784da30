"""Measures of scores against outcomes, vectorised over weightings of the attempts."""

from collections.abc import Callable
from dataclasses import dataclass

from moss_perception.core.errors import ShapeError
import numpy as np

ECE_BINS = 10


@dataclass(frozen=True)
class Scored:
    """
    Scores with their outcomes.

    :ivar scores: probabilities of success, float64, shape ``(N,)``, finite.
    :ivar labels: bool, shape ``(N,)``.
    :ivar episodes: integers, shape ``(N,)``; attempts of one episode are drawn together.
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

    @classmethod
    def of(cls, scores: np.ndarray, labels: np.ndarray,
           episodes: np.ndarray | None = None) -> 'Scored':
        """Convert plain arrays; without ``episodes`` each attempt is an episode of its own."""
        return cls(np.asarray(scores, float), np.asarray(labels, bool),
                   np.arange(len(scores)) if episodes is None else np.asarray(episodes))


Measure = Callable[[Scored, np.ndarray], np.ndarray]


def auroc(sample: Scored, weights: np.ndarray) -> np.ndarray:
    """
    Compute areas under the ROC curve.

    :param weights: weight of each attempt, shape ``(R, N)``.
    :returns: float64, shape ``(R,)``; ties count half; NaN if only one class has weight.
    """
    won, lost = _by_score(sample, weights)
    below = np.cumsum(lost, axis=1) - lost
    return _ratio((won * (below + lost / 2)).sum(axis=1), won.sum(axis=1) * lost.sum(axis=1))


def auprc(sample: Scored, weights: np.ndarray) -> np.ndarray:
    """
    Compute average precision: the area under the steps of the precision-recall curve.

    :param weights: shape ``(R, N)``.
    :returns: float64, shape ``(R,)``; NaN if only one class has weight, since it is 1 without
        failures for any scores.
    """
    won, lost = (part[:, ::-1] for part in _by_score(sample, weights))
    true, false = np.cumsum(won, axis=1), np.cumsum(lost, axis=1)
    area = (won * true / np.maximum(true + false, 1e-300)).sum(axis=1)
    both = (true[:, -1] > 0) & (false[:, -1] > 0)
    return np.where(both, _ratio(area, true[:, -1]), np.nan)


def brier(sample: Scored, weights: np.ndarray) -> np.ndarray:
    """Compute mean squared errors of the score, in [0, 1]; see :func:`auroc`."""
    return _ratio(weights @ (sample.scores - sample.labels) ** 2, weights.sum(axis=1))


def ece(sample: Scored, weights: np.ndarray) -> np.ndarray:
    """Compute expected calibration errors over ten bins of equal width; see :func:`auroc`."""
    which = np.minimum((sample.scores * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.zeros((len(sample), ECE_BINS))
    gaps[np.arange(len(sample)), which] = sample.scores - sample.labels
    return _ratio(np.abs(weights @ gaps).sum(axis=1), weights.sum(axis=1))


def balanced_accuracy(sample: Scored, weights: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Compute the mean of the true positive rate and the true negative rate."""
    predicted = sample.scores >= threshold
    shares = [_ratio(weights[:, of] @ (predicted[of] == outcome), weights[:, of].sum(axis=1))
              for outcome, of in ((True, sample.labels), (False, ~sample.labels))]
    return (shares[0] + shares[1]) / 2


MEASURES: dict[str, Measure] = {'auroc': auroc, 'auprc': auprc, 'brier': brier, 'ece': ece,
                                'balanced_accuracy': balanced_accuracy}
# Measures that need successes and failures.
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
    """Compute a measure with equal weights; NaN if it is undefined."""
    if not len(sample):
        return float('nan')
    return float(measure(sample, np.ones((1, len(sample))))[0])
