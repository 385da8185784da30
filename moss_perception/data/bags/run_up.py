"""The newest messages of a stream, kept so that an attempt can begin before its start."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Received:
    """
    A message as it came.

    :ivar kind: type, such as ``sensor_msgs/msg/Image``.
    :ivar raw: CDR bytes.
    :ivar received_ns: time of reception, of one clock that never goes back, nanoseconds.
    :ivar image_ns: header stamp if it is an image of the camera, nanoseconds; 0 otherwise.
    """

    topic: str
    kind: str
    raw: bytes
    received_ns: int
    image_ns: int = 0


class RunUp:
    """
    The newest messages, bounded in time and in bytes; each is taken at most once.

    :param seconds: messages older than this are dropped.
    :param size: bytes that are kept at most.
    """

    def __init__(self, seconds: float, size: int):
        self._span_ns, self._size = round(seconds * 1e9), size
        self._messages: deque[Received] = deque()
        self._bytes = 0
        self.cut_short = False
        """Whether messages were dropped because of their size."""

    def __iter__(self) -> Iterator[Received]:
        return iter(self._messages)

    @property
    def images(self) -> int:
        """Number of images that are kept."""
        return sum(x.image_ns > 0 for x in self._messages)

    def add(self, one: Received) -> None:
        """Add the newest message, and drop the oldest that are too many."""
        self._messages.append(one)
        self._bytes += len(one.raw)
        while self._messages[0].received_ns < one.received_ns - self._span_ns:
            self._drop()
        while self._bytes > self._size:
            self.cut_short = True
            self._drop()

    def since_reception(self, received_ns: int) -> list[Received]:
        """Return the messages that came at or after a time."""
        return [x for x in self._messages if x.received_ns >= received_ns]

    def since_image(self, stamp_ns: int) -> list[Received]:
        """Return the messages from the first image on that is stamped at or after a time."""
        found = next((n for n, x in enumerate(self._messages) if x.image_ns >= stamp_ns > 0), None)
        return [] if found is None else list(self._messages)[found:]

    def forget(self) -> None:
        """Drop all messages: they have been recorded."""
        self._messages.clear()
        self._bytes = 0

    def _drop(self) -> None:
        self._bytes -= len(self._messages.popleft().raw)
