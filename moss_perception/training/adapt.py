"""Fit a checkpoint to a robot with a few labelled attempts, and tell whether that helps."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from moss_perception.core.errors import ConfigError
from moss_perception.evaluation import metrics
from moss_perception.evaluation.intervals import paired_test
from moss_perception.models.network import ensemble_probability, GraspNetwork
import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F

FEWEST_OF_EACH = 4

# What is expected before an attempt is seen: logits within about a factor of two of right, and
# off by about one.
_SCALE_PRIOR, _SHIFT_PRIOR = 0.7, 1.0
_PENALTIES = (1.0, 10.0, 100.0, 1000.0)
_EDGE = 1e-6


@dataclass(frozen=True)
class Evidence:
    """
    What the ensemble made of attempts, and what became of them.

    :ivar hidden: float64, shape ``(n, M, H)``: what the last layer of each member took.
    :ivar outcomes: float64, 0 or 1, shape ``(n,)``.
    """

    hidden: Tensor
    outcomes: Tensor

    def __len__(self) -> int:
        return len(self.outcomes)

    def some(self, chosen: np.ndarray) -> 'Evidence':
        """Return the attempts of these indices."""
        return Evidence(self.hidden[chosen], self.outcomes[chosen])


@dataclass(frozen=True)
class Readout:
    """
    The last layer of each member, temperature included.

    :ivar weight: float64, shape ``(M, H)``.
    :ivar bias: float64, shape ``(M,)``.
    """

    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, network: GraspNetwork) -> 'Readout':
        """Take a network's."""
        last, temperature = network.head.members.others[-1], network.config.temperature
        return cls(last.weight.detach().cpu().double() / temperature,
                   last.bias.detach().cpu().double() / temperature)

    def logits(self, evidence: Evidence) -> Tensor:
        """Return each member's logits, shape ``(n, M)``."""
        return (evidence.hidden * self.weight).sum(dim=-1) + self.bias

    def scores(self, evidence: Evidence) -> np.ndarray:
        """Return probabilities of success, float64, shape ``(n,)``."""
        return ensemble_probability(self.logits(evidence))[0].numpy()

    def changed(self, scale: float, shift: float) -> 'Readout':
        """Multiply all logits, and add to them."""
        return Readout(self.weight * scale, self.bias * scale + shift)


Fit = Callable[[Readout, Evidence], Readout]


def fit_calibration(readout: Readout, evidence: Evidence) -> Readout:
    """
    Scale and shift all logits alike, which keeps the order of scores.

    The most probable scale and shift, given the outcomes: few attempts change little.
    """
    start = readout.logits(evidence)

    def loss(log_scale: Tensor, shift: Tensor) -> Tensor:
        prior = (log_scale / _SCALE_PRIOR).square() + (shift / _SHIFT_PRIOR).square()
        return _cross_entropy(start * log_scale.exp() + shift, evidence) + 0.5 * prior

    log_scale, shift = _minimise(loss, torch.zeros(()), torch.zeros(()))
    return readout.changed(float(log_scale.exp()), float(shift))


def fit_head(readout: Readout, evidence: Evidence, seed: int = 0) -> Readout:
    """
    Calibrate, then refit each member's last layer, drawn towards what it was.

    How much it is drawn is chosen by cross-validation among these attempts.
    """
    if _fewest(evidence) < 2:
        return fit_calibration(readout, evidence)
    losses = []
    for penalty in _PENALTIES:
        scores = _cross_validate(_head_fit(penalty), readout, evidence, 5, seed)
        losses.append(log_losses(scores, evidence).mean())
    return _head_fit(_PENALTIES[int(np.argmin(losses))])(readout, evidence)


def _head_fit(penalty: float) -> Fit:
    def fit(readout: Readout, evidence: Evidence) -> Readout:
        near = fit_calibration(readout, evidence)
        # Weights of what is seldom large may move further.
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


def _cross_entropy(logits: Tensor, evidence: Evidence) -> Tensor:
    probability = ensemble_probability(logits)[0].clamp(_EDGE, 1 - _EDGE)
    return F.binary_cross_entropy(probability, evidence.outcomes, reduction='sum')


