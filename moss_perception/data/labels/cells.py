"""The words, numbers and times in the cells of a table of outcomes."""

import calendar
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from decimal import Decimal
import re

from moss_perception.core.errors import ConfigError
from moss_perception.core.text import clean

_TRUE = {'true', '1', 'yes', 'y', 'ok', 'okay', 'success', 'successful', 'succeeded', 'succeed',
         'pass', 'passed', 'good', 'held', 't', 'x', 'ja', 'wahr', 'erfolg', '\u2713', '\u2714'}
_FALSE = {'false', '0', 'no', 'n', 'nok', 'fail', 'failed', 'failure', 'bad', 'dropped', 'f',
          'not ok', 'nein', 'falsch', 'misserfolg', '\u2717', '\u2718'}
_WORDS = 'yes or no, 1 or 0, ok or fail'
_NUMBER = re.compile(r'\d{1,25}(?:[.,]\d{1,25})?')
# With both marks, or one mark several times, it is clear which one separates thousands.
_GROUPED = (re.compile(r'\d{1,3}(?:,\d{3})+\.\d+|\d{1,3}(?:,\d{3}){2,}'),
            re.compile(r'\d{1,3}(?:\.\d{3})+,\d+|\d{1,3}(?:\.\d{3}){2,}'))
_DAY = (r'(?:(?P<y>\d{4})([-/])(?P<m>\d\d?)\2(?P<d>\d\d?)'
        r'|(?P<d2>\d\d?)\.(?P<m2>\d\d?)\.(?P<y2>\d{4}))')
_CLOCK = r'(?P<H>\d\d?):(?P<M>\d\d)(?::(?P<S>\d\d)(?:[.,](?P<f>\d{1,9})\d*)?)?'
_ZONE = r'(?P<z>Z|UTC|GMT|[+-]\d\d:?\d\d|[+-]\d\d)?'
_DATE_TIME = re.compile(rf'{_DAY}(?:T|_|,?\s+){_CLOCK}\s*{_ZONE}', re.IGNORECASE)
_CLOCK_ONLY = re.compile(rf'{_CLOCK}\s*{_ZONE}', re.IGNORECASE)
EXAMPLE = '2026-05-04 14:03:10.5+02:00'
UNITS_NS = {'s': 10**9, 'ms': 10**6, 'us': 10**3, 'ns': 1}
"""Nanoseconds of each unit."""


@dataclass(frozen=True)
class Moment:
    """
    A time in a cell.

    :ivar text: the cell.
    :ivar number: the number in it; ``None`` if it is a date and time.
    :ivar stamp_ns: a date and time, nanoseconds since 1970 (UTC); ``None`` if it is a number.
    :ivar zoned: whether the date and time has a zone of its own.
    :ivar decimals: of the number, or of the seconds; -1 for a date and time without seconds.
    """

    text: str
    number: Decimal | None = None
    stamp_ns: int | None = None
    zoned: bool = False
    decimals: int = 0

    def step_ns(self, unit_ns: int) -> int:
        """
        Return the resolution with which the time is written, nanoseconds.

        :param unit_ns: of numbers, nanoseconds.
        """
        unit_ns = unit_ns if self.stamp_ns is None else UNITS_NS['s']
        return 60 * unit_ns if self.decimals < 0 else unit_ns // 10**min(self.decimals, 18)


def read_flag(name: str, text: str) -> bool:
    """
    Read a flag: true or false, yes or no, 1 or 0, ok or fail, x, in letters of any case.

    :raises ValueError: if it is none of these.
    """
    word = text.strip().lower().removesuffix('.0')
    if word not in _TRUE | _FALSE:
        raise ValueError(f'{name} is {clean(text)!r}, expected true or false ({_WORDS})'
                         + ': fill it in, or delete the row' * (not word))
    return word in _TRUE


