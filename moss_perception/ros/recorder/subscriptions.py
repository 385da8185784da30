"""Subscriptions that pass on serialised messages, for a recording."""

from collections.abc import Callable, Sequence
import time
from typing import Any

from moss_perception.ros.common.subscriptions import (
    MatchedSubscription,
    subscriptions_of,
    type_name,
)
from moss_perception.ros.player.settings import message_class
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

Sink = Callable[[str, str, bytes], None]
"""Takes a topic, its type such as ``std_msgs/msg/Header``, and CDR bytes."""

_DEPTH = 1000
_SEARCH_S, _FOLLOW_S = 0.1, 0.5
_IMAGES = {type_name(kind): kind for kind in (Image, CompressedImage)}


class RawSubscriptions:
    """
    Subscriptions that follow topics, types and QoS in the graph; call :meth:`check` regularly.

    :param node: an rclpy node.
    :param sink: takes each message.
    :param reliability: of subscriptions whose QoS follows the publishers, see
        :class:`MatchedSubscription`.
    """

    def __init__(self, node: Node, sink: Sink, reliability: str = 'match'):
        self._node, self._sink, self._reliability = node, sink, reliability
        self._followed: list[MatchedSubscription] = []
        self._untyped: list[str] = []
        self._images: Sequence[str] = ()
        self._reader = ''
        self._due_s = 0.0

    @property
    def has_images(self) -> bool:
        """Whether images are subscribed to, where they are to be recorded."""
        return not self._images

    def reliable(self, kind: Any, topic: str, qos: Any = _DEPTH) -> Any:
        """Subscribe to a topic with reliable publishers."""
        name, resolved = type_name(kind), self._node.resolve_topic_name(topic)
        def receive(raw: Any) -> None:
            self._sink(resolved, name, bytes(raw))
        return self._node.create_subscription(kind, topic, receive, qos, raw=True)

    def follow(self, kind: Any, topic: str) -> None:
        """Subscribe to a topic with the QoS that its publishers offer."""
        name, resolved = type_name(kind), self._node.resolve_topic_name(topic)
        self._followed.append(MatchedSubscription(
            self._node, kind, resolved, lambda raw: self._sink(resolved, name, bytes(raw)),
            self._reliability, _DEPTH, raw=True))

    def follow_when_there(self, topic: str) -> None:
        """Subscribe to a topic when its first publisher shows its type."""
        self._untyped.append(self._node.resolve_topic_name(topic))

    def follow_images(self, topics: Sequence[str], reader: str) -> None:
        """
        Subscribe to images as soon as another node has.

        A camera that waits for a subscriber must not take the recorder for the predictor.

        :param topics: resolved names of the possible image topics.
        :param reader: full name of the other node.
        """
        self._images, self._reader = topics, reader

    def check(self) -> None:
        """Look at the graph, now and then; call it often, from the thread that spins."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            return
        searching = bool(self._images or self._untyped)
        self._due_s = now_s + (_SEARCH_S if searching else _FOLLOW_S)
        for subscription in self._followed:
            subscription.check()
        for topic in list(self._untyped):
            kinds = {x.topic_type for x in self._node.get_publishers_info_by_topic(topic)}
            if len(kinds) == 1 and (kind := message_class(kinds.pop())) is not None:
                self._untyped.remove(topic)
                self.follow(kind, topic)
        if self._images and (found := self._find_images()) is not None:
            self._images = ()
            self.follow(*found)

    def _find_images(self) -> tuple[Any, str] | None:
        for topic in self._images:
            for info in subscriptions_of(self._node, self._reader, topic):
                if info.topic_type in _IMAGES:
                    return _IMAGES[info.topic_type], topic
        return None
