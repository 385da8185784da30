"""Which other reading of a table's times would match more of its rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
import math

from moss_perception.data.labels.clock import Clock, Reading, STAMPS, START
import numpy as np

Places = Sequence[tuple[int, int, int | None]]
"""
Of each row with a time, in one reading: its first and last time, nanoseconds, and the index of the
attempt found in the recording that it belongs to; ``None`` for none.
"""

NEAR_NS = 2 * 10**9
"""How well times written by hand may fit the attempts of a recording, nanoseconds."""

_MINUTES_15, _MOST_QUARTERS = 15 * 60 * 10**9, 4 * 14
_APART_NS = 10**8
# Of the rows, or of the attempts if these are fewer: a right clock matches most of them, and
# clearly more than a wrong one.
_MOST, _NEARLY_ALL, _MORE, _ENOUGH = 0.75, 0.9, 0.1, 5.0


@dataclass(frozen=True)
class Hint:
    """
    A reading of a table's times that matches more rows.

    :ivar text: how many rows would match, with which options of ``moss label``.
    :ivar options: these options.
    :ivar clear: whether so many more match that the times can't be read as they are.
    """

    text: str
    options: tuple[str, ...]
    clear: bool


@dataclass(frozen=True)
class _Fit:
    """
    How the rows of a table fit a recording.

    :ivar met: number of attempts found in the recording that have a row.
    :ivar inside: number of rows within the recording.
    :ivar spread_ns: how much the times of rows vary against the decisions of their attempts
        (median), nanoseconds.
    :ivar matching: indices of the rows within the recording, of an attempt if there are any.
    """

    met: int
    inside: int
    spread_ns: float
    matching: frozenset[int]

    def is_more(self, other: '_Fit') -> bool:
        """Tell whether more rows match than in another reading."""
        return (self.met, self.inside) > (other.met, other.inside)


def hint_of(places: Callable[[Reading], Places], reading: Reading, clock: Clock,
            decisions: Sequence[int] = ()) -> Hint | None:
    """
    Find how more rows of a table would match a recording.

    :param places: returns the rows' places for a reading; empty if the table can't be read so.
    :param reading: the reading by which some rows do not match.
    :param clock: the recording's.
    :param decisions: decisions of attempts that were found in the recording, nanoseconds.
    :returns: ``None`` if no other reading matches more rows.
    """
    rows = places(reading)
    now = best = _fit(rows, clock, decisions)
    words: tuple[str, tuple[str, ...]] = '', ()
    for one, said, options in _readings(reading):
        other = places(one)
        if one.unit_ns != reading.unit_ns and not _spread(other):
            continue
        # The first of equal ones is the likeliest.
        if (fit := _fit(other, clock, decisions)).is_more(best):
            best, words = fit, (said, options)
    clear = _is_clear(now, best, len(rows), len(decisions))
    few = min(len(rows), len(decisions))
    if not clear and few > 1 and now.met >= _MOST * few:
        # The clock is right, and the other rows have another reason.
        return None
    if best is not now and (clear or best.inside > max(now.inside, len(rows) / 2)):
        said, options = words
        return Hint(f'{best.inside} of {len(rows)} rows would match with {said}: '
                    + ' '.join(options), options, clear)
    if not now.inside and (shift_ns := _constant(rows, decisions)):
        options = '--offset', f'{(reading.offset_ns + shift_ns) / 1e9:.3f}'
        return Hint(f'{len(rows)} rows would match with an offset of {shift_ns / 1e9:+.3f} s: '
                    + ' '.join(options), options, False)
    return None


def _fit(rows: Places, clock: Clock, decisions: Sequence[int]) -> _Fit:
    late_ns = np.array([(first + last) // 2 - decisions[index] for first, last, index in rows
                        if index is not None], float)
    return _Fit(
        len({index for *_, index in rows if index is not None}),
        sum(clock.first_ns <= last and first <= clock.last_ns for first, last, _ in rows),
        float(np.median(np.abs(late_ns - np.median(late_ns)))) if len(late_ns) > 2 else math.inf,
        frozenset(n for n, (first, last, index) in enumerate(rows)
                  if clock.first_ns <= last and first <= clock.last_ns
                  and (index is not None or not decisions)))


def _is_clear(now: _Fit, other: _Fit, rows: int, attempts: int) -> bool:
    """
    Tell whether the times can't be read as they are, since another reading matches more rows.

    Rows of other recordings lie outside of this one, too. Where attempts are known, these tell:
    a right clock brings most of them a row, and a wrong one scatters the rows' times about the
    decisions, unless attempts follow one another in equal steps.
    """
    few = min(rows, attempts)
    kept = len(now.matching & other.matching)
    # Rows of another recording may fit here, too, in place of those that match.
    if other.inside < now.inside or 2 * kept < len(now.matching):
        return False
    if few > 1 and other.met >= _MOST * few:
        # The share of rows that leave a long recording is small.
        return (other.met - now.met > max(1.0, min(_MORE * few, _ENOUGH))
                and other.spread_ns <= max(2 * now.spread_ns, NEAR_NS))
    if attempts > 1 and now.met >= _NEARLY_ALL * attempts:
        return False
    return (other.inside >= _NEARLY_ALL * rows
            and other.inside - now.inside > max(1.0, _MORE * rows))


def _spread(rows: Places) -> bool:
    """Tell whether times are apart: in a unit that is too small, all of them are one moment."""
    return bool(rows) and max(x for _, x, _ in rows) - min(x for x, *_ in rows) >= _APART_NS


def _readings(reading: Reading) -> list[tuple[Reading, str, tuple[str, ...]]]:
    """List other readings of a table with their options, the likeliest first."""
    found = []
    for numbers, said in ((START, 'seconds from the start of the recording'),
                          (STAMPS, 'seconds of the header stamps')):
        for unit, factor in ((None, ''), ('ms', 'milli'), ('us', 'micro'), ('ns', 'nano')):
            unit_ns = unit and {'ms': 10**6, 'us': 10**3, 'ns': 1}[unit]
            found.append((replace(reading, numbers=numbers, unit_ns=unit_ns),
                          f'numbers that are {factor}{said}',
                          ('--times', numbers, *(('--unit', unit) if unit else ()))))
    for quarters in sorted(range(-_MOST_QUARTERS, _MOST_QUARTERS + 1),
                           key=lambda x: (x % 4 != 0, abs(x))):
        if quarters:
            offset_ns = reading.offset_ns + quarters * _MINUTES_15
            found.append((replace(reading, offset_ns=offset_ns),
                          f'a clock that is {_hours(quarters)}',
                          ('--offset', f'{offset_ns / 1e9:.0f}')))
    return found


def _hours(quarters: int) -> str:
    hours = f'{abs(quarters) / 4:g} hour{"s" * (abs(quarters) != 4)}'
    return f'{hours} {"ahead" if quarters > 0 else "behind"}'


def _constant(rows: Places, decisions: Sequence[int]) -> int:
    """Return the offset that brings every row to an attempt of its own, 0 if there is none."""
    if len(rows) < 3 or len(decisions) < len(rows):
        return 0
    middles = sorted((a + b) // 2 for a, b, _ in rows)
    found = sorted(decisions)
    for first in range(len(found) - len(middles) + 1):
        shifts = [x - y for x, y in zip(found[first:], middles, strict=False)]
        shift_ns = sorted(shifts)[len(shifts) // 2]
        if all(abs(x - shift_ns) <= NEAR_NS for x in shifts):
            return shift_ns
    return 0
