"""Which samples an epoch draws: each as often as its weight says."""

from collections.abc import Sequence

from moss_perception.core.errors import ConfigError
import numpy as np


class Draws:
    """
    The samples of each epoch.

    A weight is how often an epoch draws a sample. With 2 it is drawn twice; with 0.1, a tenth of
    the samples with this weight are drawn, which take turns from epoch to epoch. So each epoch
    has the same number of steps.

    :param weights: above 0, one for each sample.
    :param seed: of the order in which samples take turns.
    :raises ConfigError: if a weight is not above 0.
    """

    def __init__(self, weights: Sequence[float], seed: int = 0):
        values = np.asarray(weights, float)
        wrong = values[~((values > 0) & np.isfinite(values))]
        if len(wrong):
            raise ConfigError(f'weight {wrong[0]:g} is not allowed: expected a number above 0')
        generator = np.random.default_rng((seed, 2))
        self._sets: list[tuple[np.ndarray, int]] = []
        for weight in np.unique(values):
            members = np.flatnonzero(values == weight)
            if weight != 1:
                members = generator.permutation(members)
            self._sets.append((members, max(1, round(weight * len(members)))))

    def __len__(self) -> int:
        return sum(count for _, count in self._sets)

    def of_epoch(self, epoch: int) -> np.ndarray:
        """Return the index of the sample of each draw, shape ``(len(self),)``."""
        return np.concatenate([members[(epoch * count + np.arange(count)) % len(members)]
                               for members, count in self._sets])
