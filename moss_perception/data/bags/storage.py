"""The files of a rosbag2, sqlite3 or MCAP: topics and serialised messages, damaged or not."""

from collections.abc import Iterable, Iterator
import functools
import logging
from pathlib import Path
from typing import Any, TypeVar

from moss_perception.core.errors import BagError
from moss_perception.data.bags.salvage import rows_in, Salvage, salvage
from moss_perception.data.bags.topics import offered, Topic
from rosbags.interfaces import MessageDefinitionFormat, Qos, QosDurability, QosReliability
from rosbags.rosbag2 import Reader
from rosbags.typesys import get_types_from_msg, get_typestore, Stores
import yaml

SUFFIXES = ('.mcap', '.db3')
_S = TypeVar('_S', bound='Storage')


class Storage:
    """
    A rosbag2, open while the context lasts; messages are read as they are asked for.

    :param path: folder of a rosbag2, or an ``.mcap`` or ``.db3`` file.
    :param salvage: read the intact part of a damaged or truncated recording; see ``damage``.
    :ivar path: as given.
    :ivar damage: description of the damage in one line; empty if none is known.
    :ivar lost_share: share of the messages that can't be read, in [0, 1], as far as known.
    :raises BagError: if it is missing, not a rosbag2, damaged or incomplete.
    """

    def __init__(self, path: Path | str, salvage: bool = False):
        self.path = Path(path)
        self.damage = ''
        self.lost_share = 0.0
        self._salvage = salvage
        self._reader: Reader | None = None
        self._pieces: Salvage | None = None
        self._stores: dict[str, Any] = {}

    def __enter__(self: _S) -> _S:
        # The files of a folder may be of use even if nothing of it can be opened.
        target = None if self._salvage and self.path.is_dir() else _readable(self.path)
        try:
            self._reader = Reader(target or _readable(self.path))
            self._reader.open()
            if self._salvage:
                self._require_rows()
        except Exception as error:  # damaged bytes make a parser raise anything
            self._reader = None
            if not self._salvage:
                raise BagError(_damaged(self.path, error)) from error
            self._save_what_is_there(error)
        return self

    def __exit__(self, *_: object) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    @property
    def _open(self) -> Reader:
        assert self._reader is not None  # the context lasts, and nothing is salvaged
        return self._reader

    @property
    def start_ns(self) -> int:
        """Time of the first message, nanoseconds."""
        return self._pieces.start_ns if self._pieces else self._open.start_time

    @property
    def end_ns(self) -> int:
        """Time of the last message, nanoseconds."""
        return self._pieces.end_ns if self._pieces else self._open.end_time - 1

    @property
    def message_count(self) -> int:
        """Number of messages according to the metadata."""
        return self._pieces.count if self._pieces else self._open.message_count

    @property
    def topics(self) -> dict[str, Topic]:
        """The recorded topics by name, sorted."""
        if self._pieces:
            return {name: Topic(name, channel.msgtype, self._pieces.counts[name],
                                *offered(channel.offers))
                    for name, channel in sorted(self._pieces.channels.items())}
        topics: dict[str, list] = {}
        for connection in self._open.connections:
            topics.setdefault(connection.topic, []).append(connection)
        return {name: _topic(name, connections) for name, connections in sorted(topics.items())}

    def messages(
        self, topics: Iterable[str] | None = None,
    ) -> Iterator[tuple[str, str, int, bytes]]:
        """
        Iterate over the messages in the order of recording.

        :param topics: names; None for all.
        :returns: topic, type, time of recording in nanoseconds and CDR bytes of each.
        :raises BagError: if the recording is damaged or has no such message.
        """
        wanted = None if topics is None else set(topics)
        if self._pieces:
            yield from self._pieces.messages(wanted)
            return
        connections = [x for x in self._open.connections if wanted is None or x.topic in wanted]
        expected, found = sum(x.msgcount for x in connections), 0
        stream = self._open.messages(connections) if connections else iter(())
        try:
            for connection, stamp_ns, raw in stream:
                found += 1
                yield connection.topic, connection.msgtype, stamp_ns, bytes(raw)
        except Exception as error:  # damaged bytes make a parser raise anything
            if not self._salvage:
                raise BagError(_damaged(self.path, error)) from error
            if found:
                self._lose(found, expected, _line(error))
            else:
                yield from self._save_what_is_there(error).messages(wanted)
            return
        if not found:
            names = 'any topic' if wanted is None else ', '.join(sorted(wanted)) or 'no topic'
            raise BagError(f'{self.path}: expected messages on {names}, found none')
        if found != expected:
            logging.getLogger(__name__).warning(
                '%s: %d messages found, expected %d', self.path, found, expected)

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
        if definition := self._definition(msgtype):
            try:
                return _store_by(definition, msgtype)
            except Exception as error:  # the definition is the recording's
                raise BagError(
                    f'{self.path}: bad definition of {msgtype}: {_line(error)}') from error
        store = _jazzy()
        if msgtype not in store.fielddefs:
            raise BagError(f'{self.path}: no definition of {msgtype}, which Jazzy lacks as well')
        return store

    def _definition(self, msgtype: str) -> str:
        """Return the recording's own definition of a type; empty if it has none."""
        if self._pieces:
            known = (x.definition for x in self._pieces.channels.values() if x.msgtype == msgtype)
            return next((text for form, text in known if form == 'ros2msg'), '')
        known = (x.msgdef for x in self._open.connections if x.msgtype == msgtype)
        return next((x.data for x in known if x.format == MessageDefinitionFormat.MSG), '')

    def _require_rows(self) -> None:
        """Check that a database has as many messages as ``metadata.yaml`` says."""
        there = rows_in(_listed_files(self.path)) if self.path.is_dir() else None
        if there is not None and there < self._open.message_count:
            self._open.close()
            raise BagError('it holds fewer messages than metadata.yaml promises')

    def _save_what_is_there(self, error: Exception) -> Salvage:
        """Switch to reading the files' records, and record how much is missing."""
        folder = self.path if self.path.is_dir() else self.path.parent
        files = _listed_files(folder) if folder == self.path else [self.path]
        if not files:
            raise error
        try:
            self._pieces = pieces = salvage(files)
        except BagError as nothing:
            raise BagError(f'{_damaged(self.path, error)}; nothing of it can be read: '
                           f'{nothing}') from error
        self._lose(pieces.count, _announced_count(folder),
                   '; '.join(pieces.damage) or _line(error))
        return pieces

    def _lose(self, there: int, reported: int | None, why: str) -> None:
        count = 'how many are missing is not known, since metadata.yaml does not say'
        if reported is not None:
            self.lost_share = max(self.lost_share, 1 - min(there / max(reported, 1), 1.0))
            count = f'of {reported} messages {there} are there, {self.lost_share:.1%} are missing'
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


