"""Statistics of a LeRobotDataset's features, of one episode and of all."""

from collections.abc import Sequence

import numpy as np

Stats = dict[str, np.ndarray]
"""``min``, ``max``, ``mean``, ``std``, ``count`` and quantiles, as lerobot computes them."""

_QUANTILES = (0.01, 0.10, 0.50, 0.90, 0.99)
# Of an episode's images; more would tell hardly more.
_FRAMES, _STRIDE = 4, 4


def of_values(values: np.ndarray) -> Stats:
    """
    Compute statistics over the frames.

    :param values: numbers, shape ``(N, ...)``; a scalar of each frame has statistics of shape
        ``(1,)``.
    """
    numbers = np.asarray(values, np.float64)
    return _over(numbers.reshape(len(numbers), 1) if numbers.ndim == 1 else numbers, len(numbers))


def of_images(images: Sequence[np.ndarray]) -> Stats:
    """
    Compute statistics of the colours in [0, 1], over some of the frames and pixels.

    :param images: uint8, RGB, shape ``(H, W, 3)`` each.
    :returns: of shape ``(3, 1, 1)``.
    """
    chosen = np.linspace(0, len(images) - 1, min(_FRAMES, len(images))).round().astype(int)
    pixels = np.concatenate([images[n][::_STRIDE, ::_STRIDE].reshape(-1, 3) for n in chosen])
    return {name: value if name == 'count' else value.reshape(3, 1, 1)
            for name, value in _over(pixels / 255, len(images)).items()}


def _over(numbers: np.ndarray, count: int) -> Stats:
    quantiles = np.quantile(numbers, _QUANTILES, axis=0)
    return {'min': numbers.min(axis=0), 'max': numbers.max(axis=0), 'mean': numbers.mean(axis=0),
            'std': numbers.std(axis=0), 'count': np.array([count]),
            **{f'q{round(100 * q):02d}': value
               for q, value in zip(_QUANTILES, quantiles, strict=True)}}


class Total:
    """Statistics of all episodes, from those of each; quantiles are means, as lerobot's are."""

    def __init__(self) -> None:
        self._sum: Stats = {}
        self._low: np.ndarray = np.zeros(0)
        self._high: np.ndarray = np.zeros(0)

    def add(self, one: Stats) -> None:
        """Add the statistics of an episode."""
        count = float(one['count'][0])
        sums = {name: value * count for name, value in one.items()
                if name not in ('min', 'max', 'std', 'count')}
        sums |= {'square': (one['std'] ** 2 + one['mean'] ** 2) * count, 'count': one['count']}
        if not self._sum:
            self._sum, self._low, self._high = sums, one['min'], one['max']
            return
        self._sum = {name: self._sum[name] + value for name, value in sums.items()}
        self._low, self._high = np.minimum(self._low, one['min']), np.maximum(
            self._high, one['max'])

    def stats(self) -> dict[str, list]:
        """Return the statistics, as JSON can hold them."""
        count = float(self._sum['count'][0])
        means = {name: value / count for name, value in self._sum.items() if name != 'count'}
        square = means.pop('square')
        found = {'min': self._low, 'max': self._high, **means, 'count': self._sum['count'],
                 'std': np.sqrt(np.maximum(square - means['mean'] ** 2, 0))}
        return {name: value.tolist() for name, value in found.items()}