def read_whole(name: str, text: str) -> int:
    """
    Read a whole number from 0.

    :raises ValueError: if it is none.
    """
    text = text.removesuffix('.0')
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise ValueError(f'{name} is {clean(text)!r}, expected a whole number from 0')
    return int(text)


def read_number(text: str) -> Decimal | None:
    """Read a number from 0 with a decimal point or comma; ``None`` if it is none."""
    for pattern, mark in zip(_GROUPED, ',.', strict=True):
        if pattern.fullmatch(text):
            return Decimal(text.replace(mark, '').replace(',', '.'))
    return Decimal(text.replace(',', '.')) if _NUMBER.fullmatch(text) else None


def read_moment(name: str, text: str, zone: tzinfo = timezone.utc, day: str = '') -> Moment:
    """
    Read a time: a number, or a date and time.

    :param name: name of the column.
    :param zone: zone of dates without one.
    :param day: the date, if it stands in a column of its own; empty if not.
    :raises ValueError: if it is none.
    """
    if (number := read_number(text)) is not None:
        return Moment(text, number, decimals=max(-int(number.as_tuple().exponent), 0))
    if day and _CLOCK_ONLY.fullmatch(text):
        # Spreadsheets have a date as one with a time of midnight.
        text = f'{re.sub(r"[ T]00:00(:00)?$", "", day)} {text}'
    found = _DATE_TIME.fullmatch(text)
    if found is None:
        why = ''
        if _CLOCK_ONLY.fullmatch(text):
            why = '; a time of day needs its date, there or in a column date'
        elif re.fullmatch(r'[\d.,]+[eE][+-]?\d+', text):
            why = '; a spreadsheet has rounded it: show the column as a number with decimals'
        elif re.match(r'\d\d?/\d\d?/\d{4}', text):
            why = '; day and month cannot be told apart'
        raise ValueError(f'expected decimal seconds, got {clean(text)!r} as {name} (or a date '
                         f'and time such as {EXAMPLE}){why}')
    return Moment(text, stamp_ns=_stamp_ns(name, text, found, zone), zoned=bool(found['z']),
                  decimals=len(found['f'] or '') if found['S'] else -1)


def _stamp_ns(name: str, text: str, found: re.Match, zone: tzinfo) -> int:
    year, month, day = (int(found[x] or found[f'{x}2']) for x in 'ymd')
    if found['z']:
        zone = _offset_of(found['z'])
    try:
        when = datetime(year, month, day, int(found['H']), int(found['M']), int(found['S'] or 0),
                        tzinfo=zone)
        seconds = calendar.timegm(when.utctimetuple())
    except (ValueError, OverflowError) as error:
        raise ValueError(f'{name} is {clean(text)!r}, which is no date and time: '
                         f'{error}') from error
    if seconds < 0:
        raise ValueError(f'{name} is {clean(text)!r}, expected a date after 1970')
    return seconds * 10**9 + int((found['f'] or '0').ljust(9, '0'))


def _offset_of(text: str) -> tzinfo:
    if text[0] not in '+-':
        return timezone.utc
    digits = text[1:].replace(':', '').ljust(4, '0')
    size = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    try:
        return timezone(-size if text[0] == '-' else size)
    except ValueError as error:
        raise ValueError(f'zone {clean(text)!r}: expected less than 24 hours') from error


def read_zone(text: str) -> tzinfo:
    """
    Find a time zone.

    :param text: such as ``Europe/Berlin``, ``UTC`` or ``+02:00``.
    :raises ConfigError: if it is unknown.
    """
    if re.fullmatch(r'UTC|Z|[+-]\d\d(?::?\d\d)?', text):
        return _offset_of(text)
    from zoneinfo import ZoneInfo
    try:
        return ZoneInfo(text)
    except (OSError, ValueError, LookupError) as error:
        raise ConfigError(f'time zone {clean(text)!r} is unknown: expected a name such as '
                          'Europe/Berlin, or an offset such as +02:00') from error