def _minimise(loss: Callable[..., Tensor], *starts: Tensor) -> list[Tensor]:
    values = [start.detach().double().clone().requires_grad_() for start in starts]
    optimizer = torch.optim.LBFGS(values, max_iter=200, line_search_fn='strong_wolfe')

    def closure():
        optimizer.zero_grad()
        total = loss(*values)
        total.backward()
        return total

    optimizer.step(closure)
    return [value.detach() for value in values]


def _fewest(evidence: Evidence) -> int:
    held = int(evidence.outcomes.sum())
    return min(held, len(evidence) - held)


def _folds(outcomes: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Deal attempts to folds at random, successes and failures each in equal shares: ``(n,)``."""
    generator, dealt = np.random.default_rng(seed), np.zeros(len(outcomes), int)
    begin = 0
    for kind in (0, 1):
        mine = generator.permutation(np.flatnonzero(outcomes == kind))
        dealt[mine] = (begin + np.arange(len(mine))) % folds
        begin += len(mine)
    return dealt


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


def log_losses(scores: np.ndarray, evidence: Evidence) -> np.ndarray:
    """Return each attempt's negative log likelihood, nats, shape ``(n,)``."""
    held = evidence.outcomes.numpy() > 0.5
    return -np.log(np.clip(np.where(held, scores, 1 - scores), _EDGE, 1.0))


def judge(fit: Fit, readout: Readout, evidence: Evidence, *, folds: int = 5, repeats: int = 5,
          seed: int = 0) -> dict[str, Any]:
    """
    Tell by cross-validation whether a fit helps on attempts that it has not seen.

    :param repeats: how often attempts are dealt to folds anew; their losses are averaged.
    :returns: ``before`` and ``after`` with ``log_loss``, ``brier``, ``ece`` and ``auroc``;
        ``change`` of the log loss with its 95 % interval ``low`` to ``high``; ``verdict``:
        ``helps``, ``harms`` or ``cannot be told``.
    :raises ConfigError: if there are fewer than four successes or failures.
    """
    if _fewest(evidence) < FEWEST_OF_EACH:
        held = int(evidence.outcomes.sum())
        raise ConfigError(f'{held} successes and {len(evidence) - held} failures are too few to '
                          f'adapt to: expected at least {FEWEST_OF_EACH} of each')
    before = readout.scores(evidence)
    rounds = [_cross_validate(fit, readout, evidence, min(folds, _fewest(evidence)), seed + n)
              for n in range(repeats)]
    losses = np.mean([log_losses(scores, evidence) for scores in rounds], axis=0)
    test = paired_test(losses, log_losses(before, evidence), seed=seed)
    verdict = ('helps' if test['high'] < 0 else 'harms' if test['low'] > 0
               else 'cannot be told')
    return {'attempts': len(evidence), 'successes': int(evidence.outcomes.sum()),
            'before': _measure([before], evidence), 'after': _measure(rounds, evidence),
            'change': test['difference'], 'low': test['low'], 'high': test['high'],
            'verdict': verdict}


def _measure(rounds: list[np.ndarray], evidence: Evidence) -> dict[str, float]:
    labels = evidence.outcomes.numpy() > 0.5
    measures = {'log_loss': lambda scores, _: float(log_losses(scores, evidence).mean()),
                'brier': metrics.brier, 'ece': metrics.expected_calibration_error,
                'auroc': metrics.auroc}
    return {name: float(np.mean([one(scores, labels) for scores in rounds]))
            for name, one in measures.items()}


def adapted(network: GraspNetwork, readout: Readout) -> GraspNetwork:
    """
    Put a readout into a copy of a network.

    Where it only scales and shifts what was there, weights stay as they are: the temperature
    takes the scale, and the bias the shift.
    """
    made, before = deepcopy(network), Readout.of(network)
    ratio = float((readout.weight * before.weight).sum() / before.weight.square().sum())
    scaled = ratio > 0 and torch.allclose(readout.weight, before.weight * ratio, rtol=1e-9)
    temperature = network.config.temperature / (ratio if scaled else 1.0)
    made.config = replace(network.config, temperature=temperature)
    last = made.head.members.others[-1]
    with torch.no_grad():
        if not scaled:
            last.weight.copy_(readout.weight * temperature)
        last.bias.copy_(readout.bias * temperature)
    return made
