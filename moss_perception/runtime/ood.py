"""Detect features outside the training distribution (OOD), with NumPy only."""

from collections import deque
from dataclasses import dataclass

from moss_perception.core.errors import CheckpointError, ConfigError, ShapeError
from moss_perception.models.manifest import Checkpoint, OOD_PREFIX
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

FALSE_ALARMS = 0.05
"""
Share of in-distribution samples that count as OOD.

The checkpoint's limit is set by it on held-out samples of training; reports compare checkpoints at
this rate in the reference domain.
"""

FEWEST = 20

FOLDS = 5
"""Number of parts of a cross-validation."""

# Lowest uncertainty far out of distribution: the default limit of grasp_gate.
_MOST_ADDED = 0.25
# A channel that hardly varied in training must not decide alone.
_LEAST_SPREAD = 0.05


@dataclass(frozen=True)
class TrainingDistribution:
    """
    The distribution of features in training.

    :ivar mean: float32, shape ``(F,)``.
    :ivar factor: float32, shape ``(F, F)``: features less their mean, times the factor, have the
        covariance of training as their unit (Mahalanobis).
    :ivar limit: float32, shape ``(1,)``: the distance, above 0, that counts as 1.
    """

    mean: np.ndarray
    factor: np.ndarray
    limit: np.ndarray

    def __post_init__(self):
        """
        Check shapes and values.

        :raises ShapeError: if they are not as described.
        """
        width = self.mean.size
        if self.mean.shape != (width,) or self.factor.shape != (width, width) or (
                self.limit.shape != (1,)):
            raise ShapeError('training distribution: expected mean (F,), factor (F, F) and limit '
                             f'(1,), got {self.mean.shape}, {self.factor.shape} and '
                             f'{self.limit.shape}')
        if not all(np.isfinite(x).all() for x in self.tensors().values()) or self.limit[0] <= 0:
            raise ShapeError('training distribution: expected finite numbers, and a limit above 0')

    def of_features(self, features: np.ndarray) -> np.ndarray:
        """
        Measure samples.

        :param features: what they look like, shape ``(n, F)``, see
            :attr:`moss_perception.models.base.Scores.appearance`.
        :returns: OOD scores, float64, shape ``(n,)``; above 1 for one in twenty held-out samples
            of the training.
        """
        return _distances(features, self.mean, self.factor) / float(self.limit[0])

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what a checkpoint keeps, by name."""
        return {OOD_PREFIX + name: getattr(self, name) for name in ('mean', 'factor', 'limit')}

    def check(self, values: int) -> None:
        """
        Check that the distribution fits a network.

        :param values: :attr:`moss_perception.models.config.ModelConfig.appearance_values`.
        :raises ShapeError: if the number of features differs.
        """
        if self.mean.shape != (values,):
            raise ShapeError(f'its training distribution is of {self.mean.size} features, and '
                             f'this version measures {values}: expected a distribution that moss '
                             'ood fit has fitted anew')


def fit_distribution(features: np.ndarray, held_out: np.ndarray) -> TrainingDistribution:
    """
    Fit the distribution of training.

    :param features: features of training samples, shape ``(n, F)``.
    :param held_out: features of held-out samples, shape ``(m, F)``, which set the limit: so many
        of them as :data:`FALSE_ALARMS` says have an OOD score above 1.
    :raises ShapeError: if there are fewer than 20 of either.
    """
    if min(len(features), len(held_out)) < FEWEST:
        raise ShapeError(f'training distribution: expected at least {FEWEST} samples to fit and '
                         f'as many held out, got {len(features)} and {len(held_out)}')
    mean, factor = (x.astype(np.float32) for x in fit_normal(features))
    limit = np.quantile(_distances(held_out, mean, factor), 1 - FALSE_ALARMS, method='higher')
    return TrainingDistribution(mean, factor, np.array([limit], np.float32))


def cross_fit_distribution(features: np.ndarray,
                           groups: np.ndarray | None = None) -> TrainingDistribution:
    """
    Fit the distribution of a training with too few held-out samples.

    :param features: shape ``(n, F)``. The limit is set as in :func:`fit_distribution`, by the
        distance of each sample from a fit to the other ones of five folds.
    :param groups: of each sample, shape ``(n,)``: those of one group resemble each other and are
        in one fold; the folds get the groups in turns. ``None`` if each sample stands alone.
    :raises ShapeError: if there are fewer than 40 samples, or fewer groups than folds.
    """
    if len(features) < 2 * FEWEST:
        raise ShapeError(f'training distribution: expected at least {2 * FEWEST} samples to '
                         f'cross-validate, got {len(features)}')
    _, which = np.unique(np.arange(len(features)) if groups is None else groups,
                         return_inverse=True)
    if which.max() + 1 < FOLDS:
        raise ShapeError(f'training distribution: expected at least {FOLDS} groups of samples to '
                         f'cross-validate, got {which.max() + 1}')
    fold_of, distances = which % FOLDS, np.zeros(len(features))
    for fold in range(FOLDS):
        distances[fold_of == fold] = _distances(
            features[fold_of == fold], *fit_normal(features[fold_of != fold]))
    mean, factor = (x.astype(np.float32) for x in fit_normal(features))
    limit = np.quantile(distances, 1 - FALSE_ALARMS, method='higher')
    return TrainingDistribution(mean, factor, np.array([limit], np.float32))


def fit_normal(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Fit a normal distribution with a shrunk covariance (Ledoit and Wolf, 2004; scikit-learn).

    The features are first divided by their standard deviations.

    :param features: shape ``(n, F)``.
    :returns: mean, shape ``(F,)``, and factor, shape ``(F, F)``, as in
        :class:`TrainingDistribution`.
    """
    from sklearn.covariance import ledoit_wolf
    mean, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.maximum(spread, max(_LEAST_SPREAD * spread.mean(), 1e-6))
    scaled = (features - mean) / spread
    values, vectors = np.linalg.eigh(ledoit_wolf(scaled, assume_centered=True)[0])
    return mean, (vectors / np.sqrt(np.maximum(values, 1e-6))) / spread[:, None]


