"""The clock of a recording's images, and which offset of a table's times would match it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
_MINUTES_15, _MOST_QUARTERS = 15 * 60 * 10**9, 4 * 14
# How well times written by hand may fit the attempts of a recording.
_NEAR_NS = 2 * 10**9
_APART_NS = 10**8


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


Spans = Sequence[tuple[int, int]]
"""First and last time of rows, nanoseconds."""


def offset_hint(spans: Callable[[Reading], Spans], reading: Reading, clock: Clock,
                decisions: Sequence[int] = ()) -> str:
    """
    Find how the times of a table would match a recording.

    :param spans: returns the rows' times for a reading; empty if the table can't be read so.
    :param reading: the reading that does not match.
    :param clock: the recording's.
    :param decisions: decisions of attempts that were found in the recording, nanoseconds.
    :returns: what would match, with the option that says so; empty if nothing would.
    """
    def fit(one: Reading) -> tuple[int, int]:
        found = spans(one)
        if one.unit_ns != reading.unit_ns and not _spread(found):
            return 0, 0
        inside = [(a, b) for a, b in found if clock.first_ns <= b and a <= clock.last_ns]
        near = sum(any(a - _NEAR_NS <= x <= b + _NEAR_NS for x in decisions) for a, b in inside)
        return near, len(inside)

    best, count = None, (0, 0)
    for one, said in _readings(reading):
        # The first of equal ones is the likeliest.
        if (found := fit(one)) > count:
            best, count = (one, said), found
    total = len(spans(reading))
    if best is not None and count[1] > total / 2:
        return f'{count[1]} of {total} rows would match with {best[1]}'
    if shift_ns := _constant(spans(reading), decisions):
        return (f'{total} rows would match with an offset of {shift_ns / 1e9:+.3f} s: '
                f'--offset {(reading.offset_ns + shift_ns) / 1e9:.3f}')
    return ''


def _spread(spans: Spans) -> bool:
    """Tell whether times are apart: in a unit that is too small, all of them are one moment."""
    return bool(spans) and max(b for _, b in spans) - min(a for a, _ in spans) >= _APART_NS


def _readings(reading: Reading) -> list[tuple[Reading, str]]:
    """List other readings of a table, the likeliest first."""
    found = []
    for numbers, said in ((START, 'seconds from the start of the recording'),
                          (STAMPS, 'seconds of the header stamps')):
        for unit, factor in ((None, ''), ('ms', 'milli'), ('us', 'micro'), ('ns', 'nano')):
            unit_ns = unit and {'ms': 10**6, 'us': 10**3, 'ns': 1}[unit]
            found.append((replace(reading, numbers=numbers, unit_ns=unit_ns),
                          f'numbers that are {factor}{said}: --times {numbers}'
                          + (f' --unit {unit}' if unit else '')))
    for quarters in sorted(range(-_MOST_QUARTERS, _MOST_QUARTERS + 1),
                           key=lambda x: (x % 4 != 0, abs(x))):
        if quarters:
            offset_ns = reading.offset_ns + quarters * _MINUTES_15
            found.append((replace(reading, offset_ns=offset_ns),
                          f'a clock that is {_hours(quarters)}: --offset {offset_ns / 1e9:.0f}'))
    return found


def _hours(quarters: int) -> str:
    hours = f'{abs(quarters) / 4:g} hour{"s" * (abs(quarters) != 4)}'
    return f'{hours} {"ahead" if quarters > 0 else "behind"}'


def _constant(spans: Spans, decisions: Sequence[int]) -> int:
    """Return the offset that brings every row to an attempt of its own, 0 if there is none."""
    if len(spans) < 3 or len(decisions) < len(spans):
        return 0
    middles = sorted((a + b) // 2 for a, b in spans)
    found = sorted(decisions)
    for first in range(len(found) - len(middles) + 1):
        shifts = [x - y for x, y in zip(found[first:], middles, strict=False)]
        shift_ns = sorted(shifts)[len(shifts) // 2]
        if all(abs(x - shift_ns) <= _NEAR_NS for x in shifts):
            return shift_ns
    return 0
