"""
The products of each position of a map with the positions in its window, fast on a CPU.

Maps are position-major here, ``(H, W, P)``, so that a map is a matrix without being copied. Two
kernels, chosen by the map's size: one product of whole maps of which the windows are gathered, or
one product for each tile of positions with the keys around it, of which they are a strided view.
"""

from collections.abc import Sequence

from moss_perception.moss.windows import gather_index, Maps, TILE, Tiles
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
import torch.nn.functional as F

# The products of tiles must be fewer than those of whole maps by this much to be worth copying.
_TILE_SHARE = 0.7


def prefers_tiles(rows: int, columns: int, u_size: int, v_size: int) -> bool:
    """
    Choose the kernel for a map.

    :param rows: height ``H``.
    :param columns: width ``W``.
    :param u_size: vertical size ``U`` of the window.
    :param v_size: horizontal size ``V`` of the window.
    :returns: whether tiles are expected to be faster than whole maps.
    """
    positions = -(-rows // TILE) * -(-columns // TILE) * TILE ** 2
    reached = (u_size + TILE - 1) * (v_size + TILE - 1)
    return 0 < positions * reached <= _TILE_SHARE * (rows * columns) ** 2


def holds_numbers(tensor: Tensor) -> bool:
    """Tell numbers on the CPU from other devices, and from what a compiler or export traces."""
    return (type(tensor) in (Tensor, torch.nn.Parameter) and tensor.device.type == 'cpu'
            and not torch.compiler.is_compiling()
            and not torch.jit.is_tracing())  # pyright: ignore[reportPrivateImportUsage]  documented


def window_products(query: Tensor, keys: Tensor, u_size: int, v_size: int,
                    spacing: int = 1) -> Tensor:
    """
    Multiply each position with those in its window, in ``L`` frames.

    :param query: float tensor, shape ``(B, T, H, W, P)``.
    :param keys: float tensor, shape ``(B, T + L - 1, H, W, P)``; frame ``t`` of the query is
        multiplied with frames ``t`` to ``t + L - 1``.
    :param u_size: vertical size ``U`` of the window, odd.
    :param v_size: horizontal size ``V`` of the window, odd.
    :param spacing: of the positions, take every so many of every so many rows.
    :returns: shape ``(B, T, H, W, L, U * V)``, ``H`` and ``W`` divided by the spacing, rounded
        up; 0 for neighbours outside the map.
    """
    if spacing > 1:
        query = query[:, :, ::spacing, ::spacing]
    if holds_numbers(query):
        return _WindowProducts.apply(query, keys, u_size, v_size, spacing)
    return _traceable(query, keys, u_size, v_size, spacing)


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
    if holds_numbers(query) or prefers_tiles(*size):
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
    def forward(ctx, query: Tensor, keys: Tensor, u_size: int, v_size: int,
                spacing: int) -> Tensor:
        batch, frames, rows, columns, _ = query.shape
        length = keys.shape[1] - frames + 1
        query, keys = query.contiguous(), keys.contiguous()
        ctx.save_for_backward(query, keys)
        ctx.window = u_size, v_size, spacing
        kernel = _choose_kernel(query, length, *ctx.window)
        out = query.new_empty(batch, frames, rows, columns, length, u_size * v_size)
        for b in range(batch):
            kernel.products(query[b], keys[b], out[b])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        query, keys = ctx.saved_tensors
        batch, length = len(query), keys.shape[1] - query.shape[1] + 1
        grad = grad.contiguous()
        kernel = _choose_kernel(query, length, *ctx.window)
        grad_query, grad_keys = torch.empty_like(query), torch.zeros_like(keys)
        for b in range(batch):
            kernel.gradients(grad[b], query[b], keys[b], grad_query[b], grad_keys[b])
        return grad_query, grad_keys, None, None, None


def _choose_kernel(query: Tensor, length: int, u_size: int, v_size: int,
                   spacing: int) -> Maps | Tiles:
    if spacing > 1 or prefers_tiles(*query.shape[2:4], u_size, v_size):
        return Tiles(query, length, u_size, v_size, spacing)
    return Maps(query, length, u_size, v_size)


def _traceable(query: Tensor, keys: Tensor, u_size: int, v_size: int, spacing: int) -> Tensor:
    """Do the same in plain differentiable operations: for compilers, exports and other devices."""
    batch, frames, rows, columns, channels = query.shape
    length = keys.shape[1] - frames + 1
    stacked = keys.unflatten(0, (-1, 1)) if frames == 1 else torch.stack(
        [keys[:, n:n + frames] for n in range(length)], dim=2)
    if spacing > 1 or prefers_tiles(rows, columns, u_size, v_size):
        found = _traceable_tiles(query.flatten(0, 1), stacked.flatten(0, 1), u_size, v_size,
                                 spacing)
        return found.view(batch, frames, rows, columns, length, u_size * v_size)
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


def _traceable_tiles(query: Tensor, keys: Tensor, u_size: int, v_size: int,
                     spacing: int) -> Tensor:
    """Multiply tiles of ``(N, H, W, P)`` with what they reach of ``(N, L, …, P)``."""
    rows, columns, channels = query.shape[1:]
    length, positions = keys.shape[1], TILE ** 2
    down, across = -(-rows // TILE), -(-columns // TILE)
    query = F.pad(query, (0, 0, 0, across * TILE - columns, 0, down * TILE - rows))
    query = query.view(-1, down, TILE, across, TILE, channels).permute(0, 3, 1, 2, 4, 5)
    query = query.reshape(-1, 1, across, down, positions, channels)
    keys = _overlapping_tiles(keys, (down, across), (u_size, v_size), spacing)
    high, wide = keys.shape[4:6]
    product = keys.flatten(4, 5) @ query.transpose(4, 5)
    if torch.onnx.is_in_onnx_export():
        # Each position's window, shifted by its place in the tile, is a convolution of one place.
        # ONNX Runtime has the 16 positions side by side and takes them at a time.
        place = torch.eye(positions, dtype=query.dtype).view(positions, 1, TILE, TILE)
        found = F.conv2d(product.view(-1, high, wide, positions).movedim(-1, 1), place,
                         groups=positions, dilation=spacing)[..., :u_size, :v_size]
        found = found.reshape(-1, length, across, down, TILE, TILE, u_size * v_size)
        found = found.permute(0, 3, 4, 2, 5, 1, 6)
    else:
        like = {'device': query.device}
        y, x = torch.arange(u_size, **like), torch.arange(v_size, **like)
        step = torch.arange(TILE, **like) * spacing
        index = ((y[:, None, None, None] + step[:, None]) * wide + x[:, None, None] + step)
        index = index.view(u_size * v_size, positions)
        found = product.gather(4, index.expand(*product.shape[:4], -1, -1))
        found = found.unflatten(-1, (TILE, TILE)).permute(0, 3, 5, 2, 6, 1, 4)
    found = found.reshape(-1, down * TILE, across * TILE, length, u_size * v_size)
    return found[:, :rows, :columns]


def _overlapping_tiles(keys: Tensor, count: tuple[int, int], window: tuple[int, int],
                       spacing: int) -> Tensor:
    """Divide ``(N, L, H, W, P)`` into what tiles reach: ``(…, across, down, high, wide, P)``."""
    stride, sizes = TILE * spacing, []
    for axis, (tiles, reach) in enumerate(zip(count, window, strict=True), start=2):
        parts = -(-(spacing * (TILE - 1) + reach) // stride)
        room = (tiles + parts - 1) * stride - reach // 2
        keys = keys.narrow(axis, 0, min(keys.shape[axis], room))
        sizes.append((parts, reach // 2, room - keys.shape[axis]))
    (high, *tall), (wide, *broad) = sizes
    blocks = F.pad(keys, (0, 0, *broad, *tall)).unflatten(3, (-1, stride)).flatten(4)
    blocks = _runs_of(blocks, 3, count[1], wide).flatten(4, 5).transpose(2, 3)
    blocks = _runs_of(blocks.unflatten(3, (-1, stride)).flatten(4), 3, count[0], high)
    return blocks.unflatten(5, (stride, wide * stride, -1)).flatten(4, 5)


def _runs_of(x: Tensor, axis: int, count: int, length: int) -> Tensor:
    """Take ``count`` runs of neighbours along an axis, which becomes two."""
    like = {'device': x.device}
    index = torch.arange(count, **like)[:, None] + torch.arange(length, **like)
    return x.index_select(axis, index.flatten()).unflatten(axis, (count, length))
