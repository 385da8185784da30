"""Rank agreement, temperature, time curves, episodes and thresholds, by hand."""

from dataclasses import replace
import math

from moss_perception.cli.evaluate_results import print_results
from moss_perception.core.errors import ConfigError, ShapeError
from moss_perception.evaluation import early, reliability, thresholds
from moss_perception.evaluation.comparison import (
    compare_rankings,
    mean_maximum_rank_violation,
)
from moss_perception.evaluation.metrics import Scored
from moss_perception.evaluation.records import AttemptRecord
from moss_perception.evaluation.report.recordings import factor_of, overlapping
from moss_perception.evaluation.report.summary import summarise
import numpy as np
import pytest

pytest.importorskip('scipy')


def test_rank_violation_by_hand():
    # The first two are ranked the other way: each costs what they differ by in reality.
    assert mean_maximum_rank_violation(
        [0.5, 0.6, 0.9], [0.4, 0.3, 0.8]) == pytest.approx((0.1 + 0.1 + 0) / 3)
    assert mean_maximum_rank_violation([0.1, 0.2, 0.3], [0.4, 0.5, 0.9]) == 0
    with pytest.raises(ShapeError, match=r'\(2,\) and \(3,\)'):
        mean_maximum_rank_violation([1, 2], [1, 2, 3])


def test_agreement_needs_three_checkpoints_and_says_so():
    assert compare_rankings([0.5, 0.6, 0.9], [1.0, 1.2, 1.8]).pearson == pytest.approx(1)
    two = compare_rankings([0.5, 0.6], [0.7, 0.6])
    assert math.isnan(two.pearson)
    assert two.mmrv == pytest.approx(0.1)
    assert 'at least three' in two.why
    assert 'perform equally' in compare_rankings([0.5, 0.5, 0.5], [0.1, 0.2, 0.3]).why
    assert 'undefined' in compare_rankings([0.5, math.nan, 0.5], [0.1, 0.2, 0.3]).why


