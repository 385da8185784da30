"""Configuration of the recurrent model."""

from dataclasses import dataclass

from moss_perception.models.layers.config import TemporalConfig


@dataclass(frozen=True)
class RecurrentGraspConfig(TemporalConfig):
    """A convolutional GRU on the backbone's maps; its state has ``temporal_channels``."""
