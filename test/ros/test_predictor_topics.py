"""What a subscriber receives that comes after the image."""

from moss_perception.ros.common.lifecycle import ManagedNode
from moss_perception.ros.predictor.topics import Outputs, PROCESSED_QOS
from moss_perception.runtime.frame_status import FrameStatus
import pytest
import rclpy
from std_msgs.msg import Header
from tiny import tiny_config

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def publishing(ros_domain):
    """Return the outputs of an active lifecycle node."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = ManagedNode('grasp_predictor', context=context)
    outputs = Outputs(node, True, tiny_config())
    node.trigger_configure()
    node.trigger_activate()
    yield outputs
    outputs.destroy()
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_a_late_subscriber_receives_the_status_of_the_images_so_far(publishing, peer, harness):
    publishing.processed(10**9, FrameStatus.STORED)
    publishing.processed(2 * 10**9, FrameStatus.SCORED)
    received = peer.listen(Header, '/grasp_predictor/processed', PROCESSED_QOS)
    harness.wait_for(lambda: len(received) == 2, 20.0, 'both statuses')
    assert [(x.stamp.sec, x.frame_id) for x in received] == [(1, 'stored'), (2, 'scored')]


def test_a_subscriber_that_asks_for_new_ones_receives_only_these(publishing, peer, harness):
    publishing.processed(10**9, FrameStatus.STORED)
    received = peer.listen(Header, '/grasp_predictor/processed', 10)
    node = peer.node
    harness.wait_for(lambda: node.count_publishers('/grasp_predictor/processed'), 20.0, 'a match')

    def later():
        publishing.processed(2 * 10**9, FrameStatus.SCORED)
        return received
    harness.wait_for(later, 20.0, 'a status')
    assert {x.stamp.sec for x in received} == {2}
