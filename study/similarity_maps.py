"""Similarities that MOSS computes at an object: read, measured and summarised."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from moss_perception.core.errors import ConfigError
from moss_perception.core.tables import markdown
from moss_perception.evaluation.intervals import Interval, mean_interval, statistic_interval
from moss_perception.models.grasp_config import GraspConfig, MossConfig
from moss_perception.models.layers.temporal import ClipNetwork
from moss_perception.models.moss_grasp.network import MossGraspNetwork
from moss_perception.moss import MOSS
from moss_perception.moss.kernels import window_products
import numpy as np
import torch
from torch import Tensor

from study.motion_probe import clips

# Cosines at most this much below the strongest count as equally similar.
_TOLERANCE = 0.1
# Sharpness of the weights of a map's centre: a cosine lower by 0.1 has a third of the weight.
_SHARPNESS = 10.0
# Pixels; a smaller displacement is a rounding error of a resting object.
_MOVES_PX = 0.5


@dataclass(frozen=True)
class Similarities:
    """
    Similarities of the object's position with its neighbours in space and time.

    :ivar seed: seed of the scene.
    :ivar motion: kind of motion of the belt.
    :ivar images: the ``L`` newest samples as the network sees them, oldest first: uint8, RGB,
        shape ``(L, S, S, 3)``.
    :ivar rate_hz: rate of the samples.
    :ivar position: column and row of the object's centre at the newest sample, pixels.
    :ivar displacement: motion of the centre until the fingers close, right and down, pixels.
    :ivar query: row and column of the map cell that contains the centre.
    :ivar stride: side of a cell, pixels.
    :ivar values: cosines in [-1, 1] by order, sample and neighbour, float32, shape
        ``(N, L, U, V)``; NaN for neighbours outside the map.
    """

    seed: int
    motion: str
    images: np.ndarray
    rate_hz: float
    position: np.ndarray
    displacement: np.ndarray
    query: tuple[int, int]
    stride: int
    values: np.ndarray

    @property
    def lags(self) -> np.ndarray:
        """Return the age of each sample, in samples: ``L - 1`` to 0."""
        return np.arange(len(self.images))[::-1]


def require_similarities(config: GraspConfig) -> None:
    """
    Check that a network compares the newest sample with earlier ones.

    :raises ConfigError: if it does not; the message names the setting.
    """
    if not isinstance(config, MossConfig):
        raise ConfigError(f'model {config.model!r} has no similarities with earlier samples: '
                          'expected one with a causal MOSS, such as moss_grasp')
    if config.displaces or config.lags:
        raise ConfigError(f'readout={config.readout!r} with lags={config.lags} compares at some '
                          'lags only, or looks for maxima itself: expected an encoding without '
                          'lags')
    if config.moss_window[0] < 2:
        raise ConfigError(f'moss_window={config.moss_window} compares no earlier sample: expected '
                          'a first size of 2 or more')


@torch.inference_mode()
def read_similarities(network: MossGraspNetwork | ClipNetwork, scenes: list,
                      batch: int = 16) -> list[Similarities]:
    """
    Read the similarities of the object's position at the decision.

    They are the cosines that the block computes, which are smaller where the image is nearly
    blank. The position is the map cell that contains the object's centre, or the nearest one.
    The object's position in earlier samples is unknown: scenes store it at the decision and when
    the fingers close only.

    :param network: a trained network; it is set to evaluation mode and otherwise unchanged.
    :param scenes: recorded scenes, with all candidates in the image.
    :returns: one element a scene.
    :raises ConfigError: if the network has no such similarities.
    :raises ShapeError: if a scene is shorter than the window.
    """
    require_similarities(network.config)
    network.eval()
    block = next(module for module in network.modules() if isinstance(module, MOSS))
    length, found = block.window[0], []
    for given, here, there in clips(network.config, scenes, batch):
        images = given[0]
        with _captured(block) as captured:
            network(*given)
        orders = torch.stack([_cosines(block, *pair) for pair in captured], dim=1)
        half = network.config.image_size / 2
        for newest, *where, values in zip(images[:, -length:], half * (here + 1) - 0.5,
                                          half * (there - here), orders, strict=True):
            position, displacement = (x.numpy() for x in where)
            stride = network.config.image_size // values.shape[1]
            query = _cell(position, stride, values.shape[1:3])
            scene = scenes[len(found)]
            found.append(Similarities(
                scene.seed, scene.motion, newest.numpy(), network.config.frame_rate_hz, position,
                displacement, query, stride, _around(values, query)))
    return found


@contextmanager
def _captured(block: MOSS) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Capture the queries and keys of each order, as :class:`Extraction` receives them."""
    captured: list[tuple[Tensor, Tensor]] = []
    hooks = [extraction.register_forward_pre_hook(lambda _, given: captured.append(given))
             for extraction in block.extraction]
    try:
        yield captured
    finally:
        for hook in hooks:
            hook.remove()


def _cosines(block: MOSS, query: Tensor, keys: Tensor) -> Tensor:
    """Return the cosines of the newest sample: ``(B, H, W, L, U, V)``, 0 outside the map."""
    length, height, width = block.window
    products = window_products(query[:, -1:], keys[:, -length:], height, width)[:, 0]
    # The norm of a vector is the square root of the number of channels of the projection.
    cosines = products / block.extraction[0].project.out_features
    return cosines.unflatten(-1, (height, width))


