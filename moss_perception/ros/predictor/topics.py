"""The subscriptions and publishers of grasp_predictor."""

from collections.abc import Callable
import math
import time
from typing import Any

from geometry_msgs.msg import PoseArray
from moss_perception.core.codes import coded
from moss_perception.core.frames import Camera
from moss_perception.core.scores import Prediction
from moss_perception.models.config import ModelConfig
from moss_perception.ros.common import conversions
from moss_perception.ros.common.image_transport import OWN, PluginSubscription
from moss_perception.ros.common.sources import namesake, several
from moss_perception.ros.common.subscriptions import MatchedSubscription, type_name
from moss_perception.ros.predictor.markers import scores_to_markers
from moss_perception.ros.predictor.overlay import Overlay
from moss_perception.ros.predictor.parameters import PredictorParameters
from moss_perception.ros.predictor.selection import WatchedSelection
from moss_perception.runtime.frame_status import FrameStatus
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Float32, Header
from visualization_msgs.msg import MarkerArray

SMALL_DEPTH = 10
# Images that came within this time flow, seconds.
_FLOW_S = 1.0
# Deep, because lock-step replay stops if it misses one. Transient local, because a recorder that
# counts them may subscribe, or be discovered, after the first image.
PROCESSED_QOS = QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Inputs:
    """
    Subscriptions to candidates, their lead times, calibration and images.

    :param node: an rclpy node.
    :param chosen: gives transport, reliability and depth.
    :param on_candidates: called with each geometry_msgs/PoseArray.
    :param on_lead_times: called with each sensor_msgs/PointCloud2 of lead times.
    :param on_camera_info: called with each sensor_msgs/CameraInfo.
    :param on_image: called with each image, raw or compressed.
    :ivar images: resolved name of ``image``, to which the topic of another transport adds a name.
    :raises ConfigError: if the images' transport can't be used.
    """

    def __init__(self, node: Node, chosen: PredictorParameters,
                 on_candidates: Callable[[Any], None], on_lead_times: Callable[[Any], None],
                 on_camera_info: Callable[[Any], None], on_image: Callable[[Any], None]):
        self._node = node
        self._wanted, self._silence_s = chosen.qos_reliability, chosen.silence
        self._on_image, self._image_s = on_image, -math.inf
        self.images = node.resolve_topic_name('image')
        # Remapping image does not by itself move image/compressed.
        topic, kind = self.images, Image
        if chosen.image_transport == 'compressed':
            topic, kind = f'{self.images}/compressed', CompressedImage
        transport, depth = chosen.image_transport, chosen.qos_depth
        # The executor serves subscriptions in the order of their creation. Candidates and
        # calibration must arrive before the image that they belong to.
        self.candidates = self._subscribe(PoseArray, 'grasp_candidates', on_candidates,
                                          self._images_flow)
        self.lead_times = self._subscribe(PointCloud2, 'grasp_lead_times', on_lead_times)
        self.camera_info = self._subscribe(CameraInfo, 'camera_info', on_camera_info)
        self.image: MatchedSubscription | PluginSubscription = MatchedSubscription(
            node, kind, topic, self._receive, self._wanted, depth, silence_s=chosen.silence,
            expected=lambda: True) if transport in OWN else (
            PluginSubscription(node, self.images, transport, self._receive, depth))
        self._every = (self.candidates, self.lead_times, self.camera_info, self.image)

    def _subscribe(self, kind: Any, name: str, callback: Callable,
                   expected: Callable[[], bool] = lambda: False) -> MatchedSubscription:
        return MatchedSubscription(self._node, kind, self._node.resolve_topic_name(name), callback,
                                   self._wanted, SMALL_DEPTH, latched=True,
                                   silence_s=self._silence_s, expected=expected)

    def _receive(self, message: Any) -> None:
        self._image_s = time.monotonic()
        self._on_image(message)

    def _images_flow(self) -> bool:
        return time.monotonic() - self._image_s < _FLOW_S

    def check(self) -> list[str]:
        """
        Follow changes in the graph; the executor still serves the image subscription last.

        :returns: a line for each topic with a publisher that cannot be received.
        """
        anew = [s.check() for s in self._every[:-1]]
        if not self.image.check() and any(anew):
            self.image.renew()
        problems = [*(coded('not_received', s.problem()) for s in self._every), *self.crowded()]
        return [problem for problem in problems if problem]

    @property
    def silences(self) -> int:
        """How often a subscription was made anew because it heard nothing."""
        return sum(s.silences for s in self._every)

    def crowded(self) -> list[str]:
        """Describe inputs with several publishers, and another node of this name."""
        found = [coded('same_name', namesake(self._node)), *(
            coded('several_sources', several(self._node, s.topic, effect)) for s, effect in (
                (self.image, 'a window mixes the images of all cameras'),
                (self.camera_info, 'candidates are projected by the newest calibration'),
                (self.candidates, 'the newest set replaces the one before')))]
        return [x for x in found if x]

    def hint(self) -> str:
        """Say why no images arrive and where they may be; empty if nothing is wrong."""
        if problem := coded('not_received', self.image.problem()) or next(
                iter(self.crowded()), ''):
            return problem
        if not self.image.publishers():
            compressed = f'{self.images}/compressed'
            for transport, topic in (('raw', self.images), ('compressed', compressed)):
                if topic != self.image.topic and self._node.count_publishers(topic):
                    return f'{topic} is published instead: set image_transport to {transport}'
        return ''

    def rows(self) -> list[tuple[str, str, str, str]]:
        """List direction, topic, type and QoS of each."""
        return [('in', s.topic, type_name(s.message_type),
                 f'{self._wanted} (now {s.reliability}), depth {s.qos.depth}')
                for s in reversed(self._every)]

    def destroy(self) -> None:
        """Remove the subscriptions."""
        for subscription in self._every:
            subscription.destroy()


