"""The description of an evaluation over topics, compared with expected processes."""

from calibrations import write_calibration
from moss_perception.core.errors import BagError, ConfigError
from moss_perception.core.resources import share_directory
from moss_perception.ros.system.evaluation import evaluation_runs
from moss_perception.ros.system.processes import JOB, SERVICE, STARTER
import pytest


@pytest.fixture
def bag(make_bag, factory):
    return str(make_bag([factory.image(factory.START_NS, topic='/arm/color')], 'robot'))


def runs_of(tmp_path, **values):
    """Return the processes of each run by name."""
    return [{process.name: process for process in run}
            for run in evaluation_runs({'out': str(tmp_path / 'out'), **values})]


def words_of(process):
    """Return the options of a command with their values."""
    words = process.command_arguments()
    starts = [n for n, word in enumerate(words) if word.startswith('--')] + [len(words)]
    return {words[n]: words[n + 1:end] for n, end in zip(starts, starts[1:], strict=False)}


def test_without_a_word_the_shipped_recordings_are_compared(tmp_path):
    sim, first, real, second, report = runs_of(tmp_path)
    samples = share_directory() / 'samples'
    assert sim['bag_player'].parameters['bag'] == str(samples / 'sim_20')
    assert real['bag_player'].parameters['bag'] == str(samples / 'shifted_20')
    assert list(sim) == ['run_recorder', 'grasp_predictor', 'lifecycle_starter', 'bag_player',
                         'check']
    assert sim['bag_player'].parameters['lock_step'] is True
    assert sim['grasp_predictor'].parameters['qos_reliability'] == 'reliable'
    assert list(first) == list(second) == ['evaluate'] and list(report) == ['report']


def test_each_recording_is_evaluated_by_its_recorded_scores(tmp_path):
    sim, first, *_ = runs_of(tmp_path)
    recorder, words = sim['run_recorder'].parameters, first['evaluate'].command_arguments()
    assert words[:2] == ['evaluate', f'sim:{recorder["out"]}']
    assert recorder['played'] == sim['bag_player'].parameters['bag']
    assert (recorder['pace'], recorder['inputs'], recorder['images']) == (
        'lock step', False, False)
    found = words_of(first['evaluate'])
    assert found['--scores'] == ['recorded'] and '--verify' in found
    assert found['--image-topic'] == ['/image/compressed']
    assert found['--record'] == [str(tmp_path / 'out' / 'records' / '1_sim.json')]


def test_the_last_run_reports_what_all_have_found(tmp_path):
    _, first, _, second, last = runs_of(tmp_path, require='auroc>=0.8; attempts>=3')
    found = words_of(last['report'])
    assert found['--records'] == [
        *words_of(first['evaluate'])['--record'], *words_of(second['evaluate'])['--record']]
    assert found['--report'] == [str(tmp_path / 'out' / 'report')]
    assert found['--require'] == ['auroc>=0.8', 'attempts>=3']
    assert found['--reference'] == ['sim']


def test_a_threshold_and_what_success_is_are_the_reports(tmp_path):
    *_, last = runs_of(tmp_path, threshold='0', success_definition='held')
    found = words_of(last['report'])
    assert (found['--threshold'], found['--success-definition']) == (['0'], ['held'])
    with pytest.raises(ConfigError, match='threshold=2 is not allowed'):
        runs_of(tmp_path, threshold='2')


def test_what_cannot_be_evaluated_is_found_before_anything_is_played(tmp_path):
    sim, *_ = runs_of(tmp_path, sim_outcomes=__file__)
    check = sim['check']
    assert check.role == STARTER and check.plain
    found = words_of(check)
    assert check.arguments[1] == sim['bag_player'].parameters['bag']
    assert found['--check'] == [] and found['--outcomes'] == [__file__]
    with pytest.raises(ConfigError, match='beauty'):
        runs_of(tmp_path, require='beauty>=1')


@pytest.mark.parametrize('source, closed_loop', [('bag_player', 'false'), ('sim_cell', 'true')])
def test_the_source_of_images_waits_for_the_predictor_and_the_recorder(
        tmp_path, source, closed_loop):
    sim, *_ = runs_of(tmp_path, closed_loop=closed_loop)
    recorder = sim['run_recorder']
    assert recorder.role == JOB and recorder.starts_with == SERVICE
    assert sim[source].parameters['wait_for_nodes'] == [
        '/grasp_predictor=/image/compressed', '/run_recorder=/grasp_outcome']


def test_what_another_predictor_said_is_not_played(tmp_path):
    sim, *_ = runs_of(tmp_path)
    excluded = sim['bag_player'].parameters['exclude_topics']
    assert {'/diagnostics', '/grasp_predictor/grasp_scores', '/grasp_predictor/grasp_markers',
            '/grasp_predictor/processed'} <= set(excluded)
    # The executed grasps of the recording are evaluated.
    assert '/selected_grasp' not in excluded


def test_a_robots_topics_are_its_own(tmp_path, bag):
    run, evaluation, _ = runs_of(tmp_path, sim_bag='none', real_bag=bag, real_domain='real',
                                 real_topics='candidates:=/arm/grasps,'
                                 'lead_times:=/arm/times,executed:=/arm/goal')
    predictor, recorder = run['grasp_predictor'], run['run_recorder']
    assert predictor.remappings == (('image', '/arm/color'), ('grasp_candidates', '/arm/grasps'),
                                    ('grasp_lead_times', '/arm/times'))
    assert recorder.remappings == (('image', '/arm/color'),)
    found = words_of(evaluation['evaluate'])
    assert found['--candidates-topic'] == ['/arm/grasps']
    assert found['--lead-times-topic'] == ['/arm/times']
    assert found['--executed-topic'] == ['/arm/goal']
    assert found['--image-topic'] == ['/arm/color']
    assert evaluation['evaluate'].arguments[1].startswith('real:/')


