"""The state of an optimizer as named tensors, so that a training can continue from a file."""

from collections.abc import Mapping

from torch import Tensor
from torch.optim import Optimizer

_PREFIX = 'optimizer.'


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return the state by names that begin with ``optimizer.``."""
    return {f'{_PREFIX}{number}.{key}': value.contiguous()
            for number, values in optimizer.state_dict()['state'].items()
            for key, value in values.items()}


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """
    Take the state back.

    :param optimizer: of the same parameters; its rates stay as they are.
    :param tensors: those of :func:`optimizer_tensors`; other names are left out.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(_PREFIX):
            _, number, key = name.split('.')
            state.setdefault(int(number), {})[key] = tensor
    groups = optimizer.state_dict()['param_groups']
    optimizer.load_state_dict({'state': state, 'param_groups': groups})
