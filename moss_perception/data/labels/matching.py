"""The outcomes of a table for one recording: each row with its attempt."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
import logging
from pathlib import Path

from moss_perception.core.errors import BagError
from moss_perception.data.bags.reader import Recording
from moss_perception.data.labels.attempts import find_attempts, Found, Search
from moss_perception.data.labels.cells import Moment, UNITS_NS
from moss_perception.data.labels.clock import (
    AUTO,
    Clock,
    clock_of,
    in_words,
    offset_hint,
    Reading,
    START,
    WALL_NS,
)
from moss_perception.data.labels.table import read_table, Row, Table
from moss_perception.data.outcomes import Outcome

# Numbers from here on count from 1970, in seconds; 1e8 s is in 1973.
_ABSOLUTE = Decimal(WALL_NS // 10**9)
# People write a time down when an attempt is over.
_LATE_NS = 10 * 10**9
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Label:
    """
    A row of a table as an outcome.

    :ivar row: the row.
    :ivar outcome: its outcome.
    :ivar found: number of the attempt found in the recording to which the row belongs; ``None``
        if the row has times of its own.
    """

    row: Row
    outcome: Outcome
    found: int | None = None


@dataclass(frozen=True)
class Labels:
    """
    A table read for a recording.

    :ivar rows: in the order of the table.
    :ivar notes: how the times were read, if not as seconds of the header stamps.
    :ivar relative: whether the times are from the start of the recording.
    :ivar clock: the recording's clock; ``None`` without a recording.
    """

    table: Table
    rows: Sequence[Label]
    notes: Sequence[str] = ()
    relative: bool = False
    clock: Clock | None = None
    hint: str = field(default='', compare=False)

    @property
    def outside(self) -> list[Label]:
        """Return the rows that are outside of the recording."""
        return [] if self.clock is None else [
            x for x in self.rows if x.outcome.end_ns < self.clock.first_ns
            or x.outcome.start_ns > self.clock.last_ns]


def read_labels(path: Path | str, recording: Recording | None = None,
                image_topic: str | None = None, search: Search | None = None,
                reading: Reading | None = None) -> Labels:
    """
    Read a table of outcomes for a recording.

    A row with ``start`` and ``end`` is an attempt of its own. A row with only a time, or only a
    number, belongs to an attempt that is found in the recording.

    :param recording: open recording; ``None`` if the rows have times of their own, which then are
        header stamps.
    :param image_topic: topic of its images; ``None`` for the only one.
    :param search: how to find attempts.
    :param reading: how to read the times.
    :raises BagError: if the table can't be read, or a row has no attempt of its own.
    """
    reading, search = reading or Reading(), search or Search()
    table = _of_recording(read_table(path, reading.zone), recording)
    clock = None if recording is None else clock_of(
        recording, recording.image_topic(image_topic).name)
    times = _Times(table, clock, reading)
    whole = [x for x in table.rows if 'start' in x.times and 'end' in x.times]
    found = None
    if len(whole) < len(table.rows):
        if recording is None or clock is None:
            row = next(x for x in table.rows if x not in whole)
            raise table.error(row, 'no start or no end: expected both')
        found = find_attempts(recording, clock, search)
    labels = [_label(table, number, row, times, found)
              for number, row in enumerate(table.rows, start=1)]
    _refuse_twice(table, labels)
    result = Labels(table, labels, times.notes, times.relative, clock)
    if clock is None or recording is None or len(result.outside) < len(labels):
        return result
    return replace(result, hint=_hint(result, recording, reading, search, found))


def read_attempts(path: Path | str, recording: Recording | None = None,
                  image_topic: str | None = None, search: Search | None = None) -> list[Outcome]:
    """
    Read the outcomes of a table; the parameters are those of :func:`read_labels`.

    :returns: outcomes in the order of the table.
    :raises BagError: if the table can't be read, or a row has no attempt.
    """
    return [x.outcome for x in read_labels(path, recording, image_topic, search).rows]


def outcomes_of(recording: Recording, table: Path | str | None, *, image_topic: str = '',
                outcome_topic: str | None = None, executed_topic: str | None = None,
                candidates_topic: str | None = None) -> list[Outcome]:
    """
    Return the recorded outcomes, or those of a table if there is one.

    :param table: file of the outcomes; ``None`` for the recorded ones.
    :param image_topic: topic of the images; empty if the recording has none.
    :raises BagError: if the outcomes can't be read.
    """
    if table is None:
        return recording.outcomes(outcome_topic)
    return read_attempts(table, recording if image_topic else None, image_topic or None, Search(
        executed_topic=executed_topic, candidates_topic=candidates_topic,
        outcome_topic=outcome_topic))


def _of_recording(table: Table, recording: Recording | None) -> Table:
    """Keep the rows that name this recording, if the table has a column for it."""
    if recording is None or 'bag' not in table.columns:
        return table
    path = recording.path.absolute()
    own = {path.name, path.stem, str(recording.path)}
    rows = [x for x in table.rows if Path(x.values.get('bag', '')).name in own]
    if not rows:
        there = sorted({x.values.get('bag', '') for x in table.rows})
        raise BagError(f'outcomes {table.path}: no row for the recording {path.name}: the column '
                       f'bag has {", ".join(map(repr, there[:5]))}')
    return replace(table, rows=rows)


class _Times:
    """Converts the times of a table into header stamps."""

    def __init__(self, table: Table, clock: Clock | None, reading: Reading):
        self._table, self._offset_ns = table, reading.offset_ns
        self.notes: list[str] = []
        numbers = [(x.number, row) for row in table.rows for x in row.times.values()
                   if x.number is not None]
        unit_ns = reading.unit_ns or table.unit_ns
        self._unit_ns = unit_ns or _unit_of(max((x for x, _ in numbers), default=Decimal(0)))
        absolute = [x * self._unit_ns / 10**9 >= _ABSOLUTE for x, _ in numbers]
        if any(absolute) and not all(absolute):
            value, row = numbers[absolute.index(False)]
            self.notes.append(f'{table.at} {row.line}: the time {value} does not count from 1970, '
                              'as others of the table do')
        self.relative = bool(numbers) and clock is not None and (
            reading.numbers == START or (reading.numbers == AUTO and not any(absolute)
                                         and clock.first_ns > WALL_NS))
        self._zero_ns = clock.zero_ns if clock is not None and self.relative else 0
        self._say(table, bool(numbers), unit_ns is None, reading)

    def _say(self, table: Table, numbers: bool, guessed: bool, reading: Reading) -> None:
        if self.relative:
            self.notes.append('the times are read as from the start of the recording, '
                              + in_words(self._zero_ns))
        if numbers and guessed and self._unit_ns != 10**9:
            unit = next(x for x, ns in UNITS_NS.items() if ns == self._unit_ns)
            self.notes.append(f'the times are read as {unit}, by their size')
        moments = [x for row in table.rows for x in row.times.values()]
        if any(x.stamp_ns is not None and not x.zoned for x in moments):
            self.notes.append(f'dates without a zone are read as {reading.zone}')
        if len(moments) > 5 and not self.relative and all(
                x.number is not None and x.number >= _ABSOLUTE and x.number == int(x.number)
                for x in moments) and self._unit_ns == 10**9:
            self.notes.append('all times are whole seconds: if a spreadsheet rounded them, each '
                              'is wrong by up to half a second')

    def stamp_ns(self, row: Row, name: str) -> int:
        moment: Moment = row.times[name]
        if moment.stamp_ns is not None:
            stamp_ns = moment.stamp_ns + self._offset_ns
        else:
            assert moment.number is not None  # a moment is one or the other
            stamp_ns = int(moment.number * self._unit_ns) + self._zero_ns + self._offset_ns
        if stamp_ns < 0:
            raise self._table.error(row, f'{name} is {moment.text} and {stamp_ns / 1e9:g} s as a '
                                    'stamp: expected 0 or more')
        return stamp_ns


def _unit_of(largest: Decimal) -> int:
    """Return the unit of numbers from 1970 by their size, nanoseconds."""
    for unit_ns in (1, 10**3, 10**6):
        if largest * unit_ns / 10**9 >= _ABSOLUTE:
            return unit_ns
    return 10**9


def _label(table: Table, number: int, row: Row, times: _Times, found: Found | None) -> Label:
    if 'start' in row.times and 'end' in row.times:
        start_ns, end_ns = times.stamp_ns(row, 'start'), times.stamp_ns(row, 'end')
        name = 'decision' if 'decision' in row.times else 'start'
        decision_ns = times.stamp_ns(row, name)
        if not start_ns <= decision_ns <= end_ns:
            raise table.error(row, f'start {row.times["start"].text}, decision '
                              f'{row.times[name].text} and end {row.times["end"].text}: expected '
                              'them in this order')
        return Label(row, _outcome(table, row, number, start_ns, decision_ns, end_ns))
    assert found is not None  # read_labels has searched
    index = _attempt_of(table, row, times, found)
    if index is None:
        at_ns = times.stamp_ns(row, _time_name(row))
        return Label(row, _outcome(table, row, number, at_ns, at_ns, at_ns))
    span = found.spans[index]
    return Label(row, _outcome(table, row, index + 1, span.start_ns, span.decision_ns,
                               span.end_ns), index + 1)


def _time_name(row: Row) -> str:
    return next((x for x in ('decision', 'time', 'start', 'end') if x in row.times), '')


def _attempt_of(table: Table, row: Row, times: _Times, found: Found) -> int | None:
    """Return the index of the attempt that a row belongs to, ``None`` if there is none."""
    name = _time_name(row)
    if not name:
        if row.attempt is None:
            raise table.error(row, 'no time and no number of an attempt: expected start and end, '
                              'or time, or attempt')
        if not 1 <= row.attempt <= len(found.spans):
            raise table.error(row, f'attempt is {row.attempt}: expected 1 to {len(found.spans)}, '
                              f'the attempts found {found.how}')
        return row.attempt - 1
    at_ns = times.stamp_ns(row, name)
    begun = [n for n, x in enumerate(found.spans) if x.start_ns <= at_ns]
    if begun and at_ns <= found.spans[begun[-1]].end_ns + _LATE_NS:
        return begun[-1]
    return None


def _outcome(table: Table, row: Row, number: int, start_ns: int, decision_ns: int,
             end_ns: int) -> Outcome:
    try:
        return Outcome(
            number if row.attempt is None else row.attempt, start_ns, decision_ns, end_ns,
            row.success, row.values.get('domain', ''), row.values.get('motion', ''),
            row.values.get('object', ''), executed=row.executed, candidate=row.candidate)
    except ValueError as error:
        raise table.error(row, str(error)) from error


def _refuse_twice(table: Table, labels: Sequence[Label]) -> None:
    """Refuse two rows of one attempt."""
    seen: dict[object, Row] = {}
    for label in labels:
        one = label.outcome
        key = label.found or (one.start_ns, one.decision_ns, one.end_ns)
        if (first := seen.setdefault(key, label.row)) is not label.row:
            what = f'attempt {label.found}' if label.found else (
                f'the attempt from {in_words(one.start_ns)}')
            raise table.error(label.row, f'{what} has {table.at} {first.line} already: expected '
                              'one row for each attempt')


def _hint(labels: Labels, recording: Recording, reading: Reading, search: Search,
          found: Found | None) -> str:
    """Find what would make the rows of a table match."""
    clock = labels.clock
    assert clock is not None  # there is a recording
    try:
        found = found or find_attempts(recording, clock, search)
    except BagError:
        found = Found((), '')

    def spans(other: Reading) -> list[tuple[int, int]]:
        try:
            times = _Times(labels.table, clock, other)
            stamps = [[times.stamp_ns(row, name) for name in row.times]
                      for row in labels.table.rows if row.times]
        except BagError:
            return []
        return [(min(x), max(x)) for x in stamps]
    return offset_hint(spans, reading, clock, [x.decision_ns for x in found.spans])