def _distances(features: np.ndarray, mean: np.ndarray, factor: np.ndarray) -> np.ndarray:
    return np.linalg.norm((features - mean.astype(np.float64)) @ factor.astype(np.float64),
                          axis=1)


def inflate_uncertainty(uncertainty: np.ndarray, ood_score: float) -> np.ndarray:
    """
    Inflate uncertainties of samples that are out of distribution.

    Up to an OOD score of 1 nothing is added. Beyond, the term that is added in squares grows from
    0 towards 0.25.

    :param uncertainty: standard deviation over the ensemble, in [0, 0.5].
    :param ood_score: 0 or more; NaN where it is not known, which adds nothing.
    :returns: in [0, 0.5], as the uncertainties' type.
    """
    if not ood_score > 1:
        return uncertainty
    added = _MOST_ADDED * (1 - 1 / ood_score)
    return np.minimum(np.hypot(uncertainty, added), 0.5).astype(np.asarray(uncertainty).dtype)


def read_distribution(checkpoint: Checkpoint) -> TrainingDistribution | None:
    """
    Read a checkpoint's training distribution.

    :param checkpoint: of :func:`moss_perception.models.manifest.read_checkpoint`.
    :returns: ``None`` if the checkpoint keeps none.
    :raises CheckpointError: if it can't be read, or does not fit the network.
    """
    try:
        tensors = {name.removeprefix(OOD_PREFIX): tensor for name, tensor
                   in load(checkpoint.data).items() if name.startswith(OOD_PREFIX)}
        if not tensors:
            return None
        distribution = TrainingDistribution(**tensors)
    except (SafetensorError, TypeError, ValueError) as error:
        raise CheckpointError(f'checkpoint {checkpoint.path}: its training distribution is '
                              f'damaged: {" ".join(str(error).split())}') from error
    try:
        distribution.check(checkpoint.config.appearance_values)
    except ShapeError as error:
        raise CheckpointError(f'checkpoint {checkpoint.path}: {error}') from error
    return distribution


class ShiftWatch:
    """
    Decides from the newest samples whether a stream is out of distribution.

    It begins when at least ``begin`` of the last ``size`` samples have an OOD score above 1, and
    ends when at most ``end`` of them do. So single samples neither begin nor end it.

    :param size: number of samples.
    :param begin: share in (0, 1].
    :param end: share in [0, 1), below ``begin``.
    :raises ConfigError: if a value is not allowed.
    """

    def __init__(self, size: int = 20, begin: float = 0.5, end: float = 0.2):
        if size < 1 or not 0 <= end < begin <= 1:
            raise ConfigError(f'size={size}, begin={begin}, end={end} is not allowed: expected a '
                              'size of 1 or more, and 0 <= end < begin <= 1')
        self._newest: deque[float] = deque(maxlen=size)
        self._begin, self._end = begin * size, end * size
        self.out = False

    @property
    def median(self) -> float:
        """Return the median OOD score of the newest samples; NaN without any."""
        # A copy: another thread may add meanwhile.
        newest = list(self._newest)
        return float(np.median(newest)) if newest else float('nan')

    def add(self, ood_score: float) -> bool:
        """
        Take a sample.

        :param ood_score: NaN, where it is not known, is left out.
        :returns: whether the stream is out of distribution.
        """
        if ood_score == ood_score:
            self._newest.append(ood_score)
            beyond = sum(value > 1 for value in self._newest)
            self.out = beyond > self._end if self.out else beyond >= self._begin
        return self.out

    def clear(self) -> None:
        """Forget all samples."""
        self._newest.clear()
        self.out = False
