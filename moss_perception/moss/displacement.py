"""
How far what a position shows has moved since another frame, to fractions of a cell.

The similarities of a window are summed over a patch, a parabola through the largest gives the
fraction, and Gauss-Newton steps on the maps refine it. A frame that is missing, a map of zeros,
gives zeros. Every sum is made by the same operations whoever calls, since rounding decides between
maxima that are equal.
"""

from contextlib import nullcontext
from dataclasses import dataclass

from moss_perception.core.errors import ConfigError, ShapeError
from moss_perception.moss.checks import autocasts
from moss_perception.moss.kernels import window_products
from moss_perception.moss.refinement import box_sum, refine
import torch
from torch import Tensor
import torch.nn.functional as F

SIMILARITY = ('cosine', 'ssd')
# Numbers of one displacement: right, down, similarity at the maximum, its curvature there.
VALUES = 4
# Of several maxima that are equal, as in a blank image, the nearest counts: a window's corner
# loses so much. Rounding is far smaller.
_NEAREST = 1e-4
# Curvature, of similarities of at most 1, below which a parabola is no longer trusted.
_FLAT = 1e-4
# Energy of a position, of 1 on average, below which a patch counts as blank.
_BLANK = 0.03


@dataclass(frozen=True)
class Search:
    """
    How displacements are looked for.

    :ivar height: vertical size ``U`` of the window, odd.
    :ivar width: horizontal size ``V`` of the window, odd.
    :ivar patch: side of the square that similarities are summed over, odd.
    :ivar similarity: ``cosine`` (of each position's features) or ``ssd`` (squared distance).
    :ivar refinement: number of Gauss-Newton steps.
    :ivar borders: so often let each position take the displacement of a neighbour, half a patch
        away and then half of that, if it explains the position better. This keeps the borders of
        what moves.
    :ivar spacing: 2 to look at every second position of every second row only, which is faster by
        far; the others take the displacement of the one beside or above, before the refinement.
    :raises ConfigError: if a value is not allowed.
    """

    height: int
    width: int
    patch: int = 7
    similarity: str = 'cosine'
    refinement: int = 0
    borders: int = 0
    spacing: int = 1

    def __post_init__(self):
        if not _is_whole(self.patch) or self.patch < 1 or self.patch % 2 == 0:
            raise ConfigError(f'patch={self.patch!r} is not allowed: expected an odd number of 1 '
                              'or more')
        if self.similarity not in SIMILARITY:
            raise ConfigError(f'similarity={self.similarity!r} is not allowed: expected one of '
                              f'{SIMILARITY}')
        if self.spacing not in (1, 2):
            raise ConfigError(f'spacing={self.spacing!r} is not allowed: expected 1 or 2')
        for name, count in (('refinement', self.refinement), ('borders', self.borders)):
            if not _is_whole(count) or count < 0:
                raise ConfigError(f'{name}={count!r} is not allowed: expected a number of times, '
                                  '0 or more')

    def check_map(self, rows: int, columns: int) -> None:
        """
        Check that the patch fits a map.

        :raises ShapeError: if it is larger.
        """
        if self.patch > min(rows, columns):
            raise ShapeError(f'a patch of {self.patch} x {self.patch} is larger than the map: '
                             f'expected one of at most {min(rows, columns)}, the map is '
                             f'{rows} x {columns}')


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def displacements(query: Tensor, keys: Tensor, search: Search) -> Tensor:
    """
    Find how far what a map shows has moved since ``L`` other maps.

    The gradient follows the values around each maximum. Which of them is the maximum is a choice
    and has none.

    :param query: float tensor, shape ``(B, H, W, P)``; the energy of a position, its sum of
        squares, is about 1.
    :param keys: the same of the other frames, shape ``(B, L, H, W, P)``; zeros where a frame is
        missing.
    :param search: how to look.
    :returns: shape ``(B, H, W, L, 4)``: motion to the right and down since that frame, in cells;
        similarity at the maximum, at most about 1; and the curvature there, the smaller of both
        axes, 0 at the window's edge. All are 0 where the other frame is missing or blank.
    :raises ShapeError: if the patch is larger than the map.
    """
    search.check_map(*query.shape[1:3])
    if not torch.compiler.is_compiling() and not query.numel():
        return query.new_zeros(*query.shape[:3], keys.shape[1], VALUES)
    wide = torch.promote_types(query.dtype, torch.float32)
    whole = (torch.autocast(query.device.type, enabled=False) if autocasts(query.device)
             else nullcontext())
    with whole:
        query, keys = query.to(wide), keys.to(wide)
        found = _read_peaks(*_similarities(query, keys, search), search)
        if search.spacing == 2:
            found = found.repeat_interleave(2, 1).repeat_interleave(2, 2)
            found = found[:, :query.shape[1], :query.shape[2]]
        if search.refinement or search.borders:
            found = refine(query, keys, found, search.patch, search.refinement,
                           search.borders)
    return torch.cat([-found[..., :2], found[..., 2:]], -1)


