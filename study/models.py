"""Model variants that are only compared on clips: importing this module registers them."""

from typing import Any, ClassVar

from moss_perception.core.errors import ConfigError
from moss_perception.models.base import register, StreamingModel
from moss_perception.models.grasp_config import (
    GraspConfig,
    TemporalConfig,
)
from moss_perception.models.layers.temporal import ClipNetwork, Spatial, Temporal


class ClipModel(StreamingModel):
    """
    A variant that is trained and compared on clips, and cannot be stepped.

    :cvar temporal: makes its module between backbone and head.
    """

    streams = False
    temporal: ClassVar[Any] = Temporal

    @classmethod
    def build(cls, config: GraspConfig) -> ClipNetwork:
        return ClipNetwork(config, cls.temporal)

    def initial_state(self) -> None:
        """Return nothing: there is no stream."""

    def step(self, observation, grasps, state, budget):
        """Refuse."""
        raise ConfigError(f'model {self.config.model!r} sees whole clips only: expected a model '
                          'that can be stepped')


class LastFrameConfig(TemporalConfig):
    """Of :class:`LastFrameGrasp`."""

    @property
    def frames_seen(self) -> int:
        """The newest alone."""
        return 1


class LastFrame(Spatial):
    """Sees the newest frame and no other."""

    taps = (0,)


@register('last_grasp')
class LastFrameGrasp(ClipModel):
    """See :class:`LastFrame`."""

    Config = LastFrameConfig
    temporal = LastFrame
