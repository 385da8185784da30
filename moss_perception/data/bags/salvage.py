"""Read the intact part of a damaged or truncated rosbag2 from front to back."""

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
import sqlite3

from moss_perception.core.errors import BagError
from moss_perception.data.bags.mcap_records import Channel, CutError, read_mcap

_NOT_SQL = (sqlite3.Error, OverflowError)


@dataclass
class Salvage:
    """
    The intact part of a recording.

    :ivar files: files with intact messages, in order.
    :ivar channels: channels by topic.
    :ivar counts: number of messages by topic.
    :ivar start_ns: time of the first message, nanoseconds.
    :ivar end_ns: time of the last message, nanoseconds.
    :ivar damage: description of each file's damage.
    """

    files: list[Path] = field(default_factory=list)
    channels: dict[str, Channel] = field(default_factory=dict)
    counts: Counter = field(default_factory=Counter)
    start_ns: int = 2**63 - 1
    end_ns: int = 0
    damage: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Number of messages."""
        return sum(self.counts.values())

    def messages(self, topics: Collection[str] | None = None) -> Iterator[tuple]:
        """Yield topic, type, time of recording in nanoseconds and CDR bytes."""
        for file in self.files:
            try:
                for channel, stamp_ns, raw in _read(file):
                    if topics is None or channel.topic in topics:
                        yield channel.topic, channel.msgtype, stamp_ns, raw
            except CutError:
                continue


def salvage(files: Collection[Path]) -> Salvage:
    """
    Look through files, and note what they still give.

    :param files: ``.mcap`` or ``.db3``, in order; some may be missing.
    :raises BagError: if no message can be read.
    """
    found = Salvage()
    for file in files:
        before = found.count
        for channel in _database_channels(file):
            found.channels.setdefault(channel.topic, channel)
        try:
            for channel, stamp_ns, _ in _read(file):
                found.channels.setdefault(channel.topic, channel)
                found.counts[channel.topic] += 1
                found.start_ns = min(found.start_ns, stamp_ns)
                found.end_ns = max(found.end_ns, stamp_ns)
        except CutError as error:
            found.damage.append(f'{file.name} {error}')
        if found.count > before:
            found.files.append(file)
    if not found.count:
        raise BagError('; '.join(found.damage) or 'no file of it is there')
    return found


def rows_in(files: Collection[Path]) -> int | None:
    """Count the messages in databases; ``None`` if one can't be read."""
    if not files or not all(file.suffix == '.db3' and file.is_file() for file in files):
        return None
    try:
        return sum(map(_rows_of, files))
    except CutError:
        return None


def _rows_of(file: Path) -> int:
    with _database(file) as database:
        return database.execute('SELECT COUNT(*) FROM messages').fetchone()[0]


def _read(file: Path) -> Iterator[tuple[Channel, int, bytes]]:
    if not file.is_file():
        raise CutError('is missing')
    if file.suffix == '.mcap':
        yield from read_mcap(file)
    else:
        yield from _read_database(file)


def _read_database(file: Path) -> Iterator[tuple[Channel, int, bytes]]:
    """Read rows in the order of their numbers, since an index may be lost."""
    with _database(file) as database:
        # Otherwise SQLite refuses a file that is shorter than its first page says.
        database.execute('PRAGMA writable_schema=ON')
        channels = _channels(database)
        for number, stamp_ns, raw in database.execute(
                'SELECT topic_id, timestamp, data FROM messages ORDER BY id'):
            if number in channels:
                yield channels[number], stamp_ns, raw


@contextmanager
def _database(file: Path) -> Iterator[sqlite3.Connection]:
    try:
        database = sqlite3.connect(f'{file.resolve().as_uri()}?immutable=1', uri=True)
    except _NOT_SQL as error:
        raise CutError(f"can't be opened: {error}") from error
    try:
        yield database
    except _NOT_SQL as error:
        raise CutError(f'is damaged or cut off: {error}') from error
    finally:
        database.close()


def _channels(database: sqlite3.Connection) -> dict[int, Channel]:
    rows = database.execute('SELECT id, name, type, offered_qos_profiles FROM topics').fetchall()
    known: dict[str, tuple[str, str]] = {}
    # Recordings of ROS 2 Humble do not have this table.
    with suppress(sqlite3.OperationalError):
        known = {name: (encoding, text) for name, encoding, text in database.execute(
            'SELECT topic_type, encoding, encoded_message_definition FROM message_definitions')}
    return {number: Channel(name, kind, known.get(kind, ('', '')), offers)
            for number, name, kind, offers in rows}


def _database_channels(file: Path) -> list[Channel]:
    """List a database's topics, including those without any intact message."""
    if file.suffix == '.db3' and file.is_file():
        with suppress(CutError), _database(file) as database:
            return list(_channels(database).values())
    return []
