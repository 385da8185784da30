"""Checkpoints: safetensors with the configuration inside and a digest beside; never a pickle."""

from collections.abc import Mapping
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from moss_perception.core.errors import CheckpointError
from moss_perception.models.base import build
from moss_perception.models.manifest import (
    file_sha256,
    FORMAT,
    header,
    misfit,
    OOD_PREFIX,
    read_header,
    replace_files,
    verify,
)
import numpy as np
from safetensors import safe_open, SafetensorError
from safetensors.torch import save_file
import torch

if TYPE_CHECKING:
    from moss_perception.models.network import Network


def load_checkpoint(path: str | Path, sha256: str = '') -> 'Network':
    """
    Load a model's network.

    :param path: the checkpoint file.
    :param sha256: its expected digest; empty to take it from SHA256SUMS beside the file.
    :returns: the :class:`moss_perception.models.base.TrainableModel` in evaluation mode; its
        attribute ``sha256`` is the file's digest.
    :raises CheckpointError: if the file is missing, damaged, foreign, or another one.
    """
    path = Path(path).expanduser()
    digest = verify(path, sha256)
    config, _ = read_header(path)
    try:
        with safe_open(path, framework='pt') as file:
            tensors = {name: file.get_tensor(name) for name in list(file.keys())
                       if not name.startswith(OOD_PREFIX)}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'checkpoint {path} is not a safetensors file: {error}') from error
    try:
        network = build(config)
        network.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise misfit(path, error) from error
    network.sha256 = digest
    return network.eval()


def save_checkpoint(path: str | Path, network: 'Network',
                    notes: dict | None = None,
                    extra: Mapping[str, np.ndarray] | None = None) -> str:
    """
    Write a network, and enter its digest into SHA256SUMS beside it.

    :param path: the file to write; replaced as a whole or not at all.
    :param network: its weights and configuration are kept.
    :param notes: anything JSON can hold, such as how it was trained.
    :param extra: further arrays by name, such as the statistics of the training distribution
        (:meth:`moss_perception.runtime.ood.TrainingDistribution.tensors`).
    :returns: the file's SHA-256.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {'format': FORMAT, **header(network.config), 'notes': json.dumps(notes or {})}
    tensors = {k: v.contiguous() for k, v in network.state_dict().items()}
    tensors |= {k: torch.from_numpy(v) for k, v in (extra or {}).items()}
    # In the same folder, so that the finished file only has to be renamed.
    with TemporaryDirectory(prefix='.new_', dir=path.parent) as folder:
        made = Path(folder) / path.name
        save_file(tensors, made, metadata)
        replace_files({path: made})
    return file_sha256(path)
