"""Comparisons of variants: chosen grasps, intervals, tests and tables."""

from copy import deepcopy
from dataclasses import replace
from itertools import product
import json
import math

import cv2
from moss_perception.core.errors import ConfigError, ShapeError
from moss_perception.data.schema import Sample
from moss_perception.evaluation import scene_scores
from moss_perception.evaluation.intervals import mean_interval, paired_test
import numpy as np
import pytest
from study_runs import attempts, COST, run

from study import compare as command
from study.comparison import by_variant, compare_pairs, FORMAT, kinds_of, summarise
from study.monitoring import TIMES_S
from study.plots import draw
from study.table import render, tables
from study.texts import in_points, read_digits
from study.uncertainty import error_detection

pytest.importorskip('scipy')


def test_the_best_candidate_of_each_scene_is_looked_up():
    scores = np.array([0.1, 0.9, 0.5, 0.5, np.nan, 0.2])
    labels = np.array([1, 0, 1, 0, 1, 0], bool)
    groups = np.array([7, 7, 3, 3, 5, 5])
    assert scene_scores.chosen_success(scores, labels, groups).tolist() == [False, True, False]
    with pytest.raises(ShapeError, match='one length'):
        scene_scores.chosen_success(scores, labels[:3], groups)


def test_baselines_by_hand():
    scene = Sample(seed=1, jpegs=(), candidates=np.array(
        [[0.5, 0, 1, 0], [0.1, 0.1, 1, 0], [0.9, 0, 1, 0]]), labels=np.array(
            [True, False, False]), speed=0.0, motion='still', shape='box',
        track=np.array([[0.1, 0.0, 1.0], [0.5, 0.0, 1.0]]))
    found = scene_scores.baselines([scene])
    assert found['random'] == pytest.approx(1 / 3)
    assert (found['centre'], found['true_motion'], found['oracle']) == (0, 1, 1)
    assert math.isnan(found['constant_velocity'][0])
    # At 0.6 m/s an object is 0.405 m further when fingers close, 0.675 s later.
    known = replace(scene, velocity=0.6, offsets=np.array(
        [[0.4, 0, 0, 0], [0, 0.1, 0, 0], [0.8, 0, 0, 0]], np.float32))
    assert scene_scores.baselines([known])['constant_velocity'].tolist() == [1]
    faster = replace(known, velocity=1.2)
    assert scene_scores.baselines([faster])['constant_velocity'].tolist() == [0]


def test_a_paired_test_is_exact_for_few_scenes():
    gaps = np.array([0.5, 0.25, -0.125, 1.0])
    found = paired_test(gaps, np.zeros(4))
    flipped = [np.mean(gaps * signs) for signs in product((-1, 1), repeat=4)]
    expected = np.mean(np.abs(flipped) >= gaps.mean() - 1e-12)
    assert found['p'] == pytest.approx(expected)
    assert found['difference'] == pytest.approx(gaps.mean())
    assert -0.125 <= found['low'] < found['difference'] < found['high'] <= 1


def test_seeds_are_averaged_before_scenes_are_drawn():
    generator = np.random.default_rng(0)
    ours, theirs = generator.random((3, 50)), generator.random((3, 50))
    assert paired_test(ours, theirs) == pytest.approx(
        paired_test(ours.mean(0), theirs.mean(0)))
    copied = paired_test(np.repeat(ours, 4, axis=0), np.repeat(theirs, 4, axis=0))
    # More seeds that say the same must not make scenes more certain.
    assert copied['high'] - copied['low'] == pytest.approx(
        paired_test(ours, theirs)['high'] - paired_test(ours, theirs)['low'])
    with pytest.raises(ShapeError, match='same scenes and seeds'):
        paired_test(ours, theirs[:2])


def test_equal_variants_do_not_differ():
    assert paired_test(np.ones(9), np.ones(9)) == {
        'difference': 0.0, 'low': 0.0, 'high': 0.0, 'p': 1.0}


def test_the_interval_of_a_mean_shrinks_with_scenes():
    values = np.tile([0.0, 1.0], 50)
    found = mean_interval(values)
    # 1.96 standard errors of a fair coin; bootstrap draws are that of binomials.
    assert (found.low, found.high) == pytest.approx((0.402, 0.598), abs=0.02)
    one = mean_interval(values[:1])
    assert math.isnan(one.low) and math.isnan(one.high)


def test_an_uncertainty_that_knows_the_errors_finds_them():
    scores, labels = np.array([0.9, 0.8, 0.2, 0.6]), np.array([1, 1, 0, 0], bool)
    assert error_detection(np.array([0, 0, 0, 1]), scores, labels) == 1
    assert error_detection(1 - np.abs(2 * scores - 1), scores, labels) == 1
    assert math.isnan(error_detection(scores, scores, scores > 0.5))


def test_kinds_of_motion():
    kinds = kinds_of(np.array(['still', 'constant']))
    assert list(kinds) == ['all', 'moving', 'constant', 'still']
    assert kinds['moving'].tolist() == [False, True]


def test_a_summary_averages_the_seeds(stored):
    one = stored['variants']['moss']
    each = [read_digits(r['sets']['sim']['chosen']).mean() for r in stored['runs']
            if r['variant'] == 'moss']
    total = one['sets']['sim']['all']
    assert one['seeds'] == [0, 1] and total['success'] == pytest.approx(np.mean(each))
    assert (total['least'], total['most']) == (min(each), max(each))
    assert total['low'] <= total['success'] <= total['high']


