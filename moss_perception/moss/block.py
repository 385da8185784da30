"""The MOSS block: extraction, learning and fusion of self-similarities of several orders."""

from collections.abc import Iterable
from typing import Any, cast
import warnings

from moss_perception.core.errors import ConfigError, NotFiniteWarning, ShapeError
from moss_perception.moss.kernels import holds_numbers
from moss_perception.moss.learning import Extraction, FUSION, LEARNING, Learning
from moss_perception.moss.similarity import check_window, pad_frames
import torch
from torch import nn, Tensor
import torch.nn.functional as F

# One cache an order, shape (B, L - 1, H, W, P): the last normalised maps, oldest first; or these
# maps one by one, each (B, H * W, P).
MossState = tuple[Tensor | tuple[Tensor, ...], ...]


class MOSS(nn.Module):
    """
    Multi-Order Self-Similarity, to be inserted after any stage of a video backbone.

    Order 1 compares the features with their space-time neighbours; order ``n`` compares the
    encoding of order ``n - 1``. The orders are fused and added to the features through an output
    layer that starts at zero, so inserting the block changes nothing at first.
    Source: arXiv 2604.20760.

    :param in_channels: channels ``C`` of the host's features.
    :param orders: the orders to fuse, ascending, each at least 1; lower ones are computed anyway.
    :param window: ``(L, U, V)``; ``U`` and ``V`` odd.
    :param causal: look back only, which streaming needs; else centred, with odd ``L``.
    :param channels: channels ``D`` of each order's map.
    :param projection: channels that features are projected to, and compared in.
    :param rank: compare in so many channels instead (low-rank similarity), at most
        ``projection``; the lengths are still those in all of them. ``None``: in all of them.
    :param hidden: channels of the encoding of one temporal offset.
    :param learning: how the offsets become one map, see :class:`Learning`.
    :param fusion: ``sum`` or ``concat``.
    :raises ConfigError: if a value is not allowed.
    """

    def __init__(self, in_channels: int, orders: tuple[int, ...] = (1, 2, 3),
                 window: tuple[int, int, int] = (5, 9, 9), causal: bool = True, *,
                 channels: int = 64, projection: int = 64, rank: int | None = None,
                 hidden: int = 32, learning: str = 'conv', fusion: str = 'sum'):
        super().__init__()
        self.orders = _check_orders(orders)
        if learning not in LEARNING:
            raise ConfigError(f'learning={learning!r} is not allowed: expected one of {LEARNING}')
        if fusion not in FUSION:
            raise ConfigError(f'fusion={fusion!r} is not allowed: expected one of {FUSION}')
        # One projected channel, centred, would be nothing.
        for name, size, least in (('in_channels', in_channels, 1), ('channels', channels, 1),
                                  ('projection', projection, 2), ('hidden', hidden, 1)):
            if size < least:
                raise ConfigError(f'{name}={size} is not allowed: expected {least} or more')
        if rank is not None and not 1 <= rank <= projection:
            raise ConfigError(f'rank={rank} is not allowed: expected 1 to projection={projection}')
        self.in_channels = in_channels
        self.window = check_window(window, causal)
        self.causal = causal
        self.channels = channels
        self.compared = rank or projection
        self.fusion = fusion
        depth = range(self.orders[-1])
        self.extraction = nn.ModuleList(
            Extraction(channels if n else in_channels, projection, rank, hidden, self.window)
            for n in depth)
        self.learning = nn.ModuleList(
            Learning(self.window[0], hidden, channels, learning) for _ in depth)
        self.out = nn.Linear(self.motion_channels, in_channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    @property
    def motion_channels(self) -> int:
        """Channels of :meth:`motion`'s map."""
        return self.channels * (len(self.orders) if self.fusion == 'concat' else 1)

    @property
    def receptive_field(self) -> int:
        """Number of frames that an output depends on."""
        return self.orders[-1] * (self.window[0] - 1) + 1

    @property
    def delay(self) -> int:
        """How many frames after its own an output depends on: 0 if causal."""
        return 0 if self.causal else self.orders[-1] * (self.window[0] // 2)

    def forward(self, features: Tensor) -> Tensor:
        """
        Add what the orders see to the features of a clip.

        :param features: float tensor, shape ``(B, T, C, H, W)``.
        :returns: the same shape.
        :raises ShapeError: if the features do not fit.
        """
        motion = self.motion(features)
        return features + self.out(motion.movedim(2, -1)).movedim(-1, 2)

    def motion(self, features: Tensor, used: int | None = None,
               last: int | None = None) -> Tensor:
        """
        Fuse the orders of a clip, before the output layer.

        :param features: float tensor, shape ``(B, T, C, H, W)``.
        :param used: compute orders up to this one only; the others count as 0.
        :param last: compute what the last so many frames need, and return these.
        :returns: float tensor, shape ``(B, T, D, H, W)``, ``D`` = :attr:`motion_channels`; ``T``
            is ``last`` where that is given and smaller.
        :raises ShapeError: if the features do not fit.
        :raises ConfigError: if there is no such order, or no frame is wanted.
        """
        self._check_features(features, '(B, T, {}, H, W)')
        batch, frames = features.shape[:2]
        stages = self._stages(used, 'used')
        if last is not None and last < 1:
            raise ConfigError(f'last={last} is not allowed: expected 1 or more frames')
        wanted = min(last or frames, frames)
        current, encodings = features.movedim(2, -1), []
        for n, (extraction, learning) in enumerate(stages, start=1):
            reach = wanted + (len(stages) - n) * (self.window[0] - 1)
            needed = min(reach, frames) if self.causal else frames
            maps = extraction.maps(current)
            keys = pad_frames(maps, self.window[0], self.causal)[:, -needed - self.window[0] + 1:]
            encoded = extraction(maps[:, -needed:], keys)
            current = learning(encoded.flatten(0, 1)).unflatten(0, (batch, needed))
            encodings.append(current[:, -wanted:].movedim(-1, 2))
        return self.fuse(encodings)

    def initial_state(self, batch: int, height: int, width: int, *,
                      apart: bool = False) -> MossState:
        """
        Return the state before the first frame.

        :param batch: number of streams ``B``.
        :param height: the map's height ``H``.
        :param width: the map's width ``W``.
        :param apart: keep the maps of an order one by one. A step then gives the last of them and
            hands the others on, so that an exported graph has nothing to copy.
        :returns: one tensor of zeros an order, shape ``(B, L - 1, H, W, P)``; with ``apart``
            ``L - 1`` tensors an order, ``(B, H * W, P)``, oldest first.
        :raises ConfigError: if the window is centred: it would need frames of the future.
        """
        if not self.causal:
            raise ConfigError('a centred window needs future frames and cannot be stepped: '
                              'expected causal=True')
        if min(batch, height, width) < 0:
            raise ShapeError('expected batch, height and width of 0 or more, got '
                             f'{(batch, height, width)}')
        length, zeros = self.window[0] - 1, self.out.weight.new_zeros
        if apart:
            # A tensor of its own for each: an exporter takes one that is given twice for one.
            return tuple(tuple(zeros(batch, height * width, self.compared) for _ in range(length))
                         for _ in self.extraction)
        return tuple(zeros(batch, length, height, width, self.compared) for _ in self.extraction)

    def step(self, x: Tensor, state: MossState) -> tuple[Tensor, MossState]:
        """
        Take one frame of a stream; equals :meth:`forward` on the whole clip at that frame.

        :param x: float tensor, shape ``(B, C, H, W)``.
        :param state: from :meth:`initial_state` or the step before; not changed.
        :returns: the features with what the orders see added, same shape; and the new state, its
            maps together or apart as they were given.
        :raises ShapeError: if frame and state do not fit.
        """
        encodings, state = self.encode_step(x, state)
        motion = self.fuse(encodings)
        if torch.onnx.is_in_onnx_export() and self.learning[0].convolves:
            # What comes from convolutions and goes into a sum is best left in their layout.
            weight = self.out.weight[:, :, None, None]
            return x + F.conv2d(motion, weight, self.out.bias), state
        return x + self.out(motion.movedim(1, -1)).movedim(-1, 1), state

    def encode_step(self, x: Tensor, state: MossState,
                    computed: int | None = None) -> tuple[list[Tensor], MossState]:
        """
        Encode the orders of one frame of a stream, before they are fused.

        :param x: float tensor, shape ``(B, C, H, W)``.
        :param state: from :meth:`initial_state` or the step before; not changed.
        :param computed: run orders up to this one only; the state of the others becomes zero.
        :returns: one map an order that was run, shape ``(B, D', H, W)``; and the new state.
        :raises ShapeError: if frame and state do not fit.
        """
        self._check_features(x, '(B, {}, H, W)')
        self._check_state(x, state)
        current, encodings, caches = x.movedim(1, -1), [], []
        for cache, (extraction, learning) in zip(state, self._stages(computed, 'computed'),
                                                   strict=False):
            encoded, cache = extraction.step(extraction.maps(current), cache)
            caches.append(cache)
            current = learning(encoded)
            encodings.append(current.movedim(-1, 1))
        caches += [torch.zeros_like(cache) if isinstance(cache, Tensor)
                   else tuple(map(torch.zeros_like, cache)) for cache in state[len(caches):]]
        return encodings, tuple(caches)

    def fuse(self, encodings: list[Tensor]) -> Tensor:
        """
        Sum or concatenate the orders that are wanted; those that are not there count as 0.

        :param encodings: one map an order, from the first on, shape ``(…, D', H, W)``.
        :returns: float tensor, shape ``(…, D, H, W)``, ``D`` = :attr:`motion_channels`.
        """
        there = [encodings[n - 1] for n in self.orders if n <= len(encodings)]
        if self.fusion == 'sum':
            return sum(there[1:], there[0]) if there else torch.zeros_like(encodings[0])
        there += [torch.zeros_like(encodings[0])] * (len(self.orders) - len(there))
        return torch.cat(there, dim=-3)

    def _stages(self, highest: int | None, name: str) -> list[tuple[Extraction, Learning]]:
        if highest is not None and not 1 <= highest <= self.orders[-1]:
            raise ConfigError(f'{name}={highest} is not allowed: expected an order of the block, '
                              f'1 to {self.orders[-1]}')
        stages = zip(cast(Iterable[Extraction], self.extraction),
                     cast(Iterable[Learning], self.learning), strict=True)
        return list(stages)[:highest]

    def _check_features(self, features: Tensor, expected: str) -> None:
        axes = expected.count(',') + 1
        if features.dim() != axes or features.shape[-3] != self.in_channels:
            raise ShapeError(f'expected features {expected.format(self.in_channels)}, '
                             f'got {tuple(features.shape)}')
        if torch.compiler.is_compiling():
            return
        _check_kind('features', features, 'the block', self.out.weight)
        # A sum is far cheaper than a look at each number, and not finite if one of them is not.
        wide = torch.promote_types(features.dtype, torch.float32)
        if holds_numbers(features) and not features.detach().sum(dtype=wide).isfinite():
            warnings.warn(f'features {tuple(features.shape)} hold NaN or infinity: so does what '
                          'depends on them', NotFiniteWarning, stacklevel=3)

    def _check_state(self, x: Tensor, state: MossState) -> None:
        expected = (x.shape[0], self.window[0] - 1, *x.shape[2:], self.compared)
        one = (x.shape[0], x.shape[2] * x.shape[3], self.compared)
        count = len(self.extraction)
        if not isinstance(state, (tuple, list)):
            raise ShapeError(f'expected a state of {count} tensors {expected}, '
                             f'such as initial_state() gives, got {type(state).__name__}')
        found = [_shape_of(cache) for cache in state]
        if len(found) != count or any(
                shape not in (expected, [one] * (self.window[0] - 1)) for shape in found):
            raise ShapeError(f'expected a state of {count} tensors {expected}, or of as many '
                             f'sequences of {self.window[0] - 1} tensors {one}, got {found}')
        if not torch.compiler.is_compiling():
            for cache in state:
                for tensor in [cache] if isinstance(cache, Tensor) else cache:
                    _check_kind('state', tensor, 'features', x)


def _shape_of(cache: Any) -> Any:
    """Describe a cache: its shape, a list of shapes, or the type's name where it is neither."""
    if isinstance(cache, Tensor):
        return tuple(cache.shape)
    if isinstance(cache, (tuple, list)):
        return [_shape_of(one) for one in cache]
    return type(cache).__name__


def _check_orders(orders: tuple[int, ...]) -> tuple[int, ...]:
    try:
        found = tuple(orders)
        if found and found[0] >= 1 and all(
                a < b for a, b in zip(found, found[1:], strict=False)) and all(
                isinstance(n, int) and not isinstance(n, bool) for n in found):
            return found
    except TypeError:
        pass
    raise ConfigError('orders must be whole numbers that ascend from 1 or more, such as '
                      f'(1, 2, 3), got {orders!r}')


def autocasts(device: torch.device) -> bool:
    """Tell whether autocast is on for a device; those that have none may not even be asked."""
    return (torch.amp.is_autocast_available(device.type)
            and torch.is_autocast_enabled(device.type))


def _check_kind(name: str, tensor: Tensor, other: str, like: Tensor) -> None:
    if tensor.device == like.device and autocasts(tensor.device):
        return
    if (tensor.device, tensor.dtype) != (like.device, like.dtype):
        raise ShapeError(f'{name} and {other} must be of one device and dtype: expected '
                         f'{like.dtype} on {like.device}, got {tensor.dtype} on {tensor.device}')
