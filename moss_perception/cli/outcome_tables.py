"""Check tables of outcomes before a long run reads them, and say how their times are read."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import logging
from typing import TYPE_CHECKING

from moss_perception.core.errors import BagError
from moss_perception.data.remote import is_address

if TYPE_CHECKING:
    from moss_perception.data.labels.label import Labels


def shared_tables(tables: Sequence[str | None]) -> set[str]:
    """
    Return the tables whose rows may belong to any of several recordings.

    A column with the recording says whose a row is, so no other recording has it.

    :param tables: that of each recording; empty or ``None`` for the recorded outcomes.
    :raises BagError: if a table can't be read.
    """
    from moss_perception.data.labels.table import names_recordings
    return {table for table, count in Counter(tables).items()
            if table and count > 1 and not names_recordings(table)}


@dataclass(frozen=True)
class TableCheck:
    """
    What is wrong with the tables of recordings, a line each.

    :ivar foreign: why no row of a table is within any of its recordings.
    :ivar hints: which offset would match the rows of these tables, and the command that adds it.
    :ivar findings: what may be wrong with the attempts to which rows belong.
    """

    foreign: list[str]
    hints: list[str]
    findings: list[str]


def check_tables(recordings: Sequence[tuple[str, str | None, Mapping[str, str]]],
                 log: logging.Logger) -> list[str]:
    """
    Read the table of each recording, and log how its times are read.

    :returns: what to warn of, a line each.
    :raises BagError: as :func:`examine_tables` does.
    """
    found = examine_tables(recordings, log)
    return [*found.foreign, *found.findings]


def examine_tables(recordings: Sequence[tuple[str, str | None, Mapping[str, str]]],
                   log: logging.Logger) -> TableCheck:
    """
    Read the table of each recording, and log how its times are read.

    :param recordings: path, table (``None`` for the recorded outcomes) and chosen topics of each.
    :param log: of the command.
    :raises BagError: if a table can't be read, its times are clearly of another clock, or several
        recordings share one whose rows belong to a single one.
    """
    from moss_perception.data.labels import checks
    tables = [table for _, table, _ in recordings]
    # By the table, and the recording whose rows it names.
    matched: set[tuple[str, str]] = set()
    strange: dict[tuple[str, str], tuple[str, str]] = {}
    said: set[str] = set()
    findings: list[str] = []
    for path, table, topics in recordings:
        # What is at an address is not fetched to check its table, which its evaluation reads.
        if not table or is_address(path):
            continue
        labels, measured = _read(path, table, topics)
        if tables.count(table) > 1 and 'bag' not in labels.table.columns and (
                labels.relative or any(not x.row.times for x in labels.rows)):
            raise BagError(
                f'outcomes {table}: the rows count from the start of a recording, and '
                f'{tables.count(table)} recordings share the table: expected a column bag with '
                'the name of the recording, or a table for each')
        of = f'{table} for {path}' if tables.count(table) > 1 else table
        for line in (*(f'{table}: {note}' for note in labels.notes),
                     *(f'{of}: {note}' for note in checks.readings(labels)),
                     *[f'{of}: {measured}'] * bool(measured)):
            if line not in said:
                log.info('%s', line)
                said.add(line)
        checks.refuse_another_clock(labels, path)
        key = table, path if 'bag' in labels.table.columns else ''
        if why := checks.foreign(labels, path):
            strange.setdefault(key, (why, '; '.join(filter(None, [
                labels.hint.text if labels.hint else '', checks.remedy(labels, path)]))))
        else:
            matched.add(key)
            findings += [f'{of}: {line}' for line in checks.of_attempts(labels)]
    others = [pair for key, pair in strange.items() if key not in matched]
    return TableCheck([why for why, _ in others], [hint for _, hint in others if hint], findings)


def _read(path: str, table: str, topics: Mapping[str, str]) -> 'tuple[Labels, str]':
    """Read the table of a recording as its evaluation does; tell which lead times it has."""
    from moss_perception.data.bags.reader import Recording
    from moss_perception.data.labels.attempts import Search
    from moss_perception.data.labels.lead_times import with_lead_times
    from moss_perception.data.labels.matching import read_labels
    with Recording(path, salvage=True) as recording:
        # A recording of scores may have no images; then times are header stamps.
        images = recording.image_topics()
        search = Search(executed_topic=topics.get('executed_topic'),
                        candidates_topic=topics.get('candidates_topic'),
                        outcome_topic=topics.get('outcome_topic'))
        labels = read_labels(table, recording if images else None, topics.get('image_topic'),
                             search)
        measured = '' if labels.clock is None else with_lead_times(
            [x.outcome for x in labels.rows], recording, labels.clock, search)[1]
        return labels, measured
