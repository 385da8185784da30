"""The description of the grasp system, compared with expected processes."""

from importlib import import_module
from pathlib import Path

from moss_perception.core.errors import ConfigError
from moss_perception.core.resources import share_directory
from moss_perception.ros.system.feeds import own_topics
from moss_perception.ros.system.grasp import GRASP_ARGUMENTS, grasp_system
from moss_perception.ros.system.processes import JOB, Process, SERVICE, STARTER, WATCHER
import pytest

CONFIG = str(share_directory() / 'config' / 'grasp.yaml')


@pytest.fixture
def bag(factory, make_bag):
    return str(make_bag([factory.image(factory.START_NS)]))


def by_name(**values):
    return {process.name: process for process in grasp_system(values)}


def test_a_live_system_has_predictor_gate_and_starter():
    processes = grasp_system({})
    assert [(p.executable, p.role) for p in processes] == [
        ('grasp_predictor', SERVICE), ('grasp_gate', SERVICE), ('moss', STARTER),
        ('moss', WATCHER)]
    assert all(p.namespace == '' and p.log_level == 'info' for p in processes)


def test_the_predictor_is_told_topics_transport_and_model(tmp_path):
    model = tmp_path / 'weights.safetensors'
    model.touch()
    predictor = by_name(
        image_topic='/arm/color', image_transport='compressed', model=str(model),
        camera_info_topic='/arm/camera_info', candidates_topic='/grasps')['grasp_predictor']
    assert predictor.remappings == (('image', '/arm/color'), ('camera_info', '/arm/camera_info'),
                                    ('grasp_candidates', '/grasps'))
    assert predictor.parameters == {'use_sim_time': False, 'image_transport': 'compressed',
                                    'model_path': str(model)}
    assert predictor.parameter_files == (CONFIG,)
    assert predictor.lifecycle


def test_what_is_not_said_is_left_to_the_parameter_files():
    predictor = by_name()['grasp_predictor']
    assert predictor.parameters == {'use_sim_time': False}
    assert predictor.remappings == ()


def test_the_gate_takes_only_the_scores_of_the_predictor():
    gate = by_name(candidates_topic='/grasps')['grasp_gate']
    assert gate.remappings == (('grasp_scores', 'grasp_predictor/grasp_scores'),)


def test_a_bag_is_a_job_and_brings_its_clock(bag):
    processes = by_name(bag=bag, namespace='robot_1', bag_rate='2.5', lock_step='true')
    player = processes['bag_player']
    assert player.role == JOB
    assert player.parameters == {
        'bag': bag, 'rate': 2.5, 'lock_step': True, 'publish_clock': True,
        'processed_topic': '/robot_1/grasp_predictor/processed',
        'wait_for_subscribers': ['/image'], 'exclude_topics': own_topics('/robot_1', True)}
    assert processes['grasp_predictor'].parameters['use_sim_time'] is True
    assert processes['grasp_gate'].parameters['use_sim_time'] is True
    assert all(process.namespace == '/robot_1' for process in processes.values())


