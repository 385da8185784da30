"""The parameters of grasp_gate."""

from dataclasses import dataclass

from moss_perception.ros.common.parameters import Change, setting
from moss_perception.runtime.gate import GateConfig

_DEFAULT = GateConfig()


@dataclass(frozen=True)
class GateSettings:
    """
    All parameters of grasp_gate; durations in seconds.

    :raises ConfigError: if ``release_score`` is above ``min_score``.
    """

    min_score: float = setting(
        _DEFAULT.min_score, 'Lowest acceptable score.', low=0.0, high=1.0,
        change=Change.ANY_TIME)
    max_uncertainty: float = setting(
        _DEFAULT.max_uncertainty, 'Highest acceptable uncertainty (standard deviation).',
        low=0.0, high=0.5, change=Change.ANY_TIME)
    hold_time: float = setting(
        _DEFAULT.hold_time_s,
        'Time that a candidate must be acceptable before it is selected, in seconds.',
        low=0.0, high=60.0, change=Change.ANY_TIME)
    max_age: float = setting(
        _DEFAULT.max_age_s, 'Age above which scores are stale, in seconds.',
        low=0.01, high=60.0, change=Change.ANY_TIME)
    release_score: float = setting(
        _DEFAULT.release_score, 'Lowest score of a selected candidate; at most min_score.',
        low=0.0, high=1.0, change=Change.ANY_TIME)
    switch_margin: float = setting(
        _DEFAULT.switch_margin,
        'A selected candidate is replaced by one that scores higher by more than this.',
        low=0.0, high=1.0, change=Change.ANY_TIME)

    def __post_init__(self):
        """Reject combinations that the gate does not allow."""
        self.config()

    def config(self) -> GateConfig:
        """Return the configuration of the gate."""
        return GateConfig(self.min_score, self.max_uncertainty, self.hold_time, self.max_age,
                          self.release_score, self.switch_margin)
