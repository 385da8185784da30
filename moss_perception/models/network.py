"""A model in torch: the network that is trained, and what runs its graphs from its weights."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic

from moss_perception.models.base import C
from moss_perception.models.graph_model import GraphModel
import numpy as np
import torch
from torch import nn, Tensor


class Network(nn.Module, Generic[C]):
    """
    What training and checkpoints know of the network of any model.

    A network of another package need not derive from it; it has the same attributes.
    ``forward(images, grasps, used=None)`` scores grasps at the last frame of a clip:

    - ``images`` are uint8, RGB, shape ``(B, T, S, S, 3)``;
    - ``grasps`` are float32, shape ``(B, K, 5)``, see
      :func:`moss_perception.core.geometry.encode_grasps`;
    - ``used`` is the budget's level, ``None`` for the highest;
    - it returns logits, shape ``(B, K, M)`` for ``M`` ensemble members; and where the object is
      seen from each grasp, ``(B, K, 4)``, or ``None`` for a model that does not tell.

    :ivar config: its configuration; training replaces it to set the temperature.
    :ivar sha256: digest of its checkpoint, if it was loaded from one.
    """

    config: C
    sha256: str

    def freeze(self, stages: int) -> None:
        """
        Keep the first stages of the backbone as they are during training.

        :param stages: how many, 0 for none.
        :raises NotImplementedError: unless a model overrides it.
        """
        raise NotImplementedError(f'{type(self).__name__} cannot freeze {stages} stages')


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
        """Run one graph; see :class:`moss_perception.models.base.Runner`."""
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
