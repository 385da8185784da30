"""Whether scores are probabilities: bins of a reliability diagram, and temperature scaling."""

from dataclasses import dataclass

from moss_perception.core.calibration import fit_temperature, TEMPERATURE_BOUNDS
from moss_perception.evaluation.intervals import Interval, wilson
from moss_perception.evaluation.measures import ece, Scored, value_of
import numpy as np

# So many of each outcome are the least that a temperature is fitted to.
LEAST_OF_EACH = 5
_FOLDS = 5
_MANY = 100
# A score of exactly 0 or 1 has no logit.
_EDGE = 1e-6


@dataclass(frozen=True)
class Bin:
    """
    Attempts of about the same score.

    :ivar score: their mean score.
    :ivar held: share of successes, with Wilson's interval.
    :ivar count: how many they are.
    """

    score: float
    held: Interval
    count: int


@dataclass(frozen=True)
class Temperature:
    """
    One number by which a score's logit is divided.

    :ivar value: above 1 it makes scores less sure, below 1 surer; NaN if it was not fitted.
    :ivar domain: whose attempts it was fitted to.
    :ivar attempts: how many they are.
    :ivar why: why it was not fitted; else empty.
    """

    value: float
    domain: str
    attempts: int
    why: str = ''

    @property
    def fitted(self) -> bool:
        """Whether the attempts allowed to fit it."""
        return bool(np.isfinite(self.value))


def reliability_bins(sample: Scored) -> list[Bin]:
    """Sort attempts into bins of equal width: ten of them, five for fewer than 100 attempts."""
    count = 10 if len(sample) >= _MANY else 5
    which = np.minimum((sample.scores * count).astype(int), count - 1)
    found = []
    for number in np.unique(which):
        of = which == number
        found.append(Bin(float(sample.scores[of].mean()),
                         wilson(int(sample.labels[of].sum()), int(of.sum())), int(of.sum())))
    return found


def scale(scores: np.ndarray, temperature: float) -> np.ndarray:
    """
    Divide the scores' logits by a temperature.

    :param scores: in [0, 1].
    :returns: of the same shape, in [0, 1].
    """
    return _sigmoid(_logit(scores) / temperature)


def _logit(scores: np.ndarray) -> np.ndarray:
    clipped = np.clip(scores, _EDGE, 1 - _EDGE)
    return np.log(clipped) - np.log1p(-clipped)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(logits / 2))


def cross_entropy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean negative log likelihood of the outcomes, in nats; NaN of none."""
    if not len(scores):
        return float('nan')
    clipped = np.clip(scores, _EDGE, 1 - _EDGE)
    return float(-np.log(np.where(labels, clipped, 1 - clipped)).mean())


def reference_temperature(sample: Scored, domain: str) -> Temperature:
    """
    Fit a temperature to a domain's attempts, if they allow it.

    :param sample: attempts of simulation, whose outcomes cost nothing.
    :param domain: what they are called.
    """
    held, total = int(sample.labels.sum()), len(sample)
    if min(held, total - held) < LEAST_OF_EACH:
        return Temperature(float('nan'), domain, total,
                           f'{domain} has {held} successes and {total - held} '
                           f'failures with a score, and {LEAST_OF_EACH} of each are the least')
    value = fit_temperature(_logit(sample.scores)[:, None], sample.labels)
    lowest, highest = TEMPERATURE_BOUNDS
    if value < lowest * 1.01 or value > highest / 1.01:
        return Temperature(float('nan'), domain, total,
                           f'on {domain} the best temperature lies outside '
                           f'{lowest:g} to {highest:g}, as when the score separates all '
                           'outcomes, or tells nothing of them')
    return Temperature(value, domain, total)


def scale_across(sample: Scored) -> np.ndarray:
    """
    Scale each episode by the temperature of the others.

    On the attempts to which one temperature was fitted it would flatter itself.

    :returns: scores, shape ``(N,)``; unchanged where the others have only one outcome.
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
    Tell what calibration error perfectly calibrated scores would show by chance.

    :param scores: shape ``(N,)``: outcomes are drawn with these probabilities.
    :returns: mean, and the value that 95 % stay below; NaN of no scores.
    """
    if not len(scores):
        return float('nan'), float('nan')
    outcomes = np.random.default_rng(0).random((repeats, len(scores))) < scores
    values = [value_of(ece, Scored(scores, drawn, np.arange(len(scores)))) for drawn in outcomes]
    return float(np.mean(values)), float(np.quantile(values, 0.95))
