"""A subscription that is made anew passes each message on once, whichever of the two hears it."""

from moss_perception.ros import conversions
from moss_perception.ros.image_subscription import MatchedSubscription
import numpy as np
import pytest
import rclpy
from sensor_msgs.msg import Image

GROUND = np.zeros((2, 2, 3), np.uint8)


@pytest.fixture
def subscription():
    """Return a subscription of a real node, and the stamps that it passes on."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('listener', context=context)
    passed = []
    made = MatchedSubscription(node, Image, '/image', lambda message: passed.append(
        conversions.stamp_to_ns(message.header.stamp) // 10**8))
    yield made, passed
    made.destroy()
    node.destroy_node()
    rclpy.shutdown(context=context)


def hear(made, ear, *tenths):
    for tenth in tenths:
        made._receive(conversions.rgb_to_image(GROUND, tenth * 10**8, 'camera'), ear)


def test_what_the_old_one_passed_on_is_not_passed_on_again_when_it_has_gone(subscription):
    made, passed = subscription
    made.renew()
    old, new = made._ears
    hear(made, old, 11, 12, 13)
    hear(made, new, 11)
    made._drop_old()
    # These were on their way to the new one.
    hear(made, new, 12, 13, 14)
    assert passed == [11, 12, 13, 14]
    # The recording begins anew.
    hear(made, new, 11, 12, 13, 14)
    assert passed == [11, 12, 13, 14] * 2


def test_what_only_the_old_one_could_hear_is_owed_by_nobody(subscription):
    made, passed = subscription
    made.renew()
    old, new = made._ears
    hear(made, old, 11, 12)
    made._drop_old()
    hear(made, new, 13, 11, 12, 13)
    assert passed == [11, 12, 13, 11, 12, 13]


def test_both_at_once_pass_each_message_on_once(subscription):
    made, passed = subscription
    made.renew()
    old, new = made._ears
    hear(made, old, 11)
    hear(made, new, 11, 12)
    hear(made, old, 12)
    hear(made, new, 13)
    made._drop_old()
    hear(made, new, 14)
    assert passed == [11, 12, 13, 14]
