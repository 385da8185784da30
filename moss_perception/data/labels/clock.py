"""The clock of a recording's images, and how to read the times of a table in it."""

from dataclasses import dataclass
from datetime import datetime, timezone, tzinfo

from moss_perception.core.errors import BagError
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import stamp_of

AUTO, STAMPS, START = 'auto', 'stamps', 'start'
TIMES_MEAN = (AUTO, STAMPS, START)
"""What numbers of a table mean: header stamps, seconds from the start, or decided by size."""

WALL_NS = 10**17
"""Stamps above are of a clock that counts from 1970; this is in 1973."""

# Longer than a camera, its driver and a recorder's queue explain.
_LAG_NS = 10**9


@dataclass(frozen=True)
class Clock:
    """
    The time of a recording in the header stamps of its images, nanoseconds.

    :ivar first_ns: stamp of the first image.
    :ivar last_ns: stamp of the last image, or the end of the recording in this clock.
    :ivar zero_ns: time of the recording's first message in this clock.
    :ivar lag_ns: how far the recorder's clock is ahead of the stamps; 0 if only by the delay of
        a camera.
    """

    first_ns: int
    last_ns: int
    zero_ns: int
    lag_ns: int = 0


@dataclass(frozen=True)
class Reading:
    """
    How to read the times of a table.

    :ivar zone: zone of dates without one.
    :ivar offset_ns: to add to all times, nanoseconds.
    :ivar numbers: one of :data:`TIMES_MEAN`.
    :ivar unit_ns: unit of the numbers, nanoseconds; ``None`` to take it from the headings or from
        the size of the numbers.
    """

    zone: tzinfo = timezone.utc
    offset_ns: int = 0
    numbers: str = AUTO
    unit_ns: int | None = None


def clock_of(recording: Recording, topic: str) -> Clock:
    """
    Compare the stamps of the first image with the recorder's clock.

    :param topic: topic of the images, as recorded.
    :raises BagError: if no image has a stamp.
    """
    for _, _, recorded_ns, raw in recording.messages([topic]):
        stamp_ns = stamp_of(raw)
        if stamp_ns > 0:
            lag_ns = recorded_ns - stamp_ns
            lag_ns = lag_ns if abs(lag_ns) > _LAG_NS else 0
            return Clock(stamp_ns, recording.end_ns - lag_ns, recording.start_ns - lag_ns, lag_ns)
    raise BagError(f'{recording.path}: the images on {topic} have no stamps: expected stamps '
                   'above 0')


def in_words(stamp_ns: int) -> str:
    """Write a stamp in seconds, and as a date if it counts from 1970."""
    seconds = f'{stamp_ns // 10**9}.{stamp_ns % 10**9:09d}'
    if stamp_ns < WALL_NS:
        return seconds
    date = datetime.fromtimestamp(stamp_ns // 10**9, timezone.utc)
    return f'{seconds} ({date:%Y-%m-%d %H:%M:%S}.{stamp_ns // 10**6 % 1000:03d} UTC)'
