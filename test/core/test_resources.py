"""Which installation brings a package that is missing."""

import os
from pathlib import Path
import subprocess
import sys

from moss_perception.core.resources import missing
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(('name', 'words'), [
    ('rclpy', 'a command needs the package rclpy, which is not installed: expected ROS 2;'),
    ('sensor_msgs', 'expected ROS 2;'),
    ('sklearn.metrics', "expected the extra 'eval'; pip install scikit-learn, or run scripts"),
    ('torch', 'pip install torch, or run scripts/setup.sh test')])
def test_a_package_is_named_with_what_brings_it(name, words):
    error = missing('a command', ModuleNotFoundError('no module', name=name))
    assert words in str(error) and '\n' not in str(error)


@pytest.mark.parametrize('name', ['moss_perception.mossy', 'mossy', None])
def test_a_module_that_nothing_brings_is_an_unknown_error(name):
    with pytest.raises(ModuleNotFoundError, match='no module'):
        missing('a command', ModuleNotFoundError('no module', name=name))


def test_a_node_on_humble_is_one_line_that_names_the_distributions(tmp_path):
    # An rclpy without what came with Jazzy.
    (tmp_path / 'rclpy').mkdir()
    (tmp_path / 'rclpy' / '__init__.py').touch()
    done = subprocess.run(
        [sys.executable, '-c', 'import sys; from moss_perception.ros.entry_points import '
         'grasp_gate; sys.exit(grasp_gate())'], capture_output=True, text=True, timeout=60,
        env={**os.environ, 'PYTHONPATH': f'{tmp_path}{os.pathsep}{ROOT}'})
    assert done.returncode == 1 and done.stderr.count('\n') == 1, done.stderr
    assert 'the rclpy of this machine is older than that of ROS 2 Jazzy, it has no rclpy.' in (
        done.stderr)
    assert done.stderr.endswith(': expected Jazzy, Kilted or newer\n')
