"""The model with a convolutional GRU on the backbone's maps."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from moss_perception.models.base import register
from moss_perception.models.graph_model import gap_inputs, Graph, GraphModel, image_inputs, Tap
from moss_perception.models.grasp_config import TemporalConfig

if TYPE_CHECKING:
    from moss_perception.models.layers.temporal import ClipNetwork
    from torch import nn


@dataclass(frozen=True)
class RecurrentGraspConfig(TemporalConfig):
    """A convolutional GRU on the backbone's maps; its state has ``temporal_channels``."""


@register('recurrent_grasp')
class RecurrentGrasp(GraphModel[RecurrentGraspConfig, 'ClipNetwork']):
    """
    Runs the recurrence anew over the window's maps at each sample.

    A hidden state that is carried on would remember samples from before the window, and a score
    depends on no sample outside of it.
    """

    Config = RecurrentGraspConfig

    @classmethod
    def build(cls, config: RecurrentGraspConfig) -> 'ClipNetwork':
        from moss_perception.models.layers.temporal import ClipNetwork
        from moss_perception.models.recurrent_grasp.network import Recurrent
        return ClipNetwork(config, Recurrent)

    @classmethod
    def describe(cls, config: RecurrentGraspConfig) -> tuple[Graph, ...]:
        """Describe the one graph: it takes the maps of the window's earlier frames."""
        shape, before = (config.map_size ** 2, config.head_channels), config.window_frames - 1
        taps = {f'before_{k}': Tap('map', before + 1 - k, shape) for k in range(1, before + 1)}
        return (Graph('step', image_inputs(config), taps, ('map',), {'model': cls.Config.model},
                      gap_inputs(config)),)

    @classmethod
    def steps(cls, network: 'ClipNetwork') -> 'list[nn.Module]':
        """Return the one step."""
        from moss_perception.models.recurrent_grasp.network import RecurrentStep
        return [RecurrentStep(network)]
