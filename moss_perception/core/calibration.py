"""Fit the temperature of a model's scores, and the threshold from which on a grasp is good."""

from moss_perception.core.errors import ShapeError
import numpy as np

TEMPERATURE_BOUNDS = (0.05, 20.0)
PRIOR_OUTCOMES = 10
"""Successes, and failures, that the prior of a threshold weighs as much as."""

PRIOR_SPREAD = 0.7
"""Standard deviation of the prior of the logarithm of a temperature: a factor of two."""


def fit_temperature(logits: np.ndarray, outcomes: np.ndarray,
                    expected: float | None = None) -> float:
    """
    Find the temperature of least cross-entropy, or the most probable one.

    With ``expected``, the logarithm of the temperature has a normal prior around that of the
    expected one, with :data:`PRIOR_SPREAD` as its standard deviation. The prior weighs as much as
    a few outcomes: it keeps few of them, which may all be ranked right, from running to a bound,
    and does not matter for many.

    :param logits: float, shape ``(N, M)``: of each member of an ensemble, whose probabilities
        are averaged; at least one row.
    :param outcomes: 0 or 1, shape ``(N,)``.
    :param expected: before any outcome is seen, such as that of the checkpoint that a training
        began with; ``None`` for no prior.
    :returns: in :data:`TEMPERATURE_BOUNDS`; divide the logits by it.
    :raises ShapeError: if the lengths differ.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp
    logits, outcomes = np.asarray(logits, float), np.asarray(outcomes, float)
    if logits.ndim != 2 or outcomes.shape != logits.shape[:1] or not len(outcomes):
        raise ShapeError(f'expected logits (N, M) and outcomes (N,), got {logits.shape} and '
                         f'{outcomes.shape}')
    signs = np.where(outcomes > 0.5, -1.0, 1.0)[:, None]

    def loss(log_temperature: float) -> float:
        each = -np.logaddexp(0, signs * logits / np.exp(log_temperature))
        prior = 0.0 if expected is None else 0.5 * (
            (log_temperature - np.log(expected)) / PRIOR_SPREAD) ** 2
        return float(np.log(logits.shape[1]) - np.mean(logsumexp(each, axis=1))
                     + prior / len(outcomes))

    found = minimize_scalar(loss, bounds=tuple(np.log(TEMPERATURE_BOUNDS)), method='bounded')
    return float(np.exp(found.x))


def fit_threshold(scores: np.ndarray, outcomes: np.ndarray) -> float:
    """
    Find the threshold of highest balanced accuracy: the mean of two shares.

    These are the share of the successes that score at least the threshold, and of the failures
    that score less. :data:`PRIOR_OUTCOMES` outcomes of each kind are added, with the scores that
    calibrated scores have if all are equally frequent: Beta(2, 1) of successes, Beta(1, 2) of
    failures. By themselves they give 0.5. So few outcomes, or outcomes of one kind, don't move the
    threshold to a limit, and many outweigh them.

    :param scores: probabilities of success, shape ``(N,)``.
    :param outcomes: 0 or 1, shape ``(N,)``.
    :returns: in (0, 1), in steps of 0.01; of several that are as good, that in their middle.
    :raises ShapeError: if the lengths differ.
    """
    scores, held = np.asarray(scores, float), np.asarray(outcomes, float) > 0.5
    if scores.ndim != 1 or held.shape != scores.shape:
        raise ShapeError(f'expected scores (N,) and outcomes (N,), got {scores.shape} and '
                         f'{held.shape}')
    thresholds = np.arange(1, 100) / 100
    passes = scores[:, None] >= thresholds
    passed = (passes[held].sum(axis=0) + PRIOR_OUTCOMES * (1 - thresholds**2)) / (
        held.sum() + PRIOR_OUTCOMES)
    refused = ((~passes[~held]).sum(axis=0) + PRIOR_OUTCOMES * (1 - (1 - thresholds)**2)) / (
        (~held).sum() + PRIOR_OUTCOMES)
    best = np.flatnonzero(passed + refused > (passed + refused).max() - 1e-9)
    return float(thresholds[best[len(best) // 2]])
