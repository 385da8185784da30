"""Fit a network on an equal budget; a training that was stopped continues where it was."""

from collections.abc import Callable
from dataclasses import dataclass
import logging
import math
from pathlib import Path
import time

from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.core.files import replaced
from moss_perception.training.optimizing import (
    optimizer_tensors,
    restore_optimizer,
    set_learning_rate,
)
import numpy as np
from safetensors import safe_open, SafetensorError
from safetensors.torch import save_file
import torch
from torch import nn, Tensor

log = logging.getLogger('video')
# Share of a training in which the learning rate rises.
_WARM_UP = 0.1
# Between two states on disk.
_KEPT_S = 30.0


@dataclass(frozen=True)
class Budget:
    """
    What every variant is given alike.

    :ivar clips: clips that a training sees.
    :ivar batch: clips a step.
    :ivar learning_rate: highest; it rises over the first tenth, and falls as a cosine.
    :ivar device: of torch.
    """

    clips: int = 6000
    batch: int = 8
    learning_rate: float = 0.003
    device: str = 'cpu'

    @property
    def steps(self) -> int:
        """Number of steps of a training."""
        return max(1, self.clips // self.batch)


def fit(network: nn.Module, loss_of: Callable[[int], Tensor], budget: Budget,
        state: Path | None = None) -> None:
    """
    Train a network in place, and leave it in evaluation mode.

    :param network: with its first weights.
    :param loss_of: returns the loss of a step by its number; equal numbers give equal clips, so
        that a training continues as if it had not been stopped.
    :param state: a file that holds the training as far as it is, about every half minute; it is
        deleted at the end. ``None`` for none.
    :raises CheckpointError: if the state belongs to another training, or is damaged.
    :raises ConfigError: if the loss is no longer finite.
    """
    network.train()
    optimizer = torch.optim.AdamW([one for one in network.parameters() if one.requires_grad],
                                  budget.learning_rate, weight_decay=0.01)
    first = _restore(state, network, optimizer, budget) if state and state.exists() else 0
    kept, losses = time.monotonic(), []
    for step in range(first, budget.steps):
        set_learning_rate(optimizer, budget.learning_rate, step / budget.steps, _WARM_UP)
        loss = loss_of(step)
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise ConfigError(f'the loss is {losses[-1]} in step {step + 1} of {budget.steps}: '
                              'expected a finite number; choose a --learning-rate below '
                              f'{budget.learning_rate:g}')
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if state and time.monotonic() - kept > _KEPT_S:
            _keep(state, network, optimizer, budget, step + 1)
            log.info('%d of %d steps; loss %.3f', step + 1, budget.steps,
                     np.mean(losses))
            kept, losses = time.monotonic(), []
    network.eval()
    if state:
        state.unlink(missing_ok=True)


def batches(count: int, size: int, seed: int) -> Callable[[int], np.ndarray]:
    """
    Draw what each step sees, each item once before any is seen again.

    :param count: number of items.
    :param size: items a step.
    :returns: a function from the number of a step to indices of items, shape ``(size,)``.
    """
    def drawn(step: int) -> np.ndarray:
        places = np.arange(step * size, (step + 1) * size)
        orders = {number: np.random.default_rng((seed, int(number))).permutation(count)
                  for number in np.unique(places // count)}
        return np.array([orders[place // count][place % count] for place in places])

    return drawn


def _keep(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, budget: Budget,
          step: int) -> None:
    tensors = {f'network.{name}': one.contiguous() for name, one in network.state_dict().items()}
    with replaced(path) as partial:
        save_file(tensors | optimizer_tensors(optimizer), partial,
                  {'step': str(step), 'budget': repr(budget)})


def _restore(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer,
             budget: Budget) -> int:
    """Continue from a state; return the number of the next step."""
    try:
        with safe_open(path, framework='pt') as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'{path} is damaged: {error}; delete it to train anew') from error
    own = {name.removeprefix('network.'): one for name, one in tensors.items()
           if name.startswith('network.')}
    if about.get('budget') != repr(budget) or own.keys() != network.state_dict().keys():
        raise CheckpointError(f'{path} belongs to another training: expected {budget}; delete it '
                              'to train anew')
    network.load_state_dict(own)
    restore_optimizer(optimizer, tensors)
    return int(about['step'])
