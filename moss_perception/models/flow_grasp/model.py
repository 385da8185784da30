"""The step of the model with optical flow: the flow by OpenCV, all else in one graph."""

from typing import TYPE_CHECKING

from moss_perception.models.base import register
from moss_perception.models.flow_grasp.config import FlowGraspConfig
from moss_perception.models.graph_model import Graph, Tap
from moss_perception.models.layers.flow_field import flow_inputs, FlowGraphModel

if TYPE_CHECKING:
    from moss_perception.models.layers.clip_network import ClipNetwork
    from torch import nn


@register('flow_grasp')
class FlowGrasp(FlowGraphModel[FlowGraspConfig]):
    """Scores grasps by the backbone's maps and maps of optical flow."""

    Config = FlowGraspConfig

    @classmethod
    def build(cls, config: FlowGraspConfig) -> 'ClipNetwork':
        from moss_perception.models.flow_grasp.network import TwoStream
        from moss_perception.models.layers.clip_network import ClipNetwork
        return ClipNetwork(config, TwoStream)

    @classmethod
    def describe(cls, config: FlowGraspConfig) -> tuple[Graph, ...]:
        """
        Describe the one graph: it takes the maps at the head's temporal taps.

        At the window's first frames fewer flows count than are stacked, so each frame also gives
        the maps that it would have there: ``short_<flows>``.
        """
        shape, newest = (config.map_size ** 2, config.head_channels), config.window_frames - 1
        taps = {f'recent_{k}': Tap(map_name(tap, config), newest - tap, shape)
                for k, tap in enumerate(config.temporal_taps[:-1], start=1)}
        return (Graph('step', flow_inputs(config), taps,
                      ('map', *(f'short_{n}' for n in short_flows(config))),
                      {'model': cls.Config.model}),)

    @classmethod
    def steps(cls, network: 'ClipNetwork') -> 'list[nn.Module]':
        """Return the one step."""
        from moss_perception.models.flow_grasp.network import FlowStep
        return [FlowStep(network)]


def short_flows(config: FlowGraspConfig) -> tuple[int, ...]:
    """Return how many flows count at those temporal taps at which not all stacked ones do."""
    return tuple(sorted({tap for tap in config.temporal_taps if tap < config.stacked_flows}))


def map_name(tap: int, config: FlowGraspConfig) -> str:
    """Name the result that holds a frame's map as it is at a temporal tap."""
    return f'short_{tap}' if tap < config.stacked_flows else 'map'
