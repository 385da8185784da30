"""The launch file: arguments, processes and exit statuses, where launch_ros is there."""

import logging
import sys

from moss_perception.ros.system.grasp import GRASP_ARGUMENTS
import pytest

pytest.importorskip('launch_ros', reason='launch_ros is not installed (PyPI has none)')

from launch import LaunchContext, LaunchDescription, LaunchService
from launch.actions import DeclareLaunchArgument, ExecuteProcess, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch_files import load_launch_file
from launch_ros.actions import LifecycleNode, Node
from moss_perception.ros.system.processes import JOB, Process, SERVICE, STARTER, WATCHER

# Loggers that are made after launch's import are launch's own kind, which keeps their records from
# pytest's caplog: the other tests of this process get Python's kind back.
logging.setLoggerClass(logging.Logger)

STAY = 'import time; time.sleep(60)'


@pytest.fixture(scope='module')
def launch_file():
    return load_launch_file('grasp')


def test_the_arguments_are_those_of_the_description(launch_file):
    declared = [entity for entity in launch_file.generate_launch_description().entities
                if isinstance(entity, DeclareLaunchArgument)]
    described = GRASP_ARGUMENTS
    assert [entity.name for entity in declared] == [argument.name for argument in described]
    for entity, argument in zip(declared, described, strict=True):
        assert argument.description in entity.description
        assert tuple(entity.choices or ()) == argument.choices
        assert entity.default_value[0].text == argument.default


def nodes_of(launch_file, values):
    """Perform the launch file's function with arguments, and return its node actions."""
    context = LaunchContext()
    for argument in GRASP_ARGUMENTS:
        context.launch_configurations[argument.name] = values.get(argument.name, argument.default)
    return [action for action in launch_file.make_system(context) if isinstance(action, Node)]


def test_a_live_system_is_made_of_three_nodes_and_a_watcher(launch_file):
    nodes = nodes_of(launch_file, {})
    assert [node.node_executable for node in nodes] == [
        'grasp_predictor', 'grasp_gate', 'moss', 'moss']
    assert isinstance(nodes[0], LifecycleNode)


def test_predictors_of_one_process_get_no_common_namespace(launch_file):
    context = LaunchContext()
    values = {'robots': 'left,right', 'one_process': 'true', 'console': 'false'}
    for argument in GRASP_ARGUMENTS:
        context.launch_configurations[argument.name] = values.get(argument.name, argument.default)
    actions = launch_file.make_system(context)
    together, = (x for x in actions if type(x) is ExecuteProcess)
    words = [word[0].text for word in together.cmd]
    assert words[1:4] == ['--namespaces', '/left', '/right']
    assert not any('__ns' in word for word in words)
    assert len([x for x in actions if isinstance(x, Node)]) == 4


def test_the_player_starts_after_the_starter(launch_file, make_bag, factory):
    bag = str(make_bag([factory.image(1)]))
    names = [node.node_executable for node in nodes_of(launch_file, {'bag': bag})]
    assert 'bag_player' not in names
    alone = nodes_of(launch_file, {'bag': bag, 'autostart': 'false', 'console': 'false'})
    assert [node.node_executable for node in alone][-1] == 'bag_player'


def test_the_simulated_cell_starts_after_the_starter(launch_file):
    assert 'sim_cell' not in [x.node_executable for x in nodes_of(launch_file, {'sim': 'true'})]
    alone = nodes_of(launch_file, {'sim': 'true', 'autostart': 'false', 'console': 'false'})
    assert [node.node_executable for node in alone][-1] == 'sim_cell'


def run(launch_file, *parts):
    """Run small processes under the launch file's exit handlers; return the exit status."""
    actions = [(Process(name, name, role), ExecuteProcess(
        cmd=[sys.executable, '-c', code], name=name)) for name, role, code in parts]
    jobs = [action for process, action in actions if process.role == JOB]
    starters = [action for process, action in actions if process.role == STARTER]
    remaining = {role: {process.label for process, _ in actions if process.role == role}
                 for role in (STARTER, JOB)}
    newest = {process.label: action for process, action in actions}
    description = LaunchDescription([RegisterEventHandler(OnProcessExit(
        target_action=action,
        on_exit=launch_file.make_exit_handler(process, remaining, jobs, newest)))
        for process, action in actions])
    for process, action in actions:
        if process.role != JOB or not starters:
            description.add_action(action)
    service = LaunchService(argv=[])
    service.include_launch_description(description)
    return service.run()


