"""Space-time self-similarity: how alike each position is to its neighbours in space and time."""

from moss_perception.core.errors import ShapeError
from moss_perception.moss.checks import check_window
from moss_perception.moss.kernels import window_products
from torch import Tensor
import torch.nn.functional as F


def correlate(query: Tensor, keys: Tensor, height: int, width: int) -> Tensor:
    """
    Multiply each position of a map with its neighbours in ``L`` other maps.

    :param query: float tensor, shape ``(B, C, H, W)``.
    :param keys: float tensor, shape ``(B, L, C, H, W)``.
    :param height: vertical size ``U`` of the window, odd.
    :param width: horizontal size ``V`` of the window, odd.
    :returns: scalar products, shape ``(B, H, W, L, U, V)``; 0 for neighbours outside the map.
    :raises ShapeError: if the maps do not fit one another.
    :raises ConfigError: if the window is not allowed.
    """
    if query.dim() != 4 or keys.dim() != 5 or query.shape != keys[:, 0].shape:
        raise ShapeError('expected a query (B, C, H, W) and keys (B, L, C, H, W) of the same '
                         f'B, C, H, W, got {tuple(query.shape)} and {tuple(keys.shape)}')
    if (query.dtype, query.device) != (keys.dtype, keys.device):
        raise ShapeError('query and keys must be of one device and dtype: expected '
                         f'{query.dtype} on {query.device}, got {keys.dtype} on {keys.device}')
    check_window((keys.shape[1], height, width), causal=True)
    return window_products(query.movedim(1, -1)[:, None], keys.movedim(2, -1), height,
                           width).squeeze(1).unflatten(-1, (height, width))


def pad_frames(maps: Tensor, length: int, causal: bool) -> Tensor:
    """
    Put frames of zeros around a clip, so that every frame has ``length`` frames in its window.

    :param maps: float tensor, shape ``(B, T, H, W, P)``.
    :param length: temporal size ``L``.
    :param causal: offsets ``-(L - 1)`` to 0, else ``-(L // 2)`` to ``L // 2``.
    :returns: shape ``(B, T + L - 1, H, W, P)``.
    """
    before = length - 1 if causal else length // 2
    return F.pad(maps, (0, 0, 0, 0, 0, 0, before, length - 1 - before))


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
    maps = F.normalize(features, dim=2).movedim(2, -1)
    products = window_products(maps, pad_frames(maps, length, causal), height, width)
    return products.unflatten(-1, (height, width))
