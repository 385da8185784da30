"""The outcomes of a table for one recording: each row with its attempt."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

from moss_perception.core.errors import BagError
from moss_perception.data.bags.reader import Recording, recording_name
from moss_perception.data.labels.attempts import find_attempts, Found, Search
from moss_perception.data.labels.clock import Clock, clock_of, Reading
from moss_perception.data.labels.conflicts import other_numbers, twice
from moss_perception.data.labels.hints import Hint, hint_of, NEAR_NS
from moss_perception.data.labels.label import is_whole, Label, Labels, time_name
from moss_perception.data.labels.table import read_table, Row, Table
from moss_perception.data.labels.times import TableTimes
from moss_perception.data.outcomes import Outcome

# Nobody notes the first attempt of the next recording so soon, nanoseconds.
_SOON_NS = 10**9


def read_labels(path: Path | str, recording: Recording | None = None,
                image_topic: str | None = None, search: Search | None = None,
                reading: Reading | None = None) -> Labels:
    """
    Read a table of outcomes for a recording.

    A row with ``start`` and ``end`` is an attempt of its own. A row with only a time, or only a
    number, belongs to an attempt that is found in the recording. A row without a decision takes
    that of the only attempt that was found within it.

    :param recording: open recording; ``None`` if the rows have times of their own, which then are
        header stamps.
    :param image_topic: topic of its images; ``None`` for the only one.
    :param search: how to find attempts.
    :param reading: how to read the times.
    :raises BagError: if the table can't be read, a row has no attempt of its own, or the number
        and the time of a row are of different attempts.
    """
    reading, search = reading or Reading(), search or Search()
    table = _of_recording(read_table(path, reading.zone), recording)
    clock = None if recording is None else clock_of(
        recording, recording.image_topic(image_topic).name)
    times = TableTimes(table, clock, reading)
    found = _found(table, recording, clock, search)
    labels = [_label(table, number, row, times, found)
              for number, row in enumerate(table.rows, start=1)]
    if clock is not None:
        labels = _without_others(labels, clock, times.step_ns)
    result = Labels(table, labels, [*table.notes, *times.notes], times.relative, clock, found)
    repeated = twice(table, labels, found, times.step_ns)
    if clock is not None and (repeated or not _all_match(result)):
        result = replace(result, hint=_hint(result, clock, reading))
    if why := repeated or other_numbers(result):
        raise BagError(f'{why}; {result.hint.text}' if result.hint else why)
    return result


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


def _found(table: Table, recording: Recording | None, clock: Clock | None,
           search: Search) -> Found | None:
    """Find the attempts of a recording; it may have none if the rows have times of their own."""
    needing = [x for x in table.rows if not is_whole(x)]
    if recording is None or clock is None:
        if needing:
            raise table.error(needing[0], 'no start or no end: expected both')
        return None
    try:
        return find_attempts(recording, clock, search)
    except BagError:
        if needing or search.source:
            raise
        return None


def _label(table: Table, number: int, row: Row, times: TableTimes, found: Found | None) -> Label:
    if is_whole(row):
        start_ns, end_ns = times.stamp_ns(row, 'start'), times.stamp_ns(row, 'end')
        name = 'decision' if 'decision' in row.times else 'start'
        decision_ns = times.stamp_ns(row, name)
        if not start_ns <= decision_ns <= end_ns:
            raise table.error(row, f'start {row.times["start"].text}, decision '
                              f'{row.times[name].text} and end {row.times["end"].text}: expected '
                              'them in this order')
        # When the gripper closes, the robot has decided long before.
        inside = [] if name == 'decision' or found is None or not found.decided else (
            found.within(start_ns, end_ns))
        taken = inside[0] if len(inside) == 1 else None
        if taken is not None and found is not None:
            decision_ns = found.spans[taken].decision_ns
        return Label(row, _outcome(table, row, number, start_ns, decision_ns, end_ns),
                     decided=name == 'decision' or taken is not None,
                     taken=None if taken is None else taken + 1)
    assert found is not None  # read_labels has searched
    name = time_name(row)
    at_ns = times.stamp_ns(row, name) if name else None
    index = _numbered(table, row, found) if at_ns is None else found.at(
        name, at_ns, times.step_ns)
    if index is None:
        assert at_ns is not None  # a number has its attempt
        return Label(row, _outcome(table, row, number, at_ns, at_ns, at_ns), None, False, at_ns)
    span = found.spans[index]
    # Not the attempt's number, which a row of another recording may have, too.
    return Label(row, _outcome(table, row, number, span.start_ns, span.decision_ns,
                               span.end_ns), index + 1, True, at_ns)


def _without_others(labels: Sequence[Label], clock: Clock, step_ns: int) -> list[Label]:
    """
    Take rows before and after the recording from its attempts, since they may be of others.

    Its last attempt may be noted after its end: by the only row there, if no other is of it.

    :param step_ns: the resolution of the times, nanoseconds.
    """
    after = sum((x.outcome.start_ns if x.at_ns is None else x.at_ns) > clock.last_ns + _SOON_NS
                for x in labels)
    inside = {x.found for x in labels if _is_at(x, clock.first_ns, clock.last_ns)}
    about = {x.found for x in labels if _is_at(x, clock.first_ns - step_ns + 1,
                                               clock.last_ns + _SOON_NS)}

    def is_other(label: Label) -> bool:
        at_ns = label.at_ns
        if not label.found or at_ns is None or clock.first_ns <= at_ns <= clock.last_ns:
            return False
        if at_ns <= clock.last_ns + _SOON_NS:
            return at_ns <= clock.first_ns - step_ns or label.found in inside
        return after > 1 or label.found in about
    return [_outside(x) if is_other(x) else x for x in labels]


def _is_at(label: Label, first_ns: int, last_ns: int) -> bool:
    """Tell whether a row was placed by its number, or by a time within two stamps."""
    return label.at_ns is None or first_ns <= label.at_ns <= last_ns


def _outside(label: Label) -> Label:
    """Return a row as one of no attempt, at its own time."""
    assert label.at_ns is not None  # its number alone is of an attempt of this recording
    return replace(label, found=None, decided=False, outcome=replace(
        label.outcome, start_ns=label.at_ns, decision_ns=label.at_ns, end_ns=label.at_ns))


def _numbered(table: Table, row: Row, found: Found) -> int:
    """Return the index of the attempt that a row without a time names."""
    if row.attempt is None:
        raise table.error(row, 'no time and no number of an attempt: expected start and end, '
                          'or time, or attempt')
    if not 1 <= row.attempt <= len(found.spans):
        raise table.error(row, f'attempt is {row.attempt}: expected 1 to {len(found.spans)}, '
                          f'the attempts found {found.how}')
    return row.attempt - 1


def _outcome(table: Table, row: Row, number: int, start_ns: int, decision_ns: int,
             end_ns: int) -> Outcome:
    try:
        return Outcome(
            number if row.attempt is None else row.attempt, start_ns, decision_ns, end_ns,
            row.success, row.values.get('domain', ''), row.values.get('motion', ''),
            row.values.get('object', ''), executed=row.executed, candidate=row.candidate,
            lead_time_s=row.lead_time_s, line=row.line)
    except ValueError as error:
        raise table.error(row, str(error)) from error


def _all_match(labels: Labels) -> bool:
    """Tell whether each row is within the recording, and of an attempt that was found there."""
    if labels.outside or labels.lost:
        return False
    found = labels.found
    return found is None or all(
        x.found or found.within(x.outcome.start_ns, x.outcome.end_ns) for x in labels.rows)


def _hint(labels: Labels, clock: Clock, reading: Reading) -> Hint | None:
    """Find what would make more rows of a table match."""
    table, found = labels.table, labels.found

    def places(other: Reading) -> list[tuple[int, int, int | None]]:
        try:
            times = TableTimes(table, clock, other)
            return [_place(row, times, found) for row in table.rows if row.times]
        except BagError:
            return []
    return hint_of(places, reading, clock, [] if found is None else [
        x.decision_ns for x in found.spans])


def _place(row: Row, times: TableTimes, found: Found | None) -> tuple[int, int, int | None]:
    """Return the first and last time of a row, and the index of its attempt."""
    stamps = [times.stamp_ns(row, name) for name in row.times]
    first, last = min(stamps), max(stamps)
    if found is None:
        return first, last, None
    if not is_whole(row):
        name = time_name(row)
        return first, last, found.at(name, times.stamp_ns(row, name), times.step_ns)
    # Times written by hand need not hold the decision.
    near = found.within(first, last) or found.within(first - NEAR_NS, last + NEAR_NS)
    return first, last, near[0] if near else None
