"""A subscription that is made anew passes each message on once, whichever of the two hears it."""

import threading
import time

from moss_perception.ros.common import conversions
from moss_perception.ros.common.subscriptions import MatchedSubscription
import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image

GROUND = np.zeros((2, 2, 3), np.uint8)
TENTH_NS = 10**8


@pytest.fixture
def subscription():
    """Return a subscription of a real node, and the stamps that it passes on."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('listener', context=context)
    passed = []
    made = MatchedSubscription(node, Image, '/image', lambda message: passed.append(
        conversions.stamp_to_ns(message.header.stamp) // TENTH_NS), depth=100)
    yield made, passed
    made.destroy()
    node.destroy_node()
    rclpy.shutdown(context=context)


def message(tenth):
    return conversions.rgb_to_image(GROUND, tenth * TENTH_NS, 'camera')


def hear(made, ear, *published, shows=None):
    """Let one of the two hear what was published at these tenths of a second."""
    for tenth in published:
        info = {'source_timestamp': tenth * TENTH_NS, 'publication_sequence_number': tenth}
        made._receive(message(shows or tenth), info, ear)


def renewed(made):
    """Make it anew; return both, the old one with a publisher."""
    made._node.create_publisher(Image, '/image', 10)
    while not made._subscriptions[0].publishers:
        time.sleep(0.01)
    made.renew()
    return made._subscriptions


def drop_old(made):
    for ear in made._subscriptions:
        ear.matched = True
    made._drop_old()


def test_what_the_old_one_passed_on_is_not_passed_on_again_when_it_has_gone(subscription):
    made, passed = subscription
    old, new = renewed(made)
    hear(made, old, 11, 12, 13)
    hear(made, new, 11)
    drop_old(made)
    # Nor when the next has come, or another check.
    made.renew()
    made._drop_old()
    # These were on their way to the new one.
    hear(made, new, 12, 13, 14)
    hear(made, made._subscriptions[-1], 13, 14)
    assert passed == [11, 12, 13, 14]


def test_a_recording_that_begins_anew_is_passed_on_again(subscription):
    made, passed = subscription
    old, new = renewed(made)
    hear(made, old, 11, 12)
    hear(made, new, 11, 12)
    # Published later, with the stamps of before.
    hear(made, old, 13, shows=11)
    hear(made, new, 13, shows=11)
    drop_old(made)
    hear(made, new, 14, shows=12)
    assert passed == [11, 12, 11, 12]


def test_what_comes_too_late_is_left_out_and_nothing_after_it(subscription):
    made, passed = subscription
    old, new = renewed(made)
    # The old one, which is not reliable, never hears 12; 14 is still on its way to it.
    hear(made, old, 11, 13)
    hear(made, new, 12, 13, 14)
    assert passed == [11, 13]
    drop_old(made)
    assert passed == [11, 13, 14]
    # Of a single one the order is its own: two cameras' clocks may differ a little.
    hear(made, new, 10, 15)
    assert passed == [11, 13, 14, 10, 15]


def test_before_the_old_one_has_heard_anything_the_new_one_is_heard(subscription):
    made, passed = subscription
    made.renew()
    hear(made, made._subscriptions[1], 11, 12)
    hear(made, made._subscriptions[0], 12, 13)
    assert passed == [11, 12, 13]


def test_a_publishers_clock_that_is_set_back_silences_nobody(subscription):
    made, passed = subscription
    old, new = renewed(made)
    hear(made, old, 36000)
    drop_old(made)
    hear(made, new, 11, 12)
    assert passed == [36000, 11, 12]


def test_the_old_one_stays_until_the_new_one_is_matched(subscription):
    made, _ = subscription
    other = rclpy.create_node('camera', context=made._node.context)
    other.create_publisher(Image, '/image', 10)
    while not made._subscriptions[0].publishers:
        time.sleep(0.01)
    made.renew()
    made.check()
    assert len(made._subscriptions) > 1
    deadline = time.monotonic() + 10
    while len(made._subscriptions) > 1 and time.monotonic() < deadline:
        made.check()
        time.sleep(0.02)
    assert len(made._subscriptions) == 1
    assert made._subscriptions[0].publishers == 1
    other.destroy_node()


def test_made_anew_all_the_time_it_passes_everything_on_once_and_in_order(subscription):
    made, passed = subscription
    camera_context = rclpy.Context()
    rclpy.init(context=camera_context)
    camera = rclpy.create_node('camera', context=camera_context)
    publisher = camera.create_publisher(Image, '/image', 100)
    executor = SingleThreadedExecutor(context=made._node.context)
    executor.add_node(made._node)
    # Every other time the graph is followed as it is, and the next the order is to be changed.
    turns = iter(range(10**6))
    made._node.create_timer(0.01, lambda: made.renew() if next(turns) % 2 else made.check())
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    try:
        while not publisher.get_subscription_count():
            time.sleep(0.01)
        time.sleep(0.25)
        for tenth in range(1, 101):
            publisher.publish(message(tenth))
            time.sleep(0.01 if tenth % 3 else 0)
        deadline = time.monotonic() + 10
        while 100 not in passed and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
    finally:
        executor.shutdown()
        thread.join(5)
        camera.destroy_node()
        rclpy.shutdown(context=camera_context)
    assert passed == list(range(1, 101))
