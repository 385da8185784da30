"""Several publishers of one topic, and several nodes of one name, are named."""

import time

from moss_perception.ros.common.sources import namesake, several
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
