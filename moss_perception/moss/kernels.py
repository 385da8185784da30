"""
The products of each position of a map with the positions in its window, fast on a CPU.

Maps are position-major here, ``(H, W, P)``, so that a map is a matrix without being copied. Two
kernels, chosen by the map's size: one product of whole maps of which the windows are gathered, or
one product for each row with the band of ``U`` rows around it, of which they are a strided view.
"""

from collections.abc import Iterator, Sequence
import functools

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
import torch.nn.functional as F

# A row's band must be smaller than the map by this much to be worth its smaller products.
_BAND_SHARE = 0.7
# Products of maps that are held at a time, in numbers: those of one map of 14 x 14 with five.
_MAP_NUMBERS = 200_000
# Products of bands that are held at a time, in numbers: about the size of a core's cache.
_BAND_NUMBERS = 1_000_000


def prefers_bands(rows: int, columns: int, u_size: int, v_size: int) -> bool:
    """
    Choose the kernel for a map.

    :param rows: height ``H``.
    :param columns: width ``W``.
    :param u_size: vertical size ``U`` of the window.
    :param v_size: horizontal size ``V`` of the window.
    :returns: whether bands of rows are expected to be faster than whole maps.
    """
    return u_size * (columns + v_size - 1) <= _BAND_SHARE * rows * columns


def holds_numbers(tensor: Tensor) -> bool:
    """Tell numbers on the CPU from other devices, and from what a compiler or export traces."""
    return (type(tensor) in (Tensor, torch.nn.Parameter) and tensor.device.type == 'cpu'
            and not torch.compiler.is_compiling() and not torch.jit.is_tracing())


def window_products(query: Tensor, keys: Tensor, u_size: int, v_size: int) -> Tensor:
    """
    Multiply each position with those in its window, in ``L`` frames.

    :param query: float tensor, shape ``(B, T, H, W, P)``.
    :param keys: float tensor, shape ``(B, T + L - 1, H, W, P)``; frame ``t`` of the query is
        multiplied with frames ``t`` to ``t + L - 1``.
    :param u_size: vertical size ``U`` of the window, odd.
    :param v_size: horizontal size ``V`` of the window, odd.
    :returns: shape ``(B, T, H, W, L, U * V)``; 0 for neighbours outside the map.
    """
    if holds_numbers(query):
        return _WindowProducts.apply(query, keys, u_size, v_size)
    return _traceable(query, keys, u_size, v_size)


def step_products(query: Tensor, cache: Tensor | Sequence[Tensor], u_size: int,
                  v_size: int) -> tuple[Tensor, Tensor | tuple[Tensor, ...]]:
    """
    Multiply each position of a stream's next frame with those in its window.

    :param query: float tensor, shape ``(B, H, W, P)``.
    :param cache: the frames before, shape ``(B, L - 1, H, W, P)``; or each by itself, oldest
        first, ``(B, H * W, P)``.
    :param u_size: vertical size ``U`` of the window, odd.
    :param v_size: horizontal size ``V`` of the window, odd.
    :returns: shape ``(B, H, W, L, U * V)``, as of :func:`window_products`; and the new cache, of
        the kind that was given.
    """
    size = *query.shape[1:3], u_size, v_size
    apart = not isinstance(cache, Tensor)
    if holds_numbers(query) or _traces_bands(*size):
        frame = query.unflatten(0, (-1, 1))
        before = [one.view(frame.shape) for one in cache] if apart else [cache]
        keys = torch.cat([*before, frame], dim=1)
        out = window_products(frame, keys, u_size, v_size).flatten(0, 1)
        return out, (*cache, query.flatten(1, 2))[1:] if apart else keys[:, 1:]
    flat = query.flatten(1, 2)
    # The key of zeros is small, and a constant where a graph is traced.
    keys = torch.cat([*(cache if apart else [cache.flatten(1, 3)]), flat,
                      flat.new_zeros(flat.shape[0], 1, flat.shape[2])], dim=1)
    out = _gathered(flat, keys, size).view(*query.shape[:3], -1, u_size * v_size)
    if apart:
        return out, (*cache, flat)[1:]
    return out, keys[:, flat.shape[1]:-1].reshape(cache.shape)


