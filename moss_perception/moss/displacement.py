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
# The same for its gradient: how firmly Gauss-Newton steps hold to where they start.
_HOLD = 3e-4


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
    :raises ConfigError: if a value is not allowed.
    """

    height: int
    width: int
    patch: int = 7
    similarity: str = 'cosine'
    refinement: int = 0
    borders: int = 0

    def __post_init__(self):
        if not _is_whole(self.patch) or self.patch < 1 or self.patch % 2 == 0:
            raise ConfigError(f'patch={self.patch!r} is not allowed: expected an odd number of 1 '
                              'or more')
        if self.similarity not in SIMILARITY:
            raise ConfigError(f'similarity={self.similarity!r} is not allowed: expected one of '
                              f'{SIMILARITY}')
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
        if search.refinement or search.borders:
            found = _improve(query, keys, found, search)
    return torch.cat([-found[..., :2], found[..., 2:]], -1)


def sample(maps: Tensor, offset: Tensor) -> Tensor:
    """
    Read maps beside each position, between positions bilinearly, beyond the border at it.

    :param maps: float tensor, shape ``(N, P, H, W)``.
    :param offset: right and down, cells, shape ``(N, H, W, 2)``.
    :returns: shape ``(N, P, H, W)``.
    """
    rows, columns = maps.shape[2:]
    like = {'device': offset.device, 'dtype': offset.dtype}
    x = (torch.arange(columns, **like) + offset[..., 0]) * (2 / max(columns - 1, 1)) - 1
    y = (torch.arange(rows, **like)[:, None] + offset[..., 1]) * (2 / max(rows - 1, 1)) - 1
    return F.grid_sample(maps, torch.stack([x, y], -1), padding_mode='border', align_corners=True)


def box_sum(x: Tensor, side: int, axes: tuple[int, int]) -> Tensor:
    """Sum over a square around each position, as far as it is in the map."""
    for axis in axes:
        x = _line_sum(x, side, axis)
    return x


def _line_sum(x: Tensor, side: int, axis: int) -> Tensor:
    """Sum ``side`` neighbours along an axis, by twos, fours and so on."""
    size, half = x.shape[axis], side // 2
    padded = F.pad(x, (0, 0) * (x.dim() - 1 - axis % x.dim()) + (half, half))
    total, first, run, length = None, 0, padded, 1
    while True:
        if side & length:
            part = run.narrow(axis, first, size)
            total, first = part if total is None else total + part, first + length
        if 2 * length > side:
            assert total is not None  # every number has a highest bit
            return total
        count = run.shape[axis] - length
        run = run.narrow(axis, 0, count) + run.narrow(axis, length, count)
        length *= 2


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
    products = window_products(query[:, None], keys, search.height, search.width)[:, 0]
    return box_sum(products, search.patch, (1, 2)), size[..., None]


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


def _improve(query: Tensor, keys: Tensor, found: Tensor, search: Search) -> Tensor:
    """Refine ``(B, H, W, L, 4)`` on the maps."""
    length = keys.shape[1]
    maps = query.movedim(-1, 1).repeat_interleave(length, 0)
    others = keys.flatten(0, 1).movedim(-1, 1).contiguous()
    found = found.movedim(3, 1).flatten(0, 1)
    offset, rest = found[..., :2], found[..., 2:]
    slope_x, slope_y = _slopes(maps, 3), _slopes(maps, 2)
    # Nothing is known of a frame that is missing.
    known = rest[..., :1] > 0
    for _ in range(search.refinement):
        offset = torch.where(
            known, _gauss_newton(maps, others, offset, slope_x, slope_y, search.patch), offset)
    found = torch.cat([offset, rest], -1)
    for n in range(search.borders):
        found = _keep_borders(maps, others, found, max(search.patch // 2 >> n, 1))
    return found.unflatten(0, (-1, length)).movedim(1, 3)


def _slopes(maps: Tensor, axis: int) -> Tensor:
    """Take central differences, one-sided at the border."""
    size = maps.shape[axis]
    ends = maps.narrow(axis, 0, 1), maps, maps.narrow(axis, size - 1, 1)
    padded = torch.cat(ends, axis)
    return (padded.narrow(axis, 2, size) - padded.narrow(axis, 0, size)) / 2


def _gauss_newton(maps: Tensor, others: Tensor, offset: Tensor, slope_x: Tensor, slope_y: Tensor,
                  patch: int) -> Tensor:
    """
    Take one step towards the least squared distance of the patches.

    Each position of a patch is compared where its own offset leads, and the distance at the
    offset of the patch is inferred by the slopes.
    """
    x, y = offset.unbind(-1)
    residual = sample(others, offset) - maps
    towards = slope_x * x[:, None] + slope_y * y[:, None] - residual
    sums = torch.stack([slope_x.square().sum(1), (slope_x * slope_y).sum(1),
                        slope_y.square().sum(1), (slope_x * towards).sum(1),
                        (slope_y * towards).sum(1)], -1)
    a, b, c, p, q = box_sum(sums, patch, (1, 2)).unbind(-1)
    hold = _HOLD * patch ** 2
    a, c, p, q = a + hold, c + hold, p + hold * x, q + hold * y
    # Both diagonal sums hold the square of b: the determinant is above 0.
    scale = 1 / (a * c - b * b)
    found = torch.stack([(c * p - b * q) * scale, (a * q - b * p) * scale], -1)
    return offset + (found - offset).clamp(-1, 1)


def _keep_borders(maps: Tensor, others: Tensor, found: Tensor, reach: int) -> Tensor:
    """Take the displacement of a neighbour, to the four corners, that explains 3 x 3 better."""
    padded = F.pad(found.movedim(-1, 1), (reach,) * 4, mode='replicate').movedim(1, -1)
    rows, columns = found.shape[1:3]
    # A tie is the position's own, which comes first.
    there = torch.stack([found] + [padded[:, y:y + rows, x:x + columns]
                                   for y in (0, 2 * reach) for x in (0, 2 * reach)])
    with torch.no_grad():
        count = len(there)
        cost = sample(others.repeat(count, 1, 1, 1), there[..., :2].flatten(0, 1))
        cost = (cost.unflatten(0, (count, -1)) - maps).square().sum(2)
        best = box_sum(cost, 3, (2, 3)).argmin(0)
    return there.gather(0, best[None, ..., None].expand(1, *found.shape))[0]
