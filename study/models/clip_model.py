"""Models that see whole clips only."""

from typing import Any, ClassVar

from moss_perception.core.errors import ConfigError
from moss_perception.models.base import StreamingModel
from moss_perception.models.layers.clip_network import ClipNetwork
from moss_perception.models.layers.config import GraspConfig
from moss_perception.models.layers.temporal import Temporal


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