def _cell(position: np.ndarray, stride: int, size: tuple[int, ...]) -> tuple[int, int]:
    """Return row and column of the cell that contains a pixel, or of the nearest one."""
    row, column = np.clip((position[::-1] + 0.5) // stride, 0, np.array(size) - 1).astype(int)
    return int(row), int(column)


def _around(values: Tensor, query: tuple[int, int]) -> np.ndarray:
    """Return one position of ``(N, H, W, L, U, V)``, with NaN for neighbours outside the map."""
    row, column = query
    here = values[:, row, column].numpy().copy()
    outside = [~_inside(at, size, window) for at, size, window in
               zip(query, values.shape[1:3], here.shape[-2:], strict=True)]
    here[..., outside[0], :] = np.nan
    here[..., outside[1]] = np.nan
    return here


def _inside(at: int, size: int, window: int) -> np.ndarray:
    neighbours = at + np.arange(window) - window // 2
    return (neighbours >= 0) & (neighbours < size)


def strongest(values: np.ndarray) -> np.ndarray:
    """
    Find the most similar neighbour.

    :param values: shape ``(…, U, V)``, NaN for neighbours outside the map.
    :returns: its offset from the query, down and right, int, cells, shape ``(…, 2)``.
    """
    height, width = values.shape[-2:]
    best = np.nanargmax(values.reshape(*values.shape[:-2], -1), axis=-1)
    return np.stack([best // width - height // 2, best % width - width // 2], axis=-1)


def centre(values: np.ndarray) -> np.ndarray:
    """
    Find the centre of the most similar neighbours, with subcell resolution.

    :param values: cosines, shape ``(…, U, V)``, NaN for neighbours outside the map.
    :returns: mean offset from the query, down and right, cells, shape ``(…, 2)``, weighted by
        ``exp(10 * cosine)``.
    """
    weights = np.nan_to_num(np.exp(_SHARPNESS * values))
    height, width = values.shape[-2:]
    down = weights.sum(axis=-1) @ (np.arange(height) - height // 2)
    right = weights.sum(axis=-2) @ (np.arange(width) - width // 2)
    return np.stack([down, right], axis=-1) / weights.sum(axis=(-2, -1))[..., None]


def contrast(values: np.ndarray) -> np.ndarray:
    """
    Measure the contrast of a map: its maximum minus its median over the neighbours in the map.

    :param values: cosines, shape ``(…, U, V)``, NaN for neighbours outside the map.
    :returns: in [0, 2], shape ``(…)``; 0 for a flat map.
    """
    return np.nanmax(values, axis=(-2, -1)) - np.nanmedian(values, axis=(-2, -1))


def measures(one: Similarities) -> dict[str, np.ndarray]:
    """
    Measure the maps of each order of one scene.

    The map of the newest sample is left out: it contains the query, whose similarity is 1.

    :returns: shape ``(N,)`` each, means over the earlier samples: ``contrast``; the ``strongest``
        cosine; ``plateau``, the share of neighbours less than 0.1 below the strongest; and
        ``distance`` of the strongest neighbour from the query, cells.
    """
    earlier = one.values[:, :-1]
    peak = np.nanmax(earlier, axis=(-2, -1))
    close = np.where(np.isnan(earlier), np.nan, earlier > peak[..., None, None] - _TOLERANCE)
    found = {'contrast': contrast(earlier), 'strongest': peak,
             'plateau': np.nanmean(close, axis=(-2, -1)),
             'distance': np.linalg.norm(strongest(earlier), axis=-1)}
    return {name: values.mean(axis=1) for name, values in found.items()}


def shift_correlation(some: list[Similarities], order: int) -> Interval:
    """
    Correlate the shift of the maps with the displacement of the object.

    :param some: similarities of at least 2 scenes.
    :param order: self-similarity order, from 1.
    :returns: correlation in [-1, 1] of the motion of a map's :func:`centre` over the window with
        the object's ``displacement``, over both axes, with its 95 % interval (bootstrap over
        scenes). NaN if no object moves.
    """
    centres = centre(np.stack([one.values[order - 1, [0, -1]] for one in some]))
    moved = centres[:, 1] - centres[:, 0]
    displacement = np.stack([one.displacement[::-1] for one in some])
    if np.abs(displacement).max() < _MOVES_PX:
        return Interval(why='nothing moves')

    def correlate(index: np.ndarray) -> float:
        return float(np.corrcoef(moved[index].ravel(), displacement[index].ravel())[0, 1])

    return statistic_interval(correlate, len(some))


def summarise(sets: dict[str, list[Similarities]]) -> str:
    """
    Write a table of :func:`measures` and :func:`shift_correlation` by set and order.

    :param sets: by name, similarities of at least 2 scenes, all of the same network.
    """
    rows = []
    for name, some in sets.items():
        found = [measures(one) for one in some]
        for order in range(1, len(some[0].values) + 1):
            columns = [[one[key][order - 1] for one in found] for key in found[0]]
            figures = [mean_interval(column) for column in columns]
            rows.append([name, str(len(some)), str(order), *(
                f'{of.value:.2f} [{of.low:.2f}, {of.high:.2f}]'
                for of in [*figures, shift_correlation(some, order)])])
    return markdown(['set', 'scenes', 'order', 'contrast', 'strongest', 'plateau',
                     'distance', 'correlation'], rows)