@functools.lru_cache(maxsize=32)
def _gather_index(rows: int, columns: int, u_size: int, v_size: int) -> tuple[Tensor, Tensor]:
    """
    Index the neighbours in a flattened map.

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


class _WindowProducts(torch.autograd.Function):
    """
    Both kernels with their gradients, of small maps several frames at a time, of others a frame
    at a time, so that a product stays in the cache.

    Nothing but the maps is kept for the gradient. Which neighbour a product belongs to is one to
    one, so the gradient of a gather is a gather as well; the default, a scatter, is slow.
    """

    @staticmethod
    def forward(ctx, query: Tensor, keys: Tensor, u_size: int, v_size: int) -> Tensor:
        batch, frames, rows, columns, _ = query.shape
        length = keys.shape[1] - frames + 1
        query, keys = query.contiguous(), keys.contiguous()
        ctx.save_for_backward(query, keys)
        ctx.window = u_size, v_size
        kernel = _Bands if prefers_bands(rows, columns, u_size, v_size) else _Maps
        kernel = kernel(query, length, u_size, v_size)
        out = query.new_empty(batch, frames, rows, columns, length, u_size * v_size)
        for b in range(batch):
            kernel.products(query[b], keys[b], out[b])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        query, keys = ctx.saved_tensors
        batch, frames, rows, columns, _ = query.shape
        length = keys.shape[1] - frames + 1
        grad = grad.contiguous()
        kernel = _Bands if prefers_bands(rows, columns, *ctx.window) else _Maps
        kernel = kernel(query, length, *ctx.window)
        grad_query, grad_keys = torch.empty_like(query), torch.zeros_like(keys)
        for b in range(batch):
            kernel.gradients(grad[b], query[b], keys[b], grad_query[b], grad_keys[b])
        return grad_query, grad_keys, None, None


class _Maps:
    """One product of whole maps, of which the windows are gathered; of small maps several."""

    def __init__(self, query: Tensor, length: int, u_size: int, v_size: int):
        self.size = *query.shape[2:4], u_size, v_size
        self.positions = query.shape[2] * query.shape[3]
        self.length = length
        neighbour, inside = _gather_index(*self.size)
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
        """Write the query's gradient, and add the keys' to what is there."""
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


class _Bands:
    """
    A product of each row with the band of rows around it; memory linear in the map's size.

    The keys are laid out row by row, ``(H + U - 1, L, W + V - 1, P)`` with a margin of zeros, so
    that a band is a contiguous matrix, and the windows of its product a strided view.
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
        """Write the query's gradient, and add the keys' to what is there."""
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


def _traces_bands(rows: int, columns: int, u_size: int, v_size: int) -> bool:
    return prefers_bands(rows, columns, u_size, v_size) and rows * columns > 1024


def _traceable(query: Tensor, keys: Tensor, u_size: int, v_size: int) -> Tensor:
    """Do the same in plain differentiable operations: for compilers, exports and other devices."""
    batch, frames, rows, columns, channels = query.shape
    length = keys.shape[1] - frames + 1
    stacked = keys.unflatten(0, (-1, 1)) if frames == 1 else torch.stack(
        [keys[:, n:n + frames] for n in range(length)], dim=2)
    if _traces_bands(rows, columns, u_size, v_size):
        return _traceable_bands(query, stacked, u_size, v_size)
    # One key of zeros more, which all neighbours outside the map share.
    flat = F.pad(stacked.reshape(batch * frames, -1, channels), (0, 0, 0, 1))
    out = _gathered(query.reshape(batch * frames, -1, channels), flat,
                    (rows, columns, u_size, v_size))
    return out.view(batch, frames, rows, columns, length, u_size * v_size)


def _gathered(query: Tensor, keys: Tensor, size: tuple[int, int, int, int]) -> Tensor:
    """Multiply ``(N, HW, P)`` with keys ``(N, L * HW + 1, P)``, and gather ``(N, HW, L * UV)``."""
    positions, nowhere = size[0] * size[1], keys.shape[1] - 1
    # Not from the cache: a compiler could not look into it.
    neighbour, inside = _gather_index.__wrapped__(*size)
    first = torch.arange(0, nowhere, positions, device='cpu')
    index = torch.where(inside[:, None] > 0, neighbour[:, None] + first[:, None], nowhere)
    index = index.flatten(1).to(query.device)
    product = torch.bmm(query, keys.transpose(1, 2))
    # Not its length: that would fix the batch where a graph is traced.
    return product.gather(2, index.expand(query.shape[0], -1, -1))


def _traceable_bands(query: Tensor, stacked: Tensor, u_size: int, v_size: int) -> Tensor:
    """Multiply each row of ``(B, T, H, W, P)`` with its band of ``(B, T, L, H, W, P)``."""
    batch, frames, rows, columns, channels = query.shape
    length, u, v = stacked.shape[2], u_size // 2, v_size // 2
    wide = columns + 2 * v
    padded = F.pad(stacked.flatten(0, 1), (0, 0, v, v, u, u))
    bands = torch.stack([padded[:, :, n:n + rows] for n in range(u_size)], dim=3)
    bands = bands.transpose(1, 2).reshape(-1, length * u_size * wide, channels)
    product = torch.bmm(query.reshape(-1, columns, channels), bands.transpose(1, 2))
    # One column more a row shifts each row by one, so that every window starts at column 0.
    product = F.pad(product.flatten(1), (0, columns)).view(len(bands), columns, -1)[..., :-1]
    product = product.reshape(batch, frames, rows, columns, length, u_size, wide)
    return product[..., :v_size].flatten(-2)