def test_both_recordings_may_have_names_of_their_own_in_one_file(tmp_path, bag):
    (tmp_path / 'topics.yaml').write_text(
        'lab: {candidates: /lab/grasps}\n'
        'real: {candidates: /arm/grasps, executed: /arm/goal, outcomes: topics.yaml}\n')
    file = str(tmp_path / 'topics.yaml')
    first, _, second, evaluation, _ = runs_of(
        tmp_path, sim_bag=bag, sim_domain='lab', real_bag=bag, sim_topics=file, real_topics=file)
    for run, topic in ((first, '/lab/grasps'), (second, '/arm/grasps')):
        assert ('grasp_candidates', topic) in run['grasp_predictor'].remappings
    found = words_of(evaluation['evaluate'])
    assert (found['--executed-topic'], found['--outcomes']) == (['/arm/goal'], [file])


def test_a_robots_camera_is_its_own(tmp_path, bag):
    run, evaluation, _ = runs_of(
        tmp_path, sim_bag='none', real_bag=bag, real_domain='real',
        real_topics='candidates_frame:=base_link,candidates_transform:=0 0 1 1 0 0 0,'
                    'rectified:=true')
    given = run['grasp_predictor'].parameters
    assert (given['rectified'], given['candidates_frame'], given['candidates_transform']) == (
        'true', 'base_link', '0 0 1 1 0 0 0')
    found = words_of(evaluation['evaluate'])
    assert found['--candidates-transform'] == ['0', '0', '1', '1', '0', '0', '0']
    assert found['--candidates-frame'] == ['base_link'] and found['--rectified'] == ['true']


def test_played_in_time_nothing_waits_and_the_latency_is_logged(tmp_path):
    sim, first, *_ = runs_of(tmp_path, lock_step='false', bag_rate='2', verify='false')
    assert sim['bag_player'].parameters['lock_step'] is False
    assert sim['bag_player'].parameters['rate'] == 2.0
    recorder = sim['run_recorder'].parameters
    assert recorder['pace'] == '2x'
    assert sim['bag_player'].parameters['timing_log'] == recorder['timing_log']
    assert 'latency_budget' not in sim['grasp_predictor'].parameters
    assert '--verify' not in words_of(first['evaluate'])


def test_in_closed_loop_the_gate_selects_in_each_domain(tmp_path):
    sim, _, real, _, _ = runs_of(tmp_path, closed_loop='true', attempts='7', sim_seed='6000003',
                                 strips='false')
    for run, domain in ((sim, 'sim'), (real, 'shifted')):
        assert 'grasp_gate' in run and 'bag_player' not in run and 'check' not in run
        cell, recorder = run['sim_cell'].parameters, run['run_recorder'].parameters
        assert (cell['attempts'], cell['domain'], cell['seed']) == (7, domain, 6000003)
        assert (recorder['attempts'], recorder['inputs'], recorder['images']) == (7, True, False)
        assert recorder['closed_loop'] is True and 'played' not in recorder


def test_a_live_cell_may_stand_beside_a_recording(tmp_path, bag):
    sim, _, real, _, _ = runs_of(tmp_path, sim_bag='live', real_bag=bag)
    assert 'sim_cell' in sim and 'bag_player' in real


@pytest.mark.parametrize('values, line', [
    ({'sim_bag': 'none', 'real_bag': 'none'}, 'expected a source for at least one of them'),
    ({'sim_bag': '/nowhere'}, "'bag' is '/nowhere': there is no such file"),
    ({'closed_loop': 'true', 'sim_bag': '/x'}, 'no grasp can be executed in a recording'),
    ({'closed_loop': 'true', 'attempts': '0'}, "'attempts' is '0': expected a whole number"),
    ({'real_outcomes': '/no.csv'}, "'real_outcomes' is '/no.csv': there is no such file"),
    ({'lock_step': 'false', 'bag_rate': 'fast'}, "'bag_rate' is 'fast': expected a number"),
    ({'real_topics': 'colour:=/x'}, "has the key 'colour': expected one of image, camera_info"),
    ({'real_topics': 'image=/x'}, "argument 'real_topics' has 'image=/x': expected KEY:=TOPIC"),
    ({'real_topics': '/no.yaml'}, "topics /no.yaml can't be read: No such file"),
    ({'lock_stop': 'true'}, "unknown argument 'lock_stop': expected lock_step")])
def test_what_cannot_be_run_is_refused(tmp_path, values, line):
    with pytest.raises(ConfigError, match=line):
        evaluation_runs({'out': str(tmp_path), **values})


def test_a_calibration_in_a_file_is_played_and_evaluated(tmp_path, bag):
    (tmp_path / 'my cell').mkdir()
    path = write_calibration(tmp_path / 'my cell' / 'cal.yaml')
    nodes, (evaluation,), _ = evaluation_runs({
        'out': str(tmp_path), 'sim_bag': 'none', 'real_bag': bag,
        'real_topics': f'calibration:={path},camera_info:=/camera/info'})
    player = next(x for x in nodes if x.executable == 'bag_player')
    assert player.parameters['calibration'] == str(path)
    assert player.remappings == (('camera_info', '/camera/info'),)
    words = evaluation.arguments
    assert words[words.index('--calibration') + 1] == str(path)


def test_a_recording_without_images_is_refused(tmp_path, make_bag, factory):
    bag = make_bag([factory.text(factory.START_NS, 'x')])
    with pytest.raises(BagError, match='no images'):
        evaluation_runs({'out': str(tmp_path), 'sim_bag': str(bag)})
