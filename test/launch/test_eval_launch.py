"""The launch file of the evaluation: runs one after another, where launch_ros is there."""

import logging
import sys
import uuid

import pytest

pytest.importorskip('launch_ros', reason='launch_ros is not installed (PyPI has none)')

from launch import LaunchContext, LaunchDescription, LaunchService
from launch.actions import DeclareLaunchArgument, ExecuteProcess
from launch_files import load_launch_file
from launch_ros.actions import Node
from moss_perception.ros.system.evaluation import EVALUATION_ARGUMENTS
from moss_perception.ros.system.processes import JOB, Process, SERVICE, STARTER

# As in test_grasp_launch.py: what launch makes of loggers is not for the other tests.
logging.setLoggerClass(logging.Logger)

STAY = 'import time; time.sleep(60)'


@pytest.fixture(scope='module')
def launch_file():
    return load_launch_file('sim_to_real_eval')


def test_the_arguments_are_those_of_the_description(launch_file):
    declared = [entity for entity in launch_file.generate_launch_description().entities
                if isinstance(entity, DeclareLaunchArgument)]
    assert [(x.name, x.default_value[0].text if x.default_value else '') for x in declared] == [
        (x.name, x.default) for x in EVALUATION_ARGUMENTS]


def test_only_the_first_run_starts_at_once(launch_file, tmp_path):
    context = LaunchContext()
    for argument in EVALUATION_ARGUMENTS:
        context.launch_configurations[argument.name] = argument.default
    context.launch_configurations['out'] = str(tmp_path)
    names = [x.node_executable for x in launch_file.make_runs(context) if isinstance(x, Node)]
    # The recorder is there before the player, which follows the starters.
    assert names == ['run_recorder', 'grasp_predictor', 'moss']


def run(launch_file, *runs):
    """Run small processes under the launch file's handlers; return the exit status."""
    made = [[(Process(name, name, role, early=early), ExecuteProcess(
        cmd=[sys.executable, '-c', code], name=name)) for name, role, early, code in parts]
        for parts in runs]
    service = LaunchService(argv=[])
    service.include_launch_description(LaunchDescription(launch_file.Run(made).actions()))
    return service.run()


def system(path, code='pass'):
    """Return a system that notes its start, with a job that must find the service alive."""
    up = str(path.with_name(uuid.uuid4().hex))
    note = f'open({str(path)!r}, "a").write("up "); open({up!r}, "w")'
    wait = f'import os, time\nwhile not os.path.exists({up!r}): time.sleep(0.01)'
    return (('server', SERVICE, False, f'{note}; {STAY}'),
            ('watcher', JOB, True, 'import time; time.sleep(0.6)'),
            ('starter', STARTER, False, wait),
            ('job', JOB, False, code))


def test_one_run_follows_another_and_the_last_ends_the_launch(launch_file, tmp_path):
    path = tmp_path / 'notes'
    check = f'import sys; sys.exit(open({str(path)!r}).read() != "up up ")'
    assert run(launch_file, system(path), system(path, check)) == 0


def test_a_run_of_a_job_alone_is_followed_by_the_next(launch_file, tmp_path):
    path = tmp_path / 'notes'
    check = f'import sys; sys.exit(open({str(path)!r}).read() != "up up ")'
    alone = (('evaluation', JOB, False, 'pass'),)
    assert run(launch_file, system(path), alone, system(path, check), alone) == 0


def test_a_run_that_fails_is_the_last(launch_file, tmp_path):
    path = tmp_path / 'notes'
    assert run(launch_file, system(path, 'raise SystemExit(3)'), system(path)) != 0
    assert path.read_text() == 'up '


def test_a_service_that_ends_by_itself_fails_the_launch(launch_file, tmp_path):
    parts = (('server', SERVICE, False, 'pass'), ('job', JOB, False, STAY))
    assert run(launch_file, parts, system(tmp_path / 'notes')) != 0
