"""The messages of a gripper become values, commands, or one line of what is wrong."""

from moss_perception.core.errors import ConfigError
from moss_perception.data.closings import Closings
from moss_perception.ros.common.conversions import ns_to_stamp
from moss_perception.ros.common.subscriptions import type_name
from moss_perception.ros.recorder.gripper import Gripper
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float32, Float64, String

NOW_NS = 50 * 10**9


def taken(*messages, joint='', threshold=0.03, delay_ns=0):
    """Return when the gripper closed, by messages that come at the same time."""
    closings = Closings(threshold)
    gripper = Gripper(closings, joint, threshold, delay_ns)
    for message in messages:
        gripper.take(type_name(type(message)), serialize_message(message), NOW_NS)
    return closings.first(0)


def joints(position, stamp_ns=0, names=('finger',)):
    message = JointState(name=list(names), position=[0.5] * (len(names) - 1) + [position])
    message.header.stamp = ns_to_stamp(stamp_ns)
    return message


def test_commands_and_positions_are_understood():
    assert taken(Bool(data=False), Bool(data=True), threshold=0.0) == NOW_NS
    assert taken(Float32(data=0.08), Float32(data=0.0)) == NOW_NS
    assert taken(Float64(data=0.08), Float64(data=0.0), delay_ns=5) == NOW_NS + 5
    assert taken(joints(0.08), joints(0.01)) == NOW_NS


def test_the_stamp_of_a_joint_state_counts_if_it_is_of_the_same_clock():
    assert taken(joints(0.08), joints(0.01, NOW_NS - 10**8)) == NOW_NS - 10**8
    assert taken(joints(0.08), joints(0.01, NOW_NS - 20 * 10**9)) == NOW_NS


def test_a_joint_is_found_by_its_name():
    names = ('wrist', 'finger')
    assert taken(joints(0.08, names=names), joints(0.01, names=('arm',)),
                 joints(0.01, names=names), joint='finger') == NOW_NS


@pytest.mark.parametrize(('message', 'options', 'said'), [
    (String(data='close'), {}, 'type std_msgs/msg/String: expected one of sensor_msgs/msg/Joint'),
    (joints(0.0), {'threshold': 0.0}, 'gripper_closed is not set: expected a value between'),
    (joints(0.0, names=('a', 'b')), {}, 'has the joints a, b: expected one, or its name')])
def test_what_cannot_be_read_is_named(message, options, said):
    with pytest.raises(ConfigError, match=said):
        taken(message, **options)
