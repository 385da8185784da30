"""Subscriptions that follow topics, types and QoS in the graph, and report a mismatch."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
import importlib
import time
from typing import Any

from moss_perception.data.bags.topics import IMAGE_TYPES
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
TRANSIENT, VOLATILE = DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE
# Messages remembered to recognise duplicates, and the largest delay between two subscriptions.
_REMEMBERED = 1000
_LATE_NS = 1_000_000_000
_RAW_DEPTH = 1000
_SEARCH_S, _FOLLOW_S = 0.1, 0.5


def type_name(message_type: Any) -> str:
    """Return a message class's name as the graph has it, such as ``sensor_msgs/msg/Image``."""
    package = message_type.__module__.split('.')[0]
    return f'{package}/msg/{message_type.__name__}'


def message_class(msgtype: str) -> Any | None:
    """Import the class of a type such as std_msgs/msg/Header; None if it is not installed."""
    package, _, name = msgtype.partition('/msg/')
    try:
        return getattr(importlib.import_module(f'{package}.msg'), name)
    except (ImportError, AttributeError):
        return None


def subscriptions_of(node: Node, name: str, topic: str) -> list[Any]:
    """
    Return what the graph knows of another node's subscriptions to a topic.

    :param name: full name of the other node.
    :param topic: resolved name.
    """
    return [info for info in node.get_subscriptions_info_by_topic(topic)
            if f'{info.node_namespace.rstrip("/")}/{info.node_name}' == name]


def unconnected(node: Node, expected: Iterable[str]) -> list[str]:
    """
    List the expected subscribers that would miss a message.

    The number of subscribers is not enough: an unrelated node counts too, and a
    :class:`MatchedSubscription` counts twice while it changes its QoS.

    :param node: the node that publishes.
    :param expected: subscribers as ``NODE=TOPIC``, absolute names. DDS announces a node's
        subscriptions in the order of their creation, so name the last one.
    :returns: for each that is missing, what is wrong; empty if all are connected.
    """
    matched = {p.topic_name: p.get_subscription_count() for p in node.publishers}
    missing = []
    for pair in expected:
        name, _, topic = pair.partition('=')
        if not subscriptions_of(node, name, topic) or not matched.get(topic, 1):
            missing.append(f'{name} does not subscribe to {topic}')
    return missing


