"""Rows of a table that contradict one another, or themselves, about their attempts."""

from collections import Counter
from collections.abc import Sequence

from moss_perception.data.labels.attempts import Found
from moss_perception.data.labels.clock import in_words
from moss_perception.data.labels.label import Label, Labels, time_name
from moss_perception.data.labels.table import Row, Table


def twice(table: Table, labels: Sequence[Label], found: Found | None, step_ns: int) -> str:
    """Return which rows are of one attempt; empty if each has its own."""
    seen: dict[object, Row] = {}
    placed = {x.found for x in labels}
    for label in labels:
        one = label.outcome
        # Of two rows, the later one may begin just as the attempt of the other is decided.
        taken = label.taken if one.start_ns < one.decision_ns or label.taken in placed else None
        key = label.found or taken or (one.start_ns, one.decision_ns, one.end_ns)
        if (first := seen.setdefault(key, label.row)) is not label.row:
            what = f'attempt {label.found}' if label.found else (
                f'the attempt from {in_words(one.start_ns)}')
            return str(table.error(label.row, f'{what} has {table.at} {first.line} already: '
                                   'expected one row for each attempt'
                                   + _cause(label, found, step_ns)))
    return ''


def _cause(label: Label, found: Found | None, step_ns: int) -> str:
    """Say why a time may be placed at the attempt of another one; empty if nobody knows."""
    if found is None or label.at_ns is None or not label.found:
        return ''
    if step_ns >= 10**9 and len(found.within(label.at_ns - step_ns, label.at_ns + step_ns)) > 1:
        unit, finer = ('minute', 'seconds') if step_ns >= 60 * 10**9 else (
            'second', 'parts of a second')
        return (f'; the times are written to the {unit}, in which two attempts may lie: write '
                f'{finer}')
    return ('; if the column has the times at which attempts begin, name it start'
            if time_name(label.row) == 'time' else '')


def other_numbers(labels: Labels) -> str:
    """Return which row has the number of one attempt and the time of another; empty if none."""
    table, found, usual = labels.table, labels.found, numbers_before(labels)
    for label, number, more in _numbered(labels):
        if more == usual or label.at_ns is None or found is None:
            continue
        name = time_name(label.row)
        late_s = (label.at_ns - label.outcome.decision_ns) / 1e9
        return str(table.error(
            label.row, f'attempt is {number}, but the {name} {label.row.times[name].text} is '
            f'{abs(late_s):.3f} s {"after" if late_s >= 0 else "before"} the decision of attempt '
            f'{label.found}, found {found.how}: expected number and time of one attempt; correct '
            'the times, or leave the numbers out if they count something else'
            + ''.join(f'; {x}' for x in found.doubts)))
    return ''


def numbers_before(labels: Labels) -> int:
    """
    Return how many attempts the numbers of a table count before those of the recording.

    Numbers of a table of several recordings start again in each, or go on from those of the
    recordings before. These may have no row left, or be counted otherwise.
    """
    if labels.found is None or labels.clock is None:
        return 0
    first_ns = labels.clock.first_ns
    before = max((x.row.attempt or 0 for x in labels.rows if x.outcome.end_ns < first_ns),
                 default=0)
    counts = Counter(more for *_, more in _numbered(labels))
    usual = max(counts, key=lambda more: (counts[more], more in (0, before)), default=0)
    if usual in (0, before):
        return usual
    inside = [x.row.attempt for x in labels.rows if not labels.is_outside(x)]
    # By one more or by less, numbers differ where the times are of the attempts beside; a row
    # alone tells nothing; and what is counted before the recording has no row in it.
    if (usual <= max(before, 1) or counts[usual] < max(2, len(inside) / 2)
            or any(number is not None and number <= usual for number in inside)):
        return before
    return usual


def _numbered(labels: Labels) -> list[tuple[Label, int, int]]:
    """List the rows with number and time, their numbers, and by how much these are higher."""
    return [(x, number, number - x.found) for x in labels.rows
            if x.at_ns is not None and x.found and (number := x.row.attempt) is not None]
