"""
Read the intact part of an MCAP file from front to back, without its index.

The package ``mcap`` parses the records, but we do not use its readers: they return an incomplete
message at the end of a truncated file as if it were complete, and no messages of a damaged chunk.
Here only complete records count, and a cut chunk is decompressed piece by piece, up to the
damage. A chunk with another checksum than stored is left out, since any message may be wrong.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
import io
from pathlib import Path
import struct
from typing import BinaryIO
import zlib

from lz4.frame import LZ4FrameDecompressor
from mcap import records
from mcap.data_stream import ReadDataStream
from mcap.exceptions import EndOfFile, McapError
from mcap.opcode import Opcode
from moss_perception.core.text import clean
from moss_perception.data.bags.topics import Channel, offered
from zstandard import ZstdDecompressor

MAGIC = b'\x89MCAP0\r\n'
# A record with a larger length is damaged.
_LARGEST = 2**31
# A chunk usually has a megabyte; a stranger's small one may grow to gigabytes.
_LARGEST_CHUNK = 1 << 28
# In all its chunks, a file may grow to this many bytes, and to so many times its size.
_GROWS_TO, _GROWS_BY = 1 << 32, 100
_PIECE = 1 << 16
# Bytes of a chunk before its data, without the name of its compression.
_CHUNK_HEAD = 40
NONSENSE = (
    McapError, struct.error, UnicodeDecodeError, KeyError, ValueError, OverflowError, MemoryError)
"""Exceptions of the parsers for invalid bytes, some from the standard library."""


Schemas = dict[int, tuple[str, str]]
"""Type and definition of each schema, by its number."""


class CutError(Exception):
    """A file is truncated or damaged."""


def read_mcap(file: Path) -> Iterator[tuple[Channel, int, bytes]]:
    """
    Yield channel, time of recording in nanoseconds and bytes of each message, as written.

    :param file: intact, truncated or damaged file.
    :raises CutError: at the position from which it can't be read, or at the end if a part of it
        was damaged or its statistics promise more messages of a topic.
    """
    schemas: Schemas = {}
    channels: dict[int, Channel] = {}
    problems: list[str] = []
    counts: Counter[int] = Counter()
    promised: Mapping[int, int] = {}
    total = 0
    with file.open('rb') as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            raise CutError('does not begin as an MCAP file does')
        for kind, body in _up_to_footer(_records_and_chunks(stream, problems)):
            fields = WholeReads(io.BytesIO(body))
            try:
                if kind == Opcode.SCHEMA:
                    take_schema(records.Schema.read(fields), schemas)
                elif kind == Opcode.CHANNEL:
                    take_channel(records.Channel.read(fields), schemas, channels)
                elif kind == Opcode.MESSAGE:
                    message = records.Message.read(fields, len(body))
                    yield channels[message.channel_id], message.log_time, message.data
                    counts[message.channel_id] += 1
                elif kind == Opcode.STATISTICS:
                    found = records.Statistics.read(fields)
                    promised, total = found.channel_message_counts, found.message_count
            except NONSENSE as error:
                raise CutError(f'is damaged: a record of kind {kind} makes no sense') from error
    if counts.total() < total:
        problems.append(f'has {counts.total()} messages, and promises {total}')
    else:
        # More of one topic are no substitute for another.
        problems += [f'has {counts[number]} messages of {clean(channel.topic)}, and promises '
                     f'{promised[number]}' for number, channel in channels.items()
                     if counts[number] < promised.get(number, 0)]
    if problems:
        raise CutError(f'{problems[0]}{f" and {len(problems) - 1} more" if problems[1:] else ""}')


def _up_to_footer(records: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    for one in records:
        if one[0] == Opcode.FOOTER:
            return
        yield one
    raise CutError('ends without a footer, as when its recorder was killed or a copy broken off')


def take_schema(schema: records.Schema, schemas: Schemas) -> None:
    """Add the type and the definition of a schema; a file may repeat it."""
    if schema.id not in schemas:
        schemas[schema.id] = schema.name, (
            schema.data.decode() if schema.encoding == 'ros2msg' else '')


def take_channel(channel: records.Channel, schemas: Schemas, channels: dict[int, Channel]) -> None:
    """Add a channel with the type and the definition of its schema; a file may repeat it."""
    if channel.id not in channels:
        # A channel with schema 0 has none, such as one of JSON.
        kind, definition = schemas[channel.schema_id] if channel.schema_id else ('', '')
        channels[channel.id] = Channel(
            channel.topic, kind, definition,
            *offered(channel.metadata.get('offered_qos_profiles', '')), channel.message_encoding)


def _records_and_chunks(stream: BinaryIO,
                        problems: list[str]) -> Iterator[tuple[int, bytes]]:
    """Yield opcode and bytes of each record, those in chunks included."""
    left = growth(stream)
    for kind, body, begin in records_of(stream):
        if kind != Opcode.CHUNK:
            yield kind, body
            continue
        inner, problem = open_chunk(body)
        left -= inner.getbuffer().nbytes
        if left < 0:
            raise CutError(f'grows to more than {growth(stream)} bytes when it is decompressed')
        try:
            # A chunk that holds a footer is damaged, but the file need not end there.
            yield from ((inside, one) for inside, one, _ in records_of(inner)
                        if inside != Opcode.FOOTER)
        except CutError as error:
            problem = problem or str(error)
        if problem:
            problems.append(f'{problem}, at byte {begin}')


def growth(stream: BinaryIO) -> int:
    """Return to how many bytes all chunks of a file may grow."""
    at = stream.tell()
    size = stream.seek(0, io.SEEK_END)
    stream.seek(at)
    return _GROWS_TO + _GROWS_BY * size


def records_of(stream: BinaryIO) -> Iterator[tuple[int, bytes, int]]:
    """Yield opcode, bytes and place of each record, but not of one that ends in damage."""
    before: tuple[int, bytes, int] | None = None
    at = stream.tell()
    end = stream.seek(0, io.SEEK_END)
    stream.seek(at)
    while head := stream.read(9):
        kind, size = struct.unpack('<BQ', head) if len(head) == 9 else (0, 0)
        if size > _LARGEST:
            # What spoiled this head may have spoiled the end of the record before.
            raise CutError(f'is damaged at byte {stream.tell() - 9}: a record of {size} bytes')
        if before is not None:
            yield before
        begin = stream.tell()
        # Python makes room for as much as it is asked to read.
        body = stream.read(min(size, end - begin))
        if len(head) < 9 or (len(body) < size and kind != Opcode.CHUNK):
            raise CutError('is cut off within a record')
        before = kind, body, begin
    if before is not None:
        yield before


def open_chunk(body: bytes) -> tuple[io.BytesIO, str]:
    """
    Decompress a chunk.

    :returns: its records, and what is wrong with it; empty if nothing.
    :raises CutError: if its head is cut off, or its compression is unknown.
    """
    try:
        chunk = records.Chunk.read(ReadDataStream(io.BytesIO(body)))
    except NONSENSE as error:
        raise CutError('is cut off within a chunk') from error
    # Everything after the head, ignoring the stored length.
    data = body[_CHUNK_HEAD + len(chunk.compression.encode()):]
    if chunk.compression and chunk.uncompressed_size > _LARGEST_CHUNK:
        return io.BytesIO(), (f'has a chunk that takes {chunk.uncompressed_size} bytes when it is '
                              f'decompressed: expected at most {_LARGEST_CHUNK}')
    raw = _decompress(data, chunk.compression, chunk.uncompressed_size)
    problem = ''
    if len(raw) < chunk.uncompressed_size:
        problem = 'has a chunk that is cut off or damaged'
    elif chunk.uncompressed_crc and zlib.crc32(raw) != chunk.uncompressed_crc:
        # Nothing says which of its messages are wrong.
        raw, problem = b'', 'has a chunk with another checksum than stored'
    return io.BytesIO(raw), problem


def _decompress(data: bytes, compression: str, size: int) -> bytes:
    """Decompress data up to a size, to its end or to its damage."""
    if not compression:
        return data[:size]
    if compression not in ('lz4', 'zstd'):
        raise CutError(f'has a chunk compressed by {compression!r}: expected lz4 or zstd')
    pieces = _from_lz4(data, size) if compression == 'lz4' else _from_zstd(data, size)
    parts = []
    # The libraries raise their own exceptions for damaged data; keep the pieces before.
    with suppress(Exception):
        for piece in pieces:
            parts.append(piece)
    return b''.join(parts)


def _from_zstd(data: bytes, size: int) -> Iterator[bytes]:
    reader = ZstdDecompressor().stream_reader(data, read_across_frames=True)
    while size and (piece := reader.read(min(size, _PIECE))):
        size -= len(piece)
        yield piece


def _from_lz4(data: bytes, size: int) -> Iterator[bytes]:
    stream = LZ4FrameDecompressor()
    for at in range(0, len(data), _PIECE):
        piece = stream.decompress(data[at:at + _PIECE], max_length=size)
        while piece and size:
            size -= len(piece)
            yield piece
            piece = b'' if stream.eof or stream.needs_input else stream.decompress(
                b'', max_length=size)
        if not size or stream.eof:
            return


class WholeReads(ReadDataStream):
    """A record's bytes; reading beyond its end is an error."""

    def read(self, length: int) -> bytes:
        data = super().read(length)
        if len(data) < length:
            raise EndOfFile
        return data
