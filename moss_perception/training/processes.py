"""The processes that train one network together."""

from collections.abc import Sequence
from datetime import timedelta
import os

from moss_perception.core.errors import ConfigError
from moss_perception.runtime.torch_engine import usable_device
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

# Rank 0 validates and writes while the others wait.
_TIMEOUT = timedelta(hours=1)


class Group:
    """
    The processes that train together, each with its share of every batch.

    :param device: of this process; ``cuda`` becomes the card of its local rank.
    :param rank: this process's number, from 0.
    :param size: how many there are.
    """

    def __init__(self, device: str = 'cpu', rank: int = 0, size: int = 1):
        self.device = device
        self.rank = rank
        self.size = size

    @classmethod
    def join(cls, device: str = 'cpu') -> 'Group':
        """
        Join the group that torchrun's environment variables describe, or a group of one.

        :param device: a device that torch knows.
        :raises ConfigError: if the environment or the device is not usable.
        """
        try:
            size, rank, local = (int(os.environ.get(name, value)) for name, value in (
                ('WORLD_SIZE', 1), ('RANK', 0), ('LOCAL_RANK', 0)))
        except ValueError as error:
            raise ConfigError('WORLD_SIZE, RANK and LOCAL_RANK must be whole numbers, as torchrun '
                              f'sets them: {error}') from error
        if size > 1 and device == 'cuda':
            device = f'cuda:{local}'
        usable_device(device)
        if size > 1:
            backend = 'nccl' if device.startswith('cuda') else 'gloo'
            distributed.init_process_group(backend, timeout=_TIMEOUT)
        return cls(device, rank, size)

    @property
    def leads(self) -> bool:
        """Whether this is the process that validates, logs and writes."""
        return self.rank == 0

    def wrap(self, network: nn.Module) -> nn.Module:
        """Average the gradients over the processes, if there are several."""
        if self.size == 1:
            return network
        # A batch that uses a prefix of the orders leaves the others without gradient.
        ids = [torch.device(self.device)] if self.device.startswith('cuda') else None
        return DistributedDataParallel(network, ids, find_unused_parameters=True)

    def share(self, batch: Sequence[int]) -> list[int]:
        """Return this process's items of a batch, at least one."""
        return list(batch[self.rank::self.size]) or list(batch[:1])

    def mean(self, value: float) -> float:
        """Average a number over the processes."""
        if self.size == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64 if self.device == 'cpu'
                             else torch.float32, device=self.device)
        distributed.all_reduce(total)
        return total.item() / self.size

    def wait(self) -> None:
        """Wait for the other processes."""
        if self.size > 1:
            distributed.barrier()

    def leave(self) -> None:
        """Leave the group."""
        if self.size > 1 and distributed.is_initialized():
            distributed.destroy_process_group()
