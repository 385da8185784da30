"""Runs the graphs of a model as torch modules."""

from collections.abc import Mapping, Sequence
from typing import Any

from moss_perception.models.graph_model import GraphModel
import numpy as np
import torch
from torch import nn, Tensor


class TorchRunner:
    """
    A :class:`moss_perception.models.base.Runner`; what a step keeps stays on the device.

    :param model: says what each graph takes.
    :param network: whose weights are used, on the device and in evaluation mode.
    :param device: where to compute.
    """

    def __init__(self, model: GraphModel, network: nn.Module, device: str | torch.device = 'cpu'):
        self._device = torch.device(device)
        self._graphs, self._steps = model.graphs, model.steps(network)

    @torch.inference_mode()
    def run(self, graph: int, feeds: Mapping[str, Any]) -> Sequence[Tensor]:
        """Run one graph; see :class:`Runner`."""
        spec = self._graphs[graph]
        inputs = [self._tensor(feeds[name]) for name in spec.inputs]
        return self._steps[graph](*inputs, [self._tensor(feeds[name]) for name in spec.taps])

    def numpy(self, array: Tensor) -> np.ndarray:
        """Return a result as a NumPy array."""
        return array.cpu().numpy()

    def _tensor(self, value: Any) -> Tensor:
        if isinstance(value, Tensor):
            return value
        return torch.from_numpy(value).to(self._device)
