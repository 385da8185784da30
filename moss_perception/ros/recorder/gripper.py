"""Read the gripper's topic: positions of its fingers, or commands."""

from typing import Any

from moss_perception.core.errors import ConfigError
from moss_perception.core.frames import stamp_to_ns
from moss_perception.data.closings import Closings
from moss_perception.ros.common.guard import read
from moss_perception.ros.common.subscriptions import type_name
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float32, Float64

_KINDS: dict[str, Any] = {type_name(kind): kind for kind in (JointState, Bool, Float32, Float64)}
# A stamp this far from the time of reception is of another clock.
_SAME_CLOCK_NS = 1_000_000_000


class Gripper:
    """
    Turns messages of a gripper into the times at which it closes.

    :param closings: takes the values.
    :param joint: name of the fingers' joint; empty for the only one.
    :param threshold: see ``gripper_closed``; 0 if it is not set.
    :param delay_ns: from a message until the fingers close, nanoseconds.
    """

    def __init__(self, closings: Closings, joint: str, threshold: float, delay_ns: int):
        self._closings, self._joint = closings, joint
        self._threshold, self._delay_ns = threshold, delay_ns

    def take(self, kind: str, raw: bytes, now_ns: int) -> None:
        """
        Take a message.

        :param kind: its type.
        :param raw: CDR bytes.
        :param now_ns: time of the node's clock, nanoseconds.
        :raises ConfigError: if it can't be read with these parameters.
        :raises MessageError: if it is no valid CDR.
        """
        if kind not in _KINDS:
            raise ConfigError(f'gripper_topic has messages of type {kind}: expected one of '
                              f'{", ".join(_KINDS)}')
        message: Any = read(_KINDS[kind], raw)
        at_ns = now_ns
        if isinstance(message, Bool):
            self._closings.command(message.data, at_ns + self._delay_ns)
            return
        if not self._threshold:
            raise ConfigError('parameter gripper_closed is not set: expected a value between open '
                              f'and closed fingers, for a {kind}')
        if isinstance(message, JointState):
            stamp_ns = stamp_to_ns(message.header.stamp)
            at_ns = stamp_ns if abs(stamp_ns - now_ns) < _SAME_CLOCK_NS else now_ns
            value = self._position(message)
            if value is None:
                return
        else:
            value = message.data
        self._closings.value(value, at_ns + self._delay_ns)

    def _position(self, message: JointState) -> float | None:
        """Return the position of the joint; ``None`` if this message has others."""
        names = list(message.name)
        if self._joint:
            # Some robots publish the joints of arm and gripper in messages of their own.
            found = self._joint in names and names.index(self._joint) < len(message.position)
            return message.position[names.index(self._joint)] if found else None
        if len(message.position) != 1:
            raise ConfigError(f'a JointState of the gripper has the joints {", ".join(names)}: '
                              'expected one, or its name in the parameter gripper_joint')
        return message.position[0]
