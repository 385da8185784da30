"""Intervals of few attempts hold: their coverage is checked by simulation."""

from moss_perception.evaluation import metrics, small_counts
from moss_perception.evaluation.intervals import measure_interval, wilson
from moss_perception.evaluation.metrics import Scored, value_of
import numpy as np
import pytest
from scipy import stats


def sample_of(generator, successes, failures, area):
    """Draw normal scores whose AUROC is ``area``, in [0, 1]."""
    labels = np.arange(successes + failures) < successes
    gap = np.sqrt(2) * stats.norm.ppf(area)
    return Scored.of(stats.norm.cdf(generator.normal(labels * gap)), labels)


@pytest.mark.parametrize(('successes', 'failures'), [(5, 5), (6, 15)])
@pytest.mark.parametrize('area', [0.7, 0.95])
def test_the_interval_of_an_area_covers_the_true_one(successes, failures, area):
    generator, held, runs = np.random.default_rng([successes, failures, 1]), 0, 150
    for _ in range(runs):
        found = measure_interval('auroc', sample_of(generator, successes, failures, area),
                                 repeats=100)
        held += found.low <= area <= found.high
    # Nominal are 95 %; of 150 runs fewer than 90 % have a chance below 1 %.
    assert held / runs >= 0.9


@pytest.mark.parametrize('name', ['auprc', 'balanced_accuracy'])
def test_the_intervals_of_the_other_comparisons_cover_the_true_value(name):
    generator, held, runs = np.random.default_rng(3), 0, 100
    truth = value_of(metrics.MEASURES[name], sample_of(generator, 40_000, 40_000, 0.85))
    for _ in range(runs):
        found = measure_interval(name, sample_of(generator, 8, 8, 0.85), repeats=100)
        held += found.low <= truth <= found.high
    assert held / runs >= 0.9


def test_the_interval_of_a_brier_score_is_wider_for_few_attempts_and_covers():
    generator, held, runs = np.random.default_rng(4), 0, 100
    scores = generator.random(200_000)
    truth = np.mean((scores - (generator.random(len(scores)) < scores)) ** 2)
    for _ in range(runs):
        scores = generator.random(12)
        found = measure_interval('brier', Scored.of(scores, generator.random(12) < scores),
                                 repeats=200)
        held += found.low <= truth <= found.high
    assert held / runs >= 0.85


def test_a_perfect_ranking_of_few_attempts_is_not_certain():
    labels = np.arange(10) < 5
    found = measure_interval('auroc', Scored.of(labels.astype(float), labels))
    assert found.value == found.high == 1 and 0.4 < found.low < 0.7
    many = np.arange(400) < 200
    assert 0.97 < measure_interval('auroc', Scored.of(many.astype(float), many)).low < 1
    balanced = measure_interval('balanced_accuracy', Scored.of(labels.astype(float), labels))
    assert balanced.value == 1 and balanced.low < 0.8


@pytest.mark.parametrize(('labels', 'why'), [
    ([], 'no attempt has a score'), ([1, 1, 1], 'all 3 scored attempts are successes'),
    ([0, 0], 'all 2 scored attempts are failures'),
    ([1, 1, 0], 'at least 5 scored successes and 5 scored failures, and there are 2 and 1')])
def test_below_the_minimum_the_figure_is_refused_in_words(labels, why):
    sample = Scored.of(np.linspace(0, 1, len(labels)), np.array(labels, bool))
    for name in metrics.NEED_BOTH:
        found = measure_interval(name, sample)
        assert not found.defined and why in found.why
    brier = measure_interval('brier', sample)
    assert np.isnan(brier.low) and brier.defined == bool(labels)


def test_attempts_that_share_frames_count_once():
    labels = np.arange(60) < 30
    together = Scored(labels.astype(float), labels, np.arange(60) // 6)
    alone = Scored.of(labels.astype(float), labels)
    assert measure_interval('auroc', together).low < measure_interval('auroc', alone).low
    assert small_counts.counts_of_each(together) == (5, 5)


@pytest.mark.parametrize(('count', 'total'), [(0, 3), (3, 3), (7, 20), (55, 100)])
def test_shares_have_the_interval_of_scipy(count, total):
    theirs = stats.binomtest(count, total).proportion_ci(0.95, method='wilson')
    mine = wilson(count, total)
    assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
