"""The model with MOSS on optical flow: the flow by OpenCV, all else in one graph."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from moss_perception.models.base import register
from moss_perception.models.graph_model import gap_inputs, Graph, Tap
from moss_perception.models.grasp_config import MossConfig, TemporalConfig
from moss_perception.models.layers.flow_field import flow_inputs, FlowGraphModel

if TYPE_CHECKING:
    from moss_perception.models.layers.temporal import ClipNetwork
    from torch import nn


@dataclass(frozen=True)
class MossFlowGraspConfig(TemporalConfig, MossConfig):
    """MOSS on maps of optical flow; a map sees as many flows as a similarity window is long."""


@register('moss_flow_grasp')
class MossFlowGrasp(FlowGraphModel[MossFlowGraspConfig]):
    """
    Runs MOSS anew over the window's maps of flow at each sample.

    At the window's first frames fewer flows count than are stacked, and what MOSS finds there
    reaches its last frames. Encodings from earlier samples would be those of other windows.
    """

    Config = MossFlowGraspConfig

    @classmethod
    def build(cls, config: MossFlowGraspConfig) -> 'ClipNetwork':
        from moss_perception.models.layers.temporal import ClipNetwork
        from moss_perception.models.moss_flow_grasp.network import MossFlow
        return ClipNetwork(config, MossFlow)

    @classmethod
    def describe(cls, config: MossFlowGraspConfig) -> tuple[Graph, ...]:
        """Describe the one graph: it takes the flow's maps of the window, and the backbone's."""
        newest, stacked = config.window_frames - 1, config.tap_stride
        shape = (1, config.map_channels, config.map_size, config.map_size)
        taps = {f'flow_before_{k}': Tap(f'flow_{min(k, stacked)}', newest - k, shape)
                for k in range(newest)}
        for k, tap in enumerate(config.temporal_taps[:-1]):
            age = config.temporal_taps[-1] - tap
            taps[f'features_{k}'] = Tap('features', age, shape)
        kept = ('map', 'features', *(f'flow_{n}' for n in range(stacked + 1)))
        return (Graph('step', flow_inputs(config), taps, kept, {'model': cls.Config.model},
                      gap_inputs(config)),)

    @classmethod
    def steps(cls, network: 'ClipNetwork') -> 'list[nn.Module]':
        """Return the one step."""
        from moss_perception.models.moss_flow_grasp.network import MossFlowStep
        return [MossFlowStep(network)]
