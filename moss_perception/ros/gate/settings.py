"""The parameters of grasp_gate."""

from dataclasses import dataclass
from typing import Any

from moss_perception.ros.common.parameters import Change, setting
from moss_perception.runtime.gate import GateConfig, RANGES


def _setting(field: str, description: str) -> Any:
    """Declare a field of :class:`GateConfig` as a parameter, with its default and range."""
    low, high = RANGES[field]
    return setting(getattr(GateConfig(), field), description, low=low, high=high,
                   change=Change.ANY_TIME)


@dataclass(frozen=True)
class GateSettings:
    """
    All parameters of grasp_gate; durations in seconds.

    :raises ConfigError: if ``release_score`` is above ``min_score``.
    """

    min_score: float = _setting('min_score', 'Lowest acceptable score.')
    max_uncertainty: float = _setting(
        'max_uncertainty', 'Highest acceptable uncertainty (standard deviation).')
    hold_time: float = _setting(
        'hold_time_s',
        'Time that a candidate must be acceptable before it is selected, in seconds.')
    max_age: float = _setting('max_age_s', 'Age above which scores are stale, in seconds.')
    release_score: float = _setting(
        'release_score', 'Lowest score of a selected candidate; at most min_score.')
    switch_margin: float = _setting(
        'switch_margin',
        'A selected candidate is replaced by one that scores higher by more than this.')

    def __post_init__(self):
        """Reject combinations that the gate does not allow."""
        self.config()

    def config(self) -> GateConfig:
        """Return the configuration of the gate."""
        return GateConfig(self.min_score, self.max_uncertainty, self.hold_time, self.max_age,
                          self.release_score, self.switch_margin)
