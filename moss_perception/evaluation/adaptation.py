"""Compare an adapted checkpoint with the original on held-out attempts."""

from typing import Any

from moss_perception.evaluation import metrics
from moss_perception.evaluation.intervals import paired_test
import numpy as np

_EDGE = 1e-6


def log_losses(scores: np.ndarray, successes: np.ndarray) -> np.ndarray:
    """
    Return each attempt's negative log likelihood in nats.

    :param scores: probabilities of success, shape ``(n,)``.
    :param successes: bool, shape ``(n,)``.
    """
    return -np.log(np.clip(np.where(successes, scores, 1 - scores), _EDGE, 1.0))


def compare_adaptation(before: np.ndarray, rounds: list[np.ndarray], successes: np.ndarray,
                       seed: int = 0) -> dict[str, Any]:
    """
    Compare the scores of a checkpoint with those of adapted ones, on the same attempts.

    :param before: the checkpoint's scores, shape ``(n,)``.
    :param rounds: scores by fits without the attempt, one array for each cross-validation; their
        losses are averaged.
    :param successes: bool, shape ``(n,)``.
    :param seed: random seed of the interval.
    :returns: ``before`` and ``after`` with ``log_loss``, ``brier``, ``ece`` and ``auroc``;
        ``change`` of the log loss with its 95 % interval ``low`` to ``high``; ``verdict``:
        ``helps``, ``harms`` or ``cannot be told``.
    """
    losses = np.mean([log_losses(scores, successes) for scores in rounds], axis=0)
    test = paired_test(losses, log_losses(before, successes), seed=seed)
    verdict = ('helps' if test['high'] < 0 else 'harms' if test['low'] > 0
               else 'cannot be told')
    return {'attempts': len(successes), 'successes': int(successes.sum()),
            'before': _measure([before], successes), 'after': _measure(rounds, successes),
            'change': test['difference'], 'low': test['low'], 'high': test['high'],
            'verdict': verdict}


def _measure(rounds: list[np.ndarray], successes: np.ndarray) -> dict[str, float]:
    measures = {'log_loss': lambda scores, _: float(log_losses(scores, successes).mean()),
                'brier': metrics.brier, 'ece': metrics.expected_calibration_error,
                'auroc': metrics.auroc}
    return {name: float(np.mean([one(scores, successes) for scores in rounds]))
            for name, one in measures.items()}
