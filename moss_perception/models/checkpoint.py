"""A network in torch: its checkpoint, and what runs a model's graphs from its weights."""

from collections.abc import Mapping, Sequence
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Generic

from moss_perception.core.errors import CheckpointError
from moss_perception.core.text import one_line
from moss_perception.models.base import build, C
from moss_perception.models.graph_model import GraphModel
from moss_perception.models.manifest import (
    Checkpoint,
    file_sha256,
    FORMAT,
    header,
    misfit,
    OOD_PREFIX,
    read_checkpoint,
    replace_files,
)
import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load, save_file
import torch
from torch import nn, Tensor


class Network(nn.Module, Generic[C]):
    """
    What training and checkpoints know of the network of any model.

    A network of another package need not derive from it; it has the same attributes.
    ``forward(images, grasps, used=None, intervals=None)`` scores grasps at the last frame of a
    clip; one whose configuration has no time inputs need not take ``intervals``:

    - ``images`` are uint8, RGB, shape ``(B, T, S, S, 3)``;
    - ``grasps`` are float32, shape ``(B, K, 5)``, with time inputs ``(B, K, 6)``, see
      :func:`moss_perception.core.geometry.encode_grasps`;
    - ``used`` is the budget's level, ``None`` for the highest;
    - ``intervals`` are seconds since the sample before, as
      :func:`moss_perception.models.clock.gaps_of` gives them, float32, shape ``(B, T)``;
      ``None``: each takes the nominal period;
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


def load_checkpoint(path: str | Path, sha256: str = '') -> Network:
    """
    Load a model's network.

    :param path: the checkpoint file.
    :param sha256: its expected digest; empty to take it from SHA256SUMS beside the file.
    :returns: in evaluation mode, with the file's digest as ``sha256``.
    :raises CheckpointError: if the file is missing, damaged, foreign, or another one.
    """
    return network_of(read_checkpoint(path, sha256))


def network_of(checkpoint: Checkpoint) -> Network:
    """
    Build the network of a checkpoint that has been read.

    :returns: in evaluation mode, with the file's digest as ``sha256``.
    :raises CheckpointError: if the file is damaged or its weights do not fit.
    """
    try:
        tensors = {name: tensor for name, tensor in load(checkpoint.data).items()
                   if not name.startswith(OOD_PREFIX)}
    except SafetensorError as error:
        raise CheckpointError(f'checkpoint {checkpoint.path} is not a safetensors file: {error}'
                              ) from error
    try:
        network = build(checkpoint.config)
        network.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise misfit(checkpoint.path, error) from error
    network.sha256 = checkpoint.sha256
    return network.eval()


def save_checkpoint(path: str | Path, network: Network, notes: dict | None = None,
                    extra: Mapping[str, np.ndarray] | None = None) -> str:
    """
    Write a network, and enter its digest into SHA256SUMS beside it.

    :param path: the file to write; replaced as a whole or not at all.
    :param network: its weights and configuration are kept.
    :param notes: anything JSON can hold, such as how it was trained.
    :param extra: further arrays by name, such as the statistics of the training distribution
        (:meth:`moss_perception.runtime.ood.TrainingDistribution.tensors`).
    :returns: the file's SHA-256.
    :raises CheckpointError: if it can't be written, such as on a full disk; what was there stays.
    """
    path = Path(path)
    metadata = {'format': FORMAT, **header(network.config), 'notes': json.dumps(notes or {})}
    tensors = {k: v.contiguous() for k, v in network.state_dict().items()}
    tensors |= {k: torch.from_numpy(v) for k, v in (extra or {}).items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # In the same folder, so that the finished file only has to be renamed.
        with TemporaryDirectory(prefix='.new_', dir=path.parent) as folder:
            made = Path(folder) / path.name
            save_file(tensors, made, metadata)
            replace_files({path: made})
        return file_sha256(path)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, 'strerror', None) or one_line(error)
        raise CheckpointError(f"checkpoint {path} can't be written: {reason}: expected a folder "
                              'with room for it and permission to write there') from error


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
        taps, gaps = ([self._tensor(feeds[name]) for name in names]
                      for names in (spec.taps, spec.gaps))
        return self._steps[graph](*inputs, taps, *gaps)

    def numpy(self, array: Tensor) -> np.ndarray:
        """Return a result as a NumPy array."""
        return array.cpu().numpy()

    def _tensor(self, value: Any) -> Tensor:
        if isinstance(value, Tensor):
            return value
        return torch.from_numpy(value).to(self._device)
