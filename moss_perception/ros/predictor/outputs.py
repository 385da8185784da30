"""The publishers of grasp_predictor."""

from typing import Any

from moss_perception.core.scores import Prediction
from moss_perception.ros.common import conversions
from moss_perception.ros.common.image_subscription import type_name
from moss_perception.ros.predictor.overlay import Overlay
from moss_perception.runtime.frame_status import FrameStatus
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Float32, Header

# Deep, because lock-step replay stops if it misses one. Transient local, because a recorder that
# counts them may subscribe, or be discovered, after the first image.
PROCESSED_QOS = QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Outputs:
    """
    The publishers of grasp_predictor, enabled and disabled with its lifecycle.

    :param node: a lifecycle node.
    :param with_features: whether ``~/motion_features`` is published.
    """

    def __init__(self, node: LifecycleNode, with_features: bool):
        self._node = node
        self._overlay = Overlay()
        self._scores = node.create_lifecycle_publisher(
            PointCloud2, '~/grasp_scores', QoSProfile(depth=10))
        self._score = node.create_lifecycle_publisher(
            Float32, '~/grasp_score', QoSProfile(depth=10))
        self._features = node.create_lifecycle_publisher(
            Image, '~/motion_features', QoSProfile(depth=2)) if with_features else None
        self._processed = node.create_lifecycle_publisher(Header, '~/processed', PROCESSED_QOS)
        self._debug = node.create_lifecycle_publisher(
            Image, '~/debug_image', QoSProfile(depth=2))

    @property
    def publishers(self) -> list[Any]:
        """All publishers, in the order of the contract."""
        every = [self._scores, self._score, self._features, self._processed, self._debug]
        return [publisher for publisher in every if publisher is not None]

    def rows(self, *others: Any) -> list[tuple[str, str, str, str]]:
        """
        List direction, topic, type and QoS of each.

        :param others: further publishers of the node.
        """
        return [('out', p.topic_name, type_name(p.msg_type),
                 f'reliable, depth {p.qos_profile.depth}') for p in (*self.publishers, *others)]

    def publish(self, prediction: Prediction, threshold: float) -> None:
        """
        Publish one prediction; images only while someone subscribes.

        :param prediction: prediction to publish.
        :param threshold: lowest score that is drawn as good.
        """
        self._scores.publish(conversions.scores_to_cloud(prediction))
        self._score.publish(Float32(data=prediction.score))
        if self._features is not None and self._features.get_subscription_count():
            self._features.publish(conversions.features_to_image(prediction))
        if self._debug.get_subscription_count():
            image = self._overlay.draw(prediction, threshold)
            self._debug.publish(
                conversions.rgb_to_image(image, prediction.stamp_ns, prediction.frame_id))

    def processed(self, stamp_ns: int, status: FrameStatus) -> None:
        """
        Publish the status of an image, after everything else about it.

        Without a subscriber too: late subscribers receive the newest 1000.

        :param stamp_ns: the image's header stamp, nanoseconds.
        """
        self._processed.publish(conversions.header(stamp_ns, status.value))

    def destroy(self) -> None:
        """Remove the publishers."""
        for publisher in self.publishers:
            self._node.destroy_lifecycle_publisher(publisher)
