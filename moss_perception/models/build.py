"""Networks to be compared: the same backbone and head around whatever looks over time."""

from functools import partial

from moss_perception.core.errors import ConfigError
from moss_perception.models.backbone import Backbone
from moss_perception.models.config import GraspConfig
from moss_perception.models.network import GraspNetwork, GraspReader
from moss_perception.models.temporal import (
    LastFrame,
    Pooling,
    Recurrent,
    ShiftModule,
    Temporal,
    TwoStream,
)
from moss_perception.models.temporal_moss import MossClip, MossFlow
from torch import Tensor

_KINDS = {'last': LastFrame, 'pool': Pooling, 'tsm': ShiftModule, 'recurrent': Recurrent,
          'flow': TwoStream, 'moss_clip': MossClip, 'moss_flow': MossFlow,
          'moss_upper': partial(MossClip, lowest=2),
          'moss_centred': partial(MossClip, causal=False)}


class ClipNetwork(GraspReader):
    """
    Scores grasps at the last frame of a clip, and cannot be stepped.

    :param config: sizes, window and preprocessing; its ``temporal`` is anything but ``moss``.
    """

    def __init__(self, config: GraspConfig):
        super().__init__()
        self.config = config
        self.backbone = Backbone(config.channels)
        self.add_merging(config)
        self.temporal = make_temporal(config, config.map_channels)
        self.add_reading(config)

    @property
    def needs_images(self) -> bool:
        """Whether it looks at the images themselves, as optical flow does."""
        return self.temporal.needs_images

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

        :param images: uint8 tensor, RGB, shape ``(B, T, S, S, 3)``; or see :meth:`fine_maps`,
            but for optical flow, which needs the images themselves.
        :returns: the newest fine map, ``(B, C, H, W)``, and the temporal module's maps.
        """
        images = images[:, -self.temporal.frames:]
        fine = self.fine_maps(images)
        deep = self.temporal.features(self.backbone, fine)
        clip = self.merged(fine.flatten(0, 1), deep.flatten(0, 1)).unflatten(0, fine.shape[:2])
        return fine[:, -1], self.temporal.maps(clip, images, used)


def make_temporal(config: GraspConfig, channels: int) -> Temporal:
    """
    Make the module that a configuration asks for.

    :param channels: of the maps that it will be given.
    :raises ConfigError: if ``temporal`` is ``moss``, which is a network of its own.
    """
    if config.temporal not in _KINDS:
        raise ConfigError(f'temporal={config.temporal!r} is no module for clips: expected one of '
                          f'{sorted(_KINDS)}')
    return _KINDS[config.temporal](config, channels)


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
