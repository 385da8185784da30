"""Read an intact MCAP file by its index, in the order of time."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
import heapq
import io
from pathlib import Path
import struct
from typing import BinaryIO

from mcap import records
from mcap.opcode import Opcode
from moss_perception.data.bags.mcap_records import (
    CutError,
    growth,
    MAGIC,
    NONSENSE,
    open_chunk,
    records_of,
    Schemas,
    take_channel,
    take_schema,
    WholeReads,
)
from moss_perception.data.bags.topics import Channel, Row

# Opcode and length of a record; channel, number, and both times of a message.
_HEAD, _MESSAGE = struct.Struct('<BQ'), struct.Struct('<HIQQ')
_FOOTER = _HEAD.size + 20 + len(MAGIC)
# Chunks that overlap in time are in memory together.
_MOST_AT_ONCE = 1 << 30
_Entry = tuple[int, int, Channel, bytes]


class McapIndex:
    """
    The messages of a file with an index that lists all of them.

    :ivar channels: the channels.
    :ivar counts: number of messages by topic.
    :ivar start_ns: time of the first message, nanoseconds.
    :ivar end_ns: time of the last message, nanoseconds.
    :raises CutError: if there is no such index, or it is damaged.
    """

    def __init__(self, file: Path):
        self._size = file.stat().st_size
        self._schemas: Schemas = {}
        self._channels: dict[int, Channel] = {}
        self._chunks: list[records.ChunkIndex] = []
        self._statistics: records.Statistics | None = None
        self._stream = file.open('rb')
        try:
            self._read_summary()
        except NONSENSE as error:
            self.close()
            raise CutError('has a damaged index') from error
        except BaseException:
            self.close()
            raise
        of = self._statistics
        assert of is not None  # after reading the summary
        self.channels = list(self._channels.values())
        self.start_ns = of.message_start_time if of.message_count else 2**63 - 1
        self.end_ns = of.message_end_time if of.message_count else 0

    @property
    def counts(self) -> Counter:
        """Number of messages by topic."""
        found: Counter = Counter()
        of = self._statistics.channel_message_counts if self._statistics else {}
        for number, channel in self._channels.items():
            found[channel.topic] += of.get(number, 0)
        return found

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def messages(self, topics: Collection[str] | None = None) -> Iterator[Row]:
        """
        Yield topic, type, time of recording in nanoseconds and bytes of each message.

        :raises CutError: where the file differs from its index.
        """
        wanted = {number: channel for number, channel in self._channels.items()
                  if topics is None or channel.topic in topics}
        waiting: list[_Entry] = []
        held = order = 0
        for chunk in sorted(self._chunks, key=lambda x: x.message_start_time):
            if chunk.message_index_offsets and wanted.keys().isdisjoint(
                    chunk.message_index_offsets):
                continue
            while waiting and waiting[0][0] < chunk.message_start_time:
                _, _, channel, raw = entry = heapq.heappop(waiting)
                held -= len(raw)
                yield channel.topic, channel.msgtype, entry[0], raw
            for stamp_ns, channel, raw in self._in_chunk(chunk, wanted):
                heapq.heappush(waiting, (stamp_ns, order, channel, raw))
                held, order = held + len(raw), order + 1
            if held > _MOST_AT_ONCE:
                raise CutError(f'has chunks of more than {_MOST_AT_ONCE} bytes at one time')
        while waiting:
            stamp_ns, _, channel, raw = heapq.heappop(waiting)
            yield channel.topic, channel.msgtype, stamp_ns, raw

    def _in_chunk(self, index: records.ChunkIndex,
                  wanted: Mapping[int, Channel]) -> Iterator[tuple[int, Channel, bytes]]:
        self._stream.seek(index.chunk_start_offset)
        kind, size = _HEAD.unpack(self._exactly(_HEAD.size))
        if kind != Opcode.CHUNK:
            raise CutError(f'has no chunk at byte {index.chunk_start_offset}, where its index '
                           'says so')
        inner, problem = open_chunk(self._exactly(size))
        if problem:
            raise CutError(f'{problem}, at byte {index.chunk_start_offset}')
        for kind, body, _ in records_of(inner):
            if kind != Opcode.MESSAGE:
                continue
            number, _, stamp_ns, _ = _MESSAGE.unpack_from(body)
            if stamp_ns < index.message_start_time:
                raise CutError('has a message that is older than its index says')
            if number in wanted:
                yield stamp_ns, wanted[number], body[_MESSAGE.size:]

    def _exactly(self, size: int) -> bytes:
        if size > self._size or len(data := self._stream.read(size)) < size:
            raise CutError('is cut off')
        return data

    def _read_summary(self) -> None:
        if self._size < len(MAGIC) + _FOOTER or self._exactly(len(MAGIC)) != MAGIC:
            raise CutError('does not begin as an MCAP file does')
        at = self._stream.seek(-_FOOTER, io.SEEK_END)
        footer = self._exactly(_FOOTER)
        kind, _, summary = struct.unpack_from('<BQQ', footer)
        if kind != Opcode.FOOTER or not footer.endswith(MAGIC):
            raise CutError('ends without a footer')
        if not len(MAGIC) <= summary <= at:
            raise CutError('has no index')
        self._stream.seek(summary)
        for kind, body, _ in records_of(io.BytesIO(self._exactly(at - summary))):
            self._take(kind, WholeReads(io.BytesIO(body)))
        if self._statistics is None:
            raise CutError('has no statistics')
        if sum(x.uncompressed_size for x in self._chunks) > growth(self._stream):
            raise CutError(f'grows to more than {growth(self._stream)} bytes when it is '
                           'decompressed')
        if self.counts.total() != self._statistics.message_count or not _lists_all(
                self._stream, self._chunks, summary, self._statistics.message_count):
            raise CutError('has an index that does not list all of its messages')

    def _take(self, kind: int, fields: WholeReads) -> None:
        if kind == Opcode.SCHEMA:
            take_schema(records.Schema.read(fields), self._schemas)
        elif kind == Opcode.CHANNEL:
            take_channel(records.Channel.read(fields), self._schemas, self._channels)
        elif kind == Opcode.CHUNK_INDEX:
            self._chunks.append(records.ChunkIndex.read(fields))
        elif kind == Opcode.STATISTICS:
            self._statistics = records.Statistics.read(fields)


def _lists_all(stream: BinaryIO, chunks: Collection[records.ChunkIndex], end: int,
               count: int) -> bool:
    """Return whether every message is in a chunk that is listed; seeks from record to record."""
    known = {x.chunk_start_offset: x for x in chunks}
    if len(known) < len(chunks) or (count and not chunks):
        return False
    at = len(MAGIC)
    while at < end:
        stream.seek(at)
        head = stream.read(_HEAD.size)
        kind, size = _HEAD.unpack(head) if len(head) == _HEAD.size else (Opcode.MESSAGE, 0)
        chunk = known.pop(at, None)
        if kind == Opcode.MESSAGE or (kind == Opcode.CHUNK) != (chunk is not None):
            return False
        at += _HEAD.size + size
        if chunk is not None:
            # The message indexes of a chunk follow it.
            at += chunk.message_index_length
    return not known
