"""
The authors' block, written down from its description: centred, for clips of square maps.

Each order: LayerNorm, linear projection, cosine similarity, 1 x 1 over the window, two 3 x 3 for
each offset with one set of weights, one 3 x 3 over all offsets, linear; the next order reads what
the one before gives; the orders are summed. As described, the similarity of each offset is that
of all pairs of positions, of which the window is then taken.
"""

import torch
from torch import nn, Tensor
import torch.nn.functional as F

# Orders 1 and 2 behind 768 channels of a ViT-B, with 320 channels out.
PUBLISHED_PARAMETERS = 1_120_640
PUBLISHED_SIZES = {'in_channels': 768, 'out_channels': 320, 'orders': 2}


def _diagonals(pairs: Tensor, reach: int, rows: int, other: int) -> Tensor:
    """Take the ``2 reach + 1`` diagonals of two axes; 0 where they leave the map."""
    taken = []
    for shift in range(-reach, reach + 1):
        diagonal = pairs.diagonal(shift, rows, other)
        taken.append(F.pad(diagonal, (max(-shift, 0), max(shift, 0))))
    return torch.stack(taken, dim=-1)


def _similarity(query: Tensor, key: Tensor, size: int) -> Tensor:
    """Compare ``(N, C, H, W)`` with another map of that shape: ``(N, H, W, U, V)``."""
    pairs = torch.einsum('nchw,ncyx->nhwyx', query, key)
    vertical = _diagonals(pairs, size // 2, 1, 3)  # (N, W, X, H, U)
    both = _diagonals(vertical, size // 2, 1, 2)  # (N, H, U, W, V)
    return both.permute(0, 1, 3, 2, 4)


def _convolution(in_channels: int, out_channels: int, size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, size, padding=size // 2, bias=False),
        nn.BatchNorm2d(out_channels), nn.GELU())


class AuthorsOrder(nn.Module):
    """One order; see the module."""

    def __init__(self, in_channels: int, out_channels: int, projection: int, hidden: int,
                 fused: int, window: tuple[int, int, int]):
        super().__init__()
        self.window = window
        self.norm = nn.LayerNorm(in_channels)
        self.project = nn.Linear(in_channels, projection)
        self.encode = _convolution(window[1] * window[2], hidden, 1)
        self.each = nn.Sequential(_convolution(hidden, hidden, 3), _convolution(hidden, hidden, 3))
        self.fuse = _convolution(hidden * window[0], fused, 3)
        self.out = nn.Linear(fused, out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Take and give ``(B, T, H, W, C)``."""
        batch, frames, rows, columns, _ = features.shape
        length, size, _ = self.window
        maps = F.normalize(self.project(self.norm(features)), dim=-1).movedim(-1, 2)
        padded = F.pad(maps, (0, 0, 0, 0, 0, 0, length // 2, length // 2))
        keys = padded.unfold(1, length, 1).movedim(-1, 2)
        query = maps[:, :, None].expand_as(keys)
        similar = _similarity(query.flatten(0, 2), keys.flatten(0, 2), size).flatten(-2)
        encoded = self.each(self.encode(similar.movedim(-1, 1)))
        fused = self.fuse(encoded.reshape(batch * frames, -1, rows, columns))
        return self.out(fused.movedim(1, -1)).unflatten(0, (batch, frames))


class AuthorsBlock(nn.Module):
    """
    The stack of orders, summed.

    :param in_channels: channels of the features.
    :param out_channels: channels of the sum, which the higher orders read.
    :param orders: how many.
    :param window: ``(L, U, V)``, centred, ``U == V``.
    """

    def __init__(self, in_channels: int, out_channels: int, orders: int = 2,
                 window: tuple[int, int, int] = (5, 9, 9), projection: int = 128,
                 hidden: int = 64, fused: int = 128):
        super().__init__()
        self.orders = nn.ModuleList(
            AuthorsOrder(out_channels if n else in_channels, out_channels, projection, hidden,
                         fused, window) for n in range(orders))

    def forward(self, features: Tensor) -> Tensor:
        """Take ``(B, T, H, W, C)``; give as many channels as ``out_channels``."""
        total = 0
        for order in self.orders:
            features = order(features)
            total = total + features
        return total


def check_size() -> int:
    """
    Hold the number of parameters against the published one.

    :raises AssertionError: if this is another block than the one described.
    """
    found = sum(p.numel() for p in AuthorsBlock(**PUBLISHED_SIZES).parameters())
    assert found == PUBLISHED_PARAMETERS, f'expected {PUBLISHED_PARAMETERS}, got {found}'
    return found
