"""Space-time self-similarity: how alike each position is to its neighbours in space and time."""

import functools

from moss_perception.errors import ConfigError, ShapeError
import torch
from torch import Tensor
import torch.nn.functional as F

# Up to this many positions one product of whole maps beats a product for each band of rows.
_WHOLE_MAP_POSITIONS = 1024


def check_window(window: tuple[int, int, int], causal: bool) -> tuple[int, int, int]:
    """
    Check a similarity window.

    :param window: ``(L, U, V)``: temporal, vertical and horizontal size.
    :param causal: ``L`` may be even only for a causal window.
    :returns: the window, as a tuple of ints.
    :raises ConfigError: if a size is below 1, or even where it has to be centred.
    """
    if len(window) != 3 or any(int(size) != size or size < 1 for size in window):
        raise ConfigError(f'window must be three whole numbers (L, U, V) above 0, got {window!r}')
    length, height, width = (int(size) for size in window)
    if height % 2 == 0 or width % 2 == 0:
        raise ConfigError(f'window (L, U, V) needs odd U and V to be centred, got {window!r}')
    if not causal and length % 2 == 0:
        raise ConfigError(f'a centred window (L, U, V) needs an odd L, got {window!r}')
    return length, height, width


def correlate(query: Tensor, keys: Tensor, height: int, width: int) -> Tensor:
    """
    Multiply each position of a map with its neighbours in ``L`` other maps.

    :param query: float tensor, shape ``(B, C, H, W)``.
    :param keys: float tensor, shape ``(B, L, C, H, W)``.
    :param height: vertical size ``U`` of the window, odd.
    :param width: horizontal size ``V`` of the window, odd.
    :returns: scalar products, shape ``(B, H, W, L, U, V)``; 0 for neighbours outside the map.
    :raises ShapeError: if the maps do not fit one another.
    """
    if query.dim() != 4 or keys.dim() != 5 or query.shape != keys[:, 0].shape:
        raise ShapeError('expected a query (B, C, H, W) and keys (B, L, C, H, W) of the same '
                         f'B, C, H, W, got {tuple(query.shape)} and {tuple(keys.shape)}')
    if query.shape[2] * query.shape[3] <= _WHOLE_MAP_POSITIONS:
        return _CorrelateMaps.apply(query, keys, height, width)
    return _correlate_bands(query, keys, height, width)


@functools.lru_cache(maxsize=32)
def _window_index(rows: int, columns: int, u_size: int, v_size: int,
                  device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """
    Index a window's neighbours in a flattened map, and the way back.

    :returns: ``neighbour`` and ``inside``, shape ``(HW, UV)``: the neighbour's position, and 1
        where it is in the map, else 0; ``offset`` and ``near``, shape ``(HW, HW)``: the offset of
        a position seen from another, and 1 where the window reaches it.
    """
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing='ij')
    y, x = y.flatten()[:, None], x.flatten()[:, None]
    u, v = torch.meshgrid(torch.arange(u_size), torch.arange(v_size), indexing='ij')
    other_y = y + u.flatten() - u_size // 2
    other_x = x + v.flatten() - v_size // 2
    inside = (other_y >= 0) & (other_y < rows) & (other_x >= 0) & (other_x < columns)
    neighbour = (other_y * columns + other_x) * inside
    down, right = y.T - y + u_size // 2, x.T - x + v_size // 2
    near = (down >= 0) & (down < u_size) & (right >= 0) & (right < v_size)
    offset = (down * v_size + right) * near
    return (neighbour.to(device), inside.to(device, torch.float32), offset.to(device),
            near.to(device, torch.float32))


