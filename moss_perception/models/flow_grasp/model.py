"""The model with optical flow beside the backbone: OpenCV's flow, and all else in one graph."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from moss_perception.models.base import register
from moss_perception.models.graph_model import gap_inputs, Graph, Tap
from moss_perception.models.grasp_config import TemporalConfig
from moss_perception.models.layers.flow_field import flow_inputs, FlowGraphModel

if TYPE_CHECKING:
    from moss_perception.models.layers.temporal import ClipNetwork
    from torch import nn


@dataclass(frozen=True)
class FlowGraspConfig(TemporalConfig):
    """
    Optical flow as a second stream beside the backbone.

    :ivar stacked_flows: how many flows, the newest among them, a map sees.
    :ivar read_flow: whether the head also reads velocity and acceleration, as these flows show
        them, at each place that it looks at; needs time inputs, and 2 stacked flows or more.
    """

    stacked_flows: int = 3
    read_flow: bool = False

    grasp2_window = 'stacked_flows'

    def __post_init__(self):
        super().__post_init__()
        self._expect('stacked_flows', 1 <= self.stacked_flows < self.window_frames,
                     '1 to window_frames - 1')
        self._expect('read_flow', not self.read_flow
                     or self.time_inputs and self.stacked_flows >= 2,
                     'false without time inputs or with one stacked flow')

    @property
    def velocity_orders(self) -> int:
        """Velocity and acceleration, if the head reads them."""
        return 2 if self.read_flow else 0

    @property
    def tap_stride(self) -> int:
        """As many samples as a map sees flows of."""
        return self.stacked_flows

    @property
    def short_flows(self) -> tuple[int, ...]:
        """How many flows count at those temporal taps at which not all stacked ones do."""
        return tuple(tap for tap in self.temporal_taps if tap < self.stacked_flows)


@register('flow_grasp')
class FlowGrasp(FlowGraphModel[FlowGraspConfig]):
    """Scores grasps by the backbone's maps and maps of optical flow."""

    Config = FlowGraspConfig

    @classmethod
    def build(cls, config: FlowGraspConfig) -> 'ClipNetwork':
        from moss_perception.models.flow_grasp.network import TwoStream
        from moss_perception.models.layers.temporal import ClipNetwork
        return ClipNetwork(config, TwoStream)

    @classmethod
    def describe(cls, config: FlowGraspConfig) -> tuple[Graph, ...]:
        """
        Describe the one graph: it takes the maps at the head's temporal taps.

        At the window's first frames fewer flows count than are stacked, so each frame also gives
        the maps that it would have there: ``short_<flows>``.
        """
        shape, newest = (config.map_size ** 2, config.head_channels), config.window_frames - 1
        taps = {f'recent_{k}': Tap(f'short_{tap}' if tap in config.short_flows else 'map',
                                   newest - tap, shape)
                for k, tap in enumerate(config.temporal_taps[:-1], start=1)}
        kept = ['map', *(f'short_{n}' for n in config.short_flows)]
        if config.velocity_history:
            kept.append('velocities')
            taps['velocities_before'] = Tap('velocities', 1, (config.history_frames, 2))
        return (Graph('step', flow_inputs(config), taps,
                      tuple(kept), {'model': cls.Config.model}, gap_inputs(config)),)

    @classmethod
    def steps(cls, network: 'ClipNetwork') -> 'list[nn.Module]':
        """Return the one step."""
        from moss_perception.models.flow_grasp.network import FlowStep
        return [FlowStep(network)]
