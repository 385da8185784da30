"""Measures of one set of scores against its outcomes, from plain arrays."""

from moss_perception.core.errors import ShapeError
from moss_perception.evaluation import intervals, measures
import numpy as np


def _check(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = np.asarray(scores, np.float64), np.asarray(labels, bool)
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ShapeError(f'expected scores and labels of one length, got {scores.shape} '
                         f'and {labels.shape}')
    return scores, labels


def auroc(scores: np.ndarray, labels: np.ndarray) -> float:
    """
    Return the AUROC, the probability that a success has a higher score than a failure.

    :param scores: shape ``(N,)``; ties count half.
    :param labels: bool, shape ``(N,)``.
    :returns: area in [0, 1]; NaN if there is only one class.
    :raises ShapeError: if the lengths differ.
    """
    return _value(measures.auroc, scores, labels)


def brier(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean squared difference between probability and outcome, in [0, 1]."""
    return _value(measures.brier, scores, labels)


def expected_calibration_error(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean gap of probability and frequency over ten equal-width bins, in [0, 1]."""
    return _value(measures.ece, scores, labels)


def _value(measure: measures.Measure, scores: np.ndarray, labels: np.ndarray) -> float:
    scores, labels = _check(scores, labels)
    return measures.value_of(measure, measures.Scored(scores, labels, np.arange(len(scores))))


def auroc_interval(scores: np.ndarray, labels: np.ndarray, groups: np.ndarray, *,
                   repeats: int = intervals.REPEATS, seed: int = 0) -> tuple[float, float]:
    """
    Return the 95 % percentile interval of :func:`auroc` by drawing whole groups with replacement.

    :param scores: shape ``(N,)``.
    :param labels: bool, shape ``(N,)``.
    :param groups: shape ``(N,)``: attempts of one scene belong together.
    :param repeats: number of draws; those for which the area is undefined are left out.
    :param seed: of the draws.
    :returns: lower and upper end; NaN if the area is undefined, or is in most of the draws.
    :raises ShapeError: if the lengths differ.
    """
    sample = measures.Scored(*_check(scores, labels), np.asarray(groups))
    found = intervals.bootstrap_interval(measures.auroc, sample, repeats=repeats, seed=seed)
    return found.low, found.high


def error_detection(uncertainty: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> float:
    """
    Return the AUROC of finding wrong decisions by their uncertainty.

    :param uncertainty: shape ``(N,)``, larger where less is known.
    :param scores: probabilities, shape ``(N,)``; above 0.5 a success is expected.
    :param labels: bool, shape ``(N,)``.
    :returns: area in [0, 1], 0.5 by chance; NaN if all decisions are right, or all wrong.
    :raises ShapeError: if the lengths differ.
    """
    scores, labels = _check(scores, labels)
    return auroc(uncertainty, (scores > 0.5) != labels)
