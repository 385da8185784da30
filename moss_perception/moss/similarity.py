"""Space-time self-similarity: how alike each position is to its neighbours in space and time."""

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
        return _correlate_maps(query, keys, height, width)
    return _correlate_bands(query, keys, height, width)


def _correlate_maps(query: Tensor, keys: Tensor, u_size: int, v_size: int) -> Tensor:
    """Take the product of whole maps, and read each window from it through strides."""
    batch, channels, rows, columns = query.shape
    length = keys.shape[1]
    flat = keys.transpose(1, 2).reshape(batch, channels, length * rows * columns)
    product = torch.bmm(query.reshape(batch, channels, -1).transpose(1, 2), flat)
    product = product.view(batch, rows, columns, length, rows, columns)
    u, v = u_size // 2, v_size // 2
    padded = F.pad(product, (v, v, u, u)).contiguous()
    row, plane = columns + 2 * v, (rows + 2 * u) * (columns + 2 * v)
    position = length * plane
    return padded.as_strided(
        (batch, rows, columns, length, u_size, v_size),
        (rows * columns * position, columns * position + row, position + 1, plane, row, 1))


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
