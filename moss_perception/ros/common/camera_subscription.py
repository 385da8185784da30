"""Listens to the images that another node listens to, whatever their transport."""

from collections.abc import Callable, Sequence
import time
from typing import Any

from moss_perception.core.frames import Frame
from moss_perception.ros.common.conversions import to_frame
from moss_perception.ros.common.image_subscription import MatchedSubscription, type_name
from sensor_msgs.msg import CompressedImage, Image

_LOOK_S, _FOLLOW_S = 0.1, 0.5
_KINDS = {type_name(kind): kind for kind in (Image, CompressedImage)}


class CameraEar:
    """
    Subscribes as soon as the other node has, and follows what the camera offers.

    So nobody who waits for a subscriber of the images takes this one for it.

    :param node: an rclpy node.
    :param topics: resolved names, on one of which the images come.
    :param other: full name of the other node.
    :param on_frame: called with each image.
    """

    def __init__(self, node: Any, topics: Sequence[str], other: str,
                 on_frame: Callable[[Frame], None]):
        self._node, self._topics, self._other = node, topics, other
        self._on_frame = on_frame
        self._subscription: MatchedSubscription | None = None
        self._due_s = 0.0

    @property
    def listening(self) -> bool:
        """Whether it has subscribed."""
        return self._subscription is not None

    def check(self) -> None:
        """Look at the graph, now and then; to be called often, by who spins the node."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            return
        self._due_s = now_s + (_FOLLOW_S if self.listening else _LOOK_S)
        if self._subscription is not None:
            self._subscription.check()
        elif (found := self._find()) is not None:
            topic, kind = found
            self._subscription = MatchedSubscription(
                self._node, kind, topic, lambda message: self._on_frame(to_frame(message)))

    def _find(self) -> tuple[str, Any] | None:
        for topic in self._topics:
            for info in self._node.get_subscriptions_info_by_topic(topic):
                name = f'{info.node_namespace.rstrip("/")}/{info.node_name}'
                if name == self._other and info.topic_type in _KINDS:
                    return topic, _KINDS[info.topic_type]
        return None
