"""Configuration of the model with MOSS on optical flow."""

from dataclasses import dataclass

from moss_perception.models.layers.config import MossConfig


@dataclass(frozen=True)
class MossFlowGraspConfig(MossConfig):
    """
    MOSS on maps of optical flow.

    :ivar temporal_channels: inside of the flow's layers.
    """

    temporal_channels: int = 32

    def __post_init__(self):
        super().__post_init__()
        self._expect('temporal_channels', self.temporal_channels >= 8, '8 or more')

    @property
    def stacked_flows(self) -> int:
        """How many flows a map sees: as many as a similarity window is long."""
        return self.moss_window[0]