def test_a_job_that_ends_well_ends_the_launch_with_0(launch_file):
    assert run(launch_file, ('server', SERVICE, STAY), ('job', JOB, 'pass')) == 0


@pytest.mark.parametrize('role', [JOB, STARTER, SERVICE])
def test_a_process_that_fails_fails_the_launch(launch_file, role):
    assert run(launch_file, ('server', SERVICE, STAY),
               ('other', role, 'raise SystemExit(3)')) != 0


def test_a_service_that_ends_well_by_itself_fails_the_launch(launch_file):
    assert run(launch_file, ('server', SERVICE, 'pass'), ('job', JOB, STAY)) != 0


@pytest.mark.parametrize('status', [0, 3])
def test_the_end_of_a_watcher_changes_nothing(launch_file, status):
    assert run(launch_file, ('monitor', WATCHER, f'raise SystemExit({status})'),
               ('job', JOB, 'import time; time.sleep(1)')) == 0


def test_a_service_that_respawns_is_started_again(launch_file, tmp_path, monkeypatch):
    monkeypatch.setattr(launch_file, 'DELAY_S', 0.1)
    count = tmp_path / 'count'
    count.write_text('')

    def make(process, more=None):
        codes = {
            # The third life is the last: it ends the launch through the job.
            'server': 'import os, time\n'
                      f'open({str(count)!r}, "a").write(os.environ.get("MOSS_RESTARTS", "0"))\n'
                      f'time.sleep(60 * (os.path.getsize({str(count)!r}) == 3))',
            'starter': f'open({str(count)!r} + ".starts", "a").write("s")',
            'job': 'import os, time\n'
                   f'while os.path.getsize({str(count)!r}) < 3 or '
                   f'os.path.getsize({str(count)!r} + ".starts") < 3: time.sleep(0.05)'}
        return ExecuteProcess(cmd=[sys.executable, '-c', codes[process.name]], name=process.name,
                              additional_env=more or {})
    monkeypatch.setattr(launch_file, 'make_node', make)
    service = LaunchService(argv=[])
    service.include_launch_description(LaunchDescription(launch_file.actions_of([
        Process('server', 'server', SERVICE, lifecycle=True, respawn=True),
        Process('starter', 'starter', STARTER), Process('job', 'job', JOB)])))
    assert service.run() == 0
    assert count.read_text() == '012'


def test_a_robots_service_that_respawns_gets_a_new_starter_in_place_of_its_own(
        launch_file, tmp_path, monkeypatch):
    monkeypatch.setattr(launch_file, 'DELAY_S', 0.1)
    codes = {
        # It ends once its starter waits.
        'left/server': f'import os, time\nfolder = {str(tmp_path)!r}\n'
                       'while not os.path.exists(f"{folder}/waits"): time.sleep(0.02)\n'
                       'time.sleep(60 * bool(os.environ.get("MOSS_RESTARTS")))',
        # The first waits for a service that has ended, the second finds the new one.
        'left/starter': f'import time\nfile = open({str(tmp_path / "waits")!r}, "a")\n'
                        'file.write("s")\nfile.close()\n'
                        f'time.sleep(60 * (len(open({str(tmp_path / "waits")!r}).read()) < 2))',
        'right/server': STAY,
        'right/starter': f'open({str(tmp_path / "right")!r}, "a").write("s")',
        'job': 'import time; time.sleep(0.3)'}

    def make(process, more=None):
        return ExecuteProcess(cmd=[sys.executable, '-c', codes[process.label]],
                              name=process.name, additional_env=more or {})
    monkeypatch.setattr(launch_file, 'make_node', make)
    service = LaunchService(argv=[])
    service.include_launch_description(LaunchDescription(launch_file.actions_of([
        *(Process('server', 'server', SERVICE, namespace=f'/{robot}', lifecycle=True,
                  respawn=True) for robot in ('left', 'right')),
        *(Process('starter', 'starter', STARTER, namespace=f'/{robot}')
          for robot in ('left', 'right')), Process('job', 'job', JOB)])))
    assert service.run() == 0
    assert ((tmp_path / 'waits').read_text(), (tmp_path / 'right').read_text()) == ('ss', 's')


def test_jobs_follow_the_starter(launch_file, tmp_path):
    flag = str(tmp_path / 'ready')
    assert run(launch_file,
               ('starter', STARTER, f'import time; time.sleep(0.3); open({flag!r}, "w")'),
               ('job', JOB, f'import os; raise SystemExit(not os.path.exists({flag!r}))')) == 0
