"""What each order of MOSS sees at a point: its similarities, and the displacement it reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import cv2
from moss_perception.core.errors import ConfigError
from moss_perception.evaluation.look.frames import Samples
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
# A point is chosen where patches fit so well, have such a contrast, and two lags agree (cells).
_ALIKE, _CURVED, _AGREED = 0.7, 0.02, 0.5


@dataclass(frozen=True)
class Look:
    """
    What the orders see at one point of the newest sample.

    :ivar cell: its row and column in the map.
    :ivar ages: of the samples that are compared with the newest, in samples, descending to 0.
    :ivar maps: similarities, at most 1, by order, age and neighbour, shape ``(N, A, U, V)``; NaN
        for neighbours outside the map.
    :ivar displacements: of the orders at the point, cells to the right and down, since each of
        :data:`LAGS`: shape ``(N, L', 2)``. Of order 2 the change of it, of order 3 the change of
        that.
    :ivar cell_px: pixels of the recording in one cell.
    """

    cell: tuple[int, int]
    ages: tuple[int, ...]
    maps: np.ndarray
    displacements: np.ndarray
    cell_px: float


def make_block() -> MOSS:
    """
    Make a block of three orders that compares pixels, and has nothing learnt in what it reads.

    It reads displacements as the block of the shipped model does, on a finer map.
    """
    return MOSS(3, ORDERS, _WINDOW, channels=1, projection=0, hidden=1, learning='mlp',
                readout='displacement', lags=LAGS, similarity='ssd', patch=_PATCH, refinement=1,
                borders=2, spacing=2).eval()


def features_of(images: np.ndarray) -> Tensor:
    """
    Make the maps that are compared: averaged pixels.

    :param images: uint8, RGB, shape ``(T, H, W, 3)``.
    :returns: shape ``(1, T, 3, h, w)``, in [0, 1].
    """
    size = np.array(images.shape[2:0:-1]) * SIDE / max(images.shape[1:3])
    size = np.maximum(np.round(size / STRIDE).astype(int) * STRIDE, STRIDE)
    small = np.stack([cv2.resize(image, size.tolist(), interpolation=cv2.INTER_AREA)
                      for image in images])
    pixels = torch.from_numpy(small).float().movedim(-1, 1) / 255
    return F.avg_pool2d(pixels, STRIDE)[None]


@torch.inference_mode()
def look(samples: Samples, point: Sequence[float] | None = None) -> Look:
    """
    Look at one point of the newest sample.

    :param samples: as many as the block's receptive field.
    :param point: its column and row, pixels of the recording; ``None`` for one that moves fast
        and is found surely.
    :raises ConfigError: if the point is outside the image.
    :raises ShapeError: if the images are too narrow for a patch.
    """
    block, maps = make_block(), features_of(samples.images)
    values = block.displacements(maps)
    height, width = maps.shape[-2:]
    shown_px = samples.images.shape[2] / width
    if point is None:
        cell = _fastest(values[0][0, -1])
    else:
        shape = np.array(samples.images.shape[2:0:-1])
        inside = np.array(point, float) * samples.scale
        if not (np.isfinite(inside).all() and (inside >= 0).all() and (inside < shape).all()):
            raise ConfigError('--point {:g} {:g} is outside of the image: expected a column below '
                              '{:g} and a row below {:g}'.format(*point, *(
                                  shape / samples.scale).round()))
        column, row = (inside / shown_px).astype(int)
        cell = min(int(row), height - 1), min(int(column), width - 1)
    ages = (*LAGS[::-1], 0)
    first = cast(Readout, block.extraction[0])
    compared = first.keep(Frame(maps[0].movedim(1, -1)))
    seen = [np.stack([_patches(compared[-1], compared[-1 - age], cell) for age in ages])]
    for order in values[:-1]:
        # Motions at all lags, channels last.
        motions = order[0, :, :, :2].flatten(1, 2).movedim(1, -1)
        seen.append(np.stack([_motions(motions[-1], motions[-1 - age], cell) for age in ages]))
    read = np.stack([order[0, -1, :, :2, cell[0], cell[1]].numpy() for order in values])
    return Look(cell, ages, np.stack(seen), read, shown_px / samples.scale)


def _fastest(values: Tensor) -> tuple[int, int]:
    """Choose the cell that moves fastest among those found surely, ``(L', 4, H, W)``."""
    sure = ((values[:, 2] > _ALIKE) & (values[:, 3] > _CURVED)).all(dim=0)
    # A sudden change of all that is seen is no motion.
    sure &= (values[-2, :2] * (LAGS[-1] / LAGS[-2]) - values[-1, :2]).norm(dim=0) < _AGREED
    # At the longest lag, at which slow motions show; the mean of a patch spares outliers.
    mean = F.avg_pool2d((values[-1, :2].norm(dim=0) * sure)[None, None], 5, 1, 2)[0, 0]
    edge = _PATCH // 2
    inner = mean[edge:-edge, edge:-edge] + 1e-6
    row, column = divmod(int(inner.argmax()), inner.shape[1])
    return row + edge, column + edge


def _around(maps: Tensor, cell: tuple[int, int], half: tuple[int, int]) -> Tensor:
    """Cut a window out of a map, shape ``(H, W, C)``, with NaN outside."""
    padded = F.pad(maps, (0, 0, half[1], half[1], half[0], half[0]), value=float('nan'))
    return padded[cell[0]:cell[0] + 2 * half[0] + 1, cell[1]:cell[1] + 2 * half[1] + 1]


def _patches(now: Tensor, then: Tensor, cell: tuple[int, int]) -> np.ndarray:
    """Compare the patch at a cell with those of a window: 1 less their squared distance."""
    half, reach = _PATCH // 2, (_WINDOW[1] // 2, _WINDOW[2] // 2)
    patch = _around(now, cell, (half, half))
    there = ~patch.isnan()
    region = _around(then, cell, (reach[0] + half, reach[1] + half))
    windows = region.unfold(0, _PATCH, 1).unfold(1, _PATCH, 1).permute(0, 1, 3, 4, 2)
    # Outside of the map is nothing: as in the block, patches at its edge are smaller.
    distance = torch.where(there, windows.nan_to_num() - patch, 0).square().sum((2, 3, 4))
    similar = 1 - distance / patch.nan_to_num().square().sum().clamp(min=1e-6)
    return torch.where(_around(then[..., :1], cell, reach)[..., 0].isnan(), torch.nan,
                       similar).numpy()


def _motions(now: Tensor, then: Tensor, cell: tuple[int, int]) -> np.ndarray:
    """Compare the motions at a cell with those of a window: 1 if equal, -1 if opposite."""
    reach = _WINDOW[1] // 2, _WINDOW[2] // 2
    here, there = now[cell[0], cell[1]], _around(then, cell, reach)
    still = now.shape[-1] * _STILL ** 2
    size = here.square().sum() + there.square().sum(-1)
    return ((2 * (here * there).sum(-1) + still) / (size + still)).numpy()
