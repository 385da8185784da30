"""The launch file of a recording, where launch_ros is there."""

import logging

import pytest

pytest.importorskip('launch_ros', reason='launch_ros is not installed (PyPI has none)')

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument
from launch_files import load_launch_file
from launch_ros.actions import Node
from moss_perception.ros.system.record import RECORD_ARGUMENTS

# As in test_grasp_launch.py: what launch makes of loggers is not for the other tests.
logging.setLoggerClass(logging.Logger)



@pytest.fixture(scope='module')
def launch_file():
    return load_launch_file('record_attempts')


def test_the_arguments_are_those_of_the_description(launch_file):
    declared = [entity for entity in launch_file.generate_launch_description().entities
                if isinstance(entity, DeclareLaunchArgument)]
    assert [entity.name for entity in declared] == [x.name for x in RECORD_ARGUMENTS]


def test_the_recorder_starts_with_the_nodes_and_the_cell_after_them(launch_file, tmp_path):
    context = LaunchContext()
    values = {'out': str(tmp_path), 'sim': 'true', 'attempts': '3'}
    for argument in RECORD_ARGUMENTS:
        context.launch_configurations[argument.name] = values.get(argument.name, argument.default)
    names = [action.node_executable for action in launch_file.make_system(context)
             if isinstance(action, Node)]
    # The starter, and the console that watches.
    assert names == ['attempt_recorder', 'grasp_predictor', 'grasp_gate', 'moss', 'moss']
