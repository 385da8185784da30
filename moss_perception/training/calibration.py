"""Calibration from a few labels: the scale and shift of all logits, and a minimiser."""

from collections.abc import Callable

from moss_perception.core.errors import ShapeError
from moss_perception.models.layers.reading import ensemble_probability
import torch
from torch import Tensor
import torch.nn.functional as F

# What is expected before a label is seen: logits within about a factor of two of right, and off
# by about one.
_SCALE_PRIOR, _SHIFT_PRIOR = 0.7, 1.0


def fit_scale_and_shift(logits: Tensor, outcomes: Tensor) -> tuple[float, float]:
    """
    Find the most probable scale and shift of logits.

    With few outcomes a prior keeps them near 1 and 0.

    :param logits: float tensor, shape ``(N, M)``.
    :param outcomes: float tensor of 0 and 1, shape ``(N,)``.
    :returns: the scale, above 0, and the shift.
    :raises ShapeError: if the lengths differ.
    """
    if logits.dim() != 2 or outcomes.shape != logits.shape[:1]:
        raise ShapeError(f'expected logits (N, M) and outcomes (N,), got {tuple(logits.shape)} '
                         f'and {tuple(outcomes.shape)}')
    start, outcomes = logits.double(), outcomes.double()

    def loss(log_scale: Tensor, shift: Tensor) -> Tensor:
        probability, _ = ensemble_probability(start * log_scale.exp() + shift)
        # A prior weighs as much as it does beside any number of outcomes: they are summed.
        prior = (log_scale / _SCALE_PRIOR).square() + (shift / _SHIFT_PRIOR).square()
        return F.binary_cross_entropy(probability, outcomes, reduction='sum') + 0.5 * prior

    log_scale, shift = minimise(loss, *torch.zeros(2, dtype=torch.float64))
    return float(log_scale.exp()), float(shift)


def minimise(loss: Callable[..., Tensor], *starts: Tensor) -> list[Tensor]:
    """
    Find the values of least loss by L-BFGS.

    :param loss: takes as many tensors as there are starts, and returns a number.
    :param starts: where to begin.
    """
    values = [start.detach().double().clone().requires_grad_() for start in starts]
    optimizer = torch.optim.LBFGS(values, max_iter=200, line_search_fn='strong_wolfe')

    def closure():
        optimizer.zero_grad()
        total = loss(*values)
        total.backward()
        return total

    optimizer.step(closure)
    return [value.detach() for value in values]
