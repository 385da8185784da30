"""The parts of an evaluation at several latencies, without running them."""

import json
from pathlib import Path

from moss_perception.core.errors import ConfigError
from moss_perception.data.schema import GRIP_S
from moss_perception.evaluation.record_files import write_evaluation
from moss_perception.evaluation.records import BagRecord, Evaluation
from moss_perception.models.checkpoint import save_checkpoint
from moss_perception.ros.system.evaluation import EVALUATION_ARGUMENTS, evaluation_runs
import numpy as np
import pytest
from tiny import tiny_network

LIVE = {'closed_loop': 'true', 'real_bag': 'none', 'attempts': '5', 'sim_seed': '6000007'}


@pytest.fixture(scope='module')
def timed(tmp_path_factory):
    """Write a checkpoint with time inputs, without graphs."""
    path = tmp_path_factory.mktemp('models') / 'timed.safetensors'
    save_checkpoint(path, tiny_network(
        time_inputs=True, lead_times_s=(0.6, 0.75), default_lead_time_s=0.7))
    return path


def runs_of(tmp_path, **values):
    return [{process.name: process for process in run}
            for run in evaluation_runs({'out': str(tmp_path / 'out'), **LIVE, **values})]


def option(process, name):
    words = process.arguments
    return words[words.index(name) + 1]


def test_each_latency_runs_three_ways(tmp_path, timed):
    *runs, report = runs_of(tmp_path, latencies='0,0.12', model=str(timed))
    assert len(runs) == 12
    nodes, evaluations = runs[::2], [run['evaluate'] for run in runs[1::2]]
    assert [run['sim_cell'].parameters['latency'] for run in nodes] == [0.0] * 3 + [0.12] * 3
    assert [run['sim_cell'].parameters['lead_times'] for run in nodes] == [True, False, False] * 2
    assert [run['grasp_predictor'].parameters.get('lead_time') for run in nodes] == [
        None, GRIP_S, None, None, 0.12 + GRIP_S, None]
    for run in nodes:
        cell, recorder = run['sim_cell'].parameters, run['run_recorder'].parameters
        assert (cell['seed'], cell['attempts'], cell['real_time'], cell['lock_step']) == (
            6000007, 5, False, True)
        assert recorder['images'] is False
    told = json.loads(option(evaluations[3], '--conditions'))
    assert (told['latency_s'], told['way'], told['seed'], told['attempts']) == (
        0.12, 'told', 6000007, 5)
    # The checkpoint was not trained for more.
    assert told['lead_time_s'] == 0.75
    assert json.loads(option(evaluations[5], '--conditions'))['lead_time_s'] == 0.7
    assert evaluations[3].arguments[1].startswith('sim_120ms_told:/')
    assert len({option(x, '--record') for x in evaluations}) == 6
    assert option(report['report'], '--latencies') == str(tmp_path / 'out' / 'latencies.json')


def test_a_checkpoint_without_time_inputs_runs_one_way(tmp_path):
    path = tmp_path / 'plain.safetensors'
    save_checkpoint(path, tiny_network())
    *runs, _ = runs_of(tmp_path, latencies='0,0.06,0.12', model=str(path))
    assert len(runs) == 6
    assert not any(run['sim_cell'].parameters['lead_times'] for run in runs[::2])


def finish(process):
    """Write the results of a part, as its evaluation would."""
    conditions = json.loads(option(process, '--conditions'))
    path = Path(option(process, '--record'))
    bag = BagRecord('bag', 'sim', '', 1.0, 0, {}, {}, 0, {}, 0.0, np.zeros(0), np.zeros(0), (),
                    conditions=conditions)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_evaluation(path, Evaluation('m', '0', 1.0, '', 1, '', '', (bag,)))


def test_a_stopped_evaluation_continues_with_the_missing_parts(tmp_path, timed):
    values = {'latencies': '0,0.12', 'model': str(timed)}
    first = runs_of(tmp_path, **values)
    for run in first[1:5:2]:
        finish(run['evaluate'])
    again = runs_of(tmp_path, **values)
    assert len(again) == len(first) - 4
    assert again[0]['sim_cell'].parameters == first[4]['sim_cell'].parameters
    assert again[-1]['report'] == first[-1]['report']
    with pytest.raises(ConfigError, match='1_sim_0ms_told.json holds results of seed 6000007, not '
                                          '6000008: expected another folder in the argument out'):
        runs_of(tmp_path, **values, sim_seed='6000008')


@pytest.mark.parametrize('values, line', [
    ({'latencies': 'short'}, "'latencies' is 'short': expected ascending seconds from 0 to 2"),
    ({'latencies': '0.1,0.05'}, 'expected ascending seconds'),
    ({'latencies': '-0.1'}, 'expected ascending seconds'),
    ({'latencies': '0', 'closed_loop': 'false'}, "'sim_bag' is '': expected closed_loop:=true"),
])
def test_latencies_that_cannot_be_run_are_refused(tmp_path, values, line):
    with pytest.raises(ConfigError, match=line):
        runs_of(tmp_path, **values)


@pytest.mark.parametrize('latencies', ['', '0,0.06'])
def test_scenes_that_the_checkpoint_was_trained_on_are_refused(tmp_path, latencies):
    path = tmp_path / 'trained.safetensors'
    save_checkpoint(path, tiny_network(), {'seeds': [[0, 99], [2_000_000, 2_003_999]]})
    given = {'model': str(path), 'latencies': latencies, 'attempts': '5'}
    with pytest.raises(ConfigError, match="'sim_seed' is '1999997': the checkpoint was trained on "
                                          'scenes 0 to 99 and 2000000 to 2003999, and 2 of these '
                                          'scenes are among them, such as 2000000'):
        runs_of(tmp_path, **given, sim_seed='1999997')
    assert runs_of(tmp_path, **given, sim_seed='1999995')
    # The default is of no training.
    assert EVALUATION_ARGUMENTS[[x.name for x in EVALUATION_ARGUMENTS].index('sim_seed')].default \
        == '6000000'


def test_the_lead_time_is_that_of_the_cells_gripper(tmp_path, timed):
    cell = str(Path(__file__).parents[2] / 'config' / 'cells' / 'oblique_table.yaml')
    *runs, _ = runs_of(tmp_path, latencies='0.06', model=str(timed), sim_cell=cell)
    assert runs[0]['sim_cell'].parameters['cell'] == cell
    assert runs[2]['grasp_predictor'].parameters['lead_time'] == pytest.approx(0.06 + 0.975)
    conditions = json.loads(option(runs[1]['evaluate'], '--conditions'))
    assert conditions['cell']['gripper.times.approach'] == 0.45


def test_in_real_time_a_cell_is_not_in_lock_step(tmp_path):
    run, *_ = runs_of(tmp_path, lock_step='false')
    assert 'lock_step' not in run['sim_cell'].parameters
    assert 'latency_budget' not in run['grasp_predictor'].parameters
