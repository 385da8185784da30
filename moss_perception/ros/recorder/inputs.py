"""The subscriptions of attempt_recorder, and warnings about topics that are silent."""

from collections.abc import Callable
from dataclasses import dataclass
import time

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray, PoseStamped
from moss_perception.data.bags.topics import EXECUTED_TYPE
from moss_perception.ros.common.raw_subscriptions import RawSubscriptions
from moss_perception.ros.common.sources import listed, namesake, several
from moss_perception.ros.common.subscriptions import MatchedSubscription
from moss_perception.ros.recorder.settings import RecorderSettings
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

_CHECK_S = 0.25


@dataclass
class _Watched:
    """
    A topic that should have messages while an attempt is recorded.

    :ivar once: whether one message is enough, such as a calibration.
    :ivar optional: whether nobody needs to publish it.
    """

    subscription: MatchedSubscription
    once: bool = False
    optional: bool = False
    last_s: float | None = None
    reported: bool = False


class Inputs:
    """
    Subscribes to everything that is recorded.

    :param node: an rclpy node.
    :param settings: says what to record.
    :param sink: takes topic, type and CDR bytes of each message.
    :ivar images: topic of the images.
    :ivar candidates: topic of the candidates, as ``lead_times``, ``camera_info`` and ``executed``
        are those of their messages.
    """

    def __init__(self, node: Node, settings: RecorderSettings,
                 sink: Callable[[str, str, bytes], None]):
        self._node, self._sink = node, sink
        self._raw = raw = RawSubscriptions(node, self._receive, settings.qos_reliability)
        self._watched: dict[str, _Watched] = {}
        self._due_s = 0.0
        # In this order, because the executor serves subscriptions in the order of their creation,
        # and candidates and calibration belong before their image.
        self.candidates = self._watch(raw.follow(PoseArray, 'grasp_candidates', latched=True))
        self.lead_times = raw.follow(PointCloud2, 'grasp_lead_times', latched=True).topic
        self.camera_info = self._watch(raw.follow(CameraInfo, 'camera_info', latched=True), True)
        self._executed = raw.follow(PoseStamped, 'selected_grasp')
        self.executed = self._executed.topic
        if settings.outputs:
            self._watch(raw.follow(PointCloud2, 'grasp_predictor/grasp_scores'), optional=True)
            raw.follow(Header, 'grasp_predictor/processed')
            raw.follow(DiagnosticArray, '/diagnostics')
        for topic in (*settings.topics, settings.gripper_topic):
            if topic:
                raw.follow_when_there(topic)
        image = node.resolve_topic_name('image')
        if settings.image_transport == 'compressed':
            subscription = raw.follow(CompressedImage, f'{image}/compressed')
        else:
            subscription = raw.follow(Image, image)
        self.images = self._watch(subscription)

    def check(self) -> None:
        """Follow changes in the graph; call it often."""
        self._raw.check()

    def begin(self) -> None:
        """Report silent topics anew: an attempt begins."""
        for watched in self._watched.values():
            watched.reported = False

    def silent(self, silence_s: float, since_s: float, decided: bool) -> list[str]:
        """
        Describe topics that have become silent, each once an attempt and again after a message.

        :param silence_s: seconds without a message.
        :param since_s: start of the attempt, monotonic seconds.
        :param decided: whether the executed grasp has come, after which candidates may stop.
        """
        now_s = time.monotonic()
        if now_s < self._due_s:
            return []
        self._due_s, found = now_s + _CHECK_S, []
        for topic, watched in self._watched.items():
            heard = watched.last_s is not None
            if watched.reported or watched.once and heard or topic == self.candidates and decided:
                continue
            if watched.optional and not self._node.count_publishers(topic):
                continue
            silent_s = now_s - (since_s if watched.last_s is None else watched.last_s)
            if silent_s > silence_s:
                watched.reported = True
                found.append(f'{topic} is silent for {silent_s:.1f} s: {self._reason(topic)}')
        return found

    def crowded(self) -> list[tuple[str, str]]:
        """
        Describe inputs with several publishers, and another node of this name.

        :returns: key of :data:`moss_perception.core.codes.CODES`, and the line.
        """
        found = [('same_name', namesake(self._node)), *(
            ('several_sources', several(self._node, topic, effect)) for topic, effect in (
                (self.images, 'the attempts mix the images of all cameras'),
                (self.camera_info, 'images get the newest calibration'),
                (self.candidates, 'the newest set replaces the one before')))]
        return [(key, line) for key, line in found if line]

    def no_images(self) -> str:
        """Say that no image has come yet, and why; empty if one has."""
        came = self._watched[self.images].last_s is not None
        return '' if came else f'no image has come on {self.images}: {self._reason(self.images)}'

    def no_executed(self) -> str:
        """Say that no executed grasp can come, and why; empty if one can."""
        problem = self._executed.problem()
        if not problem and not self._node.count_publishers(self.executed):
            problem = f'nobody publishes {self.executed} yet'
            if others := [name for name, kinds in self._node.get_topic_names_and_types()
                          if EXECUTED_TYPE in kinds and name != self.executed]:
                problem += f', but there are poses on {listed(sorted(others))}'
        return problem and (f'{problem}: expected the executed grasps, without which the decision '
                            'of an attempt is its start; name their topic with executed_topic')

    def publishers(self, topic: str) -> list[str]:
        """Return the full names of the nodes that publish a topic."""
        return sorted({f'{x.node_namespace.rstrip("/")}/{x.node_name}'
                       for x in self._node.get_publishers_info_by_topic(topic)})

    def _reason(self, topic: str) -> str:
        names = self.publishers(topic)
        if problem := self._watched[topic].subscription.problem():
            return problem
        if names:
            return f'published by {", ".join(names)}'
        other = topic.removesuffix('/compressed') if topic.endswith('/compressed') else (
            f'{topic}/compressed')
        if topic == self.images and self._node.count_publishers(other):
            transport = 'compressed' if other.endswith('/compressed') else 'raw'
            return f'nobody publishes it, but {other}: set image_transport to {transport}'
        return 'nobody publishes it'

    def _watch(self, subscription: MatchedSubscription, once: bool = False,
               optional: bool = False) -> str:
        self._watched[subscription.topic] = _Watched(subscription, once, optional)
        return subscription.topic

    def _receive(self, topic: str, kind: str, raw: bytes) -> None:
        if topic in self._watched:
            watched = self._watched[topic]
            watched.last_s, watched.reported = time.monotonic(), False
        self._sink(topic, kind, raw)
