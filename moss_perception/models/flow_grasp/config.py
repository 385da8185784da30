"""Configuration of the model with optical flow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moss_perception.models.config import ModelConfig
from moss_perception.models.layers.config import TemporalConfig


@dataclass(frozen=True)
class FlowGraspConfig(TemporalConfig):
    """
    Optical flow as a second stream beside the backbone.

    :ivar stacked_flows: how many flows, the newest among them, a map sees.
    """

    stacked_flows: int = 3

    def __post_init__(self):
        super().__post_init__()
        self._expect('stacked_flows', 1 <= self.stacked_flows < self.window_frames,
                     '1 to window_frames - 1')

    @property
    def tap_stride(self) -> int:
        """As many samples as a map sees flows of."""
        return self.stacked_flows

    @classmethod
    def from_grasp2(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Read a header of format 2, in which ``moss_window`` said how many flows are stacked."""
        window = values.get('moss_window')
        stacked = {'stacked_flows': window[0]} if window else {}
        return super().from_grasp2({**values, **stacked})
