"""Configuration of the model with MOSS on optical flow."""

from dataclasses import dataclass

from moss_perception.models.layers.config import MossConfig, TemporalConfig


@dataclass(frozen=True)
class MossFlowGraspConfig(TemporalConfig, MossConfig):
    """MOSS on maps of optical flow."""

    @property
    def stacked_flows(self) -> int:
        """How many flows a map sees: as many as a similarity window is long."""
        return self.moss_window[0]
