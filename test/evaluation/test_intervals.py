"""Measures of weighted attempts against scikit-learn, and intervals against known values."""

import math

from moss_perception.core.errors import ShapeError
from moss_perception.evaluation import intervals, metrics
from moss_perception.evaluation.intervals import Interval
from moss_perception.evaluation.metrics import Scored
import numpy as np
import pytest

sklearn_metrics = pytest.importorskip('sklearn.metrics')
pytest.importorskip('scipy')


@pytest.fixture
def sample():
    generator = np.random.default_rng(0)
    # Few values: many ties.
    scores, labels = generator.integers(0, 12, 80) / 12, generator.random(80) < 0.4
    return Scored(scores, labels, np.arange(80) // 2)


def test_measures_of_drawn_attempts_equal_scikit_learn(sample):
    weights = np.random.default_rng(1).integers(0, 4, (5, len(sample))).astype(float)
    for row in weights:
        one = row[None]
        for mine, theirs in (
                (metrics.auroc, lambda w: sklearn_metrics.roc_auc_score(
                    sample.labels, sample.scores, sample_weight=w)),
                (metrics.auprc, lambda w: sklearn_metrics.average_precision_score(
                    sample.labels, sample.scores, sample_weight=w)),
                (metrics.brier, lambda w: sklearn_metrics.brier_score_loss(
                    sample.labels, sample.scores, sample_weight=w)),
                (metrics.balanced_accuracy, lambda w: sklearn_metrics.balanced_accuracy_score(
                    sample.labels, sample.scores >= 0.5, sample_weight=w))):
            assert mine(sample, one)[0] == pytest.approx(theirs(row))


def test_measures_of_one_class_are_undefined_and_others_are_not():
    sample = Scored(np.array([0.2, 0.9]), np.array([True, True]), np.arange(2))
    for name, measure in metrics.MEASURES.items():
        value = metrics.value_of(measure, sample)
        assert math.isnan(value) == (name in metrics.NEED_BOTH), name


def test_draws_keep_an_episode_together(sample):
    copies = Scored(*(np.repeat(values, 5) for values in (
        sample.scores, sample.labels, sample.episodes)))
    area = {'auroc': metrics.auroc}
    once = intervals.draw(sample, area, repeats=50)['auroc']
    assert intervals.draw(copies, area, repeats=50)['auroc'] == pytest.approx(once)
    apart = Scored(copies.scores, copies.labels, np.arange(len(copies)))
    assert intervals.draw(apart, area, repeats=50)['auroc'].std() < 0.7 * once.std()


def test_draws_do_not_depend_on_how_many_fit_into_memory(sample, monkeypatch):
    whole = intervals.draw(sample, metrics.MEASURES, repeats=20)
    monkeypatch.setattr(intervals, '_BLOCK', 7 * len(sample))
    parts = intervals.draw(sample, metrics.MEASURES, repeats=20)
    for name, values in whole.items():
        # BLAS sums in another order for another number of rows.
        np.testing.assert_allclose(values, parts[name], rtol=1e-12)


def test_the_interval_covers_the_true_area_about_as_often_as_it_says():
    generator, covered = np.random.default_rng(2), 0
    # Normal scores one standard deviation apart: the area is Phi(1 / sqrt(2)).
    true = 0.5 * (1 + math.erf(0.5))
    for _ in range(100):
        labels = generator.random(80) < 0.5
        scores = generator.normal(labels, 1.0)
        sample = Scored(scores, labels, np.arange(80))
        found = intervals.bootstrap_interval(metrics.auroc, sample, repeats=300)
        covered += found.low <= true <= found.high
    # 95 expected; by chance fewer than 86 once in thousands.
    assert covered >= 86


def test_each_interval_by_scenes_is_by_the_same_draws():
    values = np.random.default_rng(3).random(40)
    mean = intervals.mean_interval(values, repeats=200)
    other = intervals.statistic_interval(lambda index: values[index].mean(), 40, repeats=200)
    assert (mean.low, mean.high) == pytest.approx((other.low, other.high))
    assert mean.low < mean.value == other.value < mean.high
    # Brier scores of failures are squares: their mean is a mean of scenes, too.
    sample = Scored(np.sqrt(values), np.zeros(40, bool), np.arange(40))
    brier = intervals.bootstrap_interval(metrics.brier, sample, repeats=200)
    assert (mean.low, mean.high) == pytest.approx((brier.low, brier.high))


def test_a_perfect_order_is_said_to_have_too_narrow_an_interval():
    found = intervals.percentile_interval(1.0, np.ones(100))
    assert (found.low, found.high) == (1, 1)
    assert 'too narrow' in found.why


def test_wilson_by_hand():
    found = intervals.wilson(8, 10)
    # (p + z^2 / 2n -+ z sqrt(p q / n + z^2 / 4n^2)) / (1 + z^2 / n) with z = 1.96.
    assert (found.low, found.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert intervals.wilson(0, 10).low == 0
    assert not intervals.wilson(0, 0).defined


def test_difference_of_shares_as_newcombe_published_it():
    found = intervals.difference_of_shares(intervals.wilson(56, 70), intervals.wilson(48, 80))
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_difference_with_an_undefined_share_says_why():
    found = intervals.difference_of_shares(Interval(why='there are none'),
                                            Interval(0.5, 0.4, 0.6))
    assert not found.defined
    assert found.why == 'there are none'


def test_lengths_that_differ_are_refused():
    with pytest.raises(ShapeError, match=r'\(2,\), \(3,\)'):
        Scored(np.zeros(2), np.zeros(3, bool), np.zeros(3, int))


def test_the_interval_of_a_calibration_error_holds_its_value_and_can_reach_0():
    low = []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        scores = generator.random(300)
        found = intervals.measure_interval('ece', Scored.of(
            scores, generator.random(300) < scores), repeats=200)
        assert 0 <= found.low <= found.value <= found.high <= 1
        low.append(found.low)
    # The true error is 0.
    assert np.mean(np.array(low) == 0) > 0.4
    gap = intervals.difference_of_shares(found, Interval(0.1, 0.05, 0.15))
    assert gap.low < gap.value < gap.high


def test_the_interval_of_a_calibration_error_covers_the_true_one_more_often_than_percentiles():
    covered = np.zeros(2, int)
    for seed in range(60):
        generator = np.random.default_rng(seed)
        scores = generator.random(100)
        # Each bin is too sure by 0.1, but those that this would take below 0.
        sample = Scored.of(scores, generator.random(100) < np.clip(scores - 0.1, 0, 1))
        drawn = intervals.draw(sample, {'ece': metrics.ece}, repeats=200)['ece']
        for n, one in enumerate((
                intervals.measure_interval('ece', sample, drawn=drawn),
                intervals.percentile_interval(metrics.value_of(metrics.ece, sample), drawn))):
            covered[n] += one.low <= 0.095 <= one.high
    assert covered[0] >= 46 and covered[1] < 40


def test_few_attempts_have_no_interval_of_a_calibration_error():
    found = intervals.measure_interval('ece', Scored.of(np.full(9, 0.5), np.arange(9) < 3))
    assert found.value == pytest.approx(1 / 6) and math.isnan(found.low) and found.why
