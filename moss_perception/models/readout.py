"""The last layer of a network's ensemble, which a few labelled attempts can refit."""

from copy import deepcopy
from dataclasses import dataclass, replace

from moss_perception.core.errors import ConfigError
from moss_perception.models.checkpoint import Network
from moss_perception.models.layers.reading import ensemble_probability, GraspReader
import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Evidence:
    """
    What the last layers saw of some attempts, and the outcomes.

    :ivar hidden: float64, shape ``(n, M, H)``: the input of each member's last layer.
    :ivar outcomes: float64, 0 or 1, shape ``(n,)``.
    :ivar without_lead_time: how many of the attempts have no lead time of their own.
    """

    hidden: Tensor
    outcomes: Tensor
    without_lead_time: int = 0

    def __len__(self) -> int:
        return len(self.outcomes)

    def some(self, chosen: np.ndarray) -> 'Evidence':
        """Return the attempts of these indices."""
        return Evidence(self.hidden[chosen], self.outcomes[chosen])

    @property
    def fewest(self) -> int:
        """How many attempts have the rarer outcome."""
        successes = int(self.outcomes.sum())
        return min(successes, len(self) - successes)


@dataclass(frozen=True)
class Readout:
    """
    The last layer of each member, temperature included.

    :ivar weight: float64, shape ``(M, H)``.
    :ivar bias: float64, shape ``(M,)``.
    """

    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, network: Network) -> 'Readout':
        """
        Take a network's.

        :raises ConfigError: if the model has another head than this package's.
        """
        network = with_head(network)
        last, temperature = network.head.members.last, network.config.temperature
        return cls(last.weight.detach().cpu().double() / temperature,
                   last.bias.detach().cpu().double() / temperature)

    def logits(self, evidence: Evidence) -> Tensor:
        """Return each member's logits, shape ``(n, M)``."""
        return (evidence.hidden * self.weight).sum(dim=-1) + self.bias

    def scores(self, evidence: Evidence) -> np.ndarray:
        """Return probabilities of success, float64, shape ``(n,)``."""
        return ensemble_probability(self.logits(evidence))[0].numpy()

    def changed(self, scale: float, shift: float) -> 'Readout':
        """Multiply all logits, and add to them."""
        return Readout(self.weight * scale, self.bias * scale + shift)

    def put_into(self, network: GraspReader) -> GraspReader:
        """
        Put the readout into a copy of a network.

        If it only scales and shifts the network's own, the weights stay as they are: the
        temperature takes the scale, and the bias the shift.
        """
        made, before = deepcopy(network), Readout.of(network)
        ratio = float((self.weight * before.weight).sum() / before.weight.square().sum())
        scaled = ratio > 0 and torch.allclose(self.weight, before.weight * ratio, rtol=1e-9)
        temperature = network.config.temperature / (ratio if scaled else 1.0)
        made.config = replace(network.config, temperature=temperature)
        last = made.head.members.last
        with torch.no_grad():
            if not scaled:
                last.weight.copy_(self.weight * temperature)
            last.bias.copy_(self.bias * temperature)
        return made


def with_head(network: Network) -> GraspReader:
    """
    Return the network, whose head can be refitted.

    :raises ConfigError: if the model has another head than this package's.
    """
    if not isinstance(network, GraspReader):
        raise ConfigError(f'model {network.config.model!r} has a head of its own: expected '
                          "one with this package's head, whose last layer can be refitted")
    return network
