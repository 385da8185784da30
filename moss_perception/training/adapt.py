"""Fit a checkpoint to a robot with a few labelled attempts."""

from collections.abc import Callable

from moss_perception.core.errors import ConfigError
from moss_perception.models.readout import Evidence, Readout
from moss_perception.training.calibration import fit_scale_and_shift, minimise
import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F

FEWEST_OF_EACH = 4

_PENALTIES = (1.0, 10.0, 100.0, 1000.0)
_EDGE = 1e-6

Fit = Callable[[Readout, Evidence], Readout]


def fit_calibration(readout: Readout, evidence: Evidence) -> Readout:
    """
    Scale and shift all logits alike, which keeps the order of scores.

    These are the most probable scale and shift, given the outcomes: few attempts change little.
    """
    return readout.changed(
        *fit_scale_and_shift(readout.logits(evidence), evidence.outcomes))


def fit_head(readout: Readout, evidence: Evidence, seed: int = 0) -> Readout:
    """
    Calibrate, then refit each member's last layer, with a penalty on its change.

    The penalty is chosen by cross-validation among these attempts.
    """
    if evidence.fewest < 2:
        return fit_calibration(readout, evidence)
    losses = [_cross_entropy(_cross_validate(_head_fit(penalty), readout, evidence, 5, seed),
                             evidence) for penalty in _PENALTIES]
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

        return Readout(*minimise(loss, near.weight, near.bias))
    return fit


def _cross_entropy(scores: np.ndarray, evidence: Evidence) -> float:
    probability = torch.from_numpy(scores).clamp(_EDGE, 1 - _EDGE)
    return float(F.binary_cross_entropy(probability, evidence.outcomes))


def cross_validate(fit: Fit, readout: Readout, evidence: Evidence, *, folds: int = 5,
                   repeats: int = 5, seed: int = 0) -> list[np.ndarray]:
    """
    Score each attempt by fits that have not seen it.

    :param folds: how many parts the attempts are dealt to.
    :param repeats: how often they are dealt anew.
    :returns: for each repeat the scores, float64, shape ``(n,)``.
    :raises ConfigError: if there are fewer than four successes or failures.
    """
    if evidence.fewest < FEWEST_OF_EACH:
        successes = int(evidence.outcomes.sum())
        raise ConfigError(f'{successes} successes and {len(evidence) - successes} failures are '
                          f'too few to adapt to: expected at least {FEWEST_OF_EACH} of each')
    return [_cross_validate(fit, readout, evidence, min(folds, evidence.fewest), seed + n)
            for n in range(repeats)]


def _cross_validate(fit: Fit, readout: Readout, evidence: Evidence, folds: int,
                    seed: int) -> np.ndarray:
    """Score each attempt by a fit to the other folds: shape ``(n,)``."""
    dealt = _folds(evidence.outcomes.numpy(), folds, seed)
    scores = np.zeros(len(evidence))
    for fold in np.unique(dealt):
        fitted = fit(readout, evidence.some(np.flatnonzero(dealt != fold)))
        mine = np.flatnonzero(dealt == fold)
        scores[mine] = fitted.scores(evidence.some(mine))
    return scores


def _folds(outcomes: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Deal attempts to folds at random, successes and failures each in equal shares: ``(n,)``."""
    generator, dealt = np.random.default_rng(seed), np.zeros(len(outcomes), int)
    begin = 0
    for kind in (0, 1):
        mine = generator.permutation(np.flatnonzero(outcomes == kind))
        dealt[mine] = (begin + np.arange(len(mine))) % folds
        begin += len(mine)
    return dealt
