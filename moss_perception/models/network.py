"""The grasp-success network: backbone, MOSS, and what reads grasps from their maps."""

from collections.abc import Sequence

from moss_perception.models.backbone import Backbone
from moss_perception.models.config import GraspConfig
from moss_perception.models.head import GraspHead
from moss_perception.moss import MOSS, MossState
import torch
from torch import nn, Tensor
import torch.nn.functional as F


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
