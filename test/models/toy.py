"""A model of the test's own, as a user would write one: this file is all that it takes."""

from dataclasses import dataclass

from moss_perception.models.base import register
from moss_perception.models.config import ModelConfig
from moss_perception.models.graph_model import Graph, GraphModel, image_inputs, Tap
import torch
from torch import nn


@dataclass(frozen=True)
class ToyConfig(ModelConfig):
    """
    Of :class:`Toy`.

    :ivar width: channels of its maps.
    """

    width: int = 4

    @property
    def map_size(self) -> int:
        """Height and width of its maps."""
        return self.image_size // 8

    @property
    def appearance_values(self) -> int:
        """Mean and largest value of each channel of its map."""
        return 2 * self.width


class ToyNetwork(nn.Module):
    """Scores grasps by where they are, and by the first and the last map of the window."""

    def __init__(self, config: ToyConfig):
        super().__init__()
        self.config = config
        self.see = nn.Conv2d(3, config.width, 8, stride=8)
        self.members = nn.Linear(2 * config.width + 5, config.ensemble)

    def freeze(self, stages: int) -> None:
        """Freeze nothing: it has no stages."""

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """Turn ``(N, S, S, 3)`` into rows of positions, ``(N, h * w, C)``."""
        pixels = images.movedim(-1, 1).float() / 255
        return torch.relu(self.see(pixels)).flatten(2).movedim(1, -1)

    def logits(self, first, newest, grasps):
        """Score grasps ``(B, K, 5)`` by two maps ``(B, h * w, C)``."""
        seen = torch.cat([first.mean(dim=1), newest.mean(dim=1)], dim=-1)
        seen = seen[:, None].expand(-1, grasps.shape[1], -1)
        return self.members(torch.cat([seen, grasps], dim=-1)) / self.config.temperature

    def forward(self, images, grasps, used=None):
        """Score grasps at the end of a clip."""
        return self.logits(self.maps(images[:, 0]), self.maps(images[:, -1]), grasps), None


class ToyStep(nn.Module):
    """One step of a stream."""

    def __init__(self, network: ToyNetwork):
        super().__init__()
        self.network = network

    def forward(self, image, grasps, state):
        """Take one sample; ``state`` is the map that opened the window."""
        newest = self.network.maps(image)[0]
        members = torch.sigmoid(self.network.logits(state[0][None], newest[None], grasps))[0]
        spread = (members - members.mean(dim=-1, keepdim=True)).square().mean(dim=-1).sqrt()
        looks = torch.cat([newest.mean(dim=0), newest.amax(dim=0)])
        return members.mean(dim=-1), spread, newest * 1, looks, newest.sum() * 0, newest


@register('toy')
class Toy(GraphModel):
    """The model."""

    Config = ToyConfig

    @classmethod
    def build(cls, config):
        """Build its network."""
        return ToyNetwork(config)

    @classmethod
    def describe(cls, config):
        """Describe its graph."""
        first = Tap('map', config.window_frames - 1, (config.map_size ** 2, config.width))
        return (Graph('toy', image_inputs(config), {'first': first}, ('map',)),)

    @classmethod
    def steps(cls, network):
        """Return its step."""
        return [ToyStep(network)]
