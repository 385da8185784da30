"""Calibration: one scale, and a shift if asked for, that make probabilities fit frequencies."""

from collections.abc import Callable

from moss_perception.core.errors import ShapeError
from moss_perception.models.layers.reading import ensemble_probability
import torch
from torch import Tensor
import torch.nn.functional as F

# What is expected before a label is seen: logits within about a factor of two of right, and off
# by about one.
_SCALE_PRIOR, _SHIFT_PRIOR = 0.7, 1.0


def fit_temperature(logits: Tensor, outcomes: Tensor) -> float:
    """
    Find the temperature of least cross-entropy on held-out grasps.

    :param logits: float tensor, shape ``(N, M)``, at temperature 1.
    :param outcomes: float tensor of 0 and 1, shape ``(N,)``.
    :returns: temperature in [0.05, 20], by which logits are to be divided.
    :raises ShapeError: if the lengths differ.
    """
    scale, _ = fit_scale(logits, outcomes)
    return min(max(1 / scale, 0.05), 20.0)


def fit_scale(logits: Tensor, outcomes: Tensor, *,
              shift: bool = False) -> tuple[float, float]:
    """
    Find the scale of least cross-entropy, or with ``shift`` the most probable scale and shift.

    :param logits: float tensor, shape ``(N, M)``.
    :param outcomes: float tensor of 0 and 1, shape ``(N,)``.
    :param shift: also find what to add to the scaled logits. Both then have a prior, so that few
        outcomes change little.
    :returns: the scale, above 0, and the shift, 0 if it is not asked for.
    :raises ShapeError: if the lengths differ.
    """
    if logits.dim() != 2 or outcomes.shape != logits.shape[:1]:
        raise ShapeError(f'expected logits (N, M) and outcomes (N,), got {tuple(logits.shape)} '
                         f'and {tuple(outcomes.shape)}')
    start, outcomes = logits.double(), outcomes.double()

    def loss(log_scale: Tensor, *shifts: Tensor) -> Tensor:
        probability, _ = ensemble_probability(start * log_scale.exp() + sum(shifts))
        if not shifts:
            return F.binary_cross_entropy(probability, outcomes)
        # A prior weighs as much as it does beside any number of outcomes: they are summed.
        prior = (log_scale / _SCALE_PRIOR).square() + (shifts[0] / _SHIFT_PRIOR).square()
        return F.binary_cross_entropy(probability, outcomes, reduction='sum') + 0.5 * prior

    found = minimise(loss, *torch.zeros(1 + shift, dtype=torch.float64))
    return float(found[0].exp()), float(found[1]) if shift else 0.0


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
