"""
The two ways to the products of a map's positions with their windows, and to their gradients.

Whole maps, of which the windows are gathered; or bands of rows, of which they are a strided view.
:mod:`moss_perception.moss.kernels` chooses between them.
"""

from collections.abc import Iterator
import functools

import torch
from torch import Tensor

# Products of maps that are held at a time, in numbers: those of one map of 14 x 14 with five.
_MAP_NUMBERS = 200_000
# Products of bands that are held at a time, in numbers: about the size of a core's cache.
_BAND_NUMBERS = 1_000_000


@functools.lru_cache(maxsize=32)
def gather_index(rows: int, columns: int, u_size: int, v_size: int) -> tuple[Tensor, Tensor]:
    """
    Index the neighbours in a flattened map.

    :param rows: height ``H``.
    :param columns: width ``W``.
    :param u_size: vertical size ``U`` of the window, odd.
    :param v_size: horizontal size ``V`` of the window, odd.
    :returns: ``neighbour``, shape ``(HW, UV)``: its position, or the position itself for one that
        is outside the map, so that what is not finite stays where it is; ``inside``, the same
        shape: 1 where the neighbour is in the map, else 0.
    """
    y, x = _positions(rows, columns)
    u, v = (x.T for x in _positions(u_size, v_size))
    other_y = y + u - u_size // 2
    other_x = x + v - v_size // 2
    inside = (other_y >= 0) & (other_y < rows) & (other_x >= 0) & (other_x < columns)
    neighbour = torch.where(inside, other_y * columns + other_x, y * columns + x)
    return neighbour, inside.float()


@functools.lru_cache(maxsize=32)
def _scatter_index(rows: int, columns: int, u_size: int, v_size: int) -> tuple[Tensor, Tensor]:
    """
    Index the way back: which neighbour one position is of another.

    :returns: ``offset`` and ``near``, shape ``(HW, HW)``: the offset, and 1 where the window
        reaches so far, else 0.
    """
    y, x = _positions(rows, columns)
    down, right = y.T - y + u_size // 2, x.T - x + v_size // 2
    near = (down >= 0) & (down < u_size) & (right >= 0) & (right < v_size)
    return (down * v_size + right) * near, near.float()


