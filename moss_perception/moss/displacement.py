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
from moss_perception.moss.kernels import holds_numbers, window_products
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
# Similarities that are held at a time, in numbers: little more than a core's cache.
_NUMBERS = 500_000
# By this a difference of scores, if there is one, is far more than the places of a window.
_FAR = 1e30
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
        found = _search(query, keys, search)
        if search.spacing == 2:
            found = found.repeat_interleave(2, 1).repeat_interleave(2, 2)
            found = found[:, :query.shape[1], :query.shape[2]]
        if search.refinement or search.borders:
            found = refine(query, keys, found, search.patch, search.refinement,
                           search.borders)
    return found * found.new_tensor([-1, -1, 1, 1])


def _search(query: Tensor, keys: Tensor, search: Search) -> Tensor:
    """Find offsets, heights and curvatures: shape ``(B, H, W, L, 4)``, divided by the spacing."""
    if search.similarity == 'ssd':
        # -|q - k|^2 = 2 q k - |k|^2 - |q|^2, of which the last is the same in the whole window.
        energy = (query * query).sum(-1, keepdim=True)
        query = torch.cat([2 * query, torch.full_like(energy, -1)], -1)
        keys = torch.cat([keys, (keys * keys).sum(-1, keepdim=True)], -1)
        size = box_sum(energy.movedim(-1, 1), search.patch) + _BLANK * search.patch ** 2
    else:
        size = box_sum(torch.ones_like(query[..., 0])[:, None], search.patch)
    size, side = size.movedim(1, -1), search.patch
    if search.spacing == 2:
        # As many places of the patch as there are.
        side = search.patch // 4 * 2 + 1
        size = size[:, ::2, ::2] * (side / search.patch) ** 2
    count = keys.shape[1]
    if holds_numbers(query):
        count = max(1, _NUMBERS // (search.height * search.width * max(size.numel(), 1)))
    found = [_read_peaks(_similarities(query, some, side, search), size, search)
             for some in keys.split(count, 1)]
    return torch.cat(found, 3) if len(found) > 1 else found[0]


def _similarities(query: Tensor, keys: Tensor, side: int, search: Search) -> Tensor:
    """Compare patches: shape ``(B, H, W, L * U * V)``, to be divided by the patch's size."""
    products = window_products(query[:, None], keys, search.height, search.width,
                               search.spacing).squeeze(1)
    return box_sum(products.flatten(3).movedim(-1, 1), side).movedim(1, -1)


def _read_peaks(similar: Tensor, size: Tensor, search: Search) -> Tensor:
    """Read offset, height and curvature of each maximum: shape ``(B, H, W, L, 4)``."""
    offsets, around = _window_places(search.height, search.width, similar.device)
    offsets = offsets.to(similar.dtype)
    distance = (offsets * offsets).sum(1)
    corner = max((search.height // 2) ** 2 + (search.width // 2) ** 2, 1)
    with torch.no_grad():
        best = _find_maximum(similar, size, distance * (-_NEAREST / corner))
        # A lag's places begin where those of the one before end.
        lags = torch.arange(best.shape[3], device=best.device)[:, None]
        around = F.embedding(best, around) + len(around) * lags
    # The division comes where there is least to divide.
    read = (similar.gather(-1, around.flatten(3)) / size).unflatten(-1, (-1, 5))
    peak, left, after, above, below = read.unbind(-1)
    bend_x, more_x = _parabola(left, peak, after)
    bend_y, more_y = _parabola(above, peak, below)
    place = F.embedding(best, offsets) + torch.stack([more_x, more_y], -1)
    return torch.cat([place, torch.stack([peak, torch.minimum(bend_x, bend_y)], -1)], -1)


def _window_places(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """
    Say where the places of a window are, and which are beside each.

    :returns: right and down, shape ``(UV, 2)``; and the place itself and those to the left,
        right, above and below, ``(UV, 5)``: itself also for those of an axis that ends there.
    """
    place = torch.arange(height * width, device=device)
    row, column = place // width, place % width
    inner_x = ((column > 0) & (column < width - 1)).to(place.dtype)
    inner_y = ((row > 0) & (row < height - 1)).to(place.dtype) * width
    around = [place, place - inner_x, place + inner_x, place - inner_y, place + inner_y]
    return (torch.stack([column - width // 2, row - height // 2], 1), torch.stack(around, 1))


def _find_maximum(similar: Tensor, size: Tensor, nearest: Tensor) -> Tensor:
    """
    Find the first maximum of each lag: its place, shape ``(B, H, W, L)``.

    :param nearest: is added, times ``size``, shape ``(UV,)``.
    """
    places = len(nearest)
    nearest = nearest.repeat(similar.shape[-1] // places)
    if not holds_numbers(similar):
        score = torch.addcmul(similar, size, nearest)
        return score.unflatten(-1, (-1, places)).argmax(-1)
    # The same by operations that take many numbers at a time: all but the maximum fall far below.
    score = torch.addcmul(similar.movedim(-1, 1), size.movedim(-1, 1), nearest[:, None, None])
    score = score.unflatten(1, (-1, places))
    rank = torch.arange(places - 1, -1, -1, dtype=similar.dtype)[:, None, None]
    score = score.sub_(score.amax(2, True)).mul_(_FAR).add_(rank).amax(2)
    # What is not finite has no maximum, and any will do.
    return (places - 1 - score.nan_to_num_(0, 0, 0)).long().movedim(1, -1)


def _parabola(before: Tensor, peak: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """Return the curvature, and how far from the middle the maximum is, at most half a cell."""
    bend = (2 * peak - before - after).clamp(min=0)
    return bend, ((after - before) / (2 * (bend + _FLAT))).clamp(-0.5, 0.5)
