"""Read the rows of a rosbag2's database, damaged or not."""

import atexit
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager, ExitStack, suppress
import functools
import itertools
from pathlib import Path
import shutil
import sqlite3
from tempfile import TemporaryDirectory

from moss_perception.core.errors import BagError
from moss_perception.core.text import clean
from moss_perception.data.bags.mcap_records import CutError
from moss_perception.data.bags.topics import Channel, offered, Row

_NOT_SQL = (sqlite3.Error, OverflowError)
# Changes that a writer has committed to, or was about to undo, when it was killed.
_LOGS = ('-wal', '-journal')
# At its end, a journal of several databases names a file, which SQLite then deletes.
_SEVERAL = b'\xd9\xd5\x05\xf9\x20\xa1\x63\xd7'
_TABLES = ('topics', 'messages', 'message_definitions', 'schema')
# In what SQLite calls hidden: columns that are generated.
_COMPUTED = (2, 3)
# SQLITE_LIMIT_LENGTH, which the module has since Python 3.11.
_LIMIT_LENGTH = 0
# Most steps of SQLite's virtual machine; a message takes about 30, and some more to sort.
_STEPS, _STEPS_A_BYTE, _STEPS_AT_ONCE = 10**7, 20, 100_000


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
    try:
        # Without any folder for temporary files, this fails.
        folder = TemporaryDirectory(prefix='moss_')
        atexit.register(folder.cleanup)
        copy = Path(folder.name) / file.name
        for one in logs:
            _require_own(one)
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


def _require_own(log: Path) -> None:
    with log.open('rb') as stream:
        stream.seek(max(log.stat().st_size - len(_SEVERAL), 0))
        if stream.read() == _SEVERAL:
            raise BagError(f'{log.name} belongs to several databases: expected one of a recorder')


class Database:
    """
    The messages of an intact database, in the order of time.

    :ivar channels: the channels.
    :ivar counts: number of messages by topic.
    :ivar start_ns: time of the first message, nanoseconds.
    :ivar end_ns: time of the last message, nanoseconds.
    :raises CutError: if it is damaged, or no recording.
    :raises BagError: if a log beside it can't be read.
    """

    def __init__(self, file: Path):
        self._stack = ExitStack()
        self.counts: Counter = Counter()
        self.start_ns, self.end_ns = 2**63 - 1, 0
        try:
            self._database = self._stack.enter_context(_database(merged_log(file)))
            self._channels = _channels(self._database)
            self.channels = list(self._channels.values())
            for number, count, first_ns, last_ns in self._database.execute(
                    'SELECT topic_id, COUNT(*), MIN(timestamp), MAX(timestamp) FROM messages '
                    'GROUP BY topic_id'):
                if number in self._channels:
                    self.counts[self._channels[number].topic] += count
                    self.start_ns = min(self.start_ns, _whole(first_ns))
                    self.end_ns = max(self.end_ns, _whole(last_ns))
        except _NOT_SQL as error:
            self.close()
            raise _damage(error) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def messages(self, topics: Collection[str] | None = None) -> Iterator[Row]:
        """
        Yield topic, type, time of recording in nanoseconds and CDR bytes of each message.

        :raises CutError: where the database is damaged.
        """
        wanted = [number for number, channel in self._channels.items()
                  if topics is None or channel.topic in topics]
        try:
            for number, stamp_ns, raw in self._database.execute(
                    'SELECT topic_id, timestamp, data FROM messages WHERE topic_id IN '
                    f'({",".join(map(str, wanted))}) ORDER BY timestamp, id'):
                channel = self._channels[number]
                yield channel.topic, channel.msgtype, _whole(stamp_ns), _raw(raw)
        except _NOT_SQL as error:
            raise _damage(error) from error


