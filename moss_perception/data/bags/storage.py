"""The files of a rosbag2, sqlite3 or MCAP: topics and serialised messages, damaged or not."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
import functools
from pathlib import Path
from typing import Any, TypeVar

from moss_perception.core.errors import BagError
from moss_perception.core.text import clean
from moss_perception.data.bags.definitions import check_definition, check_fields
from moss_perception.data.bags.indexed import Indexed
from moss_perception.data.bags.metadata import files_of, Metadata, NAME
from moss_perception.data.bags.salvage import Salvage, salvage
from moss_perception.data.bags.topics import Row, Topic, topics_of
from rosbags.typesys import get_types_from_msg, get_typestore, Stores

_S = TypeVar('_S', bound='Storage')
_CDR = 'cdr'
# Topics in one line.
_NAMED = 6


class Storage:
    """
    A rosbag2, open while the context lasts; messages are read as they are asked for.

    Intact files are read by their index, in the order of time. Where an index is missing or fails,
    the file is read from front to back; what is missing then is the damage.

    :param path: folder of a rosbag2, or an ``.mcap`` or ``.db3`` file.
    :param salvage: read the intact part of a damaged or truncated recording; see ``damage``.
    :ivar path: as given.
    :ivar damage: description of the damage in one line; empty if none is known.
    :ivar lost_share: share of the messages that can't be read, in [0, 1], as far as known.
    :raises BagError: if it is missing, not a rosbag2, of ROS 1, damaged or incomplete.
    """

    def __init__(self, path: Path | str, salvage: bool = False):
        self.path = Path(path)
        self.damage = ''
        self.lost_share = 0.0
        self._salvage = salvage
        self._contents: Indexed | Salvage | None = None
        self._stores: dict[str, Any] = {}

    def __enter__(self: _S) -> _S:
        files = self._files()
        metadata = self._metadata
        try:
            if (self.path / NAME).exists():
                metadata.require()
            self._contents = Indexed(files, metadata.compression)
            self._require_promised(metadata)
        except Exception as error:  # noqa: BLE001, damaged bytes make a parser raise anything
            self._read_all(error, files)
        if files != [self.path] and (unlisted := metadata.unlisted):
            names = ', '.join(x.name for x in unlisted)
            self.damage = '; '.join(filter(None, (
                self.damage, f'{names} is not read, because {NAME} does not list it: expected '
                             'all files in it, try ros2 bag reindex')))
        self._require_cdr()
        return self

    def __exit__(self, *_: object) -> None:
        contents, self._contents = self._contents, None
        if contents is not None:
            contents.close()

    @property
    def _open(self) -> Indexed | Salvage:
        assert self._contents is not None  # the context lasts
        return self._contents

    @property
    def _metadata(self) -> Metadata:
        return Metadata(self.path if self.path.is_dir() else self.path.parent)

    def _files(self) -> list[Path]:
        try:
            return files_of(self.path)
        except BagError:
            # The files of a folder may be of use even if nothing says how they belong together.
            files = self._metadata.files if self._salvage and self.path.is_dir() else []
            # A pipe or a device may never end.
            if files := [x for x in files if x.is_file() or not x.exists()]:
                return files
            raise

    @property
    def start_ns(self) -> int:
        """Time of the first message, nanoseconds."""
        return self._open.start_ns

    @property
    def end_ns(self) -> int:
        """Time of the last message, nanoseconds."""
        return self._open.end_ns

    @property
    def message_count(self) -> int:
        """Number of messages in the files."""
        return self._open.counts.total()

    @property
    def topics(self) -> dict[str, Topic]:
        """The recorded topics by name, sorted."""
        return topics_of(self._open.channels, self._open.counts)

    def messages(self, topics: Iterable[str] | None = None) -> Iterator[Row]:
        """
        Iterate over the messages in the order of the time of recording.

        :param topics: names; None for all.
        :returns: topic, type, time of recording in nanoseconds and CDR bytes of each.
        :raises BagError: if the recording is damaged or has no such message.
        """
        wanted = None if topics is None else set(topics)
        expected = Counter({name: count for name, count in self._open.counts.items()
                            if wanted is None or name in wanted})
        found, newest_ns, newest = Counter[str](), -1, Counter()
        problem: Exception | None = None
        try:
            for row in self._open.messages(wanted):
                yield row
                found[row[0]] += 1
                if row[2] != newest_ns:
                    newest_ns, newest = row[2], Counter()
                newest[row[0]] += 1
        except Exception as error:  # noqa: BLE001, damaged bytes make a parser raise anything
            problem = error
        if problem is None and (lost := expected - found):
            problem = BagError(f'{found.total()} messages found, the index promises '
                               f'{expected.total()}: {_shares(lost, expected)}')
        if problem is not None:
            yield from self._rest(problem, wanted, newest_ns, newest)
        elif not found:
            names = 'any topic' if wanted is None else ', '.join(sorted(wanted)) or 'no topic'
            raise BagError(f'{self.path}: expected messages on {names}, found none')

    def _rest(self, problem: Exception, wanted: Collection[str] | None, newest_ns: int,
              newest: Counter) -> Iterator[Row]:
        """Read what follows the messages that were read by the index, without it."""
        if not isinstance(self._contents, Indexed):
            raise BagError(_damaged(self.path, problem)) from problem
        self._read_all(problem, self._files())
        for row in self._open.messages(wanted):
            # Those before have been given, and so has one of a topic for each that it counts.
            if row[2] > newest_ns:
                yield row
            elif row[2] == newest_ns and newest[row[0]] > 0:
                newest[row[0]] -= 1
            elif row[2] == newest_ns:
                yield row

    def deserialize(self, raw: bytes, msgtype: str) -> Any:
        """
        Turn CDR bytes into a message with the fields of the ROS type.

        :param msgtype: such as ``sensor_msgs/msg/Image``.
        :raises BagError: if the type is unknown or the bytes are not of it.
        """
        if msgtype not in self._stores:
            self._stores[msgtype] = self._make_store(msgtype)
        try:
            return self._stores[msgtype].deserialize_cdr(raw, msgtype)
        except Exception as error:  # damaged bytes make a parser raise anything
            raise BagError(
                f'{self.path}: {len(raw)} bytes are no {msgtype}: {_line(error)}') from error

    def _make_store(self, msgtype: str) -> Any:
        """Return a store with the type, from the recording's definition if it has one."""
        # One store per type, so that an invalid definition does not affect other types.
        definitions = (x.definition for x in self._open.channels if x.msgtype == msgtype)
        if definition := next(filter(None, definitions), ''):
            try:
                check_definition(definition, msgtype)
                store = _store_by(definition, msgtype)
                check_fields(store, _jazzy(), msgtype)
                return store
            except Exception as error:  # the definition is the recording's
                raise BagError(
                    f'{self.path}: bad definition of {msgtype}: {_line(error)}') from error
        store = _jazzy()
        if msgtype not in store.fielddefs:
            raise BagError(f'{self.path}: no definition of {msgtype}, which Jazzy lacks as well')
        return store

    def _require_promised(self, metadata: Metadata) -> None:
        """Check that the files have as many messages of each topic as ``metadata.yaml`` says."""
        if not self.path.is_dir():
            return
        promised = Counter(metadata.topic_counts)
        if promised - self._open.counts or self.message_count < (metadata.message_count or 0):
            raise BagError(f'it holds fewer messages than {NAME} promises')

    def _require_cdr(self) -> None:
        """Check that there are messages of ROS 2."""
        known = {x.encoding for x in self._open.channels if self._open.counts[x.topic]}
        if known and _CDR not in known:
            self.__exit__()
            kind = 'a recording of ROS 1' if 'ros1' in known else 'no recording of ROS 2'
            raise BagError(f'{self.path}: {kind}, its messages are in '
                           f'{", ".join(sorted(map(repr, known)))}: expected {_CDR!r}. Convert '
                           'the original, such as by rosbags-convert --src FILE.bag --dst FOLDER')

    def _read_all(self, error: Exception, files: list[Path]) -> None:
        """Switch to reading the files' records, and record how much is missing."""
        if self._contents is not None:
            self._contents.close()
            self._contents = None
        if not files:
            raise error
        try:
            pieces = salvage(files)
        except BagError as nothing:
            raise BagError(f'{_damaged(self.path, error)}; nothing of it can be read: '
                           f'{nothing}') from error
        # Of one file among several, the promises say nothing.
        alone = len(self._metadata.files) <= len(files)
        promised = self._metadata.message_count if alone else None
        topics = Counter(self._metadata.topic_counts if alone else {})
        known = promised is not None or not (self.path / NAME).exists()
        if (pieces.damage or not known or topics - pieces.counts
                or pieces.counts.total() < (promised or 0)):
            if not self._salvage:
                raise BagError(_damaged(self.path, error)) from error
            self._lose(pieces.counts, promised, topics,
                       '; '.join(pieces.damage) or _line(error))
        with suppress(BagError):
            pieces.compressed = self._metadata.compression == 'message'
        self._contents = pieces

    def _lose(self, there: Counter, promised: int | None, topics: Counter, why: str) -> None:
        count = 'how many are missing is not known, since metadata.yaml does not say'
        if promised is not None:
            # A topic may have more than promised, which does not make up for another.
            lost = topics - there
            most = max(lost.total(), promised - there.total(), 0)
            whole = there.total() + most
            self.lost_share = max(self.lost_share, most / max(whole, 1))
            count = (f'of {whole} messages {there.total()} are there, {self.lost_share:.1%} are '
                     f'missing{": " if lost else ""}{_shares(lost, topics)}')
        self.damage = f'the recording is damaged or cut off ({why}): {count}'


@functools.lru_cache(maxsize=64)
def _store_by(definition: str, msgtype: str) -> Any:
    """Create a store of one type; parsing is slow."""
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(definition, msgtype))
    return store


@functools.cache
def _jazzy() -> Any:
    return get_typestore(Stores.ROS2_JAZZY)


def _shares(lost: Counter, promised: Counter) -> str:
    """Say how much of each topic is there; of the most, if there are many."""
    found = [f'{promised[name] - count} of {promised[name]} on {clean(name)}'
             for name, count in lost.most_common(_NAMED)]
    more = len(lost) - _NAMED
    return ', '.join([*found, *([f'and less of {more} more topics'] if more > 0 else [])])


def _damaged(path: Path, error: Exception) -> str:
    return f'{path}: expected a complete rosbag2, this one is damaged or cut off: {_line(error)}'


def _line(error: Exception) -> str:
    return ' '.join(str(error).split()) or type(error).__name__
