"""Record attempts on a robot: ``ros2 launch moss_perception record_attempts.launch.py``."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from launch import LaunchDescription
from launch.actions import OpaqueFunction
from moss_perception.ros.system.record import RECORD_ARGUMENTS, record_system

_spec = spec_from_file_location('grasp_launch', Path(__file__).with_name('grasp.launch.py'))
grasp_launch = module_from_spec(_spec)
_spec.loader.exec_module(grasp_launch)


def generate_launch_description():
    """Declare the arguments; :func:`make_system` makes the nodes from their values."""
    return LaunchDescription([
        *grasp_launch.declare(RECORD_ARGUMENTS),
        OpaqueFunction(function=make_system),
    ])


def make_system(context):
    """Turn the description of the system into launch actions."""
    return grasp_launch.actions_of(record_system(
        grasp_launch.values_of(RECORD_ARGUMENTS, context)))
