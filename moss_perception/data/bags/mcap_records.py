"""
Read the intact part of an MCAP file from front to back, without its index.

The package ``mcap`` parses the records, but we do not use its readers: they return an incomplete
message at the end of a truncated file as if it were complete, and no messages of a damaged chunk.
Here only complete records count, and a cut chunk is decompressed piece by piece, up to the
damage. A chunk with another checksum than stored is left out, since any message may be wrong.
"""

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
from moss_perception.data.bags.topics import Channel, offered
from zstandard import ZstdDecompressor

MAGIC = b'\x89MCAP0\r\n'
# A record with a larger length is damaged.
_LARGEST = 2**31
_PIECE = 1 << 16
# Bytes of a chunk before its data, without the name of its compression.
_CHUNK_HEAD = 40
# Exceptions of the parsers for invalid bytes, some from the standard library.
_NONSENSE = (McapError, struct.error, UnicodeDecodeError, KeyError, ValueError)


class CutError(Exception):
    """A file is truncated or damaged."""


def read_mcap(file: Path) -> Iterator[tuple[Channel, int, bytes]]:
    """
    Yield channel, time of recording in nanoseconds and bytes of each message, as written.

    :param file: intact, truncated or damaged file.
    :raises CutError: at the position from which it can't be read, or at the end if a part of it
        was damaged or its statistics promise more messages.
    """
    schemas: dict[int, records.Schema] = {}
    channels: dict[int, Channel] = {}
    problems: list[str] = []
    count, promised = 0, 0
    with file.open('rb') as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            raise CutError('does not begin as an MCAP file does')
        for kind, body in _up_to_footer(_records_and_chunks(stream, problems)):
            fields = _WholeReads(io.BytesIO(body))
            try:
                if kind == Opcode.SCHEMA:
                    schema = records.Schema.read(fields)
                    schemas[schema.id] = schema
                elif kind == Opcode.CHANNEL:
                    channel = records.Channel.read(fields)
                    channels[channel.id] = _described(channel, schemas)
                elif kind == Opcode.MESSAGE:
                    message = records.Message.read(fields, len(body))
                    yield channels[message.channel_id], message.log_time, message.data
                    count += 1
                elif kind == Opcode.STATISTICS:
                    promised = records.Statistics.read(fields).message_count
            except _NONSENSE as error:
                raise CutError(f'is damaged: a record of kind {kind} makes no sense') from error
    if count < promised:
        problems.append(f'has {count} messages, and promises {promised}')
    if problems:
        raise CutError(f'{problems[0]}{f" and {len(problems) - 1} more" if problems[1:] else ""}')


def _up_to_footer(records: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    for one in records:
        if one[0] == Opcode.FOOTER:
            return
        yield one
    raise CutError('ends without a footer, as when its recorder was killed or a copy broken off')


def _described(channel: records.Channel, schemas: Mapping[int, records.Schema]) -> Channel:
    # A channel with schema 0 has none, such as one of JSON.
    schema = schemas[channel.schema_id] if channel.schema_id else None
    definition = schema.data.decode() if schema and schema.encoding == 'ros2msg' else ''
    return Channel(channel.topic, schema.name if schema else '', definition,
                   *offered(channel.metadata.get('offered_qos_profiles', '')),
                   channel.message_encoding)


def _records_and_chunks(stream: BinaryIO,
                        problems: list[str]) -> Iterator[tuple[int, bytes]]:
    """Yield opcode and bytes of each record, those in chunks included."""
    for kind, body, begin in _records(stream):
        if kind != Opcode.CHUNK:
            yield kind, body
            continue
        inner, problem = _open_chunk(body)
        try:
            # A chunk that holds a footer is damaged, but the file need not end there.
            yield from ((inside, one) for inside, one, _ in _records(inner)
                        if inside != Opcode.FOOTER)
        except CutError as error:
            problem = problem or str(error)
        if problem:
            problems.append(f'{problem}, at byte {begin}')


def _records(stream: BinaryIO) -> Iterator[tuple[int, bytes, int]]:
    """Yield opcode, bytes and place of each record, but not of one that ends in damage."""
    before: tuple[int, bytes, int] | None = None
    while head := stream.read(9):
        kind, size = struct.unpack('<BQ', head) if len(head) == 9 else (0, 0)
        if size > _LARGEST:
            # What spoiled this head may have spoiled the end of the record before.
            raise CutError(f'is damaged at byte {stream.tell() - 9}: a record of {size} bytes')
        if before is not None:
            yield before
        begin, body = stream.tell(), stream.read(size)
        if len(head) < 9 or (len(body) < size and kind != Opcode.CHUNK):
            raise CutError('is cut off within a record')
        before = kind, body, begin
    if before is not None:
        yield before


def _open_chunk(body: bytes) -> tuple[BinaryIO, str]:
    """Return a chunk's records, and what is wrong with it; empty if nothing."""
    try:
        chunk = records.Chunk.read(ReadDataStream(io.BytesIO(body)))
    except _NONSENSE as error:
        raise CutError('is cut off within a chunk') from error
    # Everything after the head, ignoring the stored length.
    raw = _decompress(body[_CHUNK_HEAD + len(chunk.compression.encode()):], chunk.compression)
    raw = raw[:chunk.uncompressed_size]
    problem = ''
    if len(raw) < chunk.uncompressed_size:
        problem = 'has a chunk that is cut off or damaged'
    elif chunk.uncompressed_crc and zlib.crc32(raw) != chunk.uncompressed_crc:
        # Nothing says which of its messages are wrong.
        raw, problem = b'', 'has a chunk with another checksum than stored'
    return io.BytesIO(raw), problem


def _decompress(data: bytes, compression: str) -> bytes:
    """Decompress data up to its end or its damage."""
    if not compression:
        return data
    if compression not in ('lz4', 'zstd'):
        raise CutError(f'has a chunk compressed by {compression!r}: expected lz4 or zstd')
    stream = (LZ4FrameDecompressor() if compression == 'lz4'
              else ZstdDecompressor().decompressobj())
    parts = []
    # The libraries raise their own exceptions for damaged data; keep the pieces before.
    with suppress(Exception):
        for at in range(0, len(data), _PIECE):
            parts.append(stream.decompress(data[at:at + _PIECE]))
    return b''.join(parts)


class _WholeReads(ReadDataStream):
    """A record's bytes; reading beyond its end is an error."""

    def read(self, length: int) -> bytes:
        data = super().read(length)
        if len(data) < length:
            raise EndOfFile
        return data
