"""A report over months: measures by month and checkpoint, with intervals by recording."""

from dataclasses import replace
from datetime import datetime, timezone
import json
import re

from moss_perception.evaluation.report import over_time, write_report
from moss_perception.evaluation.report.summary import summarise
import numpy as np
import pytest

for needed in ('scipy', 'sklearn', 'jinja2', 'matplotlib'):
    pytest.importorskip(needed)

OCTOBER, NOVEMBER = ('2026-10-31', '2026-11-01')


def at(bag, date, path=''):
    """Return a recording that begins on a day, at noon."""
    begin_ns = int(datetime.fromisoformat(f'{date}T12:00').replace(
        tzinfo=timezone.utc).timestamp()) * 10**9
    shift = begin_ns - bag.attempts[0].start_ns
    moved = [replace(x, **{name: getattr(x, name) + shift for name in (
        'start_ns', 'decision_ns', 'end_ns', 'scored_ns')}) for x in bag.attempts]
    return replace(bag, attempts=tuple(moved), path=path or f'{bag.path}_{date}')


@pytest.fixture
def fleet(made_up):
    """Give a function that evaluates five recordings of each month with a checkpoint."""
    def evaluate(skill=1.6, model='one.safetensors'):
        return made_up.make_evaluation(*(
            at(made_up.make_bag('real', 12, seed, skill=skill), date, f'bag_{seed}')
            for seed, date in enumerate((*['2026-10-02'] * 4, OCTOBER, *[NOVEMBER] * 5))),
            model=model)
    return evaluate


def measured(*evaluations):
    return over_time.measure([summarise(x, repeats=20) for x in evaluations])


def test_each_month_has_its_recordings_attempts_and_successes(fleet):
    evaluation = fleet()
    found, = measured(evaluation)
    assert [(x.month, x.recordings, x.attempts) for x in found] == [
        ('2026-10', 5, 60), ('2026-11', 5, 60)]
    for month, bags in zip(found, (evaluation.bags[:5], evaluation.bags[5:]), strict=True):
        held = [x.success for bag in bags for x in bag.attempts]
        passed = [x.success for bag in bags for x in bag.attempts if x.score >= 0.5]
        assert month.success.value == pytest.approx(np.mean(held))
        assert month.passed_success.value == pytest.approx(np.mean(passed))
        assert month.accepted == len(passed) and month.auroc_less_first is None
        for interval in (month.success, month.passed_success, month.auroc):
            assert interval.low <= interval.value <= interval.high


def test_attempts_of_a_recording_are_drawn_together():
    # Each recording succeeds throughout or never: as many values as recordings, not as attempts.
    labels = np.repeat([True, False, True, False, True, False], 50)
    together = over_time.share_by_recording(labels, np.repeat(np.arange(6), 50))
    mixed = over_time.share_by_recording(labels, np.tile(np.arange(6), 50))
    assert together.value == mixed.value == 0.5
    assert together.high - together.low > 3 * (mixed.high - mixed.low)


def test_a_month_of_few_recordings_has_no_interval(made_up):
    found, = measured(made_up.make_evaluation(
        at(made_up.make_bag('real', 30), OCTOBER), at(made_up.make_bag('real', 30, 1), NOVEMBER)))
    for interval in (found[0].success, found[0].passed_success, found[0].auroc):
        assert interval.defined and np.isnan(interval.low)
        assert interval.why == 'an interval needs at least 5 recordings'


def test_another_checkpoint_is_compared_month_by_month_on_the_same_attempts(fleet):
    first, other = measured(fleet(2.5), fleet(0.4, 'two.safetensors'))
    for mine, theirs in zip(first, other, strict=True):
        gap = theirs.auroc_less_first
        assert gap.value == pytest.approx(theirs.auroc.value - mine.auroc.value)
        assert gap.high < 0 and gap.low <= gap.value


def test_stamps_without_a_date_are_a_month_of_their_own_at_the_end(made_up):
    stamped = at(made_up.make_bag('real', 10), OCTOBER)
    early = made_up.make_bag('real', 10, 1)
    simulated = replace(early, attempts=tuple(
        replace(x, start_ns=x.start_ns % 10**12) for x in early.attempts))
    beyond = replace(early, attempts=(replace(early.attempts[0], start_ns=10**30),))
    assert over_time.month_of(stamped) == '2026-10'
    assert over_time.month_of(simulated) == over_time.month_of(beyond) == 'no date'
    assert over_time.month_of(replace(early, attempts=())) == ''
    found, = measured(made_up.make_evaluation(simulated, stamped))
    assert [x.month for x in found] == ['2026-10', 'no date']


def test_the_report_has_a_section_by_month_and_the_same_values_as_json(fleet, tmp_path):
    write_report([fleet(), fleet(0.6, 'two.safetensors')], tmp_path)
    page = (tmp_path / 'report.html').read_text()
    section = page[page.index('<h2 id="over-time">'):]
    section = section[:section.index('<h2', 5)]
    assert '<a href="#over-time">' in page and section.count('2026-10') == 2
    assert re.search(r'<img src="data:image/svg[^>]*success of accepted grasps by month', section)
    first, second = json.loads((tmp_path / 'report.json').read_text())['checkpoints']
    assert [x['month'] for x in first['months']] == ['2026-10', '2026-11']
    assert first['months'][0]['auroc_less_first'] is None
    assert second['months'][1]['auroc_less_first']['value'] < 0
    assert f'{100 * first["months"][1]["success"]["value"]:.0f} %' in section


def test_recordings_of_one_month_need_no_section(fleet, made_up, tmp_path):
    write_report([made_up.make_evaluation(
        at(made_up.make_bag('real', 10), OCTOBER),
        at(made_up.make_bag('real', 10, 1), '2026-10-01'))], tmp_path)
    assert 'over-time' not in (tmp_path / 'report.html').read_text()
