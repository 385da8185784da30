"""What each order of MOSS sees at a point: its similarities, and the displacement it reads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
from moss_perception.core.errors import ConfigError
from moss_perception.evaluation.look.frames import Samples
from moss_perception.models.checkpoint import load_checkpoint
from moss_perception.moss import MOSS
from moss_perception.moss.readout import Frame, Readout
import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F

ORDERS, LAGS = (1, 2, 3), (1, 2, 4)
# Of the images that are compared: longest side, and pixels in one cell of the map.
SIDE, STRIDE = 128, 2
_WINDOW, _PATCH = (LAGS[-1] + 1, 13, 13), 9
# What is compared from order 2 on are motions; below this one, in cells, they count as none.
_STILL = 0.3
# A displacement is found where patches fit so well and have such a contrast; a point is chosen
# where two lags agree, too (cells).
_ALIKE, _CURVED, _AGREED = 0.7, 0.02, 0.5
# Sides of the images that a network's backbone sees are multiples of this.
_COARSEST = 8


@dataclass(frozen=True)
class Reader:
    """
    A block that reads displacements, and how images become the maps that it compares.

    :ivar maps_of: takes images, uint8, RGB, ``(T, H, W, 3)``; returns maps, ``(1, T, C, h, w)``.
    :ivar rate_hz: samples per second that it was trained with.
    """

    block: MOSS
    maps_of: Callable[[np.ndarray], Tensor]
    rate_hz: float = 10.0

    @property
    def lags(self) -> tuple[int, ...]:
        """Return the lags that it compares at, ascending."""
        assert self.block.lags is not None  # it reads displacements
        return tuple(self.block.lags.frames)


@dataclass(frozen=True)
class Look:
    """
    What the orders see at one point of the newest sample.

    :ivar cell: its row and column in the map.
    :ivar ages: of the samples that are compared with the newest, in samples, descending to 0.
    :ivar maps: similarities, at most 1, by order, age and neighbour, shape ``(N, A, U, V)``; NaN
        for neighbours outside the map.
    :ivar lags: of the displacements, in samples, ascending.
    :ivar displacements: of the orders at the point, cells to the right and down, since each lag:
        shape ``(N, L', 2)``. Of order 2 the change of it, of order 3 the change of that.
    :ivar found: whether it was found: patches are alike, and only there; shape ``(N, L')``.
    :ivar cell_px: pixels of the recording in one cell.
    """

    cell: tuple[int, int]
    ages: tuple[int, ...]
    maps: np.ndarray
    lags: tuple[int, ...]
    displacements: np.ndarray
    found: np.ndarray
    cell_px: float


def make_block() -> MOSS:
    """
    Make a block of three orders that compares pixels, and has nothing learnt in what it reads.

    It reads displacements as the block of the shipped model does, on a finer map.
    """
    return MOSS(3, ORDERS, _WINDOW, channels=1, projection=0, hidden=1, learning='mlp',
                readout='displacement', lags=LAGS, similarity='ssd', patch=_PATCH, refinement=1,
                borders=2, spacing=2).eval()


def pixel_reader() -> Reader:
    """Make the reader that compares pixels, see :func:`make_block` and :func:`features_of`."""
    return Reader(make_block(), features_of)


def reader_of(path: Path, sha256: str = '') -> Reader:
    """
    Take the block of a checkpoint, with what it compares.

    :param sha256: see :func:`moss_perception.models.checkpoint.load_checkpoint`.
    :raises CheckpointError: if it can't be loaded.
    :raises ConfigError: if its network has no MOSS that reads displacements.
    """
    network: Any = load_checkpoint(path, sha256).eval()
    block = getattr(network, 'moss', None)
    if not isinstance(block, MOSS) or not hasattr(network, 'looked_over'):
        raise ConfigError(f'--model {path} has no MOSS on images: its model is '
                          f'{network.config.model!r}, expected moss_grasp')
    if block.readout == 'encoding':
        raise ConfigError(f'--model {path} encodes similarities and reads no displacement: '
                          "expected a network with readout 'displacement' or 'both'")

    def maps_of(images: np.ndarray) -> Tensor:
        small = torch.from_numpy(_resized(images, network.config.image_size, _COARSEST))
        normal = network.normalise(small)
        first = network.backbone.first(normal)
        fine = network.backbone.second(first)
        return network.looked_over(normal, first, fine, network.backbone.late(fine))[0][None]

    return Reader(block, maps_of, network.config.frame_rate_hz)


def features_of(images: np.ndarray) -> Tensor:
    """
    Make the maps that are compared: averaged pixels.

    :param images: uint8, RGB, shape ``(T, H, W, 3)``.
    :returns: shape ``(1, T, 3, h, w)``, in [0, 1].
    """
    pixels = torch.from_numpy(_resized(images, SIDE, STRIDE)).float().movedim(-1, 1) / 255
    return F.avg_pool2d(pixels, STRIDE)[None]


def _resized(images: np.ndarray, longest: int, stride: int) -> np.ndarray:
    """Scale images to a longest side; both are multiples of a stride."""
    size = np.array(images.shape[2:0:-1]) * longest / max(images.shape[1:3])
    size = np.maximum(np.round(size / stride).astype(int) * stride, stride)
    return np.stack([cv2.resize(image, size.tolist(), interpolation=cv2.INTER_AREA)
                     for image in images])


@torch.inference_mode()
def look(samples: Samples, point: Sequence[float] | None = None,
         reader: Reader | None = None) -> Look:
    """
    Look at one point of the newest sample.

    :param samples: as many as the block's receptive field.
    :param reader: ``None`` for :func:`pixel_reader`.
    :param point: its column and row, pixels of the recording; ``None`` for one that moves fast
        and is found surely.
    :raises ConfigError: if the point is outside the image.
    :raises ShapeError: if the images are too narrow for a patch.
    """
    reader = reader or pixel_reader()
    block, lags, maps = reader.block, reader.lags, reader.maps_of(samples.images)
    values = block.displacements(maps)
    first = cast(Readout, block.extraction[0])
    height, width = maps.shape[-2:]
    shown_px = samples.images.shape[2] / width
    if point is None:
        cell = _fastest(values[0][0, -1], lags, first.search.patch)
    else:
        shape = np.array(samples.images.shape[2:0:-1])
        inside = np.array(point, float) * samples.scale
        if not (np.isfinite(inside).all() and (inside >= 0).all() and (inside < shape).all()):
            raise ConfigError('--point {:g} {:g} is outside of the image: expected a column below '
                              '{:g} and a row below {:g}'.format(*point, *(
                                  shape / samples.scale).round()))
        column, row = (inside / shown_px).astype(int)
        cell = min(int(row), height - 1), min(int(column), width - 1)
    ages = (*lags[::-1], 0)
    reach = first.search.height // 2, first.search.width // 2
    compared = first.keep(Frame(maps[0].movedim(1, -1)))[..., :first.compared]
    seen = [np.stack([_patches(compared[-1], compared[-1 - age], cell, first) for age in ages])]
    for order in values[:-1]:
        # Motions at all lags, channels last.
        motions = order[0, :, :, :2].flatten(1, 2).movedim(1, -1)
        seen.append(np.stack([_motions(motions[-1], motions[-1 - age], cell, reach)
                              for age in ages]))
    read = torch.stack([order[0, -1, :, :, cell[0], cell[1]] for order in values])
    return Look(cell, ages, np.stack(seen), lags, read[..., :2].numpy(),
                _sure(read.movedim(-1, 0)[2:]).numpy(), shown_px / samples.scale)


def _sure(values: Tensor) -> Tensor:
    """Tell by similarity and curvature, ``(2, …)``, where displacements are found."""
    return (values[0] > _ALIKE) & (values[1] > _CURVED)


def _fastest(values: Tensor, lags: tuple[int, ...], patch: int) -> tuple[int, int]:
    """Choose the cell that moves fastest among those found surely, ``(L', 4, H, W)``."""
    sure = _sure(values.movedim(1, 0)[2:]).all(dim=0)
    if len(lags) > 1:
        # A sudden change of all that is seen is no motion.
        sure &= (values[-2, :2] * (lags[-1] / lags[-2]) - values[-1, :2]).norm(dim=0) < _AGREED
    # At the longest lag, at which slow motions show; the mean of a patch spares outliers.
    mean = F.avg_pool2d((values[-1, :2].norm(dim=0) * sure)[None, None], 5, 1, 2)[0, 0]
    edge = min(patch // 2, (min(mean.shape) - 1) // 2)
    inner = mean[edge:len(mean) - edge, edge:mean.shape[1] - edge] + 1e-6
    row, column = divmod(int(inner.argmax()), inner.shape[1])
    return row + edge, column + edge


def _around(maps: Tensor, cell: tuple[int, int], half: tuple[int, int]) -> Tensor:
    """Cut a window out of a map, shape ``(H, W, C)``, with NaN outside."""
    padded = F.pad(maps, (0, 0, half[1], half[1], half[0], half[0]), value=float('nan'))
    return padded[cell[0]:cell[0] + 2 * half[0] + 1, cell[1]:cell[1] + 2 * half[1] + 1]


def _patches(now: Tensor, then: Tensor, cell: tuple[int, int], order: Readout) -> np.ndarray:
    """Compare the patch at a cell with those of a window: 1 less their squared distance."""
    search = order.search
    half, reach = search.patch // 2, (search.height // 2, search.width // 2)
    if search.similarity == 'cosine':
        now, then = F.normalize(now, dim=-1), F.normalize(then, dim=-1)
    patch = _around(now, cell, (half, half))
    there = ~patch.isnan()
    region = _around(then, cell, (reach[0] + half, reach[1] + half))
    windows = region.unfold(0, search.patch, 1).unfold(1, search.patch, 1).permute(0, 1, 3, 4, 2)
    # Outside of the map is nothing: as in the block, patches at its edge are smaller.
    distance = torch.where(there, windows.nan_to_num() - patch, 0).square().sum((2, 3, 4))
    size = patch.nan_to_num().square().sum().clamp(min=1e-6)
    # Of unit vectors, half of it is 1 less the mean cosine.
    similar = 1 - distance / (2 * size if search.similarity == 'cosine' else size)
    return torch.where(_around(then[..., :1], cell, reach)[..., 0].isnan(), torch.nan,
                       similar).numpy()


def _motions(now: Tensor, then: Tensor, cell: tuple[int, int],
             reach: tuple[int, int]) -> np.ndarray:
    """Compare the motions at a cell with those of a window: 1 if equal, -1 if opposite."""
    here, there = now[cell[0], cell[1]], _around(then, cell, reach)
    still = now.shape[-1] * _STILL ** 2
    size = here.square().sum() + there.square().sum(-1)
    return ((2 * (here * there).sum(-1) + still) / (size + still)).numpy()
