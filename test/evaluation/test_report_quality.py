"""Single factors of a shift: their gaps, their order, and what is said where something lacks."""

import json
import re

from moss_perception.evaluation.records import AttemptRecord
from moss_perception.evaluation.report import quality, write_report
from moss_perception.evaluation.report.page import fill
from moss_perception.evaluation.report.summary import summarise
import pytest

for needed in ('scipy', 'sklearn', 'matplotlib', 'jinja2'):
    pytest.importorskip(needed)

REPEATS = 200
TAG = re.compile(r'<[^>]*>')


@pytest.fixture(scope='module')
def bags(made_up):
    """Draw recordings in which colours cost much, light a little, and noise nothing."""
    skills = {'sim': 2.5, 'shifted.noise': 2.5, 'shifted.colours': 0.0, 'shifted.light': 1.2,
              'shifted': -0.5}
    return [made_up.make_bag(name, 80, skill=skill) for name, skill in skills.items()]


def section(made_up, *bags):
    summary = summarise(made_up.make_evaluation(*bags), repeats=REPEATS)
    return fill('factors', quality.by_factor(summary))


def rows_of(page):
    """Return the table's rows, of each the words of its cells."""
    found = re.findall(r'<tr>(.*?)</tr>', page)
    return [[TAG.sub(' ', cell).split() for cell in re.findall(r'<t[hd].*?</t[hd]>', row)]
            for row in found]


def test_without_single_factors_there_is_no_section(made_up, bags):
    evaluation = made_up.make_evaluation(bags[0], bags[-1])
    assert quality.by_factor(summarise(evaluation, repeats=REPEATS)) == {}


def test_each_gap_stands_with_its_interval_the_worst_first_and_all_together_last(made_up, bags):
    page = section(made_up, *bags)
    head, *rows = rows_of(page)
    assert [' '.join(x) for x in head] == ['factor', 'attempts', 'AUROC', 'success rate',
                                           'accuracy', 'Brier score', 'ECE']
    assert [' '.join(row[0]) for row in rows] == ['colours', 'light', 'noise',
                                                  'all together shifted']
    summary = summarise(made_up.make_evaluation(*bags), repeats=REPEATS)
    gaps = {one.name: one.gaps for one in summary.domains}
    for row, name in zip(rows, ('shifted.colours', 'shifted.light', 'shifted.noise', 'shifted'),
                         strict=True):
        for cell, measure in ((row[2], 'auroc'), (row[5], 'brier')):
            of = gaps[name][measure]
            assert cell == [f'{of.value:+.2f}'.replace('-', '−'),
                            f'{of.low:+.2f}'.replace('-', '−'), 'to',
                            f'{of.high:+.2f}'.replace('-', '−')]
        success = gaps[name]['success']
        assert row[3][:2] == [f'{100 * success.value:+.0f}'.replace('-', '−'), 'pp']


def test_what_chance_does_not_explain_is_said(made_up, bags):
    text = TAG.sub('', section(made_up, *bags))
    assert re.search(r'Alone, colours \(−0\.\d\d\)(, light \(−0\.\d\d\))? costs? AUROC beyond '
                     r'chance\.', text)
    alone = TAG.sub('', section(made_up, bags[0], bags[1]))
    assert 'No single factor alone reduces the AUROC beyond chance.' in alone
    assert 'There is no recording of shifted, which combines all factors.' in alone


def test_each_measure_is_drawn_with_every_factor(made_up, bags, monkeypatch):
    drawn = []
    forest = quality.figures.forest

    def seen(rows, label, *more):
        drawn.append((label, [name for name, *_ in rows], [of for _, of, _ in rows]))
        return forest(rows, label, *more)
    monkeypatch.setattr(quality.figures, 'forest', seen)
    page = section(made_up, *bags)
    assert page.count('data:image/svg+xml') == len(drawn) == 4
    assert [label.partition(' − ')[0] for label, *_ in drawn] == [
        'AUROC', 'success rate', 'accuracy', 'Brier score']
    assert all(names == ['colours', 'light', 'noise', 'all together'] for _, names, _ in drawn)
    summary = summarise(made_up.make_evaluation(*bags), repeats=REPEATS)
    of, = (one.gaps['accuracy'] for one in summary.domains if one.name == 'shifted.colours')
    # Shares are drawn in percentage points, as the table has them.
    assert (drawn[2][2][0].value, drawn[2][2][0].low) == (100 * of.value, 100 * of.low)


def test_without_the_reference_the_figures_themselves_stand_there(made_up, bags):
    page = section(made_up, *bags[1:])
    text = TAG.sub('', page)
    assert 'no recording of sim, so these are the figures themselves' in text
    assert 'svg' not in page and 'undefined' not in text
    assert all('+' not in ' '.join(row[2]) for row in rows_of(page)[1:])


def test_a_factor_of_one_outcome_or_without_scores_is_last_and_no_obstacle(
        made_up, bags, tmp_path):
    held = made_up.make_bag('shifted.camera', 8, outcomes=[True] * 8)
    silent = made_up.make_bag('shifted.jpeg', 6)
    silent = type(silent)(**{**vars(silent), 'attempts': tuple(AttemptRecord(
        x.attempt, x.start_ns, x.decision_ns, x.end_ns, x.success) for x in silent.attempts)})
    rows = rows_of(section(made_up, held, silent, *bags[:3]))[1:]
    assert [' '.join(row[0]) for row in rows] == ['colours', 'noise', 'camera', 'jpeg']
    assert rows[2][2] == ['undefined'] and rows[2][5][0] != 'undefined'
    assert rows[3][5] == ['undefined'] and rows[3][3][0] != 'undefined'
    write_report([made_up.make_evaluation(held, silent, *bags[:3])], tmp_path)
    domains = json.loads((tmp_path / 'report.json').read_text())['checkpoints'][0]['domains']
    assert domains['shifted.camera']['gaps']['auroc']['value'] is None


def test_shifts_of_two_kinds_are_told_apart(made_up, bags):
    other = [made_up.make_bag(name, 20) for name in ('lab.light', 'lab')]
    page = section(made_up, *bags, *other)
    first, second = page.split('<table')[1:]
    assert 'all together' in second and '>lab<' in second and 'colours' not in second
    assert '>shifted<' in first and '>lab<' not in first
