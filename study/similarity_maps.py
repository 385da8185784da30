"""The similarities that a network's MOSS block computes where an object is."""

from collections.abc import Iterator
from contextlib import contextmanager

from moss_perception.core.errors import ConfigError
from moss_perception.models.layers.clip_network import ClipNetwork
from moss_perception.models.layers.config import GraspConfig, MossConfig
from moss_perception.models.moss_grasp.network import MossGraspNetwork
from moss_perception.moss import MOSS
from moss_perception.moss.kernels import window_products
import numpy as np
import torch
from torch import Tensor

from study.models.moss import MossCentredConfig
from study.motion_probe import clips
from study.similarities import Similarities


def require_similarities(config: GraspConfig) -> None:
    """
    Refuse a network that compares nothing with the samples before.

    :raises ConfigError: naming the setting.
    """
    if not isinstance(config, MossConfig) or isinstance(config, MossCentredConfig):
        raise ConfigError(f'model {config.model!r} has no similarities with the samples before: '
                          'expected one with a causal MOSS, such as moss_grasp')
    if config.moss_window[0] < 2:
        raise ConfigError(f'moss_window={config.moss_window} compares no other sample: expected '
                          'a first size of 2 or more')


@torch.inference_mode()
def read_similarities(network: MossGraspNetwork | ClipNetwork, scenes: list,
                      batch: int = 16) -> list[Similarities]:
    """
    Read the similarities of the object's position at the decision.

    They are cosines as the block has them: of positions that are nearly blank, which it makes
    shorter than others, they are less. The position is the map's cell in which the object's
    centre is, or the nearest one. Where the
    object was in the samples before isn't known: scenes keep its place at the decision and when
    the fingers close, and no other.

    :param network: as trained; in evaluation mode afterwards, else left as it is.
    :param scenes: as recorded, with all candidates in the image.
    :returns: one a scene.
    :raises ConfigError: if the network has no such similarities.
    :raises ShapeError: if a scene is shorter than the window.
    """
    require_similarities(network.config)
    network.eval()
    block = next(module for module in network.modules() if isinstance(module, MOSS))
    length, found = block.window[0], []
    for images, grasps, here, there in clips(network.config, scenes, batch):
        with _compared(block) as compared:
            network(images, grasps)
        orders = torch.stack([_cosines(block, *pair) for pair in compared], dim=1)
        half = network.config.image_size / 2
        for newest, *where, values in zip(images[:, -length:], half * (here + 1) - 0.5,
                                          half * (there - here), orders, strict=True):
            place, way = (x.numpy() for x in where)
            stride = network.config.image_size // values.shape[1]
            query = _cell(place, stride, values.shape[1:3])
            scene = scenes[len(found)]
            found.append(Similarities(
                scene.seed, scene.motion, newest.numpy(), network.config.frame_rate_hz, place,
                way, query, stride, _around(values, query)))
    return found


@contextmanager
def _compared(block: MOSS) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Keep, order by order, what is compared: queries and keys, as :class:`Extraction` has it."""
    kept: list[tuple[Tensor, Tensor]] = []
    hooks = [extraction.register_forward_pre_hook(lambda _, given: kept.append(given))
             for extraction in block.extraction]
    try:
        yield kept
    finally:
        for hook in hooks:
            hook.remove()


def _cosines(block: MOSS, query: Tensor, keys: Tensor) -> Tensor:
    """Compare the newest sample's positions: ``(B, H, W, L, U, V)``, 0 outside the map."""
    length, height, width = block.window
    products = window_products(query[:, -1:], keys[:, -length:], height, width)[:, 0]
    # Vectors have the length of the square root of the projection's channels.
    cosines = products / block.extraction[0].project.out_features
    return cosines.unflatten(-1, (height, width))


def _cell(place: np.ndarray, stride: int, size: tuple[int, ...]) -> tuple[int, int]:
    """Return row and column of the cell with a pixel, or of the nearest one."""
    row, column = np.clip((place[::-1] + 0.5) // stride, 0, np.array(size) - 1).astype(int)
    return int(row), int(column)


def _around(values: Tensor, query: tuple[int, int]) -> np.ndarray:
    """Take one position of ``(N, H, W, L, U, V)``; neighbours outside the map become NaN."""
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
