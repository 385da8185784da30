"""Subscriptions that follow what the publishers offer, and say so where nothing can match."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from moss_perception.ros.conversions import stamp_to_ns
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
TRANSIENT, VOLATILE = DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE


def type_name(message_type: Any) -> str:
    """Return a message class's name as the graph has it, such as ``sensor_msgs/msg/Image``."""
    package = message_type.__module__.split('.')[0]
    return f'{package}/msg/{message_type.__name__}'


class MatchedSubscription:
    """
    A subscription that hears every publisher, as reliably as all of them allow.

    It starts as best effort, which matches every publisher. :meth:`check`, called now and then
    by the node, looks at the graph and makes the subscription anew where something stronger, or
    weaker, fits by now. The old one goes a check later than the new one came, so that no message
    falls between the two; what both hear is passed on once.

    :param node: an rclpy node.
    :param message_type: the message's class, with a header.
    :param topic: the resolved topic name.
    :param callback: called with each message.
    :param reliability: ``match``, ``best_effort`` or ``reliable``.
    :param depth: messages that wait in the middleware.
    :param latched: also ask for the last message from before, where all publishers keep it.
    """

    def __init__(self, node: Any, message_type: Any, topic: str, callback: Callable[[Any], None],
                 reliability: str = 'match', depth: int = 5, latched: bool = False):
        self.topic = topic
        self.message_type = message_type
        self._node = node
        self._callback = callback
        self._wanted = reliability
        self._depth = depth
        self._latched = latched
        self._old: Any = None
        self._ears: list[_Ear] = []
        self._owed: Counter = Counter()
        self.qos = self._profile(RELIABLE if reliability == 'reliable' else BEST_EFFORT, VOLATILE)
        self._current = self._create()

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
        self._drop_old()
        self._old, self._current = self._current, self._create()

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
        self._drop_old()
        self._node.destroy_subscription(self._current)

    def _profile(self, reliability: ReliabilityPolicy, durability: DurabilityPolicy) -> QoSProfile:
        return QoSProfile(depth=self._depth, reliability=reliability, durability=durability)

    def _create(self) -> Any:
        # The middleware's own warning says that nothing is heard, which here is untrue a moment
        # later, or is said with its mend by problem().
        events = SubscriptionEventCallbacks(
            incompatible_qos=lambda _: None, incompatible_type=lambda _: None)
        ear = _Ear()
        self._ears.append(ear)
        return self._node.create_subscription(
            self.message_type, self.topic, lambda message: self._receive(message, ear), self.qos,
            event_callbacks=events)

    def _drop_old(self) -> None:
        if self._old is not None:
            self._node.destroy_subscription(self._old)
            self._old = None
        # What the old one passed on may still be on its way to the one that stays.
        gone, kept = self._ears[:-1], self._ears[-1:]
        self._owed = sum((ear.heard for ear in gone), Counter())
        for ear in kept:
            self._owed -= ear.heard
            ear.forget()
        self._ears = kept

    def _receive(self, message: Any, ear: '_Ear') -> None:
        if ear not in self._ears:
            return
        others = [e for e in self._ears if e is not ear]
        stamp_ns = stamp_to_ns(message.header.stamp)
        if ear is self._ears[-1] and self._owed:
            if self._owed[stamp_ns] > 0:
                self._owed[stamp_ns] -= 1
                return
            # A publisher's messages keep their order: what comes now is after all of them.
            self._owed.clear()
        if all(ear.is_first(stamp_ns, other) for other in others):
            self._callback(message)


class _Ear:
    """What one of two subscriptions to the same topic has heard since both are there."""

    def __init__(self):
        self.forget()

    def forget(self) -> None:
        self.heard: Counter = Counter()
        self.newest_ns = 0

    def is_first(self, stamp_ns: int, other: '_Ear') -> bool:
        """Tell whether the other has not passed this message on, nor one after it."""
        late = self.newest_ns < stamp_ns < other.newest_ns
        self.newest_ns = stamp_ns
        if late and not other.heard[stamp_ns]:
            # Not counted: if the stream has begun anew, the other has yet to hear it.
            return False
        self.heard[stamp_ns] += 1
        return self.heard[stamp_ns] > other.heard[stamp_ns]
