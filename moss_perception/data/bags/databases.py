"""Read the rows of a rosbag2's database, damaged or not."""

import atexit
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
import functools
from pathlib import Path
import shutil
import sqlite3
from tempfile import TemporaryDirectory

from moss_perception.core.errors import BagError
from moss_perception.data.bags.mcap_records import CutError
from moss_perception.data.bags.topics import Channel, offered

_NOT_SQL = (sqlite3.Error, OverflowError)
# Changes that a writer has committed to, or was about to undo, when it was killed.
_LOGS = ('-wal', '-journal')


def merged_log(file: Path) -> Path:
    """
    Return a database with the changes that its recorder left in a log beside it.

    :param file: a recording's file; not changed.
    :returns: ``file``, or a temporary copy with the log merged if there is one.
    :raises BagError: if the copy can't be made.
    """
    if file.suffix != '.db3':
        return file
    logs = [log for log in (file.with_name(file.name + end) for end in _LOGS)
            if log.is_file() and log.stat().st_size]
    if not logs or not file.is_file():
        return file
    # A live recorder appends to them, so that another size needs another copy.
    return _merged(file.resolve(), tuple(x.resolve() for x in logs), tuple(
        (x.stat().st_size, x.stat().st_mtime_ns) for x in (file, *logs)))


@functools.lru_cache(maxsize=4)
def _merged(file: Path, logs: tuple[Path, ...], _: tuple) -> Path:
    folder = TemporaryDirectory(prefix='moss_')
    atexit.register(folder.cleanup)
    copy = Path(folder.name) / file.name
    try:
        for one in (file, *logs):
            shutil.copyfile(one, copy.with_name(one.name))
        database = sqlite3.connect(copy)
        try:
            database.execute('PRAGMA journal_mode=DELETE').fetchall()
        finally:
            database.close()
    except (OSError, sqlite3.Error) as error:
        raise BagError(f'{logs[0].name} can not be merged into a copy of the database: {error}; '
                       f'try sqlite3 {file.name} "PRAGMA wal_checkpoint(TRUNCATE)"') from error
    return copy


def read_database(file: Path) -> Iterator[tuple[Channel, int, bytes]]:
    """
    Yield channel, time of recording in nanoseconds and bytes of each message.

    :raises CutError: where the database is damaged.
    """
    with _database(file) as database:
        # Otherwise SQLite refuses a file that is shorter than its first page says.
        database.execute('PRAGMA writable_schema=ON')
        channels = _channels(database)
        # In the order of their numbers, since an index may be lost.
        for number, stamp_ns, raw in database.execute(
                'SELECT topic_id, timestamp, data FROM messages ORDER BY id'):
            if number in channels:
                yield channels[number], stamp_ns, raw


def channels_of(files: Collection[Path]) -> list[Channel]:
    """List the topics of databases, including those without any intact message."""
    found = []
    for file in files:
        if file.suffix == '.db3' and file.is_file():
            with suppress(CutError), _database(file) as database:
                found += _channels(database).values()
    return found


@contextmanager
def _database(file: Path) -> Iterator[sqlite3.Connection]:
    try:
        uri = f'{merged_log(file).resolve().as_uri()}?immutable=1'
        database = sqlite3.connect(uri, uri=True)
    except (*_NOT_SQL, BagError) as error:
        raise CutError(f"can't be opened: {error}") from error
    try:
        yield database
    except _NOT_SQL as error:
        raise CutError(f'is damaged or cut off: {error}') from error
    finally:
        database.close()


def _channels(database: sqlite3.Connection) -> dict[int, Channel]:
    rows = database.execute(
        'SELECT id, name, type, offered_qos_profiles, serialization_format '
        'FROM topics').fetchall()
    known: dict[str, tuple[str, str]] = {}
    # Recordings of ROS 2 Humble do not have this table.
    with suppress(sqlite3.OperationalError):
        known = {name: (encoding, text) for name, encoding, text in database.execute(
            'SELECT topic_type, encoding, encoded_message_definition FROM message_definitions')}
    found = {}
    for number, name, kind, offers, form in rows:
        encoding, text = known.get(kind, ('', ''))
        found[number] = Channel(
            name, kind, text if encoding == 'ros2msg' else '', *offered(offers), form)
    return found
