"""The grasp-success network: backbone, MOSS, and a head that reads features at grasp points."""

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

    :param channels: channels of the map.
    :param ensemble: number of independent heads.
    :param depth: the usual depth of a grasp, metres.
    """

    def __init__(self, channels: int, ensemble: int, depth: float):
        super().__init__()
        self.depth = depth
        self.register_buffer('places', _place_matrix(), persistent=False)
        inputs = 13 * channels + 5
        self.locate = nn.Sequential(nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, 4))
        # Each group of these convolutions over the grasps is one member.
        self.members = nn.Sequential(
            nn.Conv1d(inputs + 4, 64 * ensemble, 1), nn.ReLU(),
            nn.Conv1d(64 * ensemble, 32 * ensemble, 1, groups=ensemble), nn.ReLU(),
            nn.Conv1d(32 * ensemble, ensemble, 1, groups=ensemble))

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
                             padding_mode='border').permute(0, 2, 3, 1)
        ends, others = read[:, :, 1:5:2], read[:, :, 2:5:2]
        x, y = (finger / reach.clamp(min=1e-6)).unbind(dim=-1)
        double = torch.stack([x * x - y * y, 2 * x * y], dim=-1)
        # Depths differ by centimetres; tenfold, they weigh about as much as the rest.
        depth = 10 * (depth / self.depth - 1)
        inputs = torch.cat([read[:, :, 0], (ends + others).flatten(2),
                            (ends - others).abs().flatten(2), read[:, :, 5:].flatten(2),
                            grasps[..., :2], depth, double], dim=-1)
        located = self.locate(inputs)
        inputs = torch.cat([inputs, located], dim=-1)
        return self.members(inputs.transpose(1, 2)).transpose(1, 2), located


def _place_matrix() -> Tensor:
    """From ``(point x, y, finger x, y, reach)`` to all places ``(x, y)``, shape ``(5, 26)``."""
    columns = []
    for along, across, right, down in _PLACES:
        columns.append((1, 0, along, -across, right))
        columns.append((0, 1, across, along, down))
    return torch.tensor(columns, dtype=torch.float32).T.contiguous()


class GraspNetwork(nn.Module):
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
        coarse, wide = config.channels[2], config.head_channels
        self.backbone = Backbone(config.channels)
        self.moss = MOSS(coarse, tuple(range(1, config.orders + 1)), config.moss_window,
                         channels=config.moss_channels, projection=config.projection_channels,
                         hidden=config.moss_channels // 2, learning=config.learning,
                         fusion='concat')
        self.look = nn.Linear(coarse, wide)
        self.shares = nn.ModuleList(nn.Linear(config.moss_channels, wide, bias=False)
                                    for _ in range(config.orders))
        self.over_time = nn.Linear(config.head_span * wide, wide)
        self.lateral = nn.Conv2d(config.channels[1], wide, 1)
        self.smooth = nn.Conv2d(wide, wide, 3, padding=1)
        self.head = GraspHead(wide, config.ensemble, config.default_depth_m)
        self.register_buffer('mean', torch.tensor(config.mean).view(3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(config.std).view(3, 1, 1), persistent=False)

    def normalise(self, images: Tensor) -> Tensor:
        """Turn uint8 RGB, shape ``(N, S, S, 3)``, into the backbone's ``(N, 3, S, S)``."""
        return (images.movedim(-1, 1).float() - 255 * self.mean) * (1 / (255 * self.std))

    def forward(self, images: Tensor, grasps: Tensor,
                used: int | None = None) -> tuple[Tensor, Tensor]:
        """
        Score grasps at the last frame of a clip.

        :param images: uint8 tensor, RGB, shape ``(B, T, S, S, 3)``.
        :param grasps: float tensor, shape ``(B, K, 5)``.
        :param used: use self-similarity orders up to this one only.
        :returns: logits and the object's places, see :meth:`GraspHead.forward`.
        """
        batch, frames = images.shape[:2]
        fine, coarse = self.backbone(self.normalise(images.flatten(0, 1)))
        fine, coarse = (x.unflatten(0, (batch, frames)) for x in (fine, coarse))
        span = self.config.head_span
        motion = self.moss.motion(coarse, used, last=span)
        encodings = motion.split(self.config.moss_channels, dim=2)[:used]
        recent = self._prefixes(coarse[:, -span:], encodings)[-1]
        recent = F.pad(recent, (0, 0, 0, 0, 0, 0, span - recent.shape[1], 0))
        return self._score(fine[:, -1], recent, grasps)

    def initial_state(self, batch: int = 1) -> tuple[MossState, Tensor]:
        """
        Return the state before the first sample.

        :returns: MOSS's caches; and for each of the ``N`` prefixes of the orders the last maps
            that the head looks at, shape ``(B, N, span - 1, h, w, R)``.
        """
        side, span = self.config.image_size // 8, self.config.head_span
        recent = self.mean.new_zeros(batch, self.config.orders, span - 1, side, side,
                                     self.config.head_channels)
        return self.moss.initial_state(batch, side, side), recent

    def step(self, features: tuple[Tensor, Tensor], grasps: Tensor,
             state: tuple[MossState, Tensor], *, computed: int | None = None,
             used: int | Tensor | None = None
             ) -> tuple[Tensor, Tensor, tuple[MossState, Tensor]]:
        """
        Score grasps at the next frame of a stream.

        The state keeps the maps of each prefix of the orders, so that the score at a frame is
        that of the orders in use now, whichever were in use at the frames before.

        :param features: what the backbone gave for this frame, shapes ``(B, C, H, W)``.
        :param grasps: float tensor, shape ``(B, K, 5)``.
        :param state: from :meth:`initial_state` or the step before.
        :param computed: run self-similarity orders up to this one only; the maps of the others
            become zero.
        :param used: of these, use orders up to this one only; in an exported graph, which takes
            it as an input, a float tensor, shape ``(computed,)``: 1 for these orders, else 0.
        :returns: logits ``(B, K, M)``, the MOSS map ``(B, D, H, W)`` with zeros for orders that
            are not in use, and the new state.
        """
        fine, coarse = features
        caches, recent = state
        encodings, caches = self.moss.encode_step(coarse, caches, computed)
        newest = self._prefixes(coarse[:, None], [x[:, None] for x in encodings])
        run, used = len(encodings), len(encodings) if used is None else used
        maps = torch.cat([recent[:, :run], torch.stack(newest, dim=1)], dim=2)
        logits, _ = self._score(fine, _choose(maps, used), grasps)
        recent = maps[:, :, 1:]
        if run < self.config.orders:
            recent = F.pad(recent, (0,) * 9 + (self.config.orders - run,))
        return logits, self._motion(encodings, used), (caches, recent)

    def _prefixes(self, coarse: Tensor, encodings: list[Tensor]) -> list[Tensor]:
        """Build each prefix's map, ``(B, T, h, w, R)``, of maps ``(B, T, C, h, w)``."""
        maps, sum_of_shares = [], self.look(coarse.movedim(2, -1))
        for share, encoding in zip(self.shares, encodings, strict=False):
            sum_of_shares = sum_of_shares + share(encoding.movedim(2, -1))
            maps.append(F.relu(sum_of_shares))
        return maps

    def _motion(self, encodings: list[Tensor], used: int | Tensor) -> Tensor:
        """Stack the orders in use, the others as zeros: ``(B, N * D', H, W)``."""
        if not isinstance(used, Tensor):
            return self.moss.fuse(encodings[:used])
        counts = used.repeat_interleave(self.config.moss_channels)[:, None, None]
        motion = torch.cat(encodings, dim=1) * counts
        absent = self.moss.motion_channels - motion.shape[1]
        return F.pad(motion, (0, 0, 0, 0, 0, absent)) if absent else motion

    def _score(self, fine: Tensor, recent: Tensor, grasps: Tensor) -> tuple[Tensor, Tensor]:
        """Score grasps by the newest fine map and the last coarse ones ``(B, span, h, w, R)``."""
        context = self.over_time(recent.permute(0, 2, 3, 1, 4).flatten(3)).movedim(-1, 1)
        context = F.interpolate(context, scale_factor=2.0, mode='bilinear', align_corners=False)
        features = F.relu(self.smooth(F.relu(self.lateral(fine) + context)))
        logits, located = self.head(features, grasps)
        return logits / self.config.temperature, located


def _choose(maps: Tensor, used: int | Tensor) -> Tensor:
    """Choose a prefix's maps of ``(B, N, span, h, w, R)``."""
    if not isinstance(used, Tensor):
        return maps[:, used - 1]
    highest = used.sum(dim=0, keepdim=True).long() - 1
    return maps.index_select(1, highest).squeeze(1)


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
