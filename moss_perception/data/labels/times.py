"""The times of a table in the header stamps of a recording."""

from decimal import Decimal

from moss_perception.data.labels.cells import Moment, UNITS_NS
from moss_perception.data.labels.clock import AUTO, Clock, in_words, Reading, START, WALL_NS
from moss_perception.data.labels.table import Row, Table

# Numbers from here on count from 1970, in seconds; 1e8 s is in 1973.
_ABSOLUTE = Decimal(WALL_NS // 10**9)


class TableTimes:
    """
    Converts the times of a table into header stamps.

    :param clock: of the recording; ``None`` if there is none.
    :param reading: how to read the times.
    :ivar notes: how they are read, if not as seconds of the header stamps.
    :ivar relative: whether numbers count from the start of the recording.
    :ivar step_ns: the resolution with which the times are written, nanoseconds.
    """

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
        # A spreadsheet drops zeros at the end of decimals, but not those of all cells.
        self.step_ns = min((x.step_ns(self._unit_ns) for row in table.rows
                            for x in row.times.values()), default=1)
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
        """
        Return a time of a row in header stamps, nanoseconds.

        :raises BagError: if it is below 0.
        """
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
