"""The auxiliary loss on motion, for networks of all kinds alike."""

from moss_perception.core.errors import ConfigError
from moss_perception.models.checkpoint import Network
from moss_perception.models.layers.reading import GraspReader
import torch
from torch import nn, Tensor
import torch.nn.functional as F


class MotionProbe(nn.Module):
    """
    Reads how fast the object moves from the features where it is, by one layer of its own.

    The layer only exists in training: the checkpoint is that of the network.

    :param network: whose features are read.
    :raises ConfigError: if it is a model of another kind than this package's.
    """

    def __init__(self, network: Network):
        super().__init__()
        if not isinstance(network, GraspReader):
            raise ConfigError(f'motion_weight needs a network with the features of this package, '
                              f'which model {network.config.model!r} is not: expected 0')
        self.network = network
        self.velocity = nn.Linear(network.config.head_channels, 2)

    def forward(self, images: Tensor, grasps: Tensor, used: int | None, gaps: Tensor | None,
                motion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """
        Score grasps, and read the object's velocity.

        :param motion: see :class:`moss_perception.training.dataset.Clip`.
        :returns: logits and places as the network has them, and the velocity, ``(B, 2)``.
        """
        seen: list[Tensor] = []
        hook = self.network.smooth.register_forward_hook(
            lambda *call: seen.append(call[-1]))
        try:
            logits, located = self.network(images, grasps, used,
                                           *(() if gaps is None else (gaps,)))
        finally:
            hook.remove()
        places = motion[:, None, None, :2].nan_to_num()
        read = F.grid_sample(F.relu(seen[0]), places, align_corners=False, padding_mode='border')
        return logits, located, self.velocity(read.flatten(1))


def motion_loss(found: Tensor, motion: Tensor) -> Tensor:
    """
    Return the error of velocities.

    :param found: shape ``(B, 2)``.
    :param motion: see :class:`moss_perception.training.dataset.Clip`, shape ``(B, 4)``.
    :returns: a scalar; 0 if no motion is known.
    """
    known = motion.isfinite().all(dim=1) & (motion[:, :2].abs() <= 1).all(dim=1)
    misses = F.smooth_l1_loss(found, motion[:, 2:].nan_to_num(), reduction='none').sum(dim=1)
    return torch.where(known, misses, 0).sum() / known.sum().clamp(min=1)
