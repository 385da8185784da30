"""
The two ways to the products of a map's positions with their windows, and to their gradients.

Whole maps, of which the windows are gathered; or square tiles, of which they are a strided view.
:mod:`moss_perception.moss.kernels` chooses between them.
"""

from collections.abc import Iterator
import functools

import torch
from torch import Tensor

# Products of maps that are held at a time, in numbers: those of one map of 14 x 14 with five.
_MAP_NUMBERS = 200_000
# Side of a tile, in positions: a smaller one multiplies less that is not needed, a larger one
# copies fewer keys.
TILE = 4
# Products of tiles, and keys, that are held at a time, in numbers: about a core's cache.
_TILE_NUMBERS = 300_000


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


class Tiles:
    """
    A product of each tile of positions with the keys that its windows reach.

    Of a tile of ``4 x 4`` and a window of ``9 x 9`` these are ``12 x 12`` keys, not twice as many
    numbers as are needed, whatever the map's size. Position ``(i, j)`` of a tile has its window
    at row ``i`` and column ``j`` of the tile's keys: a strided view of the product.

    :param query: as of :class:`Maps`, as are the others; its shape may be a share of the keys'.
    :param spacing: how many rows and columns of the keys one position of the query is from the
        next.
    """

    def __init__(self, query: Tensor, length: int, u_size: int, v_size: int, spacing: int = 1):
        self.rows, self.columns, self.channels = query.shape[2:]
        self.length, self.u_size, self.v_size = length, u_size, v_size
        self.down, self.across = -(-self.rows // TILE), -(-self.columns // TILE)
        self.spacing, self.stride = spacing, TILE * spacing
        self.high, self.wide = (spacing * (TILE - 1) + size for size in (u_size, v_size))
        self.keys = length * self.high * self.wide
        # With a margin of zeros.
        self.laid = query.new_zeros(length, (self.down - 1) * self.stride + self.high,
                                    (self.across - 1) * self.stride + self.wide, self.channels)
        # Tile rows that are multiplied at a time.
        numbers = max(self.across * (TILE ** 2 + self.channels) * self.keys, 1)
        self.height = max(1, min(self.down, _TILE_NUMBERS // numbers))

    def _inner(self, laid: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Find where keys ``(L, H, W, P)`` lie, and which of them a window reaches."""
        laid = laid[:, self.u_size // 2:, self.v_size // 2:]
        rows, columns = (min(size, room) for size, room in zip(
            keys.shape[1:3], laid.shape[1:3], strict=True))
        return laid[:, :rows, :columns], keys[:, :rows, :columns]

    def _key_tiles(self, laid: Tensor, first: int, count: int, top: int = 0, left: int = 0,
                   high: int | None = None, wide: int | None = None) -> Tensor:
        """View the keys of some tile rows, or a part of each: ``(count, across, L, …, P)``."""
        frame, row, column, one = laid.stride()
        begin = (first * self.stride + top) * row + left * column
        return laid.as_strided(
            (count, self.across, self.length, high or self.high, wide or self.wide,
             self.channels),
            (self.stride * row, self.stride * column, frame, row, column, one), begin)

    def _windows(self, product: Tensor, count: int) -> Tensor:
        """View the windows of a product: ``(count, TILE, across, TILE, L, U, V)``."""
        tile, step = TILE ** 2 * self.keys, self.spacing
        return product.as_strided(
            (count, TILE, self.across, TILE, self.length, self.u_size, self.v_size),
            (self.across * tile, TILE * self.keys + step * self.wide, tile, self.keys + step,
             self.high * self.wide, self.wide, 1))

    def _whole(self, x: Tensor) -> Tensor:
        """Fill the last tiles of ``(H, W, …)`` up with zeros, if they need it."""
        rows, columns = self.down * TILE, self.across * TILE
        if tuple(x.shape[:2]) == (rows, columns):
            return x
        whole = x.new_zeros(rows, columns, *x.shape[2:])
        whole[:self.rows, :self.columns] = x
        return whole

    def _by_rows(self, x: Tensor) -> Tensor:
        return x.view(self.down, TILE, self.across, TILE, *x.shape[2:])

    def _some(self, query: Tensor, first: int, count: int) -> Tensor:
        """Take the positions of some tile rows, tile by tile: ``(count * across, TILE², P)``."""
        some = self._by_rows(query)[first:first + count].transpose(1, 2)
        return some.reshape(count * self.across, TILE ** 2, self.channels)

    def products(self, query: Tensor, keys: Tensor, out: Tensor) -> None:
        """Multiply ``(T, H, W, P)`` with ``(T + L - 1, …)``, into ``(T, H, W, L, U * V)``."""
        for t, frame in enumerate(query):
            self._frame_products(frame, keys[t:t + self.length], out[t])

    def _runs(self) -> Iterator[tuple[int, int]]:
        for first in range(0, self.down, self.height):
            yield first, min(self.height, self.down - first)

    def _frame_products(self, query: Tensor, keys: Tensor, out: Tensor) -> None:
        inner, reached = self._inner(self.laid, keys)
        inner.copy_(reached)
        query = self._whole(query)
        exact = query.shape[:2] == out.shape[:2]
        whole = out if exact else out.new_empty(*query.shape[:2], *out.shape[2:])
        into = self._by_rows(whole).unflatten(-1, (self.u_size, self.v_size))
        for first, count in self._runs():
            tiles = self._key_tiles(self.laid, first, count)
            product = torch.bmm(self._some(query, first, count), tiles.reshape(
                count * self.across, self.keys, self.channels).transpose(1, 2))
            into[first:first + count] = self._windows(product, count)
        if not exact:
            out.copy_(whole[:self.rows, :self.columns])

    def gradients(self, grad: Tensor, query: Tensor, keys: Tensor, grad_query: Tensor,
                  grad_keys: Tensor) -> None:
        """Write the gradient of the query, and accumulate the gradient of the keys."""
        for t, frame in enumerate(query):
            window = slice(t, t + self.length)
            self._frame_gradients(grad[t], frame, keys[window], grad_query[t], grad_keys[window])

    def _frame_gradients(self, grad: Tensor, query: Tensor, keys: Tensor, grad_query: Tensor,
                         grad_keys: Tensor) -> None:
        inner, reached = self._inner(self.laid, keys)
        inner.copy_(reached)
        query, grad = self._whole(query), self._by_rows(self._whole(grad))
        grad = grad.unflatten(-1, (self.u_size, self.v_size))
        whole, grad_laid = torch.empty_like(query), torch.zeros_like(self.laid)
        # What lies between the windows is never written: it stays 0.
        product = query.new_zeros(self.height * self.across, TILE ** 2, self.keys)
        for first, count in self._runs():
            part = product[:count * self.across]
            self._windows(part, count).copy_(grad[first:first + count])
            tiles = self._key_tiles(self.laid, first, count).reshape(
                count * self.across, self.keys, self.channels)
            found = torch.bmm(part, tiles).view(count, self.across, TILE, TILE, -1)
            self._by_rows(whole)[first:first + count] = found.transpose(1, 2)
            each = torch.bmm(part.transpose(1, 2), self._some(query, first, count))
            self._fold(each.view(count, self.across, self.length, self.high, self.wide, -1),
                       grad_laid, first)
        grad_query.copy_(whole[:self.rows, :self.columns])
        inner, into = self._inner(grad_laid, grad_keys)
        into += inner

    def _fold(self, tiles: Tensor, laid: Tensor, first: int) -> None:
        """Add tiles that overlap, by parts that do not."""
        for top in range(0, self.high, self.stride):
            for left in range(0, self.wide, self.stride):
                part = tiles[:, :, :, top:top + self.stride, left:left + self.stride]
                self._key_tiles(laid, first, len(tiles), top, left, *part.shape[3:5]).add_(part)
