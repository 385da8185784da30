"""Calibration of scores: reliability diagrams and temperature scaling."""

from dataclasses import dataclass

from moss_perception.core.calibration import fit_temperature, TEMPERATURE_BOUNDS
from moss_perception.evaluation.intervals import Interval, wilson
from moss_perception.evaluation.metrics import ece, Scored, value_of
import numpy as np

# Fewest attempts of each outcome for fitting a temperature.
LEAST_OF_EACH = 5
_FOLDS = 5
_MANY = 100
# A score of exactly 0 or 1 has no logit.
_EDGE = 1e-6


@dataclass(frozen=True)
class Bin:
    """
    Attempts with similar scores.

    :ivar score: mean score.
    :ivar held: success rate with Wilson's interval.
    :ivar count: number of attempts.
    """

    score: float
    held: Interval
    count: int


@dataclass(frozen=True)
class Temperature:
    """
    A divisor of the scores' logits.

    :ivar value: above 1 scores become less confident, below 1 more; NaN if not fitted.
    :ivar domain: domain of the attempts that it was fitted to.
    :ivar attempts: number of these attempts.
    :ivar why: why it was not fitted; else empty.
    """

    value: float
    domain: str
    attempts: int
    why: str = ''

    @property
    def fitted(self) -> bool:
        """Whether the temperature was fitted."""
        return bool(np.isfinite(self.value))


def reliability_bins(sample: Scored) -> list[Bin]:
    """Sort attempts into bins of equal width: ten of them, five for fewer than 100 attempts."""
    count = 10 if len(sample) >= _MANY else 5
    which = np.minimum((sample.scores * count).astype(int), count - 1)
    members = [which == number for number in np.unique(which)]
    return [Bin(float(sample.scores[of].mean()),
                wilson(int(sample.labels[of].sum()), int(of.sum())), int(of.sum()))
            for of in members]


def scale(scores: np.ndarray, temperature: float) -> np.ndarray:
    """
    Divide the scores' logits by a temperature.

    :param scores: in [0, 1].
    :returns: of the same shape, in [0, 1].
    """
    return 0.5 * (1 + np.tanh(_logit(scores) / temperature / 2))


def _logit(scores: np.ndarray) -> np.ndarray:
    clipped = np.clip(scores, _EDGE, 1 - _EDGE)
    return np.log(clipped) - np.log1p(-clipped)


def cross_entropy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean negative log likelihood of the outcomes, in nats; NaN without any."""
    if not len(scores):
        return float('nan')
    clipped = np.clip(scores, _EDGE, 1 - _EDGE)
    return float(-np.log(np.where(labels, clipped, 1 - clipped)).mean())


def reference_temperature(sample: Scored, domain: str) -> Temperature:
    """
    Fit a temperature to a domain's attempts, if there are enough.

    :param sample: attempts of the domain, usually of the simulation.
    """
    held, total = int(sample.labels.sum()), len(sample)
    if min(held, total - held) < LEAST_OF_EACH:
        return Temperature(float('nan'), domain, total,
                           f'{domain} has {held} successes and {total - held} failures with a '
                           f'score: expected at least {LEAST_OF_EACH} of each')
    value = fit_temperature(_logit(sample.scores)[:, None], sample.labels)
    lowest, highest = TEMPERATURE_BOUNDS
    if lowest * 1.01 <= value <= highest / 1.01:
        return Temperature(value, domain, total)
    return Temperature(float('nan'), domain, total,
                       f'on {domain} the best temperature lies outside {lowest:g} to {highest:g}, '
                       'for example because the scores separate all outcomes, or none')


def scale_across(sample: Scored) -> np.ndarray:
    """
    Scale each episode by a temperature fitted to other episodes (cross-validation).

    A temperature looks too good on the attempts that it was fitted to.

    :returns: scores, shape ``(N,)``; unchanged if the others have only one outcome.
    """
    episodes = np.unique(sample.episodes)
    folds = np.random.default_rng(0).permutation(len(episodes)) % _FOLDS
    scaled = sample.scores.copy()
    for fold in range(_FOLDS):
        mine = np.isin(sample.episodes, episodes[folds == fold])
        labels = sample.labels[~mine]
        if mine.any() and labels.any() and not labels.all():
            scaled[mine] = scale(sample.scores[mine],
                                 fit_temperature(_logit(sample.scores[~mine])[:, None], labels))
    return scaled


def chance_ece(scores: np.ndarray, repeats: int = 500) -> tuple[float, float]:
    """
    Compute the calibration error (ECE) that perfectly calibrated scores have by chance.

    :param scores: shape ``(N,)``; outcomes are drawn with these probabilities.
    :returns: mean and 95th percentile; NaN without scores.
    """
    if not len(scores):
        return float('nan'), float('nan')
    outcomes = np.random.default_rng(0).random((repeats, len(scores))) < scores
    values = [value_of(ece, Scored(scores, drawn, np.arange(len(scores)))) for drawn in outcomes]
    return float(np.mean(values)), float(np.quantile(values, 0.95))