class MatchedSubscription:
    """
    A subscription that receives from every publisher, as reliably as all of them allow.

    It starts as best effort, which matches every publisher. The node calls :meth:`check`
    regularly; it reads the graph and creates a new subscription if another QoS fits better. The
    old one is removed one check after the new one has matched, so that no message is lost. Until
    then messages of the new one wait; those that the old one has not received are passed on
    afterwards. Each message arrives once, in the order of publishing.

    :param node: an rclpy node.
    :param message_type: the message's class, with a header.
    :param topic: the resolved topic name.
    :param callback: called with each message.
    :param reliability: ``match``, ``best_effort`` or ``reliable``.
    :param depth: messages that wait in the middleware.
    :param latched: also request the last earlier message, if all publishers keep it.
    :param raw: whether the callback takes serialised messages, CDR bytes.
    """

    def __init__(self, node: Node, message_type: Any, topic: str, callback: Callable[[Any], None],
                 reliability: str = 'match', depth: int = 5, latched: bool = False,
                 raw: bool = False):
        self.topic = topic
        self.message_type = message_type
        self._node = node
        self._callback = callback
        self._wanted = reliability
        self._depth = depth
        self._latched = latched
        self._raw = raw
        self._subscriptions: list[_Subscription] = []
        self._passed: dict[tuple[int, int], None] = {}
        self._handed_over_ns = 0
        self.qos = self._profile(RELIABLE if reliability == 'reliable' else BEST_EFFORT, VOLATILE)
        self.renew()

    @property
    def reliability(self) -> str:
        """Reliability in use: ``reliable`` or ``best_effort``."""
        return 'reliable' if self.qos.reliability == RELIABLE else 'best_effort'

    def publishers(self) -> list[Any]:
        """Return what the graph knows of the topic's publishers of this message type."""
        return [info for info in self._node.get_publishers_info_by_topic(self.topic)
                if info.topic_type == type_name(self.message_type)]

    def check(self) -> bool:
        """
        Adapt the subscription to the graph.

        :returns: whether a new subscription was created.
        """
        self._drop_old()
        publishers = self.publishers()
        if not publishers:
            return False
        reliability, durability = self.qos.reliability, VOLATILE
        if self._wanted == 'match':
            every = all(p.qos_profile.reliability == RELIABLE for p in publishers)
            reliability = RELIABLE if every else BEST_EFFORT
        if self._latched and all(p.qos_profile.durability == TRANSIENT for p in publishers):
            durability = TRANSIENT
        if (reliability, durability) == (self.qos.reliability, self.qos.durability):
            return False
        self.qos = self._profile(reliability, durability)
        self.renew()
        return True

    def renew(self) -> None:
        """Create a new subscription; the executor then serves it after all others."""
        # The middleware would warn that nothing is received. That is wrong a moment later, or
        # problem() says it with a remedy.
        events = SubscriptionEventCallbacks(
            incompatible_qos=lambda _: None, incompatible_type=lambda _: None)
        member = _Subscription(self._depth)
        self._subscriptions.append(member)

        def receive(message: Any, info: Any) -> None:
            self._receive(message, info, member)
        # rclpy passes the information to who takes it, but its annotations do not follow that.
        callback: Any = receive
        member.subscription = self._node.create_subscription(
            self.message_type, self.topic, callback, self.qos, event_callbacks=events,
            raw=self._raw)

    def problem(self) -> str:
        """Describe a publisher that cannot be received, with a remedy; empty if there is none."""
        for info in self._node.get_publishers_info_by_topic(self.topic):
            name = f'{info.node_namespace.rstrip("/")}/{info.node_name}'
            if info.topic_type != type_name(self.message_type):
                return (f'{name} publishes {info.topic_type} on {self.topic}: expected '
                        f'{type_name(self.message_type)}; look at image_transport')
            if (self.qos.reliability == RELIABLE and self._wanted == 'reliable'
                    and info.qos_profile.reliability != RELIABLE):
                return (f'{name} publishes {self.topic} as best effort, which a reliable '
                        'subscription does not receive: set qos_reliability to match or '
                        'best_effort')
        return ''

    def destroy(self) -> None:
        """Remove the subscription."""
        while self._subscriptions:
            self._remove(self._subscriptions[0])

    def _profile(self, reliability: ReliabilityPolicy, durability: DurabilityPolicy) -> QoSProfile:
        return QoSProfile(depth=self._depth, reliability=reliability, durability=durability)

    def _drop_old(self) -> None:
        """Remove all but the newest, if it had matched as many publishers a check ago."""
        *old, newest = self._subscriptions
        if newest.matched:
            for member in old:
                self._remove(member)
                self._pass_waiting(self._subscriptions[0])
        counts = [member.publishers for member in self._subscriptions]
        newest.matched = counts[-1] == max(counts)

    def _remove(self, member: '_Subscription') -> None:
        self._subscriptions.remove(member)
        self._handed_over_ns = member.last_ns or self._handed_over_ns
        self._node.destroy_subscription(member.subscription)

    def _receive(self, message: Any, info: Mapping[str, int], member: '_Subscription') -> None:
        member.waiting.append((message, info['source_timestamp'],
                            info['publication_sequence_number']))
        first = self._subscriptions[0]
        if member is first or not (first.last_ns and first.publishers):
            self._pass_waiting(member)

    def _pass_waiting(self, member: '_Subscription') -> None:
        while member.waiting:
            message, published_ns, number = member.waiting.popleft()
            member.last_ns = published_ns
            late = 0 < self._handed_over_ns - published_ns < _LATE_NS
            if late or (published_ns, number) in self._passed:
                continue
            # From here on, messages are newer than all that the old subscription passed on.
            self._handed_over_ns = 0
            self._passed[published_ns, number] = None
            if len(self._passed) > _REMEMBERED:
                del self._passed[next(iter(self._passed))]
            self._callback(message)


class _Subscription:
    """
    One of several subscriptions to the same topic.

    :ivar matched: whether it had matched all publishers at the last check.
    :ivar last_ns: when its last passed message was published; 0 before the first.
    :ivar waiting: messages, when they were published, and their numbers.
    """

    def __init__(self, depth: int):
        self.subscription: Any = None
        self.matched = False
        self.last_ns = 0
        self.waiting: deque[tuple[Any, int, int]] = deque(maxlen=depth)

    @property
    def publishers(self) -> int:
        """Number of matched publishers."""
        return self.subscription.get_publisher_count()


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
        self._due_s = 0.0

    @property
    def has_images(self) -> bool:
        """Whether images are subscribed to, where they are to be recorded."""
        return not self._images

    def follow(self, kind: Any, topic: str, latched: bool = False) -> MatchedSubscription:
        """Subscribe with the QoS that the publishers offer; latched: to what they keep too."""
        name, resolved = type_name(kind), self._node.resolve_topic_name(topic)
        self._followed.append(MatchedSubscription(
            self._node, kind, resolved, lambda raw: self._sink(resolved, name, bytes(raw)),
            self._reliability, _RAW_DEPTH, latched, raw=True))
        return self._followed[-1]

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