class _CorrelateMaps(torch.autograd.Function):
    """
    The product of whole maps, of which each window is gathered.

    Which neighbour a product belongs to is one to one, so the gradient is a gather as well; the
    default, a scatter, is slow on a CPU. One map at a time keeps the product in the cache, and
    nothing but the two inputs is kept for the gradient.
    """

    @staticmethod
    def forward(ctx, query: Tensor, keys: Tensor, u_size: int, v_size: int) -> Tensor:
        batch, channels, rows, columns = query.shape
        length = keys.shape[1]
        ctx.save_for_backward(query, keys)
        ctx.window = u_size, v_size
        neighbour, inside, _, _ = _window_index(rows, columns, u_size, v_size, query.device)
        index = neighbour[:, None].expand(-1, length, -1)
        flat_query, flat_keys = query.flatten(2), keys.flatten(3)
        out = query.new_empty(batch, rows * columns, length, u_size * v_size)
        for n in range(batch):
            product = flat_query[n].T @ flat_keys[n].transpose(0, 1).reshape(channels, -1)
            torch.gather(product.unflatten(1, (length, -1)), 2, index, out=out[n])
        out.mul_(inside[:, None].to(out.dtype))
        return out.view(batch, rows, columns, length, u_size, v_size)

    @staticmethod
    def backward(ctx, grad: Tensor):
        query, keys = ctx.saved_tensors
        batch, channels, rows, columns = query.shape
        length = keys.shape[1]
        _, _, offset, near = _window_index(rows, columns, *ctx.window, query.device)
        index = offset[:, None].expand(-1, length, -1)
        near = near[:, None].to(grad.dtype)
        flat_query, flat_keys = query.flatten(2), keys.flatten(3)
        grad = grad.reshape(batch, rows * columns, length, -1)
        grad_query, grad_keys = torch.empty_like(flat_query), torch.empty_like(flat_keys)
        for n in range(batch):
            product = grad[n].gather(2, index).mul_(near).flatten(1)
            stacked = flat_keys[n].transpose(0, 1).reshape(channels, -1)
            grad_query[n] = stacked @ product.T
            grad_keys[n] = (flat_query[n] @ product).unflatten(1, (length, -1)).transpose(0, 1)
        return grad_query.view_as(query), grad_keys.view_as(keys), None, None


def _correlate_bands(query: Tensor, keys: Tensor, u_size: int, v_size: int) -> Tensor:
    """Multiply each row with the band of ``U`` rows around it; memory linear in the map's size."""
    batch, channels, rows, columns = query.shape
    length = keys.shape[1]
    u, v = u_size // 2, v_size // 2
    row = columns + 2 * v
    bands = F.pad(keys, (v, v, u, u)).unfold(3, u_size, 1)
    bands = bands.permute(0, 3, 2, 1, 5, 4).reshape(
        batch * rows, channels, length * u_size * row)
    product = torch.bmm(query.permute(0, 2, 3, 1).reshape(batch * rows, columns, channels), bands)
    # One more column a row shifts each row by one, so that every window starts at column 0.
    product = F.pad(product.flatten(1), (0, columns)).view(batch * rows, columns, -1)[..., :-1]
    return product.reshape(batch, rows, columns, length, u_size, row)[..., :v_size]


def stack_neighbours(maps: Tensor, length: int, causal: bool) -> Tensor:
    """
    Put beside each frame the frames that its window reaches.

    :param maps: float tensor, shape ``(B, T, C, H, W)``.
    :param length: temporal size ``L``.
    :param causal: offsets ``-(L - 1)`` to 0, else ``-(L // 2)`` to ``L // 2``.
    :returns: shape ``(B, T, L, C, H, W)``, zeros for frames that are not in the clip.
    """
    before = length - 1 if causal else length // 2
    padded = F.pad(maps, (0, 0, 0, 0, 0, 0, before, length - 1 - before))
    return padded.unfold(1, length, 1).movedim(-1, 2)


def space_time_self_similarity(features: Tensor, window: tuple[int, int, int] = (5, 9, 9),
                               causal: bool = True) -> Tensor:
    """
    Correlate each position with its space-time neighbours (order 1 of MOSS).

    :param features: float tensor, shape ``(B, T, C, H, W)``.
    :param window: ``(L, U, V)``, the neighbourhood; ``U`` and ``V`` odd.
    :param causal: look back only, else look as far ahead as back (``L`` odd).
    :returns: cosine similarities in [-1, 1], shape ``(B, T, H, W, L, U, V)``; 0 for neighbours
        outside the frame or the clip. Source: arXiv 2604.20760.
    :raises ShapeError: if ``features`` is not 5-D.
    :raises ConfigError: if the window is not allowed.
    """
    if features.dim() != 5:
        raise ShapeError(f'expected features (B, T, C, H, W), got {tuple(features.shape)}')
    length, height, width = check_window(window, causal)
    maps = F.normalize(features, dim=2)
    batch, frames = maps.shape[:2]
    keys = stack_neighbours(maps, length, causal).flatten(0, 1)
    return correlate(maps.flatten(0, 1), keys, height, width).unflatten(0, (batch, frames))
