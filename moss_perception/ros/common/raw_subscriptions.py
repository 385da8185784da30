"""Subscriptions to serialised messages, for recorders."""

from collections.abc import Callable, Sequence
import math
import time
from typing import Any

from moss_perception.core.errors import BagError
from moss_perception.data.bags.topics import CANDIDATES_TYPE, IMAGE_TYPES
from moss_perception.ros.common.subscriptions import (
    MatchedSubscription,
    message_class,
    SILENCE_S,
    subscriptions_of,
    type_name,
)
from rclpy.node import Node

_DEPTH = 1000
_SEARCH_S, _FOLLOW_S = 0.1, 0.5
# Images that came within this time flow, seconds.
_FLOW_S = 1.0


class RawSubscriptions:
    """
    Subscriptions that follow topics, types and QoS in the graph; call :meth:`check` regularly.

    :param node: an rclpy node.
    :param sink: takes the topic, type and CDR bytes of each message.
    :param reliability: of subscriptions whose QoS follows the publishers, see
        :class:`MatchedSubscription`.
    """

    def __init__(self, node: Node, sink: Callable[[str, str, bytes], None], reliability: str):
        self._node, self._sink, self._reliability = node, sink, reliability
        self._followed: list[MatchedSubscription] = []
        self._untyped: list[str] = []
        self._images: Sequence[str] = ()
        self._reader = ''
        self._due_s, self._image_s = 0.0, -math.inf

    @property
    def has_images(self) -> bool:
        """Whether images are subscribed to, where they are to be recorded."""
        return not self._images

    def follow(self, kind: Any, topic: str, latched: bool = False) -> MatchedSubscription:
        """Subscribe with the QoS that the publishers offer; latched: to what they keep too."""
        name, resolved = type_name(kind), self._node.resolve_topic_name(topic)
        self._followed.append(MatchedSubscription(
            self._node, kind, resolved, lambda raw: self._receive(resolved, name, raw),
            self._reliability, _DEPTH, latched, raw=True,
            silence_s=SILENCE_S, expected=lambda: self._is_due(name), ends=BagError))
        return self._followed[-1]

    def _receive(self, topic: str, kind: str, raw: Any) -> None:
        if kind in IMAGE_TYPES:
            self._image_s = time.monotonic()
        self._sink(topic, kind, bytes(raw))

    def _is_due(self, kind: str) -> bool:
        flow = time.monotonic() - self._image_s < _FLOW_S
        return kind in IMAGE_TYPES or kind == CANDIDATES_TYPE and flow

    def follow_when_there(self, topic: str) -> None:
        """Subscribe to a topic, as latched, when its first publisher shows its type."""
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
                self.follow(kind, topic, latched=True)
        if found := [(message_class(info.topic_type), topic) for topic in self._images
                     for info in subscriptions_of(self._node, self._reader, topic)
                     if info.topic_type in IMAGE_TYPES]:
            self._images = ()
            self.follow(*found[0])