class Outputs:
    """
    The publishers of grasp_predictor, enabled and disabled with its lifecycle.

    :param node: a lifecycle node.
    :param with_features: whether ``~/motion_features`` is published.
    :param config: of the checkpoint, for the drawings.
    """

    def __init__(self, node: LifecycleNode, with_features: bool, config: ModelConfig):
        self._node, self._half_width_m = node, config.gripper_half_width_m
        self._overlay = Overlay(config.gripper_half_width_m, config.default_point)
        self._selection = WatchedSelection(node)
        self._scores = node.create_lifecycle_publisher(
            PointCloud2, '~/grasp_scores', QoSProfile(depth=10))
        self._score = node.create_lifecycle_publisher(
            Float32, '~/grasp_score', QoSProfile(depth=10))
        self._features = node.create_lifecycle_publisher(
            Image, '~/motion_features', QoSProfile(depth=2)) if with_features else None
        self._processed = node.create_lifecycle_publisher(Header, '~/processed', PROCESSED_QOS)
        self._debug = node.create_lifecycle_publisher(
            Image, '~/debug_image', QoSProfile(depth=2))
        self._markers = node.create_lifecycle_publisher(
            MarkerArray, '~/grasp_markers', QoSProfile(depth=2))

    @property
    def publishers(self) -> list[Any]:
        """All publishers, in the order of the contract."""
        every = [self._scores, self._score, self._features, self._processed, self._debug,
                 self._markers]
        return [publisher for publisher in every if publisher is not None]

    def rows(self, *others: Any) -> list[tuple[str, str, str, str]]:
        """
        List direction, topic, type and QoS of each.

        :param others: further publishers of the node.
        """
        return [('out', p.topic_name, type_name(p.msg_type),
                 f'reliable, depth {p.qos_profile.depth}') for p in (*self.publishers, *others)]

    def publish(self, prediction: Prediction, threshold: float, unfamiliar: bool = False,
                camera: Camera | None = None) -> None:
        """
        Publish one prediction; images and markers only while someone subscribes.

        :param prediction: prediction to publish.
        :param threshold: lowest score that is drawn as good.
        :param unfamiliar: whether the stream is out of distribution, for the debug image.
        :param camera: calibration of the image, for the debug image.
        """
        self._scores.publish(conversions.scores_to_cloud(prediction))
        self._score.publish(Float32(data=prediction.score))
        if self._features is not None and self._features.get_subscription_count():
            self._features.publish(conversions.features_to_image(prediction))
        if self._debug.get_subscription_count():
            image = self._overlay.draw(prediction, threshold, unfamiliar, camera,
                                       self._selection.index_in(prediction))
            self._debug.publish(
                conversions.rgb_to_image(image, prediction.stamp_ns, prediction.frame_id))

        if self._markers.get_subscription_count():
            self._markers.publish(scores_to_markers(prediction, threshold, self._half_width_m))

    def follow(self) -> None:
        """Learn which grasp is selected while someone watches; call it regularly."""
        self._selection.follow(self._debug.get_subscription_count() > 0)

    def processed(self, stamp_ns: int, status: FrameStatus) -> None:
        """
        Publish the status of an image, after everything else about it.

        Without a subscriber too: late subscribers receive the newest 1000.

        :param stamp_ns: the image's header stamp, nanoseconds.
        """
        self._processed.publish(conversions.header(stamp_ns, status.value))

    def destroy(self) -> None:
        """Remove the publishers and the subscription to the selected grasp."""
        self._selection.destroy()
        for publisher in self.publishers:
            self._node.destroy_lifecycle_publisher(publisher)