def _positions(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Number the positions of a map: row and column of each, shape ``(rows * columns, 1)``."""
    every = torch.arange(rows * columns, device='cpu')[:, None]
    return every // columns, every % columns


class Maps:
    """
    One product of whole maps, of which the windows are gathered; of small maps several.

    :param query: of the products to come: its shape ``(B, T, H, W, P)``, dtype and device.
    :param length: frames ``L`` of a window.
    :param u_size: vertical size ``U`` of the window, odd.
    :param v_size: horizontal size ``V`` of the window, odd.
    """

    def __init__(self, query: Tensor, length: int, u_size: int, v_size: int):
        self.size = *query.shape[2:4], u_size, v_size
        self.positions = query.shape[2] * query.shape[3]
        self.length = length
        neighbour, inside = gather_index(*self.size)
        self.index = neighbour[:, None].expand(-1, length, -1)
        self.inside = inside[:, None].to(query.dtype)
        numbers = max(length * self.positions ** 2, 1)
        self.frames = max(1, min(query.shape[1], _MAP_NUMBERS // numbers))

    def _runs(self, query: Tensor, keys: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Divide frames into runs: each a slice, its query, and the windows of its keys."""
        query, keys = query.flatten(1, 2), keys.flatten(1, 2)
        frame, position, one = keys.stride()
        # Windows overlap from frame to frame; they are read only.
        windows = keys.as_strided((len(query), self.length * self.positions, keys.shape[2]),
                                  (frame, position, one), keys.storage_offset())
        for first in range(0, len(query), self.frames):
            run = slice(first, first + self.frames)
            yield run, query[run], windows[run]

    def products(self, query: Tensor, keys: Tensor, out: Tensor) -> None:
        """Multiply ``(T, H, W, P)`` with ``(T + L - 1, …)``, into ``(T, H, W, L, U * V)``."""
        out = out.flatten(1, 2)
        for run, some, windows in self._runs(query, keys):
            product = torch.bmm(some, windows.transpose(1, 2)).unflatten(2, (self.length, -1))
            index = self.index.expand(len(some), *self.index.shape)
            torch.gather(product, 3, index, out=out[run])
            out[run].mul_(self.inside)

    def gradients(self, grad: Tensor, query: Tensor, keys: Tensor, grad_query: Tensor,
                  grad_keys: Tensor) -> None:
        """Write the gradient of the query, and accumulate the gradient of the keys."""
        offset, near = _scatter_index(*self.size)
        near = near[:, None].to(grad.dtype)
        grad, grad_query = grad.flatten(1, 2), grad_query.flatten(1, 2)
        grad_keys = grad_keys.flatten(1, 2)
        for run, some, windows in self._runs(query, keys):
            index = offset[:, None].expand(len(some), -1, self.length, -1)
            product = grad[run].gather(3, index).mul_(near).flatten(2)
            torch.bmm(product, windows, out=grad_query[run])
            if len(some) == 1:
                window = grad_keys[run.start:run.start + self.length].flatten(0, 1)
                window.addmm_(product[0].T, some[0])
                continue
            each = torch.bmm(product.transpose(1, 2), some).unflatten(1, (self.length, -1))
            for n in range(self.length):
                grad_keys[run.start + n:run.start + n + len(some)] += each[:, n]


class Bands:
    """
    A product of each row with the band of rows around it; memory linear in the map's size.

    The keys are laid out row by row, ``(H + U - 1, L, W + V - 1, P)`` with a margin of zeros, so
    that a band is a contiguous matrix, and the windows of its product a strided view.

    :param query: as of :class:`Maps`, as are the others.
    """

    def __init__(self, query: Tensor, length: int, u_size: int, v_size: int):
        rows, columns, channels = query.shape[2:]
        self.length, self.u_size, self.v_size = length, u_size, v_size
        self.wide = columns + v_size - 1
        self.band = u_size * length * self.wide
        self.laid = query.new_zeros(rows + u_size - 1, length, self.wide, channels)
        self.height = max(1, min(rows, _BAND_NUMBERS // (columns * self.band)))
        # One number more than a row shifts the windows of the next position by one.
        self.product = query.new_zeros(self.height * columns * self.band)

    def _inner(self, laid: Tensor, rows: int, columns: int) -> Tensor:
        top, left = self.u_size // 2, self.v_size // 2
        return laid[top:top + rows, :, left:left + columns]

    def _bands(self, first: int, height: int) -> Tensor:
        row = self.laid[0].numel()
        return self.laid.as_strided((height, self.band, self.laid.shape[3]),
                                    (row, self.laid.shape[3], 1), first * row)

    def _windows(self, height: int, columns: int) -> Tensor:
        return self.product.as_strided(
            (height, columns, self.length, self.u_size, self.v_size),
            (columns * self.band, self.band + 1, self.wide, self.length * self.wide, 1))

    def products(self, query: Tensor, keys: Tensor, out: Tensor) -> None:
        """Multiply ``(T, H, W, P)`` with ``(T + L - 1, …)``, into ``(T, H, W, L, U * V)``."""
        for t, frame in enumerate(query):
            self._frame_products(frame, keys[t:t + self.length], out[t])

    def _frame_products(self, query: Tensor, keys: Tensor, out: Tensor) -> None:
        rows, columns = query.shape[:2]
        self._inner(self.laid, rows, columns).copy_(keys.transpose(0, 1))
        out = out.unflatten(-1, (self.u_size, self.v_size))
        for first in range(0, rows, self.height):
            height = min(self.height, rows - first)
            product = self.product[:height * columns * self.band].view(height, columns, -1)
            torch.bmm(query[first:first + height], self._bands(first, height).transpose(1, 2),
                      out=product)
            out[first:first + height] = self._windows(height, columns)

    def gradients(self, grad: Tensor, query: Tensor, keys: Tensor, grad_query: Tensor,
                  grad_keys: Tensor) -> None:
        """Write the gradient of the query, and accumulate the gradient of the keys."""
        for t, frame in enumerate(query):
            window = slice(t, t + self.length)
            self._frame_gradients(grad[t], frame, keys[window], grad_query[t], grad_keys[window])

    def _frame_gradients(self, grad: Tensor, query: Tensor, keys: Tensor, grad_query: Tensor,
                         grad_keys: Tensor) -> None:
        rows, columns = query.shape[:2]
        self._inner(self.laid, rows, columns).copy_(keys.transpose(0, 1))
        grad = grad.unflatten(-1, (self.u_size, self.v_size))
        grad_laid = torch.zeros_like(self.laid)
        for first in range(0, rows, self.height):
            height = min(self.height, rows - first)
            # What lies between the windows is never written: it stays 0.
            self._windows(height, columns).copy_(grad[first:first + height])
            product = self.product[:height * columns * self.band].view(height, columns, -1)
            torch.bmm(product, self._bands(first, height),
                      out=grad_query[first:first + height])
            bands = torch.bmm(product.transpose(1, 2), query[first:first + height])
            bands = bands.view(height, self.u_size, *self.laid.shape[1:])
            for u in range(self.u_size):
                grad_laid[first + u:first + u + height] += bands[:, u]
        grad_keys += self._inner(grad_laid, rows, columns).transpose(0, 1)
