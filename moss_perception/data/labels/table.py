"""A table of outcomes as its rows say it, before anything is known of the recording."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timezone, tzinfo
import difflib
from pathlib import Path
import re

from moss_perception.core.errors import BagError
from moss_perception.core.text import clean, uncell
from moss_perception.data.labels.cells import (
    Moment,
    read_flag,
    read_moment,
    read_number,
    read_whole,
    UNITS_NS,
)
from moss_perception.data.labels.sheet import read_sheet, Sheet

TIMES = ('start', 'decision', 'end', 'time')
COLUMNS = ('start', 'end', 'success', 'attempt', 'decision', 'time', 'executed', 'candidate',
           'lead_time', 'motion', 'object', 'domain', 'bag')
"""The columns by their own names."""

_WANTED = [x for x in COLUMNS if x not in ('start', 'end', 'success', 'attempt', 'time')]

_NAMES = {
    'start': 'begin start_time begin_time t_start from beginn',
    'end': 'stop finish end_time stop_time t_end to ende',
    'decision': 'decided decision_time t_decision',
    'time': 'timestamp stamp t datetime date_time grasp_time when zeit zeitpunkt',
    'day': 'date datum',
    'success': 'successful succeeded grasp_success outcome result label held ok erfolg ergebnis',
    'attempt': 'attempt_id attempt_number nr no number n # id trial versuch',
    'executed': 'was_executed',
    'candidate': 'candidate_index',
    'lead_time': 'leadtime',
    'motion': '',
    'object': 'item target objekt',
    'domain': '',
    'bag': 'recording bag_name',
}
_BY_NAME = {name: own for own, others in _NAMES.items() for name in (own, *others.split())}
_BY_NAME = {**_BY_NAME, 'day': ''}  # a name of ours, not of a column
_UNIT = re.compile(
    r'[ _]*[(\[]\s*(?:in\s+)?(s|sec|secs|seconds|ms|us|ns|utc)\s*[)\]]$|_(s|ms|us|ns)$')


@dataclass(frozen=True)
class Row:
    """
    A row of a table of outcomes.

    :ivar line: number of its line.
    :ivar attempt: number of the attempt; ``None`` if the row gives none.
    :ivar times: times by their columns, of :data:`TIMES`.
    :ivar lead_time_s: measured time from the decision until the fingers closed, seconds; ``None``
        if the row gives none.
    :ivar values: the other columns that we know, as text; empty cells are left out.
    :ivar more: the columns that we do not know, by their headings.
    """

    line: int
    success: bool
    attempt: int | None = None
    times: dict[str, Moment] = field(default_factory=dict)
    executed: bool = True
    candidate: int | None = None
    lead_time_s: float | None = None
    values: dict[str, str] = field(default_factory=dict)
    more: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """
    A table of outcomes.

    :ivar unit_ns: the unit of its numbers as the headings give it, nanoseconds; ``None`` if they
        do not.
    :ivar at: ``line``, or ``row`` for a spreadsheet.
    :ivar columns: its columns, by our names.
    :ivar notes: what the reader should know of how it was read.
    """

    path: Path
    rows: Sequence[Row]
    columns: Sequence[str]
    unit_ns: int | None = None
    at: str = 'line'
    notes: Sequence[str] = ()

    def error(self, row: Row | int, what: str) -> BagError:
        """Return an error that names the file and the line."""
        line = row if isinstance(row, int) else row.line
        return BagError(f'outcomes {self.path}, {self.at} {line}: {what}')


def read_table(path: Path | str, zone: tzinfo = timezone.utc) -> Table:
    """
    Read a table of outcomes.

    The columns may have any order and the usual names (``begin`` for ``start``), with a unit
    (``start_ms``, ``start (s)``). A row needs ``success``; and ``start`` and ``end``, or one of
    them or ``time``, or the number of the ``attempt``.

    :param zone: zone of dates without one.
    :raises BagError: if it can't be read, lacks a column or has an invalid value.
    """
    sheet = read_sheet(path, column_of)
    names, unit_ns = _columns(sheet)
    rows = []
    for line, cells in sheet.rows:
        try:
            rows.append(_row(line, cells, names, sheet.columns, zone))
        except ValueError as error:
            raise BagError(f'outcomes {path}, {sheet.at} {line}: {error}') from error
    unused = ', '.join(x for x, name in zip(sheet.columns, names, strict=True) if not name and x)
    notes = [*sheet.notes, *[f'columns that are not used: {unused}'] * bool(unused)]
    table = Table(sheet.path, rows, tuple(filter(None, names)), unit_ns, sheet.at, notes)
    if not rows:
        raise BagError(f'outcomes {path} holds no attempt: expected a line each')
    _check_ticks(table, sheet, names.index('success'))
    return table


def names_recordings(path: Path | str) -> bool:
    """
    Tell whether a table says which recording each row is of.

    :raises BagError: if it can't be read.
    """
    return 'bag' in read_table(path).columns


def column_of(heading: str) -> str:
    """Return the column that a heading names; empty if it names none of ours."""
    return _BY_NAME.get(_plain(heading), '')


def unit_of(heading: str) -> str:
    """Return the unit that a heading names, such as ``ms``; empty if it names none."""
    found = _UNIT.search(heading.strip().lower())
    unit = (found[1] or found[2]) if found else ''
    return 's' if unit.startswith('s') else unit.removeprefix('utc')


def _plain(heading: str) -> str:
    name = _UNIT.sub('', heading.strip().lower())
    return re.sub(r'[\s.-]+', '_', name.rstrip('.?:')).strip('_')


def _columns(sheet: Sheet) -> tuple[list[str], int | None]:
    """Return our name of each column, empty for a foreign one, and the unit of the times."""
    names = [column_of(x) for x in sheet.columns]
    if not set(TIMES) & set(names):
        names = ['time' if x == 'day' else x for x in names]
    missing = [] if 'success' in names else ['success']
    if not {*TIMES, 'attempt'} & set(names):
        missing = [x for x in ('start', 'end', 'success') if x not in names]
    unknown = [x for x, name in zip(sheet.columns, names, strict=True) if not name
               and difflib.get_close_matches(_plain(x), COLUMNS, 1, 0.8)]
    if missing or unknown:
        wrong = [f'lacks the column {", ".join(missing)}'] * bool(missing) + [
            f'has a column {", ".join(map(repr, unknown))}'] * bool(unknown)
        raise BagError(
            f'outcomes {sheet.path} {" and ".join(wrong)}: expected success and the times start '
            'and end, or in their place one time, or attempt, the number of an attempt that moss '
            f'label finds; and, if wanted, {", ".join(_WANTED)}')
    for name in {x for x in names if x and names.count(x) > 1}:
        both = [x for x, own in zip(sheet.columns, names, strict=True) if own == name]
        raise BagError(f'outcomes {sheet.path}: the columns {" and ".join(map(repr, both))} both '
                       f'name {name}: expected one')
    return names, _unit_ns(sheet, names)


def _unit_ns(sheet: Sheet, names: Sequence[str]) -> int | None:
    units = {heading: unit_of(heading) for heading, name in zip(
        sheet.columns, names, strict=True) if name in TIMES and unit_of(heading)}
    if len(set(units.values())) > 1:
        raise BagError(f'outcomes {sheet.path}: {" and ".join(map(repr, units))} have several '
                       'units: expected one')
    return UNITS_NS[next(iter(units.values()))] if units else None


def _row(line: int, cells: Sequence[str], names: Sequence[str], headings: Sequence[str],
         zone: tzinfo) -> Row:
    if any(cells[len(names):]):
        raise ValueError('more values than columns (numbers with a decimal comma need semicolons '
                         'between the columns)')
    padded = [*cells, *[''] * (len(names) - len(cells))]
    given = {name: cell for name, cell in zip(names, padded, strict=False) if name and cell}
    times = {name: read_moment(name, given[name], zone, given.get('day', ''))
             for name in TIMES if name in given}
    success = read_flag('success', given.get('success', ''))
    return Row(
        line, success,
        read_whole('attempt', given['attempt']) if 'attempt' in given else None,
        times,
        read_flag('executed', given['executed']) if 'executed' in given else True,
        read_whole('candidate', given['candidate']) if 'candidate' in given else None,
        _lead_time(headings[names.index('lead_time')], given['lead_time'])
        if 'lead_time' in given else None,
        {name: clean(uncell(given[name])) for name in ('motion', 'object', 'domain', 'bag')
         if name in given},
        {x: cell for x, name, cell in zip(headings, names, padded, strict=False)
         if not name and x and cell})


def _lead_time(heading: str, text: str) -> float:
    """Read a lead time in the unit of its heading, or in seconds; return seconds."""
    if (number := read_number(text)) is None:
        raise ValueError(f'lead_time is {clean(text)!r}, expected a number of seconds from 0, '
                         'or of the unit in its heading, such as lead_time_ms')
    return float(number * UNITS_NS[unit_of(heading) or 's'] / 10**9)


def _check_ticks(table: Table, sheet: Sheet, column: int) -> None:
    """Refuse a column in which an ``x`` may be a tick as well as a cross."""
    words = {cells[column].lower(): line for line, cells in sheet.rows}
    ticks = [word for word in words if word not in ('x', '1', 'true') and read_flag('', word)]
    if 'x' in words and ticks:
        raise table.error(words['x'], f"success is 'x' here and {ticks[0]!r} in {table.at} "
                          f'{words[ticks[0]]}: expected one word for a success, since x may also '
                          'mean a failure')
