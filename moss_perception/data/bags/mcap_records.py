"""
Read an MCAP file from front to back, as far as it goes, without its index.

The package ``mcap`` parses the records. Its own readers are not used for the framing: where a file
is cut within a record they give what is left of a message as if it were whole, and of a chunk that
is cut or damaged they give no message at all. Here a record counts only if it is whole, and a
chunk gives the messages up to the damage, decompressed piece by piece.
"""

from collections.abc import Iterator
from contextlib import suppress
import io
from pathlib import Path
import struct
from typing import Any, BinaryIO

from lz4.frame import LZ4FrameDecompressor
from mcap.data_stream import ReadDataStream
from mcap.exceptions import EndOfFile, McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, Message, Schema
from zstandard import ZstdDecompressor

MAGIC = b'\x89MCAP0\r\n'
# No message is larger; a length beyond it is that of a damaged record.
_LARGEST = 2**31
_PIECE = 1 << 16
# Of a chunk, the bytes before its data, without the name of its compression.
_CHUNK_HEAD = 40
# What the parsers raise of bytes that make no sense, some of it by way of the standard library.
_NONSENSE = (McapError, struct.error, UnicodeDecodeError, KeyError, ValueError)


class CutError(Exception):
    """A file ends, or makes no sense from here on."""


def read_mcap(file: Path) -> Iterator[tuple[dict[str, Any], int, bytes]]:
    """
    Yield channel, time of recording in nanoseconds and bytes of each message, as written.

    :param file: whole, cut off or damaged.
    :raises CutError: where it can be read no further.
    """
    messages = _Messages()
    with file.open('rb') as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            raise CutError('does not begin as an MCAP file does')
        for kind, body in _records(stream):
            if kind == Opcode.FOOTER:
                return
            if kind == Opcode.CHUNK:
                inner, whole = _open_chunk(body)
                yield from messages.of(_records(inner))
                if not whole:
                    raise CutError('is cut off within a chunk')
            else:
                yield from messages.of([(kind, body)])
    raise CutError('ends without a footer, as when its recorder was killed or a copy broken off')


def _records(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    while head := stream.read(9):
        if len(head) < 9:
            raise CutError('is cut off within a record')
        kind, size = struct.unpack('<BQ', head)
        if size > _LARGEST:
            raise CutError(f'is damaged at byte {stream.tell() - 9}: a record of {size} bytes')
        body = stream.read(size)
        if len(body) < size and kind != Opcode.CHUNK:
            raise CutError('is cut off within a record')
        yield kind, body


def _open_chunk(body: bytes) -> tuple[BinaryIO, bool]:
    """Return a chunk's records, and whether they are all there."""
    try:
        chunk = Chunk.read(ReadDataStream(io.BytesIO(body)))
    except _NONSENSE as error:
        raise CutError('is cut off within a chunk') from error
    # All that follows the head, whatever the length that is written in it.
    raw = _decompress(body[_CHUNK_HEAD + len(chunk.compression.encode()):], chunk.compression)
    return io.BytesIO(raw[:chunk.uncompressed_size]), len(raw) >= chunk.uncompressed_size


def _decompress(data: bytes, compression: str) -> bytes:
    """Decompress as much as is there."""
    if not compression:
        return data
    if compression not in ('lz4', 'zstd'):
        raise CutError(f'has a chunk compressed by {compression!r}: expected lz4 or zstd')
    stream = (LZ4FrameDecompressor() if compression == 'lz4'
              else ZstdDecompressor().decompressobj())
    parts = []
    # What is damaged raises something of the library's own; what came before stays.
    with suppress(Exception):
        for at in range(0, len(data), _PIECE):
            parts.append(stream.decompress(data[at:at + _PIECE]))
    return b''.join(parts)


class _WholeReads(ReadDataStream):
    """A record's bytes; a text that is longer than its record is an error, and not cut."""

    def read(self, length: int) -> bytes:
        """
        Read bytes.

        :raises EndOfFile: if there are fewer.
        """
        data = super().read(length)
        if len(data) < length:
            raise EndOfFile
        return data


class _Messages:
    """Parses records, and keeps the schemas and channels that messages name."""

    def __init__(self):
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, dict[str, Any]] = {}

    def of(self, records: Any) -> Iterator[tuple[dict[str, Any], int, bytes]]:
        """
        Yield channel, time and bytes of each message among records.

        :raises CutError: at a record that makes no sense.
        """
        for kind, body in records:
            stream = _WholeReads(io.BytesIO(body))
            try:
                if kind == Opcode.SCHEMA:
                    schema = Schema.read(stream)
                    self._schemas[schema.id] = schema
                elif kind == Opcode.CHANNEL:
                    self._add(Channel.read(stream))
                elif kind == Opcode.MESSAGE:
                    message = Message.read(stream, len(body))
                    yield self._channels[message.channel_id], message.log_time, message.data
            except _NONSENSE as error:
                raise CutError(f'is damaged: a record of kind {kind} makes no sense') from error

    def _add(self, channel: Channel) -> None:
        schema = self._schemas[channel.schema_id]
        self._channels[channel.id] = {
            'id': channel.id, 'topic': channel.topic, 'msgtype': schema.name,
            'definition': (schema.encoding, schema.data.decode()),
            'offers': channel.metadata.get('offered_qos_profiles', '')}
