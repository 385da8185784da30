"""Check tables of outcomes before a long run reads them, and say how their times are read."""

from collections import Counter
from collections.abc import Mapping, Sequence
import logging

from moss_perception.core.errors import BagError
from moss_perception.data.remote import is_address


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


def check_tables(recordings: Sequence[tuple[str, str | None, Mapping[str, str]]],
                 log: logging.Logger) -> list[str]:
    """
    Read the table of each recording, and log how its times are read.

    :param recordings: path, table (``None`` for the recorded outcomes) and chosen topics of each.
    :param log: of the command.
    :returns: what to warn of: why no row of a table is within any of its recordings.
    :raises BagError: if a table can't be read, or several recordings share one whose rows belong
        to a single one.
    """
    from moss_perception.data.bags.reader import Recording
    from moss_perception.data.labels.attempts import Search
    from moss_perception.data.labels.checks import foreign
    from moss_perception.data.labels.matching import read_labels
    tables = [table for _, table, _ in recordings]
    matched: set[str] = set()
    strange: dict[str, str] = {}
    said: set[str] = set()
    for path, table, topics in recordings:
        # What is at an address is not fetched to check its table, which its evaluation reads.
        if not table or is_address(path):
            continue
        with Recording(path, salvage=True) as recording:
            # A recording of scores may have no images; then times are header stamps.
            images = recording.image_topics()
            search = Search(executed_topic=topics.get('executed_topic'),
                            candidates_topic=topics.get('candidates_topic'),
                            outcome_topic=topics.get('outcome_topic'))
            labels = read_labels(table, recording if images else None, topics.get('image_topic'),
                                 search)
        if tables.count(table) > 1 and 'bag' not in labels.table.columns and (
                labels.relative or any(not x.row.times for x in labels.rows)):
            raise BagError(
                f'outcomes {table}: the rows count from the start of a recording, and '
                f'{tables.count(table)} recordings share the table: expected a column bag with '
                'the name of the recording, or a table for each')
        for note in labels.notes:
            if note not in said:
                log.info('%s: %s', table, note)
                said.add(note)
        if why := foreign(labels, path):
            strange.setdefault(table, why)
        else:
            matched.add(table)
    return [why for table, why in strange.items() if table not in matched]
