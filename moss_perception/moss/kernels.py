"""
The products of each position of a map with the positions in its window, fast on a CPU.

Maps are position-major here, ``(H, W, P)``, so that a map is a matrix without being copied. Two
kernels, chosen by the map's size: one product of whole maps of which the windows are gathered, or
one product for each row with the band of ``U`` rows around it, of which they are a strided view.
"""

from collections.abc import Sequence

from moss_perception.moss.windows import Bands, gather_index, Maps
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
import torch.nn.functional as F

# A row's band must be smaller than the map by this much to be worth its smaller products.
_BAND_SHARE = 0.7


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
            and not torch.compiler.is_compiling()
            and not torch.jit.is_tracing())  # pyright: ignore[reportPrivateImportUsage]  documented


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
    size = query.shape[1], query.shape[2], u_size, v_size
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
        kernel = Bands if prefers_bands(rows, columns, u_size, v_size) else Maps
        kernel = kernel(query, length, u_size, v_size)
        out = query.new_empty(batch, frames, rows, columns, length, u_size * v_size)
        for b in range(batch):
            kernel.products(query[b], keys[b], out[b])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        query, keys = ctx.saved_tensors
        batch, frames, rows, columns, _ = query.shape
        length = keys.shape[1] - frames + 1
        grad = grad.contiguous()
        kernel = Bands if prefers_bands(rows, columns, *ctx.window) else Maps
        kernel = kernel(query, length, *ctx.window)
        grad_query, grad_keys = torch.empty_like(query), torch.zeros_like(keys)
        for b in range(batch):
            kernel.gradients(grad[b], query[b], keys[b], grad_query[b], grad_keys[b])
        return grad_query, grad_keys, None, None


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
    neighbour, inside = gather_index.__wrapped__(*size)
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
