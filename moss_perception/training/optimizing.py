"""The learning rate of a step, and the state of an optimizer as named tensors."""

from collections.abc import Mapping
import math

from torch import Tensor
from torch.optim import Optimizer

_PREFIX = 'optimizer.'
_LOWEST = 1e-3


def set_learning_rate(optimizer: Optimizer, highest: float, progress: float,
                      warm_up: float) -> None:
    """
    Let the rate rise linearly, then fall as half a cosine.

    :param highest: the rate at the end of the rise.
    :param progress: of the training, 0 to 1.
    :param warm_up: share of the training in which the rate rises, 0 to 1.
    """
    share = (progress / warm_up if progress < warm_up
             else 0.5 * (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up))))
    for group in optimizer.param_groups:
        group['lr'] = highest * max(share, _LOWEST)


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
