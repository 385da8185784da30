"""Which installation brings a package that is missing."""

from moss_perception.core.resources import missing
import pytest


@pytest.mark.parametrize(('name', 'words'), [
    ('rclpy.node', 'a command needs the package rclpy, which is not installed: expected ROS 2;'),
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