@pytest.fixture
def outputs(monkeypatch):
    """Return the topics that a node publishes, as the documentation lists them."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / 'docs' / 'generate'))
    topics = import_module('topics')
    return lambda node: {
        name.replace('~', node) for name, (direction, _) in topics.REMARKS[node].items()
        if direction == topics.OUT}


def test_what_predictor_and_gate_said_during_the_recording_is_not_played(bag, outputs):
    for namespace in ('', '/arm'):
        player = by_name(bag=bag, namespace=namespace, image_topic='/image')['bag_player']
        wanted = {name if name.startswith('/') else f'{namespace}/{name}'
                  for node in ('grasp_predictor', 'grasp_gate') for name in outputs(node)}
        assert wanted <= set(player.parameters['exclude_topics'])
        assert '/image' not in player.parameters['exclude_topics']


def test_without_gate_the_recorded_selection_is_played(bag):
    processes = by_name(bag=bag, gate='false')
    assert 'grasp_gate' not in processes
    excluded = processes['bag_player'].parameters['exclude_topics']
    assert '/grasp_predictor/grasp_scores' in excluded and '/diagnostics' in excluded
    assert not {'/selected_grasp', '/grasp_gate/state', '/grasp_gate/processed'} & set(excluded)


def test_use_sim_time_can_be_refused_with_a_bag(bag):
    processes = by_name(bag=bag, use_sim_time='false')
    assert processes['bag_player'].parameters['publish_clock'] is False
    assert processes['grasp_predictor'].parameters['use_sim_time'] is False


def test_a_simulated_cell_is_a_job_that_brings_camera_and_clock():
    processes = by_name(sim='true', namespace='arm', image_topic='/arm/color', sim_attempts='3',
                        sim_domain='shifted', sim_seed='7', sim_cell='full')
    cell = processes['sim_cell']
    assert cell.role == JOB
    assert cell.parameters == {
        'publish_clock': True, 'compressed': True, 'cell': 'full', 'domain': 'shifted',
        'attempts': 3, 'seed': 7, 'processed_topic': '/arm/grasp_predictor/processed',
        'decided_topic': '/arm/grasp_gate/processed'}
    assert cell.remappings == (('image', '/arm/color'),)
    assert processes['grasp_predictor'].parameters == {
        'use_sim_time': True, 'image_transport': 'compressed'}
    assert processes['grasp_gate'].parameters == {'use_sim_time': True}
    assert {process.namespace for process in processes.values()} == {'/arm'}


def test_what_is_not_said_of_the_simulated_cell_is_left_to_the_parameter_files():
    cell = by_name(sim='true', image_transport='raw', use_sim_time='false')['sim_cell']
    assert cell.parameters == {
        'publish_clock': False, 'compressed': False,
        'processed_topic': '/grasp_predictor/processed',
        'decided_topic': '/grasp_gate/processed'}
    assert cell.parameter_files == (CONFIG,)
    assert 'sim_cell' not in by_name()


@pytest.mark.parametrize('gate, decided', [('true', '/arm/grasp_gate/processed'), ('false', '')])
def test_a_simulated_cell_in_lock_step_waits_for_the_nodes_that_there_are(gate, decided):
    cell = by_name(sim='true', lock_step='true', gate=gate, namespace='arm')['sim_cell'].parameters
    assert (cell['lock_step'], cell['real_time']) == (True, False)
    assert cell['processed_topic'] == '/arm/grasp_predictor/processed'
    assert cell['decided_topic'] == decided


@pytest.mark.parametrize('values, line', [
    ({'lock_step': 'true'}, "'lock_step' is 'true': expected bag or sim:=true as well"),
    ({'robots': 'left,right', 'lock_step': 'true'}, "'lock_step' is 'true': expected bag or sim"),
    ({'bag_rate': '2'}, "'bag_rate' is '2': expected 1.0 without a recording"),
    ({'bag_rate': '2', 'sim': 'true'}, "'bag_rate' is '2': expected 1.0 without a recording")])
def test_a_pace_that_nothing_keeps_is_refused(values, line):
    with pytest.raises(ConfigError, match=line):
        grasp_system(values)
    assert grasp_system({'bag_rate': '1'})


def test_a_recording_and_a_simulated_cell_exclude_each_other(tmp_path):
    with pytest.raises(ConfigError, match="'bag' is .* and 'sim' is 'true': expected one of them"):
        grasp_system({'bag': str(tmp_path), 'sim': 'true'})


@pytest.mark.parametrize('name', ['sim_attempts', 'sim_seed'])
@pytest.mark.parametrize('value', ['-1', '1.5', 'many', '\u0663', str(2**31)])
def test_a_number_of_the_simulated_cell_that_is_none_is_refused(name, value):
    with pytest.raises(ConfigError, match=f"'{name}' is '{value}': expected a whole number"):
        grasp_system({'sim': 'true', name: value})


def test_autostart_can_be_left_to_others():
    assert 'lifecycle_starter' not in by_name(autostart='false')
    assert by_name()['lifecycle_starter'].arguments == ('activate', 'grasp_predictor')


def test_what_you_say_of_camera_and_frames_reaches_the_predictor():
    given = {'rectified': 'true', 'candidates_frame': 'base_link',
             'candidates_transform': '0 0 1 1 0 0 0'}
    predictor = by_name(**given)['grasp_predictor']
    assert {name: predictor.parameters[name] for name in given} == given
    # Without these arguments, the parameter files decide.
    assert not given.keys() & by_name()['grasp_predictor'].parameters.keys()
    with pytest.raises(ConfigError, match='its quaternion has the length 2, expected seven'):
        grasp_system({'candidates_transform': '0 0 0 0 0 0 2'})


def test_own_parameters_come_after_the_shipped_ones(tmp_path):
    mine = tmp_path / 'mine.yaml'
    mine.touch()
    for process in grasp_system({'params_file': str(mine), 'autostart': 'false'}):
        assert process.parameter_files == (CONFIG, str(mine))


@pytest.mark.parametrize('name, value, expected', [
    ('gate', 'maybe', 'one of true, false'),
    ('image_transport', 'my theora', 'expected raw, compressed, or the name of a plugin'),
    ('log_level', 'loud', 'debug, info, warn, error, fatal'),
    ('use_sim_time', 'yes', 'auto, true, false'),
    ('image_topic', 'my image', 'topic name'),
    ('candidates_topic', '', 'topic name'),
    ('lead_times_topic', 'my times', 'topic name'),
    ('namespace', '1robot', 'namespace'),
    ('rectified', 'perhaps', "one of '', auto, true, false"),
    ('params_file', '/no/such.yaml', 'no such file'),
    ('model', '/no/such.safetensors', 'no such file'),
    ('bag', '/no/such_bag', 'no such file or folder'),
])
def test_a_bad_value_is_refused_by_name(name, value, expected):
    with pytest.raises(ConfigError) as caught:
        grasp_system({name: value})
    assert f"'{name}'" in str(caught.value)
    assert f"'{value}'" in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize('rate', ['0', '-1', 'fast', '101', 'nan', 'inf'])
def test_a_bag_rate_that_is_no_speed_is_refused(rate, tmp_path):
    with pytest.raises(ConfigError, match="'bag_rate' is"):
        grasp_system({'bag': str(tmp_path), 'bag_rate': rate})


def test_an_unknown_argument_names_its_neighbours():
    with pytest.raises(ConfigError, match="unknown argument 'imagetopic': expected image_topic"):
        grasp_system({'imagetopic': 'x'})


def test_defaults_are_among_the_choices():
    for argument in GRASP_ARGUMENTS:
        assert argument.description
        assert not argument.choices or argument.default in argument.choices


def test_a_process_writes_out_its_command_line():
    process = Process(
        'player', 'my_player', namespace='/a', arguments=('x',), parameter_files=('f.yaml',),
        parameters={'bag': '1.0', 'rate': 2.0, 'loop': True, 'topics': ['/a', 'b c']},
        remappings=(('in', '/out'),), log_level='warn')
    assert process.command_arguments() == [
        'x', '--ros-args', '-r', '__node:=my_player', '-r', '__ns:=/a', '-r', 'in:=/out',
        '--params-file', 'f.yaml', '-p', 'bag:="1.0"', '-p', 'rate:=2.0', '-p', 'loop:=true',
        '-p', 'topics:=["/a", "b c"]', '--log-level', 'warn']


def test_relative_paths_are_made_absolute(bag, monkeypatch):
    monkeypatch.chdir(Path(bag).parent)
    player = by_name(bag=Path(bag).name)['bag_player']
    assert player.parameters['bag'] == str(Path(bag).resolve())


def test_the_console_and_the_page_are_one_watcher():
    monitor = by_name()['grasp_monitor']
    assert (monitor.arguments, monitor.role) == (('monitor', '--lines'), WATCHER)
    page = by_name(web='true', web_port='0', namespace='arm')['grasp_monitor']
    assert page.arguments == ('monitor', '--web', '--host', '127.0.0.1', '--port', '0', '--lines')
    assert page.namespace == '/arm'
    assert 'grasp_monitor' not in by_name(console='false')
    more = by_name(foxglove='true', rviz='true', console='false')
    assert more['grasp_foxglove'].arguments == ('monitor', '--foxglove')
    assert more['grasp_rviz'].arguments == ('monitor', '--rviz')


def test_a_page_for_others_needs_a_token(monkeypatch):
    monkeypatch.delenv('MOSS_MONITOR_TOKEN', raising=False)
    with pytest.raises(ConfigError, match='host 0.0.0.0 is not loopback.*expected a token'):
        grasp_system({'web': 'true', 'web_host': '0.0.0.0'})
    monkeypatch.setenv('MOSS_MONITOR_TOKEN', 'short')
    with pytest.raises(ConfigError, match='a token of 5 characters is not allowed'):
        grasp_system({'web': 'true', 'web_host': '0.0.0.0'})
    monkeypatch.setenv('MOSS_MONITOR_TOKEN', 'a-secret-of-some-length')
    assert by_name(web='true', web_host='0.0.0.0')
    with pytest.raises(ConfigError, match="'web_port' is 'x': expected a whole number"):
        grasp_system({'web': 'true', 'web_port': 'x'})
