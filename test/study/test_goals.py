"""Goals are checked for the variants that validation sets or the command line choose."""

from copy import deepcopy
from dataclasses import replace

from moss_perception.core.errors import ConfigError
from moss_perception.evaluation.record_files import plain
import numpy as np
import pytest
from study_runs import attempts, COST, run

from study.comparison import compare_pairs, summarise
from study.goals import Above, AtLeast, cast, difference, Early, goals, Loss
from study.monitoring import EARLY_S, measure_monitoring, TIMES_S
from study.shift import loss_beyond_true_motion
from study.table import tables

pytest.importorskip('scipy')
NAMES = {'displacement_1': 0.6, 'displacement_12': 0.4, 'flow': 0.9, 'tsm': 3.0}


@pytest.fixture(scope='module')
def result():
    """Compare four variants, of which less noise chooses better, on two sets."""
    # All of one kind of motion, since every kind of every pair is tested.
    some = {name: replace(attempts(60, seed=seed), motions=np.full(60, 'still'))
            for name, seed in (('sim', 0), ('shifted', 5))}
    for one in some.values():
        one.baselines['true_motion'] = np.arange(60) % 4 > 0
    sets = {name: one.describe() for name, one in some.items()}
    runs = [run(variant, 0, some['sim'], noise) for variant, noise in NAMES.items()]
    for one, (variant, noise) in zip(runs, NAMES.items(), strict=True):
        one['sets']['shifted'] = run(variant, 0, some['shifted'], 2 * noise)['sets']['sim']
        one['validation'] = {'sim': 1 - noise / 4, 'shifted': 0.5}
    return plain({'format': 'moss_perception.comparison/3', 'machine': 'a machine', 'sets': sets,
                  'costs': dict.fromkeys(NAMES, COST), 'variants': summarise(runs, sets),
                  'pairs': compare_pairs(runs, sets), 'uncertainty': {}, 'runs': runs,
                  'validation': {'sim': {}, 'shifted': {}}})


def test_validation_sets_choose_and_the_command_line_goes_first(result):
    assert cast(result) == {'best': 'displacement_12', 'moss': 'displacement_12', 'flow': 'flow'}
    assert cast(result, {'moss': 'displacement_1'})['moss'] == 'displacement_1'
    turned = deepcopy(result)
    for one in turned['runs']:
        one['validation'] = {'sim': 1 - one['validation']['sim'] + 0.5, 'shifted': 0.0}
    # Success on the test sets stays as it was, and does not choose.
    assert cast(turned)['best'] == 'tsm' and cast(turned)['moss'] == 'displacement_1'
    for word in ({'moss': 'moon'}, {'captain': 'flow'}):
        with pytest.raises(ConfigError, match=r'--role .* is not allowed: expected a role of'):
            cast(result, word)


def test_the_best_of_a_single_training_is_not_chosen_among_those_with_several(result):
    several = deepcopy(result)
    again = [deepcopy(one) | {'seed': 1} for one in several['runs']
             if one['variant'] == 'displacement_1']
    several['runs'] += again
    several['variants']['displacement_1']['seeds'] = [0, 1]
    assert cast(several) == {'best': 'displacement_1', 'moss': 'displacement_1', 'flow': 'flow'}


def test_without_validation_only_a_role_with_one_variant_is_filled(result):
    blind = deepcopy(result)
    for one in blind['runs']:
        del one['validation']
    assert cast(blind) == {'flow': 'flow'}
    assert ('Goals of best and moss are left out: choose variants by --validation or --role.'
            in tables(blind)['goals'])


def test_a_goal_is_met_by_the_value_and_where_asked_by_the_interval(result):
    success = 100 * result['variants']['flow']['sets']['sim']['all']['success']
    for percent, met in ((success - 1, True), (success + 1, False)):
        assert AtLeast('flow', 'sim', percent).check(result, {})['met'] is met
    gap = difference(result, 'displacement_12', 'tsm', 'sim', 'all')
    assert gap['low'] > 0
    assert gap['difference'] == -difference(result, 'tsm', 'displacement_12', 'sim',
                                            'all')['difference']
    assert Above('moss', 'tsm', 'sim', points=3, sure=True).check(
        result, {'moss': 'displacement_12'})['met'] is True
    near = Above('displacement_12', 'displacement_1', 'sim', sure=True).check(result, {})
    low = difference(result, 'displacement_12', 'displacement_1', 'sim', 'all')['low']
    assert near['met'] is (low > 0) and near['wanted'] == 'an interval above 0'
    assert Above('displacement_12', 'moon', 'sim').check(result, {}) is None


def test_a_loss_is_counted_beyond_that_of_true_motion(result):
    found = loss_beyond_true_motion(result, 'tsm', 'sim', 'shifted')
    sets = result['variants']['tsm']['sets']
    # True motion has the same success on both sets.
    assert found['difference'] == pytest.approx(
        sets['sim']['all']['success'] - sets['shifted']['all']['success'])
    assert found['low'] < found['difference'] < found['high']
    for points, met in ((100 * found['difference'] + 1, True),
                        (100 * found['difference'] - 1, False)):
        assert Loss('tsm', 'sim', 'shifted', points).check(result, {})['met'] is met
    assert loss_beyond_true_motion(result, 'tsm', 'sim', 'moon') is None


def test_monitoring_is_compared_with_the_best_without_moss_on_the_same_grasps(result):
    class Monitored:
        success = np.arange(80) % 2 == 0
        loss_s = np.where(success, np.inf, 2.0)
    more = deepcopy(result)
    more['sets']['sim']['monitored'] = '10' * 40
    for one, (variant, noise) in zip(more['runs'], NAMES.items(), strict=True):
        scores = np.random.default_rng(1).normal(np.tile(Monitored.success, len(TIMES_S)), noise)
        one['sets']['sim']['monitoring'] = found = measure_monitoring(
            1 / (1 + np.exp(-scores)), Monitored)
        more['variants'][variant]['sets']['sim']['monitoring'] = found
    row = Early('moss', 'sim').check(more, {'moss': 'displacement_12'})
    areas = {one['variant']: one['sets']['sim']['monitoring']['auroc'][TIMES_S.index(EARLY_S)]
             for one in more['runs']}
    assert 'AUROC of displacement_12 above flow, the best without MOSS' in row['goal']
    assert float(row['found'].split()[0]) == pytest.approx(
        areas['displacement_12'] - areas['flow'], abs=2e-3)
    assert row['met'] is True and row['seeds'] == [0]
    # Of the variants without MOSS, one with more trainings goes before a better one.
    more['variants']['tsm']['seeds'] = [0, 1]
    again = Early('moss', 'sim').check(more, {'moss': 'displacement_12'})
    assert 'above tsm' in again['goal'] and again['seeds'] == [0]
    more['variants']['tsm']['seeds'] = [1, 2]
    assert Early('moss', 'sim').check(more, {'moss': 'displacement_12'}) is None
    assert Early('moss', 'sim').check(result, {'moss': 'displacement_12'}) is None


def test_the_tables_show_what_the_goals_need(result):
    found = tables(result)
    assert '| displacement_12 | 70.0' in found['validation']
    assert {row['goal'] for row in goals(result)} >= {
        'sim: success of displacement_12', 'shifted, all: displacement_12 above flow'}
    row, = (line for line in found['success'].splitlines() if 'true_motion' in line)
    assert [cell.strip() for cell in row.strip('|').split('|')] == [
        'true_motion', '-', '75.0', '75.0']
    assert 'oracle' not in found['success']
    assert found['beyond true motion'].count('\n') == 2 + 1 + len(NAMES)
