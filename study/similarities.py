"""What MOSS compares at an object, and how much these similarities tell: contrast and peak."""

from dataclasses import dataclass

from moss_perception.core.tables import markdown
from moss_perception.evaluation.intervals import Interval, mean_interval, statistic_interval
import numpy as np

# Cosines so little below the strongest count as no less alike.
_LITTLE = 0.1
# Of the weights of a map's centre: a cosine that is less by 0.1 counts for a third.
_SHARPNESS = 10.0
# Less than that is no motion, pixels: a resting object's way is a rounding error.
_MOVES_PX = 0.5


@dataclass(frozen=True)
class Similarities:
    """
    The similarities of one position, the object's, with its neighbours in space and time.

    :ivar seed: of the scene.
    :ivar motion: the belt's kind of motion.
    :ivar images: the ``L`` newest samples, as the network sees them, oldest first: uint8, RGB,
        shape ``(L, S, S, 3)``.
    :ivar rate_hz: of the samples.
    :ivar place: column and row of the object's centre at the newest sample, pixels of ``images``.
    :ivar way: how far right and down it will have gone when the fingers close, pixels.
    :ivar query: row and column of the map's cell in which the centre is.
    :ivar stride: side of a cell, pixels.
    :ivar values: by order, sample and neighbour, float32, shape ``(N, L, U, V)``: cosines in
        [-1, 1], NaN for neighbours outside the map.
    """

    seed: int
    motion: str
    images: np.ndarray
    rate_hz: float
    place: np.ndarray
    way: np.ndarray
    query: tuple[int, int]
    stride: int
    values: np.ndarray

    @property
    def lags(self) -> np.ndarray:
        """Return how many samples before the newest each one is: ``L - 1`` to 0."""
        return np.arange(len(self.images))[::-1]


def strongest(values: np.ndarray) -> np.ndarray:
    """
    Find the neighbour that is most alike.

    :param values: shape ``(…, U, V)``, NaN for neighbours outside the map.
    :returns: how many cells it lies below and right of the query, whole, shape ``(…, 2)``.
    """
    height, width = values.shape[-2:]
    best = np.nanargmax(values.reshape(*values.shape[:-2], -1), axis=-1)
    return np.stack([best // width - height // 2, best % width - width // 2], axis=-1)


def centre(values: np.ndarray) -> np.ndarray:
    """
    Find the middle of the neighbours that are most alike, which moves by less than a cell too.

    :param values: cosines, shape ``(…, U, V)``, NaN for neighbours outside the map.
    :returns: how many cells it lies below and right of the query, shape ``(…, 2)``: the mean
        offset, weighted by ``exp(10 * cosine)``.
    """
    weights = np.nan_to_num(np.exp(_SHARPNESS * values))
    height, width = values.shape[-2:]
    down = weights.sum(axis=-1) @ (np.arange(height) - height // 2)
    right = weights.sum(axis=-2) @ (np.arange(width) - width // 2)
    return np.stack([down, right], axis=-1) / weights.sum(axis=(-2, -1))[..., None]


def contrast(values: np.ndarray) -> np.ndarray:
    """
    Measure how a map stands out: its maximum less its median over the neighbours in the map.

    :param values: cosines, shape ``(…, U, V)``, NaN for neighbours outside the map.
    :returns: in [0, 2], shape ``(…)``; 0 for a flat map.
    """
    return np.nanmax(values, axis=(-2, -1)) - np.nanmedian(values, axis=(-2, -1))


def measures(one: Similarities) -> dict[str, np.ndarray]:
    """
    Describe each order's maps of one scene.

    The newest sample's is left out: it holds the query itself, whose similarity is 1.

    :returns: shape ``(N,)`` each, means over the samples before the newest: ``contrast``; the
        ``strongest`` cosine; ``alike``, the share of the neighbours in the map that are less than
        0.1 below it, large where the maximum is a plateau; and ``away``, how many cells the
        strongest neighbour is from the query.
    """
    before = one.values[:, :-1]
    peak = np.nanmax(before, axis=(-2, -1))
    close = np.where(np.isnan(before), np.nan, before > peak[..., None, None] - _LITTLE)
    found = {'contrast': contrast(before), 'strongest': peak,
             'alike': np.nanmean(close, axis=(-2, -1)),
             'away': np.linalg.norm(strongest(before), axis=-1)}
    return {name: values.mean(axis=1) for name, values in found.items()}


def foretelling(some: list[Similarities], order: int) -> tuple[float, float, float]:
    """
    Tell whether the maps' shift goes with the object's motion.

    :param some: scenes, at least 2.
    :param order: from 1 on.
    :returns: the correlation, in [-1, 1], of how far a map's :func:`centre` has moved since the
        oldest sample of the window with the object's ``way``, right and down alike; with its 95 %
        interval (scenes drawn with replacement). NaN where nothing moves.
    """
    centres = centre(np.stack([one.values[order - 1, [0, -1]] for one in some]))
    moved, way = centres[:, 1] - centres[:, 0], np.stack([one.way[::-1] for one in some])
    if np.abs(way).max() < _MOVES_PX:
        return Interval(why='nothing moves')

    def correlate(index: np.ndarray) -> float:
        return float(np.corrcoef(moved[index].ravel(), way[index].ravel())[0, 1])

    return statistic_interval(correlate, len(some))


def summarise(sets: dict[str, list[Similarities]]) -> str:
    """
    Write a table of :func:`measures` and :func:`foretelling` by set and order.

    :param sets: by name, similarities of at least 2 scenes, of the same network all.
    """
    rows = []
    for name, some in sets.items():
        found = [measures(one) for one in some]
        for order in range(1, len(some[0].values) + 1):
            columns = [[one[key][order - 1] for one in found] for key in found[0]]
            figures = [mean_interval(column) for column in columns]
            rows.append([name, str(len(some)), str(order), *(
                f'{of.value:.2f} [{of.low:.2f}, {of.high:.2f}]'
                for of in [*figures, foretelling(some, order)])])
    return markdown(['set', 'scenes', 'order', 'contrast', 'strongest', 'alike', 'away',
                    'foretells'], rows)
