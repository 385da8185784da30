"""The outcomes of a table for one recording: each row with its attempt."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path

from moss_perception.core.errors import BagError
from moss_perception.data.bags.reader import Recording, recording_name
from moss_perception.data.labels.attempts import find_attempts, Found, Search
from moss_perception.data.labels.clock import (
    Clock,
    clock_of,
    in_words,
    offset_hint,
    Reading,
)
from moss_perception.data.labels.table import read_table, Row, Table
from moss_perception.data.labels.times import TableTimes
from moss_perception.data.outcomes import Outcome

# People write a time down when an attempt is over.
_LATE_NS = 10 * 10**9


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
    :ivar notes: how the table was read, where that may surprise.
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
    times = TableTimes(table, clock, reading)
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
    result = Labels(table, labels, [*table.notes, *times.notes], times.relative, clock)
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
    own = {path.name, recording_name(path)}
    rows = [x for x in table.rows if Path(x.values.get('bag', '')).name in own]
    # Recordings of one name are told by their folders, where a table names these.
    alike = {id(x): _alike(Path(x.values['bag']).parent, path.parent) for x in rows}
    rows = [x for x in rows if alike[id(x)] == max(alike.values())]
    folders = sorted({str(Path(x.values['bag']).parent) for x in rows})
    if len(folders) > 1:
        raise BagError(f'outcomes {table.path}: the column bag has {path.name} in the folders '
                       f'{", ".join(folders[:5])}, and each may be {path}: expected one of them')
    if not rows:
        there = sorted({x.values.get('bag', '') for x in table.rows})
        raise BagError(f'outcomes {table.path}: no row for the recording {path.name}: the column '
                       f'bag has {", ".join(map(repr, there[:5]))}')
    return replace(table, rows=rows)


def _alike(folder: Path, other: Path) -> int:
    """Count the names at the end of two folders that are equal."""
    pairs = zip(reversed(folder.parts), reversed(other.parts), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _label(table: Table, number: int, row: Row, times: TableTimes, found: Found | None) -> Label:
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


def _attempt_of(table: Table, row: Row, times: TableTimes, found: Found) -> int | None:
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
            row.values.get('object', ''), executed=row.executed, candidate=row.candidate,
            lead_time_s=row.lead_time_s)
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
            times = TableTimes(labels.table, clock, other)
            stamps = [[times.stamp_ns(row, name) for name in row.times]
                      for row in labels.table.rows if row.times]
        except BagError:
            return []
        return [(min(x), max(x)) for x in stamps]
    return offset_hint(spans, reading, clock, [x.decision_ns for x in found.spans])
