"""The MOSS block: extraction, learning and fusion of self-similarities of several orders."""

from moss_perception.errors import ConfigError, ShapeError
from moss_perception.moss.similarity import check_window, correlate, stack_neighbours
import torch
from torch import nn, Tensor
import torch.nn.functional as F

LEARNING = ('conv', 'depthwise', 'mlp')
FUSION = ('sum', 'concat')

# Mean square, in units of the LayerNorm's, below which a position counts as blank: dividing by
# a vanishing contrast would blow rounding up until steps and clip differ.
_CONTRAST_FLOOR = 1e-3

# One cache an order, shape (B, L - 1, P, H, W): the last normalised maps, oldest first.
MossState = tuple[Tensor, ...]


class Extraction(nn.Module):
    """
    From a feature map to the encoding of its similarity with each temporal offset.

    Features are centred over the channels (LayerNorm) and over the frame before they are
    compared: after a ReLU all cosines are near 1 otherwise, and the maps show nothing.

    :param in_channels: channels of the features.
    :param projection: channels ``P`` that are correlated.
    :param hidden: channels ``D`` of the encoding of one offset.
    :param window: ``(L, U, V)``.
    """

    def __init__(self, in_channels: int, projection: int, hidden: int,
                 window: tuple[int, int, int]):
        super().__init__()
        self.window = window
        self.norm = nn.LayerNorm(in_channels)
        self.project = nn.Linear(in_channels, projection)
        self.contrast = nn.Parameter(torch.tensor(5.0))
        self.encode = nn.Linear(window[1] * window[2], hidden)

    def maps(self, features: Tensor) -> Tensor:
        """Project ``(N, C, H, W)`` to vectors of length 1 (0 if blank), ``(N, P, H, W)``."""
        projected = self.project(self.norm(features.movedim(1, -1)))
        centred = projected - projected.mean(dim=(1, 2), keepdim=True)
        power = centred.square().mean(dim=-1, keepdim=True) + _CONTRAST_FLOOR
        unit = centred * torch.rsqrt(power * centred.shape[-1])
        return unit.movedim(-1, 1).contiguous()

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Encode similarities of ``(N, P, H, W)`` with ``(N, L, P, H, W)``: (N, L, D, H, W)."""
        similar = correlate(query, keys, *self.window[1:]).flatten(-2)
        return F.gelu(self.encode(self.contrast * similar)).permute(0, 3, 4, 1, 2)


class Learning(nn.Module):
    """
    From the encodings of ``L`` offsets to one map.

    :param length: number of offsets ``L``.
    :param hidden: channels of one offset's encoding.
    :param out_channels: channels ``D`` of the map.
    :param kind: ``conv`` (3 x 3 for each offset, 3 x 3 over all), ``depthwise`` (depthwise 3 x 3,
        1 x 1 over all) or ``mlp`` (1 x 1 only).
    """

    def __init__(self, length: int, hidden: int, out_channels: int, kind: str):
        super().__init__()
        stacked = length * hidden
        if kind == 'conv':
            self.layers = nn.Sequential(
                nn.Conv2d(stacked, stacked, 3, padding=1, groups=length), nn.GELU(),
                nn.Conv2d(stacked, stacked, 3, padding=1, groups=length), nn.GELU(),
                nn.Conv2d(stacked, out_channels, 3, padding=1))
        elif kind == 'depthwise':
            self.layers = nn.Sequential(
                nn.Conv2d(stacked, stacked, 3, padding=1, groups=stacked), nn.GELU(),
                nn.Conv2d(stacked, out_channels, 1), nn.GELU(),
                nn.Conv2d(out_channels, out_channels, 3, padding=1, groups=out_channels))
        else:
            self.layers = nn.Sequential(
                nn.Conv2d(stacked, stacked, 1), nn.GELU(), nn.Conv2d(stacked, out_channels, 1))

    def forward(self, encodings: Tensor) -> Tensor:
        """Fuse ``(N, L, D', H, W)`` to ``(N, D, H, W)``."""
        return self.layers(encodings.flatten(1, 2))


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
    :param projection: channels that are correlated.
    :param hidden: channels of the encoding of one temporal offset.
    :param learning: ``conv``, ``depthwise`` or ``mlp``.
    :param fusion: ``sum`` or ``concat``.
    :raises ConfigError: if a value is not allowed.
    """

    def __init__(self, in_channels: int, orders: tuple[int, ...] = (1, 2, 3),
                 window: tuple[int, int, int] = (5, 9, 9), causal: bool = True, *,
                 channels: int = 64, projection: int = 64, hidden: int = 32,
                 learning: str = 'conv', fusion: str = 'sum'):
        super().__init__()
        self.orders = tuple(orders)
        if not self.orders or list(self.orders) != sorted(set(self.orders)) or self.orders[0] < 1:
            raise ConfigError(
                f'orders must ascend from 1 or more, such as (1, 2, 3), got {orders!r}')
        if learning not in LEARNING:
            raise ConfigError(f'learning={learning!r} is not allowed: expected one of {LEARNING}')
        if fusion not in FUSION:
            raise ConfigError(f'fusion={fusion!r} is not allowed: expected one of {FUSION}')
        for name, size in (('in_channels', in_channels), ('channels', channels),
                           ('projection', projection), ('hidden', hidden)):
            if size < 1:
                raise ConfigError(f'{name}={size} is not allowed: expected 1 or more')
        self.in_channels = in_channels
        self.window = check_window(window, causal)
        self.causal = causal
        self.channels = channels
        self.projection = projection
        self.fusion = fusion
        depth = range(self.orders[-1])
        self.extraction = nn.ModuleList(
            Extraction(channels if n else in_channels, projection, hidden, self.window)
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

    def forward(self, features: Tensor) -> Tensor:
        """
        Add what the orders see to the features of a clip.

        :param features: float tensor, shape ``(B, T, C, H, W)``.
        :returns: the same shape.
        :raises ShapeError: if the features do not fit.
        """
        return features + self._output(self.motion(features).flatten(0, 1)).view_as(features)

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
        """
        if features.dim() != 5 or features.shape[2] != self.in_channels:
            raise ShapeError(f'expected features (B, T, {self.in_channels}, H, W), '
                             f'got {tuple(features.shape)}')
        batch, frames = features.shape[:2]
        stages = self._stages(used)
        wanted = min(last or frames, frames)
        current, encodings = features, []
        for n, (extraction, learning) in enumerate(stages, start=1):
            reach = wanted + (len(stages) - n) * (self.window[0] - 1)
            needed = min(reach, frames) if self.causal else frames
            maps = extraction.maps(current.flatten(0, 1)).unflatten(0, (batch, -1))
            keys = stack_neighbours(maps, self.window[0], self.causal)[:, -needed:]
            current = learning(extraction(maps[:, -needed:].flatten(0, 1), keys.flatten(0, 1)))
            current = current.unflatten(0, (batch, needed))
            encodings.append(current[:, -wanted:].flatten(0, 1))
        return self.fuse(encodings).unflatten(0, (batch, wanted))

    def initial_state(self, batch: int, height: int, width: int) -> MossState:
        """
        Return the state before the first frame.

        :param batch: number of streams ``B``.
        :param height: the map's height ``H``.
        :param width: the map's width ``W``.
        :returns: one tensor of zeros an order, shape ``(B, L - 1, P, H, W)``.
        :raises ConfigError: if the window is centred: it would need frames of the future.
        """
        if not self.causal:
            raise ConfigError('a centred window needs future frames and cannot be stepped: '
                              'expected causal=True')
        weight = self.out.weight
        shape = (batch, self.window[0] - 1, self.projection, height, width)
        return tuple(weight.new_zeros(shape) for _ in self.extraction)

    def step(self, x: Tensor, state: MossState) -> tuple[Tensor, MossState]:
        """
        Take one frame of a stream; equals :meth:`forward` on the whole clip at that frame.

        :param x: float tensor, shape ``(B, C, H, W)``.
        :param state: from :meth:`initial_state` or the step before; not changed.
        :returns: the features with what the orders see added, same shape; and the new state.
        :raises ShapeError: if frame and state do not fit.
        """
        encodings, state = self.encode_step(x, state)
        return x + self._output(self.fuse(encodings)), state

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
        self._check_step(x, state)
        current, encodings = x, []
        caches = [torch.zeros_like(cache) for cache in state]
        for n, (extraction, learning) in enumerate(self._stages(computed)):
            maps = extraction.maps(current)
            keys = torch.cat([state[n], maps[:, None]], dim=1)
            caches[n] = keys[:, 1:]
            current = learning(extraction(maps, keys))
            encodings.append(current)
        return encodings, tuple(caches)

    def fuse(self, encodings: list[Tensor]) -> Tensor:
        """
        Sum or concatenate the orders that are wanted; those that are not there count as 0.

        :param encodings: one map an order, from the first on, shape ``(N, D', H, W)``.
        :returns: float tensor, shape ``(N, D, H, W)``, ``D`` = :attr:`motion_channels`.
        """
        absent = torch.zeros_like(encodings[0])
        wanted = [encodings[n - 1] if n <= len(encodings) else absent for n in self.orders]
        return torch.cat(wanted, dim=1) if self.fusion == 'concat' else sum(wanted)

    def _stages(self, highest: int | None) -> list[tuple[Extraction, Learning]]:
        return list(zip(self.extraction, self.learning, strict=True))[:highest]

    def _output(self, motion: Tensor) -> Tensor:
        return self.out(motion.movedim(1, -1)).movedim(-1, 1)

    def _check_step(self, x: Tensor, state: MossState) -> None:
        if x.dim() != 4 or x.shape[1] != self.in_channels:
            raise ShapeError(f'expected a frame (B, {self.in_channels}, H, W), '
                             f'got {tuple(x.shape)}')
        expected = (x.shape[0], self.window[0] - 1, self.projection, *x.shape[2:])
        found = [tuple(cache.shape) for cache in state]
        if found != [expected] * len(self.extraction):
            raise ShapeError(f'expected a state of {len(self.extraction)} tensors {expected}, '
                             f'got {found}')
