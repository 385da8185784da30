"""The grasp-success network: backbone, MOSS, and a head that reads features at grasp points."""

from collections.abc import Sequence
import math

from moss_perception.grasp.backbone import Backbone
from moss_perception.grasp.config import GraspConfig
from moss_perception.moss import MOSS, MossState
import torch
from torch import nn, Tensor
import torch.nn.functional as F

# Where the head looks from a grasp point, as multiples of the vector to a finger, (x, y), of the
# vector across it, and of its length: at the point, both fingers, and across on both sides; and
# twice as far in fixed directions in the image: right, down-right, ...
_PLACES = [(0, 0, 0, 0), (1, 0, 0, 0), (-1, 0, 0, 0), (0, 1, 0, 0), (0, -1, 0, 0)] + [
    (0, 0, 2 * math.cos(k * math.pi / 4), 2 * math.sin(k * math.pi / 4)) for k in range(8)]


class GraspHead(nn.Module):
    """
    Scores grasps from the features at the grasp point, where the fingers stand, and around it.

    Fingers, and the points across them, enter by their sum and their absolute difference, so
    that a grasp and the same grasp turned by 180 degrees score alike. The points around, two
    finger distances away, have fixed directions in the image: they tell where an object is that
    has yet to arrive, and whether it comes closer.

    :param channels: channels of the map, whose values are 0 or more.
    :param ensemble: number of independent heads.
    :param depth: the usual depth of a grasp, metres.
    """

    def __init__(self, channels: int, ensemble: int, depth: float):
        super().__init__()
        self.depth = depth
        self.register_buffer('places', _place_matrix(), persistent=False)
        self.register_buffer('pairs', _pair_matrix(), persistent=False)
        inputs = 13 * channels + 7
        self.locate = nn.Sequential(nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, 4))
        self.members = Members(inputs + 4, (64, 32), ensemble)

    def forward(self, features: Tensor, grasps: Tensor) -> tuple[Tensor, Tensor]:
        """
        Score grasps, by where the object is and will be, and by what else is seen.

        :param features: float tensor, shape ``(B, D, H, W)``.
        :param grasps: float tensor, shape ``(B, K, 5)``, see
            :func:`moss_perception.grasp.geometry.encode_grasps`.
        :returns: logits, shape ``(B, K, M)`` for ``M`` ensemble members; and where the object is
            seen from the grasp point, now (x, y) and when the fingers grip (x, y), in finger
            distances, shape ``(B, K, 4)``.
        """
        depth, finger = grasps[..., 2:3], grasps[..., 3:]
        reach = finger.norm(dim=-1, keepdim=True)
        places = torch.cat([grasps[..., :2], finger, reach], dim=-1) @ self.places
        read = F.grid_sample(features, places.unflatten(-1, (13, 2)), align_corners=False,
                             padding_mode='border').movedim(1, 2)
        # No feature is negative: of all that is read, only differences change by this.
        read = (read @ self.pairs).abs().flatten(2)
        along = finger / reach.clamp(min=1e-6)
        # The same for both fingers; an angle doubled is a sum of these.
        turned = (along[..., :, None] * along[..., None, :]).flatten(-2)
        # Depths differ by centimetres; tenfold, they weigh about as much as the rest.
        depth = depth * (10 / self.depth) - 10
        # As matrices: ONNX Runtime runs a layer and its ReLU as one then.
        inputs = torch.cat([read, grasps[..., :2], depth, turned], dim=-1).flatten(0, 1)
        located = self.locate(inputs)
        logits = self.members(torch.cat([inputs, located], dim=-1))
        return tuple(x.unflatten(0, grasps.shape[:2]) for x in (logits, located))


