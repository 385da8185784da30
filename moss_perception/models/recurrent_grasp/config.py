"""Configuration of the recurrent model."""

from dataclasses import dataclass

from moss_perception.models.layers.config import GraspConfig


@dataclass(frozen=True)
class RecurrentGraspConfig(GraspConfig):
    """
    A convolutional GRU on the backbone's maps.

    :ivar temporal_channels: of its hidden state.
    """

    temporal_channels: int = 32

    def __post_init__(self):
        super().__post_init__()
        self._expect('temporal_channels', self.temporal_channels >= 8, '8 or more')
