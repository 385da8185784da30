"""Write outcomes as a table that every command reads."""

from collections.abc import Sequence
import csv
import io

from moss_perception.core.text import cell
from moss_perception.data.outcomes import ns_to_seconds, Outcome

_ALWAYS = ('attempt', 'start', 'decision', 'end', 'success')
_TEXTS = ('motion', 'object', 'domain')


def template_of(outcomes: Sequence[Outcome]) -> str:
    """Write a table with a row for each attempt, in which only ``success`` is missing."""
    columns = [*_ALWAYS, *['lead_time'] * any(x.lead_time_s is not None for x in outcomes)]
    return _csv(columns, [['' if name == 'success' else _cell(x, name) for name in columns]
                          for x in outcomes])


def table_of(outcomes: Sequence[Outcome]) -> str:
    """Write outcomes with all that is known of them; a column without a value is left out."""
    columns = [*_ALWAYS, *['executed'] * (not all(x.executed for x in outcomes)),
               *['candidate'] * any(x.candidate is not None for x in outcomes),
               *['lead_time'] * any(x.lead_time_s is not None for x in outcomes),
               *(name for name in _TEXTS if any(getattr(x, name) for x in outcomes))]
    return _csv(columns, [[_cell(x, name) for name in columns] for x in outcomes])


def _cell(outcome: Outcome, name: str) -> str:
    if name in ('start', 'decision', 'end'):
        return ns_to_seconds(getattr(outcome, f'{name}_ns'))
    if name == 'lead_time':
        # A float's own text may have an exponent, which is refused as rounded by a spreadsheet.
        return '' if outcome.lead_time_s is None else f'{outcome.lead_time_s:.9f}'
    value = getattr(outcome, name)
    return '' if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _csv(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerows([columns, *(map(cell, row) for row in rows)])
    return text.getvalue()
