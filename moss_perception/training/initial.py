"""Weights to begin with: what sees one frame, taken over from another training."""

from pathlib import Path

from moss_perception.core.errors import CheckpointError
from moss_perception.models.build import ClipNetwork
from moss_perception.models.checkpoint import load_checkpoint
from moss_perception.models.network import GraspNetwork

# What all arms share: all but that which looks over time.
_SHARED = ('backbone.', 'lateral.', 'smooth.', 'head.')


def start_from(network: GraspNetwork | ClipNetwork, path: Path | str) -> str:
    """
    Take over the backbone and the head of a checkpoint; what looks over time stays as it is.

    :param network: changed in place.
    :param path: a checkpoint of any arm with the same backbone and head.
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
