"""What a MOSS block learns of one order: how to compare, and how to read the similarities."""

from collections.abc import Sequence

from moss_perception.moss.kernels import step_products, window_products
import torch
from torch import nn, Tensor
import torch.nn.functional as F

LEARNING = ('conv', 'shared', 'depthwise', 'mlp')
FUSION = ('sum', 'concat')
NORM = (None, 'layer', 'group')

# Mean square, in units of the LayerNorm's, below which a position counts as blank: dividing by
# a vanishing contrast would blow rounding up until steps and clip differ.
_CONTRAST_FLOOR = 1e-3


class Projection(nn.Module):
    """
    From features to maps that are compared.

    Features are centred over the channels (LayerNorm) and over the frame before they are
    compared: after a ReLU all cosines are near 1 otherwise, and the maps show nothing. Neither
    norm nor projection has a bias, since the centring would take it out again. The projected
    channels are centred as well: then a LayerNorm is all that a cosine needs.

    :param in_channels: channels of the features.
    :param projection: channels they are projected to.
    :param rank: channels that are compared, ``None`` for all of them.
    """

    def __init__(self, in_channels: int, projection: int, rank: int | None):
        super().__init__()
        self.norm = nn.LayerNorm(in_channels, elementwise_affine=False)
        self.project = nn.Linear(in_channels, projection, bias=False)
        self.compress = nn.Identity()
        if rank is not None:
            self.compress = nn.Linear(projection, rank, bias=False)
            # Orthonormal rows scaled so that the mean of a product stays what it was.
            nn.init.orthogonal_(self.compress.weight, gain=(projection / rank) ** 0.5)

    def maps(self, features: Tensor) -> Tensor:
        """Turn ``(…, H, W, C)`` into vectors of length sqrt(P), shorter if blank."""
        positions = self.project(self.norm(features.flatten(-3, -2)))
        # The mean as a product: ONNX Runtime sums down columns slowly.
        count = positions.shape[-2]
        centred = positions - positions.new_full((1, count), 1 / max(count, 1)) @ positions
        maps = self.compress(F.layer_norm(centred, centred.shape[-1:], eps=_CONTRAST_FLOOR))
        return maps.unflatten(-2, features.shape[-3:-1])


class Extraction(Projection):
    """
    From a feature map to the encoding of its similarity with each temporal offset.

    :param in_channels: channels of the features.
    :param projection: channels they are projected to.
    :param rank: channels that are compared, ``None`` for all of them.
    :param hidden: channels ``D'`` of the encoding of one offset.
    :param window: ``(L, U, V)``.
    :param norm: of the encoding, see :func:`make_norm`.
    """

    def __init__(self, in_channels: int, projection: int, rank: int | None, hidden: int,
                 window: tuple[int, int, int], norm: str | None = None):
        super().__init__(in_channels, projection, rank)
        self.window = window
        self.kept = rank or projection
        self.contrast = nn.Parameter(torch.tensor(5.0))
        self.encode = nn.Linear(window[1] * window[2], hidden)
        self.encoded = make_norm(norm, hidden)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """
        Encode the similarities of each frame with those in its window.

        :param query: maps, shape ``(B, T, H, W, P)``.
        :param keys: maps, shape ``(B, T + L - 1, H, W, P)``.
        :returns: shape ``(B, T, H, W, L, D')``.
        """
        return self._encode(window_products(query, keys, *self.window[1:]))

    def step(self, query: Tensor, cache: Tensor | Sequence[Tensor]
             ) -> tuple[Tensor, Tensor | tuple[Tensor, ...]]:
        """
        Encode the similarities of a stream's next frame.

        :param query: maps, shape ``(B, H, W, P)``.
        :param cache: maps of the frames before, shape ``(B, L - 1, H, W, P)``, or one by one.
        :returns: shape ``(B, H, W, L, D')``, and the new cache.
        """
        products, cache = step_products(query, cache, *self.window[1:])
        return self._encode(products), cache

    def _encode(self, products: Tensor) -> Tensor:
        # The lengths are taken out here, where there is least to multiply.
        weight = self.encode.weight * (self.contrast / self.project.out_features)
        if isinstance(self.encoded, nn.Identity):
            return _linear_relu(products, weight, self.encode.bias)
        return F.relu(self.encoded(F.linear(products, weight, self.encode.bias)))


