"""Metrics, against values worked out by hand and against scikit-learn."""

import math

from moss_perception.core.errors import ShapeError
from moss_perception.evaluation.intervals import bootstrap_interval
from moss_perception.evaluation.metrics import auroc, brier, ece, Scored, value_of
import numpy as np
import pytest


def test_auroc_by_hand():
    # Of six pairs the success wins four, loses one, and ties one.
    scores, labels = np.array([0.9, 0.4, 0.4, 0.3, 0.5]), np.array([1, 1, 0, 0, 0], bool)
    assert value_of(auroc, Scored.of(scores, labels)) == pytest.approx(4.5 / 6)


def test_auroc_equals_scikit_learn():
    sklearn_metrics = pytest.importorskip('sklearn.metrics')
    generator = np.random.default_rng(0)
    scores, labels = generator.integers(0, 20, 500) / 20, generator.random(500) < 0.3
    assert value_of(auroc, Scored.of(scores, labels)) == pytest.approx(
        sklearn_metrics.roc_auc_score(labels, scores))


def test_auroc_of_one_class_is_undefined():
    assert math.isnan(value_of(auroc, Scored.of(np.array([0.1, 0.2]), np.array([True, True]))))


def test_brier_and_calibration_by_hand():
    scores, labels = np.array([0.8, 0.6, 0.1]), np.array([1, 0, 0], bool)
    sample = Scored.of(scores, labels)
    assert value_of(brier, sample) == pytest.approx((0.04 + 0.36 + 0.01) / 3)
    assert value_of(ece, sample) == pytest.approx((0.2 + 0.6 + 0.1) / 3)


def test_calibration_takes_a_probability_of_one():
    assert value_of(ece, Scored.of(np.array([1.0]), np.array([True]))) == 0


def test_the_interval_respects_groups():
    generator = np.random.default_rng(1)
    scores, labels = generator.random(60), generator.random(60) < 0.5
    apart = bootstrap_interval(auroc, Scored.of(scores, labels), repeats=500)
    copies = [np.repeat(values, 10) for values in (scores, labels, np.arange(60))]
    together = bootstrap_interval(auroc, Scored.of(*copies), repeats=500)
    assert apart.low < apart.value < apart.high
    # Ten copies of each attempt tell nothing new, so the interval must not shrink.
    assert (together.low, together.high) == pytest.approx((apart.low, apart.high))


def test_lengths_that_differ_are_refused():
    with pytest.raises(ShapeError, match=r'\(2,\), \(3,\)'):
        Scored.of(np.zeros(2), np.zeros(3, bool))