def _similarities(query: Tensor, keys: Tensor, search: Search) -> tuple[Tensor, Tensor]:
    """
    Compare patches.

    :returns: shape ``(B, H, W, L, U * V)``, and what to divide it by, ``(B, H, W, 1, 1)``, for 1
        where patches are equal and 0 where one is blank.
    """
    if search.similarity == 'ssd':
        # -|q - k|^2 = 2 q k - |k|^2 - |q|^2, of which the last is the same in the whole window.
        energy = query.square().sum(-1, keepdim=True)
        query = torch.cat([2 * query, torch.full_like(energy, -1)], -1)
        keys = torch.cat([keys, keys.square().sum(-1, keepdim=True)], -1)
        size = box_sum(energy, search.patch, (1, 2)) + _BLANK * search.patch ** 2
    else:
        size = box_sum(torch.ones_like(query[..., :1]), search.patch, (1, 2))
    if search.spacing == 2:
        products = _sparse_products(query, keys, search.height, search.width)
        # As many places of the patch as there are.
        side, size = search.patch // 4 * 2 + 1, size[:, ::2, ::2]
        share = (side / search.patch) ** 2
        return box_sum(products, side, (1, 2)), size[..., None] * share
    products = window_products(query[:, None], keys, search.height, search.width)[:, 0]
    return box_sum(products, search.patch, (1, 2)), size[..., None]


def _sparse_products(query: Tensor, keys: Tensor, height: int, width: int) -> Tensor:
    """Multiply every second position of every second row with its window of all positions."""
    rows, columns = query.shape[1:3]
    odd = 0, 0, 0, columns % 2, 0, rows % 2
    query, keys = query[:, ::2, ::2], F.pad(keys, odd)
    # Even and odd rows and columns are maps by themselves, whose windows are half as large.
    phases = torch.stack([keys[:, :, y::2, x::2] for y in (0, 1) for x in (0, 1)], 2)
    half_u, half_v = (height // 2 + 1) // 2, (width // 2 + 1) // 2
    u_size, v_size = 2 * half_u + 1, 2 * half_v + 1
    products = window_products(query[:, None], phases.flatten(1, 2), u_size, v_size)[:, 0]
    products = products.unflatten(-1, (u_size, v_size)).unflatten(3, (-1, 2, 2))
    # From (L, y, x, U, V) to offsets 2 U + y and 2 V + x.
    products = products.permute(0, 1, 2, 3, 6, 4, 7, 5).flatten(6).flatten(4, 5)
    first_u, first_v = 2 * half_u - height // 2, 2 * half_v - width // 2
    return products[..., first_u:first_u + height, first_v:first_v + width].flatten(-2)


def _read_peaks(similar: Tensor, size: Tensor, search: Search) -> Tensor:
    """Read offset, height and curvature of each maximum: shape ``(B, H, W, L, 4)``."""
    height, width = search.height, search.width
    like = {'device': similar.device, 'dtype': similar.dtype}
    down = torch.arange(height, **like)[:, None] - height // 2
    right = torch.arange(width, **like) - width // 2
    distance = (down.square() + right.square()).flatten()
    corner = max((height // 2) ** 2 + (width // 2) ** 2, 1)
    with torch.no_grad():
        best = torch.addcmul(similar, size, distance * (-_NEAREST / corner)).argmax(-1, True)
    row, column = best // width, best % width
    inner_x = (column > 0) & (column < width - 1)
    inner_y = (row > 0) & (row < height - 1)
    step_x, step_y = inner_x.to(best.dtype), inner_y.to(best.dtype) * width
    around = torch.cat([best, best - step_x, best + step_x, best - step_y, best + step_y], -1)
    # The division comes where there is least to divide.
    peak, left, after, above, below = (similar.gather(-1, around) / size).unbind(-1)
    bend_x, more_x = _parabola(left, peak, after)
    bend_y, more_y = _parabola(above, peak, below)
    x = (column - width // 2)[..., 0].to(similar.dtype) + more_x
    y = (row - height // 2)[..., 0].to(similar.dtype) + more_y
    return torch.stack([x, y, peak, torch.minimum(bend_x, bend_y)], -1)


def _parabola(before: Tensor, peak: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """Return the curvature, and how far from the middle the maximum is, at most half a cell."""
    bend = (2 * peak - before - after).clamp(min=0)
    return bend, ((after - before) / (2 * (bend + _FLAT))).clamp(-0.5, 0.5)
