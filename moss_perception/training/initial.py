"""Weights to begin with: backbone and head, copied from another checkpoint."""

from pathlib import Path

from moss_perception.core.errors import CheckpointError
from moss_perception.models.checkpoint import load_checkpoint
from torch import nn

# All variants share these: all layers but those that look over time.
_SHARED = ('backbone.', 'lateral.', 'smooth.', 'head.')


def start_from(network: nn.Module, path: Path | str) -> str:
    """
    Copy the backbone and the head of a checkpoint; the layers over time stay as they are.

    :param network: changed in place.
    :param path: a checkpoint of any variant with the same backbone and head.
    :returns: the checkpoint's sha256.
    :raises CheckpointError: if it can't be loaded, or a layer differs.
    """
    other = load_checkpoint(path)
    given = {name: values for name, values in other.state_dict().items()
             if name.startswith(_SHARED)}
    own = {name: values for name, values in network.state_dict().items()
           if name.startswith(_SHARED)}
    differing = sorted(name for name in own.keys() | given.keys()
                       if name not in own or name not in given
                       or own[name].shape != given[name].shape)
    if differing:
        raise CheckpointError(f'{path} has another {differing[0].partition(".")[0]}: expected '
                              f'{differing[0]} of the same shape in both')
    network.load_state_dict(given, strict=False)
    return other.sha256
