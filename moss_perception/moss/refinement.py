"""The refinement of displacements by the maps themselves, and what that needs."""

from moss_perception.moss.kernels import holds_numbers
import torch
from torch import Tensor
import torch.nn.functional as F

# Energy of the slopes of a position, where that of its features is 1 on average, below which
# Gauss-Newton steps hold to where they start.
_HOLD = 3e-4
# Numbers that are summed at a time: a system gives larger memory anew each time, which costs more
# than the sums.
_NUMBERS = 100_000


def refine(query: Tensor, keys: Tensor, found: Tensor, patch: int, steps: int,
           passes: int) -> Tensor:
    """
    Refine displacements on the maps.

    :param query: float tensor, shape ``(B, H, W, P)``; the energy of a position is about 1.
    :param keys: the same of the other frames, shape ``(B, L, H, W, P)``.
    :param found: to be refined, shape ``(B, H, W, L, 4)``: offset to the right and down, cells,
        of the like in the other frame; similarity, at most 0 where it is missing; and curvature.
    :param patch: side of the square that counts for a position, odd.
    :param steps: number of Gauss-Newton steps.
    :param passes: number of passes over the neighbours, at half the distance each.
    :returns: of the shape of ``found``.
    """
    length = keys.shape[1]
    maps = query.movedim(-1, 1).repeat_interleave(length, 0)
    others = keys.flatten(0, 1).movedim(-1, 1).contiguous()
    found = found.movedim(3, 1).flatten(0, 1)
    offset, rest = found[..., :2], found[..., 2:]
    slope_x, slope_y = _slopes(maps, 3), _slopes(maps, 2)
    # Nothing is known of a frame that is missing.
    known = rest[..., :1] > 0
    for _ in range(steps):
        offset = torch.where(
            known, _gauss_newton(maps, others, offset, slope_x, slope_y, patch), offset)
    found = torch.cat([offset, rest], -1)
    for n in range(passes):
        found = _keep_borders(maps, others, found, max(patch // 2 >> n, 1))
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
                        (slope_y * towards).sum(1)], 1)
    a, b, c, p, q = box_sum(sums, patch).unbind(1)
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
        best = box_sum(cost, 3).argmin(0)
    return there.gather(0, best[None, ..., None].expand(1, *found.shape))[0]


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


def box_sum(planes: Tensor, side: int) -> Tensor:
    """
    Sum over a square around each position, as far as it is in the map.

    :param planes: float tensor, shape ``(N, C, H, W)``.
    :param side: of the square, odd.
    :returns: of the same shape.
    """
    if side == 1:
        return planes
    if torch.onnx.is_in_onnx_export():
        # One pass of ONNX Runtime, over many planes at a time; sums of shifted maps are many.
        channels = planes.shape[1]
        ones = torch.ones(channels, 1, side, side, dtype=planes.dtype)
        return F.conv2d(planes, ones, padding=side // 2, groups=channels)
    if holds_numbers(planes):
        count = max(1, _NUMBERS // max(planes[:, :1].numel(), 1))
        return torch.cat([_flat_box_sum(some, side) for some in planes.split(count, 1)], 1)
    padded = F.pad(planes, (side // 2,) * 4)
    return _run_sum(_run_sum(padded, side, 1, 3), side, 1, 2)


def _flat_box_sum(planes: Tensor, side: int) -> Tensor:
    """Do it on one row of numbers, the margins of zeros among them: torch is fastest so."""
    (batch, channels, rows, columns), half = planes.shape, side // 2
    # What is beside the map, and below it, is also beside the next row and above the next map.
    high, wide = rows + half, columns + half
    margin = half * wide + half
    flat = planes.new_zeros(2 * margin + batch * channels * high * wide)
    laid = flat.narrow(0, margin, len(flat) - 2 * margin).view(batch, channels, high, wide)
    laid[..., :rows, :columns] = planes
    flat = _run_sum(_run_sum(flat, side, 1, 0), side, wide, 0)
    return flat.view(batch, channels, high, wide)[..., :rows, :columns]


def _run_sum(x: Tensor, side: int, step: int, axis: int) -> Tensor:
    """Sum an odd number of numbers, each a step after the last, by twos, fours and so on."""
    size = x.shape[axis] - (side - 1) * step
    total, run, length = x.narrow(axis, 0, size), x, 1
    while 2 * length < side:
        count = run.shape[axis] - length * step
        run = run.narrow(axis, 0, count) + run.narrow(axis, length * step, count)
        first, length = side & (2 * length - 1), 2 * length
        if side & length:
            part = run.narrow(axis, first * step, size)
            # The first sum is a tensor of its own, that the others may be added to.
            total = total + part if first == 1 else total.add_(part)
    return total
