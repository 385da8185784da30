"""Fit a checkpoint to a robot with a few labelled attempts."""

from collections.abc import Callable

from moss_perception.core.errors import ConfigError
from moss_perception.models.layers.reading import ensemble_probability
from moss_perception.models.readout import Evidence, Readout
import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F

_FEWEST_OF_EACH = 4

_PENALTIES = (1.0, 10.0, 100.0, 1000.0)
_EDGE = 1e-6
# Expected before any label is seen: logits within about a factor of two of right, and off by
# about one.
_SCALE_PRIOR, _SHIFT_PRIOR = 0.7, 1.0

Fit = Callable[[Readout, Evidence], Readout]


def fit_calibration(readout: Readout, evidence: Evidence) -> Readout:
    """
    Scale and shift all logits alike, which keeps the order of scores.

    The result is the most probable scale and shift, given the outcomes. A prior keeps them near
    1 and 0, so few attempts change little.
    """
    logits, outcomes = readout.logits(evidence).double(), evidence.outcomes.double()

    def loss(log_scale: Tensor, shift: Tensor) -> Tensor:
        probability, _ = ensemble_probability(logits * log_scale.exp() + shift)
        # The sum over outcomes gives the prior the same weight for any number of them.
        prior = (log_scale / _SCALE_PRIOR).square() + (shift / _SHIFT_PRIOR).square()
        return F.binary_cross_entropy(probability, outcomes, reduction='sum') + 0.5 * prior

    log_scale, shift = _minimise(loss, *torch.zeros(2, dtype=torch.float64))
    return readout.changed(float(log_scale.exp()), float(shift))


def fit_head(readout: Readout, evidence: Evidence, seed: int = 0) -> Readout:
    """
    Calibrate, then refit each member's last layer, with a penalty on its change.

    The penalty is chosen by cross-validation among these attempts.
    """
    if evidence.fewest < 2:
        return fit_calibration(readout, evidence)
    losses = []
    for penalty in _PENALTIES:
        scores = _cross_validate(_head_fit(penalty), readout, evidence, 5, seed)
        probability = torch.from_numpy(scores).clamp(_EDGE, 1 - _EDGE)
        losses.append(float(F.binary_cross_entropy(probability, evidence.outcomes)))
    return _head_fit(_PENALTIES[int(np.argmin(losses))])(readout, evidence)


def _head_fit(penalty: float) -> Fit:
    def fit(readout: Readout, evidence: Evidence) -> Readout:
        near = fit_calibration(readout, evidence)
        # Weights of inputs that are seldom large may move further.
        size = evidence.hidden.square().mean(dim=0).sqrt().clamp(min=1e-3)

        def loss(weight: Tensor, bias: Tensor) -> Tensor:
            moved = ((weight - near.weight) * size).square().sum() + (
                bias - near.bias).square().sum()
            logits = Readout(weight, bias).logits(evidence)
            # Each member by itself, as in training.
            each = F.binary_cross_entropy_with_logits(
                logits, evidence.outcomes[:, None].expand_as(logits), reduction='sum')
            return each + 0.5 * penalty * moved

        return Readout(*_minimise(loss, near.weight, near.bias))
    return fit


def _minimise(loss: Callable[..., Tensor], *starts: Tensor) -> list[Tensor]:
    """Find the arguments of least loss by L-BFGS, float64."""
    values = [start.detach().double().clone().requires_grad_() for start in starts]
    optimizer = torch.optim.LBFGS(values, max_iter=200, line_search_fn='strong_wolfe')

    def closure():
        optimizer.zero_grad()
        total = loss(*values)
        total.backward()
        return total

    optimizer.step(closure)
    return [value.detach() for value in values]


def cross_validate(fit: Fit, readout: Readout, evidence: Evidence, *, folds: int = 5,
                   repeats: int = 5, seed: int = 0) -> list[np.ndarray]:
    """
    Score each attempt by fits that have not seen it.

    :param folds: number of parts that the attempts are divided into.
    :param repeats: number of such divisions.
    :returns: for each repeat the scores, float64, shape ``(n,)``.
    :raises ConfigError: if there are fewer than four successes or failures.
    """
    if evidence.fewest < _FEWEST_OF_EACH:
        successes = int(evidence.outcomes.sum())
        raise ConfigError(f'{successes} successes and {len(evidence) - successes} failures are '
                          f'too few to adapt to: expected at least {_FEWEST_OF_EACH} of each')
    return [_cross_validate(fit, readout, evidence, min(folds, evidence.fewest), seed + n)
            for n in range(repeats)]


def _cross_validate(fit: Fit, readout: Readout, evidence: Evidence, folds: int,
                    seed: int) -> np.ndarray:
    """Score each attempt by a fit to the other folds: shape ``(n,)``."""
    fold_of = _folds(evidence.outcomes.numpy(), folds, seed)
    scores = np.zeros(len(evidence))
    for fold in np.unique(fold_of):
        fitted = fit(readout, evidence.some(np.flatnonzero(fold_of != fold)))
        mine = np.flatnonzero(fold_of == fold)
        scores[mine] = fitted.scores(evidence.some(mine))
    return scores


def _folds(outcomes: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Draw a fold for each attempt, stratified by outcome: ``(n,)``."""
    generator, fold_of = np.random.default_rng(seed), np.zeros(len(outcomes), int)
    begin = 0
    for kind in (0, 1):
        mine = generator.permutation(np.flatnonzero(outcomes == kind))
        fold_of[mine] = (begin + np.arange(len(mine))) % folds
        begin += len(mine)
    return fold_of