def test_the_terminal_has_the_pages_interval_of_attempts_that_overlap(made_up, capsys):
    bags = [made_up.make_bag(name, 30) for name in ('real', 'sim')]
    # Three after one another share time, and are drawn together.
    bags = [replace(bag, attempts=tuple(
        replace(x, start_ns=(x.attempt // 3) * 10**11, end_ns=(x.attempt // 3) * 10**11 + 1)
        for x in bag.attempts)) for bag in bags]
    evaluation = made_up.make_evaluation(*bags)
    print_results([evaluation], 'sim')
    said = capsys.readouterr().out
    for domain in summarise(evaluation, 'sim').domains:
        assert domain.counts.episodes == 10
        found = domain.measures['auroc']
        assert (f'{domain.name}: {domain.counts.held} of 30 attempts succeeded, 30 scored; AUROC '
                f'{found.value:.3f} ({found.low:.3f} to {found.high:.3f})') in said


def _too_sure(count, temperature=2.0):
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, count)
    labels = generator.random(count) < 1 / (1 + np.exp(-logits))
    return Scored(1 / (1 + np.exp(-temperature * logits)), labels, np.arange(count))


def test_temperature_is_recovered_from_scores_that_are_too_sure():
    sample = _too_sure(4000)
    found = reliability.reference_temperature(sample, 'sim')
    assert found.value == pytest.approx(2, rel=0.08)
    scaled = reliability.scale(sample.scores, found.value)
    assert reliability.cross_entropy(scaled, sample.labels) < reliability.cross_entropy(
        sample.scores, sample.labels)
    # Ranks stay as they are.
    assert np.array_equal(np.argsort(scaled), np.argsort(sample.scores))


def test_temperature_is_not_fitted_to_a_few_of_one_outcome_or_to_a_perfect_order():
    few = Scored(np.linspace(0.1, 0.9, 20), np.arange(20) >= 17, np.arange(20))
    assert '3 successes and 17 failures' in reliability.reference_temperature(few, 'sim').why
    perfect = Scored(np.linspace(0.1, 0.9, 20), np.arange(20) >= 10, np.arange(20))
    assert 'separate all' in reliability.reference_temperature(perfect, 'sim').why


def test_each_episode_is_scaled_by_the_temperature_of_the_others():
    sample = _too_sure(60)
    scaled = reliability.scale_across(sample)
    logits = [np.log(x) - np.log1p(-x) for x in (sample.scores, scaled)]
    used = np.unique(np.round(logits[0] / logits[1], 6))
    # One temperature a fold.
    assert len(used) == 5
    assert np.all((used > 1) & (used < 5))


def test_bins_hold_every_attempt_and_chance_gives_a_calibration_error():
    sample = _too_sure(60)
    bins = reliability.reliability_bins(sample)
    assert sum(one.count for one in bins) == 60
    assert len(bins) <= 5
    mean, most = reliability.chance_ece(np.full(10, 0.5))
    # The mean distance of a binomial share from its mean: 252 / 1024 / 2 for ten coins.
    assert mean == pytest.approx(252 / 2048, abs=0.02)
    assert most > mean
    assert reliability.chance_ece(np.zeros(20)) == (0, 0)


def _attempt(number, success, end_s, scores, first_s=-0.2):
    start = number * 10**10
    times = first_s + 0.1 * np.arange(len(scores))
    return AttemptRecord(number, start, start + 10**9, start + 10**9 + round(end_s * 1e9),
                         success, score=0.5, source='executed', times_s=times,
                         scores=np.array(scores, float))


def test_curves_take_what_was_known_by_then_and_end_with_the_attempts():
    # Told apart from the decision on; failures end at 0.3 s, successes at 0.6 s.
    held = [_attempt(n, True, 0.6, [0.5, 0.5, *[0.8] * 7]) for n in range(5)]
    lost = [_attempt(n, False, 0.3, [0.5, 0.5, *[0.2] * 7]) for n in range(5, 10)]
    since = early.since_decision([*held, *lost], np.arange(10))
    by_time = dict(zip(np.round(since.times_s, 3), (one.value for one in since.auroc),
                       strict=True))
    assert by_time[-0.1] == 0.5
    assert by_time[0.0] == by_time[0.3] == 1
    assert max(by_time) == 0.3
    left = early.to_outcome([*held, *lost], np.arange(10))
    by_lead = dict(zip(np.round(left.times_s, 3), (one.value for one in left.balanced_accuracy),
                       strict=True))
    assert by_lead[0.0] == by_lead[0.3] == 1
    # 0.4 s before the outcome the failures were not decided yet: all are said to hold.
    assert by_lead[0.4] == 0.5
    assert set(left.attempts) == {10}


def test_curves_of_too_few_attempts_are_empty():
    few = [_attempt(n, n < 3, 0.5, [0.5] * 5) for n in range(6)]
    assert len(early.since_decision(few, np.arange(6)).times_s) == 0
    assert len(early.to_outcome([], np.arange(0)).times_s) == 0


def test_stale_and_unknown_scores_do_not_count():
    gone = [_attempt(n, n < 5, 2.0, [0.5, 0.6, *[math.nan] * 18]) for n in range(10)]
    assert early.since_decision(gone, np.arange(10)).times_s.max() < 0.31


@pytest.mark.parametrize('curve', [early.since_decision, early.to_outcome])
def test_intervals_over_time_draw_episodes(curve):
    generator = np.random.default_rng(0)
    # Four attempts of each episode are alike.
    success, scores = (np.repeat(x, 4) for x in (
        np.arange(40) % 2 == 0, generator.normal(np.arange(40) % 2 == 0, 1.0)))
    attempts = [_attempt(n, success[n], 0.5, [scores[n]] * 8) for n in range(160)]
    together, apart = (curve(attempts, episodes).auroc[0] for episodes in (
        np.arange(160) // 4, np.arange(160)))
    assert together.value == apart.value
    assert together.high - together.low > 1.5 * (apart.high - apart.low)


@pytest.mark.parametrize('curve', [early.since_decision, early.to_outcome])
def test_accuracy_over_time_is_at_the_threshold(curve):
    attempts = [_attempt(n, n < 5, 0.5, [0.8 if n < 5 else 0.6] * 8) for n in range(10)]
    for threshold, expected in ((0.5, 0.5), (0.7, 1.0)):
        found = curve(attempts, np.arange(10), threshold)
        assert {one.value for one in found.balanced_accuracy} == {expected}


def test_a_summary_measures_over_time_by_its_episodes_and_threshold(made_up):
    bag = made_up.make_bag('sim', 24)
    # All overlap in time: one episode.
    spread = [replace(x, start_ns=bag.attempts[0].start_ns) for x in bag.attempts]
    for attempts, count in ((bag.attempts, 24), (tuple(spread), 1)):
        one, = summarise(made_up.make_evaluation(replace(bag, attempts=attempts)), 'sim', 0.7,
                         repeats=20).domains
        assert one.counts.episodes == count
        for found, curve in ((one.since_decision, early.since_decision),
                             (one.to_outcome, early.to_outcome)):
            assert repr(found) == repr(curve(attempts, one.pool.episodes, 0.7))

def test_attempts_that_overlap_are_one_episode():
    spans = [(0, 10), (5, 12), (11, 15), (20, 30), (1, 2)]
    attempts = [AttemptRecord(n, a, a, b, True) for n, (a, b) in enumerate(spans)]
    assert overlapping(attempts).tolist() == [0, 0, 0, 1, 0]


@pytest.mark.parametrize('text, expected', [
    ('auroc>=0.8', ('auroc', '', '>=', 0.8)),
    (' auroc_low @ real > .6', ('auroc_low', 'real', '>', 0.6)),
    ('auroc_gap@shifted.motion_blur>=-0.1', ('auroc_gap', 'shifted.motion_blur', '>=', -0.1)),
    ('inference_p95_ms<5e1', ('inference_p95_ms', '', '<', 50.0))])
def test_requirements_are_read(text, expected):
    need = thresholds.parse(text)
    assert (need.metric, need.domain, need.comparison, need.bound) == expected


@pytest.mark.parametrize('text, said', [
    ('auroc=0.8', "'auroc=0.8' is not understood"), ('auroc', 'not understood'),
    ('aurok>=0.8', "has the unknown metric 'aurok'"),
    ('attempts_low>3', 'unknown metric'), ('auroc>=high', "bound 'high'"),
    ('auroc>=nan', "bound 'nan'")])
def test_requirements_that_mean_nothing_are_refused(text, said):
    with pytest.raises(ConfigError, match=said):
        thresholds.parse(text)


FIGURES = {'sim': {'auroc': (0.9, ''), 'ece': (0.05, '')},
           'real': {'auroc': (math.nan, 'all 7 scored attempts are failures'),
                    'auroc_gap': (-0.2, '')}}


def test_a_requirement_without_a_domain_holds_in_each_or_falls_short():
    verdict = thresholds.check(['auroc>=0.8'], FIGURES, 'sim')
    assert [(row.domain, row.met) for row in verdict.rows] == [('sim', True), ('real', False)]
    assert not verdict.met
    assert 'all 7 scored attempts are failures' in verdict.table()
    assert 'sim ' not in verdict.table(short_only=True)
    assert thresholds.check(['auroc@sim>=0.9'], FIGURES, 'sim').met


def test_a_gap_is_not_asked_of_the_reference_and_is_short_without_another_domain():
    assert [row.domain for row in thresholds.check(['auroc_gap>=-0.3'], FIGURES, 'sim').rows] == [
        'real']
    alone = thresholds.check(['auroc_gap>=-0.3'], {'sim': FIGURES['sim']}, 'sim')
    assert not alone.met


def test_a_domain_that_was_not_evaluated_is_refused_and_no_requirement_is_met():
    with pytest.raises(ConfigError, match="names domain 'lab': expected one of the evaluated"):
        thresholds.check(['auroc@lab>=0.8'], FIGURES, 'sim')
    assert thresholds.check([], FIGURES, 'sim').met


def test_a_name_with_dots_is_a_factor_only_where_it_names_one():
    assert factor_of('shifted.motion_blur') == 'motion_blur'
    for name in ('shifted', 'real.jitter_0.02.drops_0.05', 'robot.2', 'a.b.c'):
        assert factor_of(name) == ''
