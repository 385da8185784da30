"""Subscriptions that follow what the publishers offer, and say so where nothing can match."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
TRANSIENT, VOLATILE = DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE
# So many messages may wait for the other of two subscriptions; and none is later than this.
_REMEMBERED = 1000
_LATE_NS = 1_000_000_000


def type_name(message_type: Any) -> str:
    """Return a message class's name as the graph has it, such as ``sensor_msgs/msg/Image``."""
    package = message_type.__module__.split('.')[0]
    return f'{package}/msg/{message_type.__name__}'


class MatchedSubscription:
    """
    A subscription that hears every publisher, as reliably as all of them allow.

    It starts as best effort, which matches every publisher. :meth:`check`, called now and then
    by the node, looks at the graph and makes the subscription anew where something stronger, or
    weaker, fits by now. The old one goes a check after the new one is matched, so that no message
    falls between the two. Until then what the new one hears waits, and is passed on afterwards
    unless the old one has heard it: each message once, and in the order of publishing.

    :param node: an rclpy node.
    :param message_type: the message's class, with a header.
    :param topic: the resolved topic name.
    :param callback: called with each message.
    :param reliability: ``match``, ``best_effort`` or ``reliable``.
    :param depth: messages that wait in the middleware.
    :param latched: also ask for the last message from before, where all publishers keep it.
    :param raw: whether the callback takes serialised messages, CDR bytes.
    """

    def __init__(self, node: Any, message_type: Any, topic: str, callback: Callable[[Any], None],
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
        self._ears: list[_Ear] = []
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
        Look at the graph and follow it.

        :returns: whether the subscription was made anew.
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
        """Make the subscription anew; the executor then takes its messages after the others'."""
        # The middleware's own warning says that nothing is heard, which here is untrue a moment
        # later, or is said with its mend by problem().
        events = SubscriptionEventCallbacks(
            incompatible_qos=lambda _: None, incompatible_type=lambda _: None)
        ear = _Ear(self._depth)
        self._ears.append(ear)
        ear.subscription = self._node.create_subscription(
            self.message_type, self.topic,
            lambda message, info: self._receive(message, info, ear), self.qos,
            event_callbacks=events, raw=self._raw)

    def problem(self) -> str:
        """Say in words which publishers can't be heard and how to mend it; empty if none."""
        for info in self._node.get_publishers_info_by_topic(self.topic):
            name = f'{info.node_namespace.rstrip("/")}/{info.node_name}'
            if info.topic_type != type_name(self.message_type):
                return (f'{name} publishes {info.topic_type} on {self.topic}: expected '
                        f'{type_name(self.message_type)}; look at image_transport')
            if (self.qos.reliability == RELIABLE and self._wanted == 'reliable'
                    and info.qos_profile.reliability != RELIABLE):
                return (f'{name} publishes {self.topic} as best effort, which a reliable '
                        'subscription does not hear: set qos_reliability to match or best_effort')
        return ''

    def destroy(self) -> None:
        """Stop listening."""
        while self._ears:
            self._remove(self._ears[0])

    def _profile(self, reliability: ReliabilityPolicy, durability: DurabilityPolicy) -> QoSProfile:
        return QoSProfile(depth=self._depth, reliability=reliability, durability=durability)

    def _drop_old(self) -> None:
        """Remove all but the newest, if that was matched with as many publishers a check ago."""
        *old, newest = self._ears
        if newest.matched:
            for ear in old:
                self._remove(ear)
                self._pass_waiting(self._ears[0])
        counts = [ear.publishers for ear in self._ears]
        newest.matched = counts[-1] == max(counts)

    def _remove(self, ear: '_Ear') -> None:
        self._ears.remove(ear)
        self._handed_over_ns = ear.last_ns or self._handed_over_ns
        self._node.destroy_subscription(ear.subscription)

    def _receive(self, message: Any, info: Mapping[str, int], ear: '_Ear') -> None:
        ear.waiting.append((message, info['source_timestamp'],
                            info['publication_sequence_number']))
        first = self._ears[0]
        if ear is first or not (first.last_ns and first.publishers):
            self._pass_waiting(ear)

    def _pass_waiting(self, ear: '_Ear') -> None:
        while ear.waiting:
            message, published_ns, number = ear.waiting.popleft()
            ear.last_ns = published_ns
            late = 0 < self._handed_over_ns - published_ns < _LATE_NS
            if late or (published_ns, number) in self._passed:
                continue
            # What comes now was published after all that the one before has passed on.
            self._handed_over_ns = 0
            self._passed[published_ns, number] = None
            if len(self._passed) > _REMEMBERED:
                del self._passed[next(iter(self._passed))]
            self._callback(message)


class _Ear:
    """
    One of several subscriptions to the same topic.

    :ivar matched: whether it hears all publishers, as of the last check.
    :ivar last_ns: when the last message was published that it gave; 0 before.
    :ivar waiting: messages, when they were published, and their numbers.
    """

    def __init__(self, depth: int):
        self.subscription: Any = None
        self.matched = False
        self.last_ns = 0
        self.waiting: deque[tuple[Any, int, int]] = deque(maxlen=depth)

    @property
    def publishers(self) -> int:
        """How many publishers it hears."""
        return self.subscription.get_publisher_count()