class FrameGroupNorm(nn.GroupNorm):
    """A group norm of each frame and offset by itself: nothing is averaged over time."""

    def forward(self, encodings: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Normalise ``(…, H, W, L, D')`` over the positions and the channels of a group."""
        each = encodings.movedim((-2, -1), (-4, -3))
        return super().forward(each.flatten(0, -4)).view_as(each).movedim((-4, -3), (-2, -1))


def make_norm(kind: str | None, channels: int) -> nn.Module:
    """
    Make the normalisation that stands before the ReLU of an encoding.

    :param kind: one of :data:`NORM`: ``None``; ``layer``, over the channels of each position; or
        ``group``, over the positions of a frame and a quarter of the channels.
    :param channels: ``D'``.
    """
    if kind == 'layer':
        return nn.LayerNorm(channels)
    if kind == 'group':
        return FrameGroupNorm(4 if channels % 4 == 0 else 1, channels)
    return nn.Identity()


class Learning(nn.Module):
    """
    From the encodings of ``L`` offsets to one map.

    :param length: number of offsets ``L``.
    :param hidden: channels ``D'`` of one offset's encoding.
    :param out_channels: channels ``D`` of the map.
    :param kind: ``conv`` (two 3 x 3 for each offset with weights of its own, 3 x 3 over all),
        ``shared`` (two 3 x 3 with the same weights for each offset, 1 x 1 over all),
        ``depthwise`` (1 x 1 over all, depthwise 3 x 3) or ``mlp`` (1 x 1 over all).
    """

    def __init__(self, length: int, hidden: int, out_channels: int, kind: str):
        super().__init__()
        self.kind = kind
        stacked = length * hidden
        if kind == 'conv':
            self.offsets = nn.Sequential(
                nn.Conv2d(stacked, stacked, 3, padding=1, groups=length), nn.ReLU(),
                nn.Conv2d(stacked, stacked, 3, padding=1, groups=length), nn.ReLU())
            self.over = nn.Conv2d(stacked, out_channels, 3, padding=1)
        elif kind == 'shared':
            self.offsets = nn.Sequential(
                nn.Conv2d(hidden, hidden, 3, padding=1), nn.ReLU(),
                nn.Conv2d(hidden, hidden, 3, padding=1), nn.ReLU())
            self.over = nn.Linear(stacked, out_channels)
        elif kind == 'depthwise':
            self.over = nn.Linear(stacked, out_channels)
            self.around = nn.Conv2d(out_channels, out_channels, 3, padding=1,
                                    groups=out_channels)
        else:
            self.over = nn.Linear(stacked, out_channels)

    @property
    def convolves(self) -> bool:
        """Whether a graph for ONNX Runtime ends in a convolution here."""
        return self.kind != 'mlp'

    def forward(self, encodings: Tensor) -> Tensor:
        """Turn ``(N, H, W, L, D')`` into ``(N, H, W, D)``."""
        if self.kind == 'conv':
            stacked = encodings.flatten(3).movedim(-1, 1)
            return self.over(self.offsets(stacked)).movedim(1, -1)
        if self.kind == 'shared':
            if torch.onnx.is_in_onnx_export():
                return self._shared_as_groups(encodings)
            each = encodings.permute(0, 3, 4, 1, 2)
            each = self.offsets(each.flatten(0, 1)).unflatten(0, each.shape[:2])
            return self.over(each.permute(0, 3, 4, 1, 2).flatten(3))
        fused = _linear_relu(encodings.flatten(3), self.over.weight, self.over.bias)
        if self.kind == 'depthwise':
            return self.around(fused.movedim(-1, 1)).movedim(1, -1)
        return fused

    def _shared_as_groups(self, encodings: Tensor) -> Tensor:
        """Give each offset its copy of the weights: ONNX Runtime need not lay maps out anew."""
        length = encodings.shape[3]
        stacked = encodings.flatten(3).movedim(-1, 1)
        for convolution in (self.offsets[0], self.offsets[2]):
            assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
            stacked = F.relu(F.conv2d(
                stacked, convolution.weight.repeat(length, 1, 1, 1),
                convolution.bias.repeat(length), padding=1, groups=length))
        return F.conv2d(stacked, self.over.weight[:, :, None, None],
                        self.over.bias).movedim(1, -1)


def _linear_relu(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Multiply the last axis; as a matrix, since ONNX Runtime makes one node of that and ReLU."""
    return F.relu(F.linear(x.flatten(0, -2), weight, bias)).view(*x.shape[:-1], len(weight))
