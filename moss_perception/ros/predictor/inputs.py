"""The subscriptions of grasp_predictor."""

from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PoseArray
from moss_perception.ros.common.image_subscription import MatchedSubscription, type_name
from moss_perception.ros.predictor.parameters import PredictorParameters
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

SMALL_DEPTH = 10


class Inputs:
    """
    Subscriptions to candidates, calibration and images.

    :param node: an rclpy node.
    :param chosen: gives transport, reliability and depth.
    :param on_candidates: called with each geometry_msgs/PoseArray.
    :param on_camera_info: called with each sensor_msgs/CameraInfo.
    :param on_image: called with each image, raw or compressed.
    """

    def __init__(self, node: Node, chosen: PredictorParameters,
                 on_candidates: Callable[[Any], None], on_camera_info: Callable[[Any], None],
                 on_image: Callable[[Any], None]):
        self._node = node
        self._wanted = chosen.qos_reliability
        self._raw_topic = node.resolve_topic_name('image')
        # Remapping image does not by itself move image/compressed.
        topic, kind = self._raw_topic, Image
        if chosen.image_transport == 'compressed':
            topic, kind = f'{self._raw_topic}/compressed', CompressedImage
        # The executor serves subscriptions in the order of their creation. Candidates and
        # calibration must arrive before the image that they belong to.
        self.candidates = self._subscribe(PoseArray, 'grasp_candidates', on_candidates)
        self.camera_info = self._subscribe(CameraInfo, 'camera_info', on_camera_info)
        self.image = MatchedSubscription(
            node, kind, topic, on_image, self._wanted, chosen.qos_depth)

    def _subscribe(self, kind: Any, name: str, callback: Callable) -> MatchedSubscription:
        return MatchedSubscription(self._node, kind, self._node.resolve_topic_name(name), callback,
                                   self._wanted, SMALL_DEPTH, latched=True)

    def check(self) -> list[str]:
        """
        Follow changes in the graph; the executor still serves the image subscription last.

        :returns: a line for each topic with a publisher that cannot be received.
        """
        anew = [self.candidates.check(), self.camera_info.check()]
        if not self.image.check() and any(anew):
            self.image.renew()
        problems = [s.problem() for s in (self.candidates, self.camera_info, self.image)]
        return [problem for problem in problems if problem]

    def hint(self) -> str:
        """Say why no images arrive and where they may be; empty if nothing is wrong."""
        if problem := self.image.problem():
            return problem
        if not self.image.publishers():
            compressed = f'{self._raw_topic}/compressed'
            for transport, topic in (('raw', self._raw_topic), ('compressed', compressed)):
                if topic != self.image.topic and self._node.count_publishers(topic):
                    return f'but {topic} is published: set image_transport to {transport}'
        return ''

    def rows(self) -> list[tuple[str, str, str, str]]:
        """List direction, topic, type and QoS of each."""
        return [('in', s.topic, type_name(s.message_type),
                 f'{self._wanted} (now {s.reliability}), depth {s.qos.depth}')
                for s in (self.image, self.camera_info, self.candidates)]

    def destroy(self) -> None:
        """Remove the subscriptions."""
        for subscription in (self.image, self.camera_info, self.candidates):
            subscription.destroy()
