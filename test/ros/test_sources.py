"""Several publishers of one topic, and several nodes of one name, are named."""

import subprocess
import sys
import time

from moss_perception.ros.common.sources import is_played, namesake, several
import pytest
import rclpy
from std_msgs.msg import Header


@pytest.fixture
def make():
    context, nodes = rclpy.Context(), []
    rclpy.init(context=context)

    def make(name):
        nodes.append(rclpy.create_node(name, context=context))
        return nodes[-1]
    yield make
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown(context=context)


def in_time(ask):
    """Return the first answer that is not empty."""
    end_s = time.monotonic() + 30
    while not (answer := ask()):
        assert time.monotonic() < end_s, 'it took too long'
        time.sleep(0.05)
    return answer


def test_both_cameras_on_a_topic_are_named(make):
    listener = make('listener')
    for name in ('left_camera', 'right_camera'):
        assert several(listener, '/image', 'windows mix images') == ''
        make(name).create_publisher(Header, '/image', 1)
    line = in_time(lambda: several(listener, '/image', 'windows mix images'))
    assert line.startswith('/image has 2 publishers (/left_camera, /right_camera): expected one, '
                           'since windows mix images')


def test_another_node_of_this_name_is_noticed(make):
    first = make('predictor')
    make('other')
    assert namesake(first) == ''
    make('predictor')
    assert '/predictor: expected one' in in_time(lambda: namesake(first))


@pytest.mark.parametrize('name, topic', [
    ('bag_player', '/image'), ('rosbag2_player', '/image'), ('anybody', '/clock')])
def test_a_recording_that_is_played_is_noticed(make, name, topic):
    listener = make('listener')
    make('camera').create_publisher(Header, '/image', 1)
    in_time(lambda: listener.count_publishers('/image'))
    assert not is_played(listener, '/image')
    make(name).create_publisher(Header, topic, 1)
    assert in_time(lambda: is_played(listener, '/image'))


@pytest.mark.parametrize('names', [
    {'HOME': '', 'ROS_HOME': '', 'ROS_LOG_DIR': ''}, {'ROS_LOG_DIR': '/proc/nowhere'}])
def test_a_command_without_a_folder_for_logs_ends_in_one_line(programs, names):
    environment = {x: y for x, y in programs.environment().items() if names.get(x) != ''}
    environment |= {x: y for x, y in names.items() if y}
    done = subprocess.run([sys.executable, '-c', """
from moss_perception.core.errors import ConfigError
from moss_perception.ros.common.spinning import own_context
try:
    own_context()
except ConfigError as error:
    print(error)
"""], env=environment, capture_output=True, text=True, timeout=60)
    line, = done.stdout.splitlines()
    assert not done.stderr
    assert 'log' in line and 'expected HOME, or ROS_LOG_DIR' in line and done.returncode == 0
