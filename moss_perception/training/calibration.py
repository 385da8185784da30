"""Temperature scaling: one number that makes probabilities fit frequencies."""

from moss_perception.core.errors import ShapeError
from moss_perception.models.network import ensemble_probability
import torch
import torch.nn.functional as F


def fit_temperature(logits: torch.Tensor, outcomes: torch.Tensor) -> float:
    """
    Find the temperature of least cross-entropy on held-out grasps.

    :param logits: float tensor, shape ``(N, M)``, at temperature 1.
    :param outcomes: float tensor of 0 and 1, shape ``(N,)``.
    :returns: temperature in [0.05, 20], by which logits are to be divided.
    :raises ShapeError: if the lengths differ.
    """
    if logits.dim() != 2 or outcomes.shape != logits.shape[:1]:
        raise ShapeError(f'expected logits (N, M) and outcomes (N,), got {tuple(logits.shape)} '
                         f'and {tuple(outcomes.shape)}')
    log_temperature = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_temperature], max_iter=100, line_search_fn='strong_wolfe')

    def closure():
        optimizer.zero_grad()
        probability, _ = ensemble_probability(logits.double() / log_temperature.exp())
        loss = F.binary_cross_entropy(probability, outcomes.double())
        loss.backward()
        return loss

    optimizer.step(closure)
    return float(log_temperature.detach().exp().clamp(0.05, 20))
