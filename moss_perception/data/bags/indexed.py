"""
Read the intact files of a rosbag2 by their own indexes.

The files say which topics they hold. ``metadata.yaml`` may be older than they are, so it decides
neither which messages are read nor in which order.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
import heapq
import operator
from pathlib import Path
import shutil
import struct
from tempfile import TemporaryDirectory
from typing import Any

from moss_perception.core.errors import BagError
from moss_perception.data.bags.databases import merged_log
from moss_perception.data.bags.topics import Channel, Row
from rosbags.interfaces import (
    Connection,
    MessageDefinitionFormat,
    QosDurability,
    QosReliability,
)
from rosbags.rosbag2 import Reader
from rosbags.rosbag2.storage_mcap import McapReader
from zstandard import ZstdDecompressor

_CHUNK, _MESSAGE = 0x06, 0x05
# Opcode and length of a record.
_HEAD = struct.Struct('<BQ')


class Indexed:
    """
    The messages of intact files, in the order of time.

    :param files: ``.mcap`` or ``.db3``, or these compressed.
    :param compression: of :attr:`moss_perception.data.bags.metadata.Metadata.compression`.
    :ivar channels: the channels of all files.
    :ivar counts: number of messages by topic.
    :ivar start_ns: time of the first message, nanoseconds.
    :ivar end_ns: time of the last message, nanoseconds.
    :raises Exception: whatever the readers raise for damaged bytes.
    """

    def __init__(self, files: Sequence[Path], compression: str = ''):
        self._stack = ExitStack()
        self._compressed = compression == 'message'
        self.channels: list[Channel] = []
        self.counts: Counter = Counter()
        try:
            if compression == 'file':
                folder = Path(self._stack.enter_context(TemporaryDirectory(prefix='moss_')))
                files = [_decompressed(x, folder) for x in files]
            self._readers = [self._opened(x) for x in files]
        except BaseException:
            self._stack.close()
            raise
        self.start_ns = min((x.start_time for x in self._readers), default=2**63 - 1)
        self.end_ns = max((x.end_time for x in self._readers), default=1) - 1

    def _opened(self, file: Path) -> Reader:
        reader = Reader(merged_log(file))
        reader.open()
        self._stack.callback(reader.close)
        storage = reader.storage
        if isinstance(storage, McapReader) and reader.message_count and not _lists_all(storage):
            raise BagError(f'the index of {file.name} does not list all of its messages')
        for connection in reader.connections:
            self.channels.append(_channel(connection))
            self.counts[connection.topic] += connection.msgcount
        return reader

    def messages(self, topics: Collection[str] | None = None) -> Iterator[Row]:
        """Yield topic, type, time of recording in nanoseconds and CDR bytes."""
        streams = [self._stream(reader, topics) for reader in self._readers]
        # The files of a recording may overlap in time, such as those of two recorders.
        yield from heapq.merge(*streams, key=operator.itemgetter(2))

    def _stream(self, reader: Reader, topics: Collection[str] | None) -> Iterator[Row]:
        wanted = [x for x in reader.connections if topics is None or x.topic in topics]
        unpack = ZstdDecompressor().decompress if self._compressed else bytes
        for connection, stamp_ns, raw in reader.messages(wanted) if wanted else ():
            yield connection.topic, connection.msgtype, stamp_ns, unpack(raw)

    def close(self) -> None:
        """Close the files."""
        self._stack.close()


def _decompressed(file: Path, folder: Path) -> Path:
    target = folder / file.name.removesuffix('.zstd')
    with file.open('rb') as source, target.open('wb') as sink:
        shutil.copyfileobj(ZstdDecompressor().stream_reader(source), sink)
    return target


def _channel(connection: Connection) -> Channel:
    ext: Any = connection.ext
    offers = ext.offered_qos_profiles
    return Channel(
        connection.topic, connection.msgtype,
        connection.msgdef.data if connection.msgdef.format == MessageDefinitionFormat.MSG else '',
        all(x.reliability == QosReliability.RELIABLE for x in offers) if offers else None,
        all(x.durability == QosDurability.TRANSIENT_LOCAL for x in offers) if offers else None,
        ext.serialization_format)


def _lists_all(storage: McapReader) -> bool:
    """Return whether every message of an MCAP file is in a chunk that its index lists."""
    known = {x.chunk_start_offset: x for x in storage.chunks}
    listed = sum(sum(x.channel_count.values()) for x in storage.chunks)
    if storage.statistics is None or listed < storage.statistics.message_count:
        return False
    at = storage.data_start
    with Path(str(storage.path)).open('rb') as file:
        while at < storage.data_end:
            file.seek(at)
            head = file.read(_HEAD.size)
            kind, size = _HEAD.unpack(head) if len(head) == _HEAD.size else (_MESSAGE, 0)
            chunk = known.get(at)
            if kind == _MESSAGE or (kind == _CHUNK and chunk is None):
                return False
            at += _HEAD.size + size
            if chunk is not None:
                # The message indexes of a chunk follow it.
                at += chunk.message_index_length
    return True