def read_database(file: Path) -> Iterator[tuple[Channel, int, bytes]]:
    """
    Yield channel, time of recording in nanoseconds and bytes of each message.

    :raises CutError: where the database is damaged.
    """
    try:
        with _database(merged_log(file), damaged=True) as database:
            channels = _channels(database)
            # In the order of their numbers, since an index may be lost.
            for number, stamp_ns, raw in database.execute(
                    'SELECT topic_id, timestamp, data FROM messages ORDER BY id'):
                if number in channels:
                    yield channels[number], _whole(stamp_ns), _raw(raw)
    except (*_NOT_SQL, BagError) as error:
        raise _damage(error) from error


def channels_of(files: Collection[Path]) -> list[Channel]:
    """List the topics of databases, including those without any intact message."""
    found = []
    for file in files:
        if file.suffix == '.db3' and file.is_file():
            with suppress(CutError, BagError, *_NOT_SQL):
                with _database(merged_log(file), damaged=True) as database:
                    found += _channels(database).values()
    return found


@contextmanager
def _database(file: Path, damaged: bool = False) -> Iterator[sqlite3.Connection]:
    """
    Open a database that may be a stranger's: only plain tables are read, and no code is run.

    :param damaged: open it even if it is shorter than its first page says.
    """
    database = sqlite3.connect(f'{file.resolve().as_uri()}?immutable=1', uri=True)
    try:
        size = file.stat().st_size
        steps = itertools.count()
        # A few pages can refer to one another for billions of rows. Every row takes its place.
        most = (_STEPS + _STEPS_A_BYTE * size) // _STEPS_AT_ONCE
        database.set_progress_handler(lambda: int(next(steps) > most), _STEPS_AT_ONCE)
        if set_limit := getattr(database, 'setlimit', None):
            # Since Python 3.11. No value is longer than the file.
            set_limit(_LIMIT_LENGTH, max(size, _STEPS_AT_ONCE))
        if damaged:
            database.execute('PRAGMA writable_schema=ON')
        _require_tables(database)
        yield database
    finally:
        database.close()


def _require_tables(database: sqlite3.Connection) -> None:
    """Check that what is read is stored, and not computed by a view or an expression."""
    found = {name: (kind, sql) for name, kind, sql in database.execute(
        'SELECT name, type, sql FROM sqlite_master WHERE name IN (?, ?, ?, ?)', _TABLES)}
    for name, (kind, sql) in found.items():
        if kind != 'table' or not str(sql).lstrip().upper().startswith('CREATE TABLE'):
            raise CutError(f'has {name} as a {kind} that computes its rows: expected a table')
        if any(row[6] in _COMPUTED for row in database.execute(f'PRAGMA table_xinfo({name})')):
            raise CutError(f'has a table {name} with computed columns: expected stored ones')


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise CutError(f'has a time of recording {str(value)[:20]!r}: expected nanoseconds')
    return value


def _raw(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise CutError(f'has a message that is a {type(value).__name__}: expected bytes')
    return value


def _damage(error: Exception) -> CutError:
    if 'interrupted' in str(error):
        return CutError('takes more steps to read than its size explains')
    # SQLite quotes what it does not understand.
    return CutError(f'is damaged or cut off: {clean(error)}')


def _channels(database: sqlite3.Connection) -> dict[int, Channel]:
    names = {row[1] for row in database.execute('PRAGMA table_info(topics)')}
    # Recordings of the first distributions do not have this column.
    offers = 'offered_qos_profiles' if 'offered_qos_profiles' in names else "''"
    rows = database.execute(
        f'SELECT id, name, type, {offers}, serialization_format FROM topics').fetchall()
    known: dict[str, tuple[str, str]] = {}
    # Recordings of ROS 2 Humble do not have this table.
    with suppress(sqlite3.OperationalError):
        known = {name: (encoding, text) for name, encoding, text in database.execute(
            'SELECT topic_type, encoding, encoded_message_definition FROM message_definitions')}
    found = {}
    for number, *texts in rows:
        if not isinstance(number, int) or not all(isinstance(x, str) for x in texts):
            raise CutError(f'has a topic {str(texts)[:60]}: expected texts')
        name, kind, offers, form = texts
        encoding, text = known.get(kind, ('', ''))
        found[number] = Channel(name, kind, str(text) if encoding == 'ros2msg' else '',
                                *offered(offers), form)
    return found
