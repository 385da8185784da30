"""A recording of a robot with topic names of its own: images, a planner's grasps and a gripper."""

from dataclasses import replace

import bag_factory as factory
from rosbags.typesys import get_types_from_msg

START_NS, SECOND = factory.START_NS, 10**9
DECISIONS_S = (5.0, 12.0, 21.5)
IMAGES, CAMERA = '/camera/color/image_raw', '/camera/color/camera_info'
EXECUTED, GRASPS = '/planner/executed_grasp', '/planner/grasps'
COMMAND = 'control_msgs/msg/GripperCommand'


def at(seconds):
    """Return a stamp so many seconds after the start."""
    return START_NS + round(seconds * SECOND)


def images(until_s=30.0, period_s=0.5, side=40):
    return [factory.image(at(n * period_s), IMAGES, side=side, fill=9 * n)
            for n in range(round(until_s / period_s))] + [
        factory.camera_info(at(0), CAMERA, side)]


def executed(decisions=DECISIONS_S, topic=EXECUTED, position=(0.05, 0.0, 0.5),
             frame_id='camera_optical_frame'):
    """Return executed grasps, each corrected once before it is executed."""
    return [replace(factory.selected(at(x - early), position, (0.0, 0.0, 0.0, 1.0),
                                     frame_id=frame_id), topic=topic)
            for x in decisions for early in (0.3, 0.0)]


def signal(msgtype, topic, values):
    """Return numbers of a gripper at times in seconds."""
    make = factory.kind(msgtype)
    return [factory.entry(topic, msgtype, at(x), make(value)) for x, value in values]


def joints(topic, values, names=('elbow', 'left_finger_joint')):
    make = factory.kind('sensor_msgs/msg/JointState')
    import numpy as np
    return [factory.entry(topic, 'sensor_msgs/msg/JointState', at(x), make(
        factory.header(at(x), ''), list(names), np.array([1.5, value]), np.zeros(0), np.zeros(0)))
        for x, value in values]


def commands(topic, values):
    """Return messages of a type that only the recording itself defines."""
    if COMMAND not in factory.STORE.fielddefs:
        factory.STORE.register(get_types_from_msg('float64 position\nfloat64 max_effort', COMMAND))
    make = factory.kind(COMMAND)
    return [factory.entry(topic, COMMAND, at(x), make(value, 5.0)) for x, value in values]


def opened_and_closed(open_value, closed_value, decisions=DECISIONS_S, closed_s=2.0):
    """Return values of a gripper that closes at each decision, and opens after a while."""
    return [(0.5, open_value), *(x for one in decisions for x in (
        (one, closed_value), (one + closed_s, open_value)))]


def sampled(values, until_s=30.0, period_s=0.1):
    """Return the newest of some values at a fixed rate."""
    return [(n * period_s, [v for x, v in values if x <= n * period_s][-1])
            for n in range(5, round(until_s / period_s))]