class Members(nn.Module):
    """
    An ensemble of small networks that share their inputs and nothing else.

    They run side by side as one network, whose layers are zero between members.

    :param inputs: number of inputs.
    :param widths: of the hidden layers of one member.
    :param members: number of members ``M``.
    """

    def __init__(self, inputs: int, widths: tuple[int, ...], members: int):
        super().__init__()
        self.first = nn.Linear(inputs, members * widths[0])
        sizes = zip(widths, (*widths[1:], 1), strict=True)
        self.others = nn.ModuleList(nn.Linear(a, members * b) for a, b in sizes)
        for n, layer in enumerate(self.others):
            own = torch.eye(members).repeat_interleave(layer.out_features // members, dim=0)
            own = own.repeat_interleave(layer.in_features, dim=1)
            self.register_buffer(f'own_{n}', own, persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Turn ``(…, inputs)`` into ``(…, M)``."""
        return self._layer(len(self.others) - 1, self._before_last(inputs))

    def hidden(self, inputs: Tensor) -> Tensor:
        """Return what the last layer takes, member after member: ``(…, M * widths[-1])``."""
        return F.relu(self._before_last(inputs))

    def _before_last(self, inputs: Tensor) -> Tensor:
        x = self.first(inputs)
        for n in range(len(self.others) - 1):
            x = self._layer(n, x)
        return x

    def _layer(self, n: int, x: Tensor) -> Tensor:
        own, layer = getattr(self, f'own_{n}'), self.others[n]
        weight = layer.weight.repeat(1, len(own[0]) // layer.in_features) * own
        return F.linear(F.relu(x), weight, layer.bias)


def _place_matrix() -> Tensor:
    """From ``(point x, y, finger x, y, reach)`` to all places ``(x, y)``, shape ``(5, 26)``."""
    columns = []
    for along, across, right, down in _PLACES:
        columns.append((1, 0, along, -across, right))
        columns.append((0, 1, across, along, down))
    return torch.tensor(columns, dtype=torch.float32).T.contiguous()


def _pair_matrix() -> Tensor:
    """Add and subtract what is read at both fingers, and across on both sides: ``(13, 13)``."""
    pairs = torch.eye(13)
    for one, other in ((1, 2), (3, 4)):
        pairs[other, one] = 1
        pairs[one, other], pairs[other, other] = 1, -1
    return pairs


class GraspReader(nn.Module):
    """
    What all networks share, however they look over time: how pixels come in, and how grasps are
    read from the newest frame's fine map and a map of what happened.
    """

    needs_images = False
    """Whether it looks at the images themselves, and not only at :meth:`fine_maps`."""

    def add_reading(self, config: GraspConfig) -> None:
        """Make the layers of the reading; last, since the order of weights is an optimizer's."""
        wide = config.head_channels
        self.lateral = nn.Conv2d(config.channels[1], wide, 1)
        self.smooth = nn.Sequential(nn.Conv2d(wide, wide, 3, padding=1, groups=wide),
                                    nn.Conv2d(wide, wide, 1))
        self.head = GraspHead(wide, config.ensemble, config.default_depth_m)
        self.register_buffer('mean', torch.tensor(config.mean).view(3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(config.std).view(3, 1, 1), persistent=False)

    def add_merging(self, config: GraspConfig) -> None:
        """Make what brings the backbone's deepest layers to maps of stride 4."""
        self.merge = (None if config.map_stride == 8 else
                      nn.Conv2d(config.channels[2], config.channels[1], 1))

    def merged(self, fine: Tensor, deep: Tensor) -> Tensor:
        """
        Return the maps that the network looks over, of :attr:`GraspConfig.map_stride`.

        :param fine: of stride 4, shape ``(N, C, H, W)``.
        :param deep: of stride 8, shape ``(N, C', H / 2, W / 2)``.
        """
        if self.merge is None:
            return deep
        return fine + F.interpolate(self.merge(deep), scale_factor=2.0, mode='bilinear',
                                    align_corners=False)

    def normalise(self, images: Tensor) -> Tensor:
        """Turn uint8 RGB, shape ``(N, S, S, 3)``, into the backbone's ``(N, 3, S, S)``."""
        return (images.movedim(-1, 1).float() - 255 * self.mean) * (1 / (255 * self.std))

    def fine_maps(self, clip: Tensor) -> Tensor:
        """
        Return the backbone's maps of stride 4, shape ``(B, T, C, H, W)``.

        :param clip: uint8 images, shape ``(B, T, S, S, 3)``; or these maps, computed before, of
            any floating type, shape ``(B, T, H, W, C)``.
        """
        if clip.dtype != torch.uint8:
            return clip.float().movedim(-1, 2)
        images = self.normalise(clip.flatten(0, 1))
        return self.backbone.early(images).unflatten(0, clip.shape[:2])

    def read(self, fine: Tensor, context: Tensor, grasps: Tensor) -> tuple[Tensor, Tensor]:
        """
        Score grasps.

        :param fine: of the newest frame, shape ``(B, C, H, W)``.
        :param context: what happened, shape ``(B, R, H, W)``, or half as high and wide.
        :param grasps: float tensor, shape ``(B, K, 5)``.
        :returns: logits and the object's places, see :meth:`GraspHead.forward`.
        """
        if context.shape[-1] != fine.shape[-1]:
            context = F.interpolate(context, scale_factor=2.0, mode='bilinear',
                                    align_corners=False)
        features = F.relu(self.smooth(F.relu(self.lateral(fine) + context)))
        logits, located = self.head(features, grasps)
        return logits / self.config.temperature, located


class GraspNetwork(GraspReader):
    """
    Scores grasps in a clip, or one frame at a time; at the last frame both give the same.

    The head looks at the last maps of every prefix of the orders. These maps build upon one
    another: each order adds its share to the map of the orders below, so that a stream keeps all
    of them at little more than the cost of one.

    :param config: sizes, window and preprocessing.
    """

    def __init__(self, config: GraspConfig):
        super().__init__()
        self.config = config
        coarse, wide = config.map_channels, config.head_channels
        self.backbone = Backbone(config.channels)
        self.add_merging(config)
        self.moss = MOSS(coarse, tuple(range(1, config.orders + 1)), config.moss_window,
                         channels=config.moss_channels, projection=config.projection_channels,
                         hidden=config.moss_channels // 2, learning=config.learning,
                         fusion='concat')
        self.look = nn.Linear(coarse, wide)
        self.shares = nn.ModuleList(nn.Linear(config.moss_channels, wide, bias=False)
                                    for _ in range(config.orders))
        self.over_time = nn.Linear(len(config.head_looks) * wide, wide)
        self.add_reading(config)

    def forward(self, images: Tensor, grasps: Tensor,
                used: int | None = None) -> tuple[Tensor, Tensor]:
        """
        Score grasps at the last frame of a clip.

        :param images: uint8 tensor, RGB, shape ``(B, T, S, S, 3)``; or see :meth:`fine_maps`.
        :param grasps: float tensor, shape ``(B, K, 5)``.
        :param used: use self-similarity orders up to this one only.
        :returns: logits and the object's places, see :meth:`GraspHead.forward`.
        """
        fine = self.fine_maps(images)
        flat = fine.flatten(0, 1)
        coarse = self.merged(flat, self.backbone.late(flat)).unflatten(0, fine.shape[:2])
        span = self.config.head_span
        motion = self.moss.motion(coarse, used, last=span)
        encodings = motion.movedim(2, -1).split(self.config.moss_channels, dim=-1)[:used]
        coarse = coarse[:, -span:].movedim(2, -1)
        maps = self._prefixes(coarse.flatten(0, -2), [x.flatten(0, -2) for x in encodings])[-1]
        maps = maps.view(*coarse.shape[:-1], -1)
        maps = F.pad(maps, (0, 0, 0, 0, 0, 0, span - maps.shape[1], 0))
        looks = [maps[:, n].flatten(0, -2) for n in self.config.head_looks]
        return self._score(fine[:, -1], looks, grasps)

    def initial_state(self, batch: int = 1) -> tuple[MossState, tuple[Tensor, ...]]:
        """
        Return the state before the first sample.

        :returns: MOSS's caches, map by map; and the head's maps of the ``head_span - 1`` samples
            before, a row a position, each of shape ``(B * h * w, R)``; both oldest first.
        """
        side = self.config.map_size
        # A tensor of its own for each: an exporter takes one that is given twice for one input.
        recent = tuple(self.mean.new_zeros(batch * side * side, self.config.head_channels)
                       for _ in range(self.config.head_span - 1))
        return self.moss.initial_state(batch, side, side, apart=True), recent

    def step(self, features: tuple[Tensor, Tensor], grasps: Tensor, caches: MossState,
             recent: Sequence[Tensor], *, computed: int | None = None,
             used: int | Tensor | None = None
             ) -> tuple[Tensor, Tensor, MossState, list[Tensor]]:
        """
        Score grasps at the next frame of a stream.

        Whoever steps keeps the maps of every prefix, and hands those of the one in use back: so
        the score at a frame is that of the orders in use now, whichever were in use at the
        frames before, and no map is ever copied.

        :param features: what the backbone gave for this frame, shapes ``(B, C, H, W)``.
        :param grasps: float tensor, shape ``(B, K, 5)``.
        :param caches: of :meth:`initial_state` or the step before.
        :param recent: the maps of the prefix in use at those samples before at which the head
            looks (``head_looks``), oldest first, each ``(B * h * w, R)``; zeros where there is
            none.
        :param computed: run self-similarity orders up to this one only; the caches of the others
            become zero.
        :param used: of these, use orders up to this one only; in an exported graph, which takes
            it as an input, an int64 tensor, shape ``(1,)``.
        :returns: logits ``(B, K, M)``; the encodings of the orders that were run, one after
            another, ``(B * h * w, N * D')``; the new caches; and this frame's map of each prefix.
        """
        fine, deep = features
        coarse = self.merged(fine, deep)
        encodings, caches = self.moss.encode_step(coarse, caches, computed)
        # As matrices from here on: ONNX Runtime would copy what it reshapes and gives.
        coarse, *encodings = (x.movedim(1, -1).flatten(0, -2) for x in (coarse, *encodings))
        maps = self._prefixes(coarse, encodings)
        newest = _choose(maps, len(maps) if used is None else used)
        logits, _ = self._score(fine, [*recent, newest], grasps)
        return logits, torch.cat(encodings, dim=-1), caches, maps

    def _prefixes(self, coarse: Tensor, encodings: Sequence[Tensor]) -> list[Tensor]:
        """Build each prefix's map, ``(N, R)``, of the features and encodings at N positions."""
        maps, summed = [], self.look(coarse)
        for share, encoding in zip(self.shares, encodings, strict=False):
            summed = torch.addmm(summed, encoding, share.weight.T)
            maps.append(F.relu(summed))
        return maps

    def _score(self, fine: Tensor, recent: Sequence[Tensor],
               grasps: Tensor) -> tuple[Tensor, Tensor]:
        """Score grasps by the newest fine map and the last coarse ones, ``(B * h * w, R)``."""
        side = self.config.map_size
        looked = torch.cat(list(recent), dim=-1).view(-1, side, side, self.over_time.in_features)
        if torch.onnx.is_in_onnx_export():
            # What is enlarged and added to a convolution is best left in the layout of one.
            context = F.conv2d(looked.movedim(-1, 1), self.over_time.weight[:, :, None, None],
                               self.over_time.bias)
        else:
            context = self.over_time(looked).movedim(-1, 1)
        return self.read(fine, context, grasps)


def _choose(maps: list[Tensor], used: int | Tensor) -> Tensor:
    """Choose the map of a prefix."""
    if not isinstance(used, Tensor):
        return maps[used - 1]
    return torch.stack(maps).index_select(0, used - 1).squeeze(0)


def ensemble_probability(logits: Tensor) -> tuple[Tensor, Tensor]:
    """
    Turn the members' logits into a probability and its uncertainty.

    :param logits: float tensor, shape ``(..., M)``.
    :returns: mean of the members' probabilities in [0, 1], and their standard deviation in
        [0, 0.5], each of shape ``(...)``.
    """
    probabilities = torch.sigmoid(logits)
    mean = probabilities.mean(dim=-1)
    return mean, (probabilities - mean[..., None]).square().mean(dim=-1).sqrt()
