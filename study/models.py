"""Model variants that are only compared on clips: importing this module registers them."""

from typing import Any, ClassVar

from moss_perception.core.errors import ConfigError
from moss_perception.models.base import register, StreamingModel
from moss_perception.models.grasp_config import GraspConfig, TemporalConfig
from moss_perception.models.layers.temporal import ClipNetwork, Spatial, Temporal
from torch import Tensor


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


class PoolingConfig(TemporalConfig):
    """Of :class:`PoolingGrasp`."""


class Pooling(Spatial):
    """Sees every frame by itself, and takes the mean over time."""

    taps = (0,)

    def context(self, maps: Tensor) -> Tensor:
        """Average before the mixing, so that the order of the frames is lost."""
        return self.over_time(maps.mean(dim=1)).movedim(-1, 1)


@register('pool_grasp')
class PoolingGrasp(ClipModel):
    """See :class:`Pooling`."""

    Config = PoolingConfig
    temporal = Pooling