def test_the_better_variant_is_found(stored):
    pair = next(p for p in stored['pairs'] if p['kind'] == 'all')
    assert (pair['ours'], pair['theirs'], pair['seeds']) == ('moss', 'blind', [0, 1])
    assert pair['low'] > 0 and pair['p'] < 0.01


def test_two_runs_of_one_seed_are_refused(stored):
    with pytest.raises(ConfigError, match='two runs of the variant blind with seed 0'):
        by_variant([stored['runs'][0]] * 2)


def test_plots_show_every_variant_but_no_prefix(stored, tmp_path):
    moss = stored['variants']['moss']
    more = {**stored, 'variants': {**stored['variants'], 'moss orders 1': moss}}
    written = draw(more, tmp_path / 'images', 'results')
    assert [path.name for path in written] == [
        'results_success.png', 'results_motions.png', 'results_cost.png']
    assert all(cv2.imread(str(path)).std() > 5 for path in written)
    monitored = {key: [0.6] * len(TIMES_S) for key in ('auroc', 'auroc_not_lost')}
    for summary in stored['variants'].values():
        summary['sets']['sim']['monitoring'] = monitored
    try:
        assert 'results_early.png' in {path.name for path in draw(stored, tmp_path, 'results')}
    finally:
        for summary in stored['variants'].values():
            del summary['sets']['sim']['monitoring']


def test_stored_results_print_the_same_tables(stored, tmp_path, capsys):
    file = tmp_path / 'variants.json'
    file.write_text(json.dumps(stored))
    assert command.main(['--results', str(file)]) == 0
    text = capsys.readouterr().out
    assert text == render(stored)
    for part in ('| moss ', '| random', 'lost since sim', 'oscillating', 'MFLOP a frame'):
        assert part in text
    assert command.main(['--results', str(file), '--reference', 'blind']) == 0
    assert 'success of blind minus' in capsys.readouterr().out


def test_a_table_tells_what_a_part_adds_by_motion():
    some = attempts()
    sets = {'sim': some.describe()}
    runs = [run(variant, 0, some, noise) for variant, noise in (
        ('flow', 3.0), ('flow_time', 0.1), ('moss', 0.3))]
    found = {'format': FORMAT, 'machine': '', 'sets': sets, 'uncertainty': {}, 'runs': runs,
             'costs': {one['variant']: COST for one in runs}, 'variants': summarise(runs, sets),
             'pairs': compare_pairs(runs, sets)}
    rows = tables(found)['time inputs'].splitlines()[4:]
    assert [x.strip() for x in rows[0].split('|')][1:5] == ['flow_time', 'flow', '0', 'all']
    assert '| +' in rows[0] and '[+' in rows[0]
    others = [pair for pair in found['pairs'] if 'moss' in (pair['ours'], pair['theirs'])]
    assert others and 'time inputs' not in tables(found | {'pairs': others})


def test_each_training_has_a_row_with_its_success(stored):
    rows = [[cell.strip() for cell in line.strip('|').split('|')]
            for line in tables(stored)['seeds'].splitlines()[4:]]
    assert rows == [
        [run['variant'], str(run['seed']), *(f'{100 * one["kinds"]["all"]["success"]:.1f}'
                                         for one in run['sets'].values())]
        for variant in stored['variants'] for run in stored['runs'] if run['variant'] == variant]
    assert len(rows) == len(stored['runs']) > 1


def test_a_page_gets_the_tables_that_it_asks_for(stored, tmp_path, caplog):
    results, page = tmp_path / 'variants.json', tmp_path / 'page.md'
    results.write_text(json.dumps(stored))
    begin, other = '<!-- begin variants | sim -->', '<!-- begin more | sim -->\nkept\n<!-- end -->'
    page.write_text(f'A page.\n\n{begin}\nold\n<!-- end -->\n\n{other}\n')
    command_line = ['--results', str(results), '--page', str(page)]
    assert command.main(command_line) == 0
    written = page.read_text()
    assert f'{begin}\n\n{tables(stored)["sim"]}\n\n<!-- end -->' in written
    assert other in written and 'old' not in written
    assert command.main(command_line) == 0 and page.read_text() == written
    page.write_text('<!-- begin variants | moon -->\n<!-- end -->\n')
    assert command.main(command_line) == 1
    assert "asks for the table 'moon': expected one of ['success', 'cost'" in caplog.text
    page.write_text(other)
    assert command.main(command_line) == 1 and page.read_text() == other
    assert 'has no place for a table of variants: expected <!-- begin variants | ' in caplog.text


def test_a_difference_that_rounds_to_zero_has_no_sign():
    gap = {'difference': -0.0004, 'low': -0.01, 'high': 0.0004, 'p': 1.0}
    assert in_points(gap) == '0.0 [-1.0, 0.0]'
    assert in_points({**gap, 'low': None, 'high': None}) == '0.0 [-, -]'


def test_a_motion_of_a_single_scene_has_no_interval(stored):
    result = deepcopy(stored)
    for summary in result['variants'].values():
        for kinds in summary['sets'].values():
            kinds['all'] |= {'low': None, 'high': None}
    assert '[-, -]' in tables(result)['sim']


def test_what_cannot_be_compared_is_refused_in_one_line(tmp_path, caplog):
    for name, text, message in (
            ('none.json', None, "can't be read"), ('bad.json', '{', 'is not JSON'),
            ('other.json', '{}', 'no comparison: its format is None, expected')):
        if text is not None:
            (tmp_path / name).write_text(text)
        assert command.main(['--results', str(tmp_path / name)]) == 1
        assert message in caplog.text
    assert command.main(['--runs', str(tmp_path)]) == 1
    assert f'there is no checkpoint in {tmp_path}' in caplog.text