def _topic(name: str, connections: list) -> Topic:
    offers: list[Qos] = [x for c in connections for x in c.ext.offered_qos_profiles]
    return Topic(
        name, connections[0].msgtype, sum(x.msgcount for x in connections),
        all(x.reliability == QosReliability.RELIABLE for x in offers) if offers else None,
        all(x.durability == QosDurability.TRANSIENT_LOCAL for x in offers) if offers else None)


def _damaged(path: Path, error: Exception) -> str:
    return f'{path}: expected a complete rosbag2, this one is damaged or cut off: {_line(error)}'


def _line(error: Exception) -> str:
    return ' '.join(str(error).split()) or type(error).__name__


def _readable(path: Path) -> Path:
    """
    Return the path to open: the folder, or a file if there is no metadata.

    :raises BagError: if it is not a recording.
    """
    if not path.exists():
        raise BagError(f'{path}: no such recording, expected a rosbag2 folder, .mcap or .db3 file')
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise BagError(f'{path}: no rosbag2, expected a folder, .mcap or .db3 file')
        return path
    if (path / 'metadata.yaml').exists():
        return path
    # A recorder that was killed leaves its file without metadata.
    files = sorted(x for x in path.iterdir() if x.suffix in SUFFIXES)
    if len(files) == 1:
        return files[0]
    if files:
        raise BagError(
            f'{path}: {len(files)} files but no metadata.yaml: expected it, try ros2 bag reindex')
    raise BagError(f'{path}: no rosbag2, expected metadata.yaml and .mcap or .db3 files in it')


def _announced_count(folder: Path) -> int | None:
    """Return the number of messages according to ``metadata.yaml``; ``None`` if unknown."""
    count = _metadata(folder).get('message_count')
    return count if isinstance(count, int) else None


def _listed_files(folder: Path) -> list[Path]:
    """Return a recording's files, as listed in ``metadata.yaml`` or else as found."""
    names = _metadata(folder).get('relative_file_paths')
    if isinstance(names, list):
        return [folder / Path(str(name)).name for name in names]
    return sorted(x for x in folder.iterdir() if x.suffix in SUFFIXES)


def custom_data(folder: Path) -> dict[str, str]:
    """Return the ``custom_data`` of ``metadata.yaml``; empty if there is none."""
    found = _metadata(folder).get('custom_data')
    return {str(x): str(text) for x, text in found.items()} if isinstance(found, dict) else {}


def _metadata(folder: Path) -> dict[str, Any]:
    """Return the values of ``metadata.yaml``; empty if it can't be read."""
    try:
        values = yaml.safe_load((folder / 'metadata.yaml').read_text())
        return dict(values['rosbag2_bagfile_information'])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError):
        return {}
