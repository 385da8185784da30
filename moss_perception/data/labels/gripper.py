"""When the gripper closed and opened, by its commands or its joints in a recording."""

from collections.abc import Iterator
from dataclasses import dataclass
import math
import re
from typing import Any

from moss_perception.core.errors import BagError
from moss_perception.core.frames import stamp_to_ns
from moss_perception.data.bags.reader import Recording

JOINTS = 'sensor_msgs/msg/JointState'
# control_msgs is not among ROS's common messages: recordings bring its definition along.
TYPES = (JOINTS, 'std_msgs/msg/Bool', 'std_msgs/msg/Float32', 'std_msgs/msg/Float64',
         'control_msgs/msg/GripperCommand')
HIGH, LOW = 'high', 'low'
_NAMED = re.compile(r'gripper|finger|jaw|hand(?!le|_eye)|knuckle|suction|vacuum', re.IGNORECASE)
# Of the range of a signal: closed from here on, and open again.
_CLOSES, _OPENS = 0.6, 0.4
_SMALLEST = 1e-4
_OFTEN_NS = 500_000_000


@dataclass(frozen=True)
class ClosedSpans:
    """
    When a gripper closed.

    :ivar topic: topic of the signal.
    :ivar closed: what was taken for closed, in words, and why.
    :ivar spans: times of closing and of opening again, nanoseconds in the clock of the stamps;
        ``None`` if it did not open again.
    """

    topic: str
    closed: str
    spans: list[tuple[int, int | None]]


def gripper_topics(recording: Recording) -> list[str]:
    """List the topics that may be a gripper's: by type and name, or joints with such a name."""
    found = []
    for topic in recording.topics.values():
        if topic.type not in TYPES or not topic.count:
            continue
        if _NAMED.search(topic.name) or (topic.type == JOINTS and any(map(
                _NAMED.search, _joint_names(recording, topic.name)))):
            found.append(topic.name)
    # A command comes before what the fingers then do.
    return sorted(found, key=lambda x: recording.topics[x].type == JOINTS)


def _joint_names(recording: Recording, name: str) -> list[str]:
    """Return the names in the first message of a topic; none if no message can be read."""
    first = next(_messages(recording, name), None)
    return [] if first is None else list(first[1].name)


def closings(recording: Recording, name: str, lag_ns: int, closed: str = '') -> ClosedSpans:
    """
    Find when the gripper closed.

    :param name: topic of a type of :data:`TYPES`.
    :param lag_ns: how far the recorder's clock is ahead of the header stamps, nanoseconds.
    :param closed: whether the signal is ``high`` or ``low`` when the gripper is closed; empty to
        tell by the topic's name and type.
    :raises BagError: if there is no such topic, or its messages can't be read.
    """
    name = '/' + name.strip('/')
    topic = recording.topics.get(name)
    if topic is None or topic.type not in TYPES or not topic.count:
        there = ', '.join(f'{x.name} ({x.type})' for x in recording.topics.values()
                          if x.type in TYPES and x.count)
        raise BagError(f'{recording.path}: no gripper on {name}; expected a topic of '
                       f'{", ".join(TYPES)}; found {there or "none"}')
    signal = list(_signal(recording, name, lag_ns))
    if not signal:
        raise BagError(f'{recording.path}: no value of a gripper on {name}: expected numbers, or '
                       'joints with names such as finger_joint')
    low, high = min(x for _, x in signal), max(x for _, x in signal)
    way, why = (closed, 'as given') if closed else _way(name, topic.type, signal, low, high)
    told = f'closed when {way} ({why})'
    if high - low < _SMALLEST:
        return ClosedSpans(name, f'always at {low:g}', [])
    return ClosedSpans(name, told, _spans(signal, low, high, way == HIGH))


def _way(name: str, msgtype: str, signal: list[tuple[int, float]], low: float,
         high: float) -> tuple[str, str]:
    """Return whether the signal of a closed gripper is high or low, and why we think so."""
    word = name.lower()
    if 'close' in word or 'grasp' in word or 'suction' in word or 'vacuum' in word:
        return HIGH, 'by its name'
    if 'open' in word or 'width' in word:
        return LOW, 'by its name'
    if msgtype == JOINTS:
        return (LOW if signal[0][1] > (low + high) / 2 else HIGH), 'it is open at the start'
    if msgtype == 'std_msgs/msg/Bool':
        return HIGH, 'true means closed'
    return LOW, 'numbers are openings'


def _spans(signal: list[tuple[int, float]], low: float, high: float,
           closed_high: bool) -> list[tuple[int, int | None]]:
    spans: list[tuple[int, int | None]] = []
    # The first of a few messages is a command. The first of many only says how the gripper was.
    often = signal[-1][0] - signal[0][0] < _OFTEN_NS * (len(signal) - 1)
    is_closed = None if often else False
    for at_ns, value in signal:
        share = (value - low) / (high - low)
        share = share if closed_high else 1 - share
        if share >= _CLOSES and not is_closed:
            if is_closed is False:
                spans.append((at_ns, None))
            is_closed = True
        elif share <= _OPENS and is_closed is not False:
            if is_closed and spans:
                spans[-1] = spans[-1][0], at_ns
            is_closed = False
    return spans


def _signal(recording: Recording, name: str, lag_ns: int) -> Iterator[tuple[int, float]]:
    for recorded_ns, message in _messages(recording, name):
        value, stamp_ns = _value(message), 0
        if hasattr(message, 'header'):
            stamp_ns = stamp_to_ns(message.header.stamp)
        if value is not None and math.isfinite(value):
            yield stamp_ns if stamp_ns > 0 else recorded_ns - lag_ns, value


def _messages(recording: Recording, name: str) -> Iterator[tuple[int, Any]]:
    for _, msgtype, recorded_ns, raw in recording.messages([name]):
        yield recorded_ns, recording.deserialize(raw, msgtype)


def _value(message: Any) -> float | None:
    if hasattr(message, 'data'):
        return float(message.data)
    if hasattr(message, 'name'):
        index = _finger(message)
        return None if index is None else float(message.position[index])
    return float(message.position)


def _finger(message: Any) -> int | None:
    """Return the index of the first joint of a gripper; of a single joint if it has no name."""
    named = [n for n, x in enumerate(message.name) if _NAMED.search(x)]
    if not named and len(message.position) == 1:
        named = [0]
    return named[0] if named and named[0] < len(message.position) else None
