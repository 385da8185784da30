"""The grasp-success network: backbone, MOSS, and a head that reads features at grasp points."""

import math

from moss_perception.grasp.backbone import Backbone
from moss_perception.grasp.config import GraspConfig
from moss_perception.moss import MOSS, MossState
import torch
from torch import nn, Tensor
import torch.nn.functional as F

# Directions in the image in which the head looks around a grasp point: right, down-right, ...
_AROUND = [(math.cos(k * math.pi / 4), math.sin(k * math.pi / 4)) for k in range(8)]


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
        self.register_buffer('around', torch.tensor(_AROUND), persistent=False)
        inputs = 13 * channels + 5
        self.locate = nn.Sequential(nn.Linear(inputs, 64), nn.GELU(), nn.Linear(64, 4))
        self.members = nn.ModuleList(
            nn.Sequential(nn.Linear(inputs + 4, 64), nn.GELU(), nn.Linear(64, 32), nn.GELU(),
                          nn.Linear(32, 1)) for _ in range(ensemble))

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
        point, depth, finger = grasps[..., :2], grasps[..., 2:3], grasps[..., 3:]
        reach = finger.norm(dim=-1, keepdim=True)
        across = torch.stack([-finger[..., 1], finger[..., 0]], dim=-1)
        beside = torch.stack([torch.zeros_like(finger), finger, -finger, across, -across], dim=2)
        around = 2 * reach[:, :, None] * self.around
        places = point[:, :, None] + torch.cat([beside, around], dim=2)
        read = F.grid_sample(features, places, align_corners=False, padding_mode='border')
        read = read.permute(0, 2, 3, 1)
        centre, one, other, left, right = read[:, :, :5].unbind(dim=2)
        x, y = (finger / reach.clamp(min=1e-6)).unbind(dim=-1)
        double = torch.stack([x * x - y * y, 2 * x * y], dim=-1)
        # Depths differ by centimetres; tenfold, they weigh about as much as the rest.
        depth = 10 * (depth / self.depth - 1)
        inputs = torch.cat([centre, one + other, (one - other).abs(), left + right,
                            (left - right).abs(), read[:, :, 5:].flatten(2), point, depth,
                            double], dim=-1)
        located = self.locate(inputs)
        inputs = torch.cat([inputs, located], dim=-1)
        return torch.cat([member(inputs) for member in self.members], dim=-1), located


class GraspNetwork(nn.Module):
    """
    Scores grasps in a clip, or one frame at a time; at the last frame both give the same.

    :param config: sizes, window and preprocessing.
    """

    def __init__(self, config: GraspConfig):
        super().__init__()
        self.config = config
        coarse = config.channels[2]
        self.backbone = Backbone(config.channels)
        self.moss = MOSS(coarse, tuple(range(1, config.orders + 1)), config.moss_window,
                         channels=config.moss_channels, projection=config.projection_channels,
                         hidden=config.moss_channels // 2, learning=config.learning,
                         fusion=config.fusion)
        self.reduce = nn.Conv2d(coarse + self.moss.motion_channels, config.head_channels, 1)
        self.over_time = nn.Conv2d(
            config.head_span * config.head_channels, config.head_channels, 1)
        self.merge = nn.Sequential(
            nn.Conv2d(config.channels[1] + config.head_channels, config.head_channels, 3,
                      padding=1), nn.GELU())
        self.head = GraspHead(config.head_channels, config.ensemble, config.default_depth_m)
        self.register_buffer('mean', torch.tensor(config.mean).view(3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(config.std).view(3, 1, 1), persistent=False)

    def normalise(self, images: Tensor) -> Tensor:
        """Turn uint8 RGB, shape ``(N, S, S, 3)``, into the backbone's ``(N, 3, S, S)``."""
        return (images.movedim(-1, 1).float() / 255 - self.mean) / self.std

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
        recent = torch.cat([coarse[:, -span:], motion], dim=2)
        recent = F.pad(recent, (0, 0, 0, 0, 0, 0, span - recent.shape[1], 0))
        return self._score(fine[:, -1], recent, grasps)

    def initial_state(self, batch: int = 1) -> tuple[MossState, Tensor]:
        """
        Return the state before the first sample.

        :returns: MOSS's caches, and the last maps that the head looks at: the backbone's and
            each order's, shape ``(B, span - 1, C + N * D', side, side)``.
        """
        side = self.config.image_size // 8
        channels = self.config.channels[2] + self.config.orders * self.config.moss_channels
        recent = self.mean.new_zeros(batch, self.config.head_span - 1, channels, side, side)
        return self.moss.initial_state(batch, side, side), recent

    def step(self, features: tuple[Tensor, Tensor], grasps: Tensor,
             state: tuple[MossState, Tensor], *, computed: int | None = None,
             used: int | None = None) -> tuple[Tensor, Tensor, tuple[MossState, Tensor]]:
        """
        Score grasps at the next frame of a stream.

        The state keeps each order's maps apart, so that the score at a frame is that of the
        orders in use now, whichever were in use at the frames before.

        :param features: what the backbone gave for this frame, shapes ``(B, C, H, W)``.
        :param grasps: float tensor, shape ``(B, K, 5)``.
        :param state: from :meth:`initial_state` or the step before.
        :param computed: run self-similarity orders up to this one only.
        :param used: of these, use orders up to this one only.
        :returns: logits ``(B, K, M)``, the MOSS map ``(B, D, H, W)``, and the new state.
        """
        fine, coarse = features
        caches, recent = state
        encodings, caches = self.moss.encode_step(coarse, caches, computed)
        idle = [torch.zeros_like(encodings[0])] * (self.config.orders - len(encodings))
        newest = torch.cat([coarse, *encodings, *idle], dim=1)
        recent = torch.cat([recent, newest[:, None]], dim=1)
        fused = self._fuse(recent, used)
        logits, _ = self._score(fine, fused, grasps)
        return logits, fused[:, -1, coarse.shape[1]:], (caches, recent[:, 1:])

    def _fuse(self, recent: Tensor, used: int | None) -> Tensor:
        """Fuse the orders in use of maps ``(B, span, C + N * D', H, W)``."""
        sizes = [self.config.channels[2]] + [self.config.moss_channels] * self.config.orders
        coarse, *encodings = recent.flatten(0, 1).split(sizes, dim=1)
        fused = torch.cat([coarse, self.moss.fuse(encodings[:used])], dim=1)
        return fused.unflatten(0, recent.shape[:2])

    def _score(self, fine: Tensor, recent: Tensor, grasps: Tensor) -> tuple[Tensor, Tensor]:
        """Score grasps by the newest fine map and the last fused ones ``(B, span, C, H, W)``."""
        reduced = F.gelu(self.reduce(recent.flatten(0, 1))).unflatten(0, recent.shape[:2])
        context = F.interpolate(F.gelu(self.over_time(reduced.flatten(1, 2))), scale_factor=2.0,
                                mode='bilinear', align_corners=False)
        features = self.merge(torch.cat([fine, context], dim=1))
        logits, located = self.head(features, grasps)
        return logits / self.config.temperature, located


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
