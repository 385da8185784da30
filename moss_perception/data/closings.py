"""When a gripper closed, by the values that it reports or the commands that it gets."""

from collections import deque
from dataclasses import dataclass
import math


@dataclass(frozen=True)
class _Event:
    """The value went to another side of the threshold, or the fingers were said to close."""

    at_ns: int
    above: bool | None


class Closings:
    """
    Finds when the fingers closed after a decision, at which they are open.

    They close when the value passes the threshold, whichever way: some grippers count up when they
    close and others down.

    :param threshold: between the value of the open gripper and that of the closed one.
    """

    def __init__(self, threshold: float):
        self._threshold = threshold
        self._events: deque[_Event] = deque(maxlen=1000)
        self._above: bool | None = None

    def value(self, value: float, at_ns: int) -> None:
        """Take a value; one that is not finite is left out."""
        if not math.isfinite(value):
            return
        above = value > self._threshold
        if self._above is not None and above != self._above:
            self._events.append(_Event(at_ns, above))
        self._above = above

    def command(self, close: bool, at_ns: int) -> None:
        """Take a command to close or to open."""
        if close and self._above is None:
            # Nothing was commanded before, so the gripper was open.
            self._above = False
        self.value(self._threshold + (1.0 if close else -1.0), at_ns)

    def mark(self, at_ns: int) -> None:
        """Take it that the fingers close at this time."""
        self._events.append(_Event(at_ns, None))

    def first(self, after_ns: int, until_ns: int | None = None) -> int | None:
        """
        Return when the fingers first closed.

        :param after_ns: of the decision, nanoseconds.
        :param until_ns: the last time that counts; ``None`` for no limit.
        :returns: nanoseconds; ``None`` if they did not close.
        """
        return next((x.at_ns for x in self._events if x.at_ns >= after_ns and (
            until_ns is None or x.at_ns <= until_ns)), None)
