"""Subscriptions that follow topics, types and QoS in the graph, and report a mismatch."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
import importlib
import time
from typing import Any

from moss_perception.core.recent import Recent
from moss_perception.ros.common.guard import guarded
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
TRANSIENT, VOLATILE = DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE
# Messages remembered to recognise duplicates, and the largest delay between two subscriptions.
_REMEMBERED = 1000
_LATE_NS = 1_000_000_000
_LONGEST_SILENCE_S = 60.0
SILENCE_S = 3.0
"""Seconds after which a silent subscription is made anew, unless a parameter says otherwise."""


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

    A reliable reader that was stopped for a second or two, such as by a suspended machine, may
    hear nothing any more, although both sides show it as matched. So a subscription that has
    publishers and hears nothing for ``silence_s`` is made anew, after twice as long the next time;
    one to latched messages only while messages are expected. Retained messages that come again
    are left out.

    :param node: an rclpy node.
    :param message_type: the message's class, with a header.
    :param topic: the resolved topic name.
    :param callback: called with each message.
    :param reliability: ``match``, ``best_effort`` or ``reliable``.
    :param depth: messages that wait in the middleware.
    :param latched: also request the last earlier message, if all publishers keep it.
    :param raw: whether the callback takes serialised messages, CDR bytes.
    :param silence_s: see above, seconds; 0 for never.
    :param expected: whether messages are due now, so that silence is worth a line in the log, and
        latched messages are asked for again; on other topics, such as outcomes, it is usual and
        logged at the level debug.
    :param ends: errors of the callback that end the node; others are logged, see
        :func:`moss_perception.ros.common.guard.guarded`.
    :ivar silences: how often it was made anew because it heard nothing.
    """

    def __init__(self, node: Node, message_type: Any, topic: str, callback: Callable[[Any], None],
                 reliability: str = 'match', depth: int = 5, latched: bool = False,
                 raw: bool = False, silence_s: float = 0.0,
                 expected: Callable[[], bool] = lambda: False,
                 ends: type[Exception] | tuple[()] = ()):
        self.topic = topic
        self.message_type = message_type
        self._node = node
        self._callback = guarded(node, callback, ends)
        self._wanted = reliability
        self._depth = depth
        self._latched = latched
        self._raw = raw
        self.silences = 0
        self._silence = _Silence(silence_s)
        self._expected = expected
        self._subscriptions: list[_Subscription] = []
        self._passed: Recent[tuple[int, int], None] = Recent(_REMEMBERED)
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
        silent = self._silence.is_over(bool(publishers))
        if not publishers:
            return False
        reliability, durability = self.qos.reliability, VOLATILE
        if self._wanted == 'match':
            every = all(p.qos_profile.reliability == RELIABLE for p in publishers)
            reliability = RELIABLE if every else BEST_EFFORT
        if self._latched and all(p.qos_profile.durability == TRANSIENT for p in publishers):
            durability = TRANSIENT
        same = (reliability, durability) == (self.qos.reliability, self.qos.durability)
        due = silent and self._expected()
        # A latched message may be the only one that ever comes.
        if same and not (silent and (durability == VOLATILE or due)):
            return False
        if same:
            self.silences += 1
            self._log_silence(due)
        self.qos = self._profile(reliability, durability)
        self.renew()
        return True

    def _log_silence(self, due: bool) -> None:
        text = (f'{self.topic} has publishers, and nothing was heard for '
                f'{self._silence.waited_s:.1f} s: subscribed anew')
        # rclpy wants each level on a line of its own.
        if due:
            self._node.get_logger().info(text, throttle_duration_sec=10.0)
        else:
            self._node.get_logger().debug(text)

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
            # Not by a retained message that comes again, or a latched topic is never silent.
            self._silence.heard()
            # From here on, messages are newer than all that the old subscription passed on.
            self._handed_over_ns = 0
            self._passed[published_ns, number] = None
            self._callback(message)


class _Silence:
    """
    Tells when a topic with publishers was silent for too long.

    :param silence_s: seconds; 0 for never. It doubles until something is heard.
    :ivar waited_s: how long it was silent when it was over last, seconds.
    """

    def __init__(self, silence_s: float):
        self._first_s = self._limit_s = silence_s
        self._since_s: float | None = None
        self.waited_s = 0.0

    def heard(self) -> None:
        """Start anew."""
        self._since_s, self._limit_s = None, self._first_s

    def is_over(self, published: bool) -> bool:
        """Tell whether it was silent for too long; call it regularly."""
        now_s = time.monotonic()
        if not published or self._since_s is None:
            self._since_s = now_s if published else None
            return False
        self.waited_s = now_s - self._since_s
        if not self._first_s or self.waited_s < self._limit_s:
            return False
        self._since_s, self._limit_s = now_s, min(2 * self._limit_s, _LONGEST_SILENCE_S)
        return True


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
