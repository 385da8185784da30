"""What the models share: how pixels come in, and how grasps are read from maps."""

from typing import TypeVar

from moss_perception.models.layers.backbone import Backbone
from moss_perception.models.layers.config import GraspConfig
from moss_perception.models.layers.head import GraspHead
from moss_perception.models.network import Network
import torch
from torch import nn, Tensor
import torch.nn.functional as F

R = TypeVar('R', bound=GraspConfig)


class GraspReader(Network[R]):
    """
    What all networks share, however they look over time: how pixels come in, and how grasps are
    read from the newest frame's fine map and a map of what happened.
    """

    backbone: Backbone
    mean: Tensor
    std: Tensor

    @property
    def needs_images(self) -> bool:
        """Whether it looks at the images themselves, and not only at :meth:`fine_maps`."""
        return False

    def freeze(self, stages: int) -> None:
        """Keep the first stages of the backbone as they are, whatever is trained."""
        # Images arrive with their channels last; weights laid out alike save a copy a layer.
        self.backbone.to(  # pyright: ignore[reportCallIssue]  torch documents it
            memory_format=torch.channels_last)
        self.backbone.freeze(stages)

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
