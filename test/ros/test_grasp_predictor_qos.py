"""Publishers of every kind are heard, or it is said why not; over the real middleware."""

from moss_perception.ros.common import conversions
import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

pytestmark = pytest.mark.timeout(120)
GROUND = np.zeros((24, 32, 3), np.uint8)
RELIABLE = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
TRANSIENT = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE,
                       durability=DurabilityPolicy.TRANSIENT_LOCAL)


def image(index: int) -> Image:
    return conversions.rgb_to_image(GROUND, 10**9 + index * 10**8, 'camera')


def reliability(stream, expected: str) -> None:
    stream.status(lambda _, values: values.get('reliability') == expected)


@pytest.mark.parametrize(('qos', 'expected'), [
    (RELIABLE, 'reliable'), (BEST_EFFORT, 'best_effort'), (TRANSIENT, 'reliable')],
    ids=['reliable', 'best_effort', 'transient_local'])
def test_a_publisher_of_each_kind_is_heard(stream, qos, expected):
    publisher = stream.publisher(Image, '/image', qos)
    stream.connect(image(0), publisher)
    reliability(stream, expected)
    assert stream.send(image(1), publisher) == 'stored'


def test_a_publisher_that_was_there_before_is_heard(predictor):
    publisher = predictor.peer.node.create_publisher(Image, '/image', RELIABLE)
    predictor.fresh()
    predictor.connect(image(0), publisher)
    reliability(predictor, 'reliable')
    assert predictor.send(image(1), publisher) == 'stored'
    predictor.peer.node.destroy_publisher(publisher)


def test_both_of_a_mixed_pair_are_heard_and_the_reliable_alone_reliably(stream):
    reliable = stream.publisher(Image, '/image', RELIABLE, 'reliable')
    stream.connect(image(0), reliable)
    reliability(stream, 'reliable')
    loose = stream.peer.node.create_publisher(Image, '/image', BEST_EFFORT)
    reliability(stream, 'best_effort')
    stream.connect(image(1), loose)
    assert stream.send(image(2), reliable) == 'stored'
    assert stream.send(image(3), loose) == 'stored'
    stream.peer.node.destroy_publisher(loose)
    reliability(stream, 'reliable')
    assert stream.send(image(4), reliable) == 'stored'


def test_each_image_counts_once_while_the_subscription_changes(stream):
    publisher = stream.publisher(Image, '/image', RELIABLE)
    stream.connect(image(0), publisher)
    # Until it was heard image 0 was sent again and again, and each of those may yet be processed;
    # what comes after this one was sent once.
    assert stream.send(image(1), publisher) == 'stored'
    first, sent = len(stream.processed), [1]
    stream.diagnostics.clear()

    def reliable() -> bool:
        return any(value.value == 'reliable' for array in stream.diagnostics
                   for status in array.status for value in status.values)
    while len(sent) < 6 or not reliable():
        sent.append(sent[-1] + 1)
        expected = 'stored' if sent[-1] < 15 else 'scored'
        assert stream.send(image(sent[-1]), publisher) == expected
        assert len(sent) < 2000
    # A loop of the recording while two subscriptions may still be there.
    for index in range(5):
        sent.append(index)
        assert stream.send(image(index), publisher) == 'stored'
    processed = [conversions.stamp_to_ns(header.stamp) for header in stream.processed[first:]]
    assert processed == [10**9 + index * 10**8 for index in sent[1:]]


def test_a_reliable_subscription_says_what_it_cannot_hear(stream):
    stream.peer.transition(stream.name, 'deactivate')
    stream.peer.transition(stream.name, 'cleanup')
    stream.fresh(qos_reliability='reliable')
    try:
        loose = stream.peer.node.create_publisher(Image, '/image', BEST_EFFORT)
        status, _ = stream.status(lambda s, _: 'best effort' in s.message)
        assert status.level == b'\x01'
        assert 'set qos_reliability to match or best_effort' in status.message
        assert '/peer publishes /image as best effort' in stream.process.output()
        stream.peer.node.destroy_publisher(loose)
    finally:
        stream.peer.transition(stream.name, 'deactivate')
        stream.peer.transition(stream.name, 'cleanup')
        assert stream.peer.set(stream.name, qos_reliability='match')[0].successful


def test_a_publisher_of_another_type_is_named(stream):
    other = stream.peer.node.create_publisher(CompressedImage, '/image', 10)
    stream.status(lambda s, _: 'sensor_msgs/msg/CompressedImage on /image' in s.message)
    stream.peer.node.destroy_publisher(other)


def test_no_images_says_where_they_may_be(stream):
    status, _ = stream.status(lambda s, _: 'no frames yet' in s.message)
    assert 'on /image: nothing publishes it' in status.message
    other = stream.peer.node.create_publisher(CompressedImage, '/image/compressed', 10)
    stream.status(lambda s, _: 'set image_transport to compressed' in s.message)
    stream.peer.node.destroy_publisher(other)


def test_a_calibration_that_was_published_once_is_heard(stream):
    info = CameraInfo(width=32, height=24, distortion_model='plumb_bob', d=[0.0] * 5,
                      k=[30.0, 0.0, 15.5, 0.0, 30.0, 11.5, 0.0, 0.0, 1.0])
    latched = stream.peer.node.create_publisher(CameraInfo, '/camera_info', TRANSIENT)
    latched.publish(info)
    stream.connect(image(0))
    index = iter(range(1, 300))

    def placed() -> bool:
        stream.send(image(next(index)))
        return any(cloud.is_dense for cloud in stream.scores)
    stream.wait_for(placed, 10, 'a default point with a place')
    stream.peer.node.destroy_publisher(latched)
