"""The rows of a table of outcomes, each as an outcome of a recording."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from moss_perception.data.labels.attempts import Found
from moss_perception.data.labels.clock import Clock
from moss_perception.data.labels.hints import Hint
from moss_perception.data.labels.table import Row, Table
from moss_perception.data.outcomes import LOST, Outcome, OUTSIDE


@dataclass(frozen=True)
class Label:
    """
    A row of a table as an outcome.

    :ivar row: the row.
    :ivar outcome: its outcome.
    :ivar found: number of the attempt found in the recording to which the row belongs; ``None``
        if the row has times of its own, or there is no such attempt.
    :ivar decided: whether its decision is known: by the row, or by an attempt of the recording.
        If not, the decision is the start.
    :ivar at_ns: the time by which a row without times of its own was placed, nanoseconds;
        ``None`` if it was placed by its number.
    :ivar taken: number of the attempt found in the recording whose decision a row with times of
        its own took; ``None`` if it took none.
    """

    row: Row
    outcome: Outcome
    found: int | None = None
    decided: bool = True
    at_ns: int | None = None
    taken: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the row says itself when its attempt started and ended."""
        return is_whole(self.row)


@dataclass(frozen=True)
class Labels:
    """
    A table read for a recording.

    :ivar rows: in the order of the table.
    :ivar notes: how the table was read, where that may surprise.
    :ivar relative: whether the times are from the start of the recording.
    :ivar clock: the recording's clock; ``None`` without a recording.
    :ivar found: the attempts of the recording; ``None`` if there are none.
    :ivar hint: another reading of the times that matches more rows; ``None`` if there is none.
    """

    table: Table
    rows: Sequence[Label]
    notes: Sequence[str] = ()
    relative: bool = False
    clock: Clock | None = None
    found: Found | None = field(default=None, compare=False)
    hint: Hint | None = field(default=None, compare=False)

    @property
    def outside(self) -> list[Label]:
        """Return the rows that are outside of the recording."""
        return [x for x in self.rows if self.is_outside(x)]

    @property
    def lost(self) -> list[Label]:
        """Return the rows with one time within the recording, but at no attempt of it."""
        return [x for x in self.rows if self.is_lost(x)]

    def is_outside(self, label: Label) -> bool:
        """Tell whether a row is outside of the recording."""
        return self.clock is not None and (label.outcome.end_ns < self.clock.first_ns
                                           or label.outcome.start_ns > self.clock.last_ns)

    def is_lost(self, label: Label) -> bool:
        """Tell whether a row has one time within the recording, but at no attempt of it."""
        return not label.is_whole and label.found is None and not self.is_outside(label)

    def apart(self, label: Label) -> str:
        """Return why a row is no attempt of the recording; empty if it may be one."""
        # An attempt with times of its own has the images within them, even where stamps jump.
        if label.is_whole:
            return ''
        return OUTSIDE if self.is_outside(label) else LOST if self.is_lost(label) else ''


def is_whole(row: Row) -> bool:
    """Tell whether a row says when its attempt started and ended."""
    return 'start' in row.times and 'end' in row.times


def time_name(row: Row) -> str:
    """Return the column of the time that places a row; empty if it has none."""
    return next((x for x in ('decision', 'time', 'start', 'end') if x in row.times), '')
