"""A model with time inputs, as a user would write one: this file is all that it takes."""

from dataclasses import dataclass

from moss_perception.models.base import InputSpec, register
from moss_perception.models.config import ModelConfig
from moss_perception.models.graph_model import Graph, GraphModel, image_inputs, Tap
import torch
from torch import nn

TIMES = {'time_inputs': True, 'lead_times_s': (0.25, 0.75), 'default_lead_time_s': 0.5}
"""What a configuration says of time."""


@dataclass(frozen=True)
class TimedConfig(ModelConfig):
    """Of :class:`TimedToy`: it sees the whole image as one position."""

    image_size: int = 32
    ensemble: int = 2

    @property
    def map_size(self) -> int:
        """Height and width of its maps."""
        return 1

    @property
    def appearance_values(self) -> int:
        """Brightness."""
        return 1


class TimedNetwork(nn.Module):
    """Scores grasps by the mean brightness, the newest two intervals and the lead time."""

    def __init__(self, config: TimedConfig):
        super().__init__()
        self.config = config
        self.members = nn.Linear(config.grasp_values + 3, config.ensemble)

    def freeze(self, stages: int) -> None:
        """Freeze nothing: it has no stages."""

    def logits(self, seen, grasps):
        """Score grasps ``(B, K, 6)`` by brightness and intervals, ``(B, 3)``."""
        seen = seen[:, None].expand(-1, grasps.shape[1], -1)
        return self.members(torch.cat([seen, grasps], dim=-1))


class TimedStep(nn.Module):
    """One step of a stream."""

    def __init__(self, network: TimedNetwork):
        super().__init__()
        self.network = network

    def forward(self, image, grasps, interval, state):
        """Take one sample; ``state`` is the interval of the sample before."""
        bright = image.float().mean().reshape(1) / 255
        seen = torch.cat([bright, interval, state[0]])[None]
        members = torch.sigmoid(self.network.logits(seen, grasps))[0]
        spread = members.std(dim=-1, correction=0)
        return (members.mean(dim=-1), spread, bright[None], bright * 2, bright.sum() * 0,
                interval * 1)


@register('timed_toy')
class TimedToy(GraphModel):
    """The model."""

    Config = TimedConfig

    @classmethod
    def build(cls, config):
        """Build its network."""
        return TimedNetwork(config)

    @classmethod
    def describe(cls, config):
        """Describe its graph."""
        inputs = {**image_inputs(config), 'interval': InputSpec((1,))}
        return (Graph('timed', inputs, {'before': Tap('interval', 1, (1,))},
                      ('interval',)),)

    @classmethod
    def steps(cls, network):
        """Return its step."""
        return [TimedStep(network)]

    def prepare(self, observation, state, clock):
        """Hand the interval to the graph."""
        feeds, extra = super().prepare(observation, state, clock)
        return {**feeds, 'interval': observation['interval']}, extra
