"""The runs of an evaluation, held against what was worked out by hand."""

from moss_perception.cli.eval_system import evaluation_runs
from moss_perception.core.errors import BagError, ConfigError
from moss_perception.core.resources import share_directory
from moss_perception.ros.system import JOB, SERVICE
import pytest


@pytest.fixture
def bag(make_bag, factory):
    return str(make_bag([factory.image(factory.START_NS, topic='/arm/color')], 'robot'))


def runs_of(tmp_path, **values):
    return [{process.executable: process for process in run}
            for run in evaluation_runs({'out': str(tmp_path / 'out'), **values})]


def test_without_a_word_the_shipped_recordings_are_compared(tmp_path):
    sim, real = runs_of(tmp_path)
    samples = share_directory() / 'samples'
    assert sim['bag_player'].parameters['bag'] == str(samples / 'sim_20')
    assert real['bag_player'].parameters['bag'] == str(samples / 'shifted_20')
    assert list(sim) == ['bag_evaluator', 'grasp_predictor', 'moss', 'bag_player']
    assert sim['bag_player'].parameters['lock_step'] is True
    assert sim['grasp_predictor'].parameters['qos_reliability'] == 'reliable'


def test_the_last_run_reports_what_all_have_found(tmp_path):
    sim, real = runs_of(tmp_path, require='auroc>=0.8')
    first, last = (x['bag_evaluator'].parameters for x in (sim, real))
    records = tmp_path / 'out' / 'records'
    assert first['record'] == str(records / '1_sim.json')
    assert 'report' not in first and 'require' not in first
    assert last['others'] == [first['record']]
    assert last['report'] == str(tmp_path / 'out' / 'report')
    assert (last['require'], last['reference']) == ('auroc>=0.8', 'sim')


def test_a_threshold_and_what_success_is_are_the_reports(tmp_path):
    _, real = runs_of(tmp_path, threshold='0', success_definition='held')
    last = real['bag_evaluator'].parameters
    assert (last['threshold'], last['success_definition']) == (0.0, 'held')
    with pytest.raises(ConfigError, match='threshold=2 is not allowed'):
        runs_of(tmp_path, threshold='2')


def test_the_evaluator_listens_before_anything_is_played(tmp_path):
    sim, _ = runs_of(tmp_path)
    assert sim['bag_evaluator'].role == JOB and sim['bag_evaluator'].starts_with == SERVICE
    assert sim['moss'].arguments == (
        'activate', 'grasp_predictor', '--heard', 'grasp_outcome')


def test_what_another_predictor_said_is_not_played(tmp_path):
    sim, _ = runs_of(tmp_path)
    excluded = sim['bag_player'].parameters['exclude_topics']
    assert {'/diagnostics', '/grasp_predictor/grasp_scores',
            '/grasp_predictor/processed'} <= set(excluded)


def test_a_robots_topics_are_its_own(tmp_path, bag):
    run, = runs_of(tmp_path, sim_bag='none', real_bag=bag, real_domain='real',
                   real_candidates_topic='/arm/grasps')
    predictor, evaluator = run['grasp_predictor'], run['bag_evaluator']
    assert predictor.remappings == (('image', '/arm/color'), ('grasp_candidates', '/arm/grasps'))
    assert evaluator.remappings == (('image', '/arm/color'),)
    assert evaluator.parameters['candidates_topic'] == '/arm/grasps'
    assert evaluator.parameters['domain'] == 'real' and 'others' not in evaluator.parameters


def test_played_in_time_nothing_waits_and_the_latency_is_logged(tmp_path):
    sim, _ = runs_of(tmp_path, lock_step='false', bag_rate='2', verify='false')
    assert sim['bag_player'].parameters['lock_step'] is False
    assert sim['bag_player'].parameters['rate'] == 2.0
    assert sim['bag_evaluator'].parameters['pace'] == '2x'
    assert sim['bag_player'].parameters['timing_log'] == sim['bag_evaluator'].parameters[
        'timing_log']
    assert 'latency_budget' not in sim['grasp_predictor'].parameters


def test_in_closed_loop_the_gate_selects_in_each_domain(tmp_path):
    sim, real = runs_of(tmp_path, closed_loop='true', attempts='7', sim_seed='3')
    for run, domain in ((sim, 'sim'), (real, 'shifted')):
        assert 'grasp_gate' in run and 'bag_player' not in run
        cell, evaluator = run['sim_cell'].parameters, run['bag_evaluator'].parameters
        assert (cell['attempts'], cell['domain'], cell['seed']) == (7, domain, 3)
        assert (evaluator['attempts'], evaluator['domain']) == (7, domain)
        assert evaluator['closed_loop'] is True and 'bag' not in evaluator


def test_a_live_cell_may_stand_beside_a_recording(tmp_path, bag):
    sim, real = runs_of(tmp_path, sim_bag='live', real_bag=bag)
    assert 'sim_cell' in sim and 'bag_player' in real


@pytest.mark.parametrize('values, line', [
    ({'sim_bag': 'none', 'real_bag': 'none'}, 'expected one of them to be something'),
    ({'sim_bag': '/nowhere'}, "'bag' is '/nowhere': there is no such file"),
    ({'closed_loop': 'true', 'sim_bag': '/x'}, 'nothing can be grasped in a recording'),
    ({'closed_loop': 'true', 'attempts': '0'}, "'attempts' is '0': expected a whole number"),
    ({'real_outcomes': '/no.csv'}, "'real_outcomes' is '/no.csv': there is no such file"),
    ({'lock_step': 'false', 'bag_rate': 'fast'}, "'bag_rate' is 'fast': expected a number"),
    ({'lock_stop': 'true'}, "unknown argument 'lock_stop': expected lock_step")])
def test_what_cannot_be_run_is_refused(tmp_path, values, line):
    with pytest.raises(ConfigError, match=line):
        evaluation_runs({'out': str(tmp_path), **values})


def test_a_recording_without_images_is_refused(tmp_path, make_bag, factory):
    bag = make_bag([factory.text(factory.START_NS, 'x')])
    with pytest.raises(BagError, match='no images'):
        evaluation_runs({'out': str(tmp_path), 'sim_bag': str(bag)})
