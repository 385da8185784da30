"""Networks to be compared: the same backbone and head around whatever looks over time."""

from moss_perception.errors import ConfigError
from moss_perception.grasp.backbone import Backbone
from moss_perception.grasp.config import GraspConfig
from moss_perception.grasp.network import GraspNetwork, GraspReader
from moss_perception.grasp.temporal import make_temporal
from torch import nn, Tensor
import torch.nn.functional as F


class ClipNetwork(GraspReader):
    """
    Scores grasps at the last frame of a clip, and cannot be stepped.

    :param config: sizes, window and preprocessing; its ``temporal`` is anything but ``moss``.
    """

    def __init__(self, config: GraspConfig):
        super().__init__()
        self.config = config
        self.backbone = Backbone(config.channels)
        coarse = config.map_stride == 8
        # Maps at stride 4 would else go without the deepest layers, which the others have.
        self.merge = None if coarse else nn.Conv2d(config.channels[2], config.channels[1], 1)
        self.temporal = make_temporal(config, config.channels[2 if coarse else 1])
        self.add_reading(config)

    def forward(self, images: Tensor, grasps: Tensor,
                used: int | None = None) -> tuple[Tensor, Tensor]:
        """
        Score grasps at the last frame of a clip; as :meth:`GraspNetwork.forward`.

        :param used: self-similarity orders up to this one only, where there are any.
        """
        fine, maps = self.encode(images, used)
        return self.read(fine, self.temporal.context(maps), grasps)

    def encode(self, images: Tensor, used: int | None = None) -> tuple[Tensor, Tensor]:
        """
        Do all that is done for each frame by itself, as a stream would once.

        :param images: uint8 tensor, RGB, shape ``(B, T, S, S, 3)``.
        :returns: the newest fine map, ``(B, C, H, W)``, and the temporal module's maps.
        """
        images = images[:, -self.temporal.frames:]
        shape = images.shape[:2]
        frames = self.normalise(images.flatten(0, 1)).unflatten(0, shape)
        fine, clip = self.temporal.features(self.backbone, frames)
        if self.merge is not None:
            deep = F.interpolate(self.merge(clip.flatten(0, 1)), scale_factor=2.0,
                                 mode='bilinear', align_corners=False)
            clip = fine + deep.unflatten(0, shape)
        return fine[:, -1], self.temporal.maps(clip, images, used)


def build_network(config: GraspConfig) -> GraspNetwork | ClipNetwork:
    """Build the network that a configuration describes, with random weights."""
    return GraspNetwork(config) if config.steps else ClipNetwork(config)


def require_steps(config: GraspConfig, what: str) -> None:
    """
    Refuse a network that cannot take a stream.

    :param what: that needs it.
    :raises ConfigError: naming the arm.
    """
    if not config.steps:
        raise ConfigError(f'{what} cannot run temporal={config.temporal!r}, which sees whole '
                          "clips only: expected a checkpoint with temporal='moss'")
