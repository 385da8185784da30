"""The engine that runs a model in torch, eagerly."""

from collections.abc import Mapping, Sequence
from typing import Any

from moss_perception.core.errors import ConfigError
from moss_perception.models.checkpoint import Network, network_of, TorchRunner
from moss_perception.models.graph_model import GraphModel
from moss_perception.models.manifest import Checkpoint
from moss_perception.runtime.engine import Engine
import numpy as np
import torch


def usable_device(name: str) -> torch.device:
    """
    Return a device on which a tensor can be made.

    :param name: a device that torch knows.
    :raises ConfigError: if it is unknown or absent.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {name!r} can't be used: {reason}") from error
    return device


class TorchEngine(Engine):
    """
    Runs a network in torch; what its model keeps of earlier samples stays on the device.

    :param network: a :class:`moss_perception.models.checkpoint.Network`, which is moved to
        ``device`` and set to evaluation.
    :param device: a device that torch knows.
    :param threads: torch's threads in this process; 0 leaves them as they are.
    :raises ConfigError: if the device is unknown or absent, or the model can't be stepped.
    """

    name = 'torch'

    def __init__(self, network: Network, device: str = 'cpu', threads: int = 0):
        super().__init__(network.config, getattr(network, 'sha256', ''))
        self.device = usable_device(device)
        if threads:
            torch.set_num_threads(threads)
        self.network = network.to(self.device).eval()
        self._runner = (TorchRunner(self.model, self.network, self.device)
                        if isinstance(self.model, GraphModel) else None)

    @classmethod
    def of(cls, checkpoint: Checkpoint, device: str = 'cpu', threads: int = 0) -> 'TorchEngine':
        """Load a checkpoint; see :func:`moss_perception.models.checkpoint.network_of`."""
        return cls(network_of(checkpoint), device, threads)

    def run(self, graph: int, feeds: Mapping[str, Any]) -> Sequence[torch.Tensor]:
        """Run one of the model's graphs; see :class:`moss_perception.models.base.Runner`."""
        assert self._runner is not None  # the model has graphs
        return self._runner.run(graph, feeds)

    def numpy(self, array: torch.Tensor) -> np.ndarray:
        """Return a result as a NumPy array."""
        return array.cpu().numpy()
