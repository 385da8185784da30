"""What a training minimises, where labels and the object's track may be unknown."""

from torch import Tensor
import torch.nn.functional as F


def label_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """
    Return the weighted mean cross-entropy of each ensemble member by itself.

    :param logits: shape ``(B, K, M)``.
    :param labels: 0 or 1, shape ``(B, K)``.
    :param weights: 0 or more, shape ``(B, K, M)``; 0 where there is no label.
    """
    losses = F.binary_cross_entropy_with_logits(
        logits, labels[..., None].expand_as(logits), reduction='none')
    return (losses * weights).sum() / weights.sum().clamp(min=1)


def place_loss(located: Tensor, places: Tensor, near: float) -> Tensor:
    """
    Return how far the object is from where the network locates it: the auxiliary loss.

    :param located: from the head, shape ``(B, K, 4)``.
    :param places: where the object is seen, shape ``(B, K, 4)``, NaN if it is not known.
    :param near: finger distances; the head cannot see an object further away from the grasp.
    :returns: 0 if no object is known to be near.
    """
    counts = (places.abs().amax(dim=-1) < near).float()
    misses = F.smooth_l1_loss(located, places.nan_to_num(), reduction='none').sum(dim=-1)
    return (misses * counts).sum() / counts.sum().clamp(min=1)
