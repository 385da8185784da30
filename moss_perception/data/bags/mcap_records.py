"""Read an MCAP file from front to back, as far as it goes, without its index."""

from collections.abc import Iterator
from contextlib import suppress
import io
from pathlib import Path
import struct
from typing import Any, BinaryIO

MAGIC = b'\x89MCAP0\r\n'
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _FOOTER = 0x03, 0x04, 0x05, 0x06, 0x02
# No message is larger; a length beyond it is that of a damaged record.
_LARGEST = 2**31


class CutError(Exception):
    """A file ends, or makes no sense from here on."""


def read_mcap(file: Path) -> Iterator[tuple[dict[str, Any], int, bytes]]:
    """
    Yield channel, time of recording in nanoseconds and bytes of each message, as written.

    :param file: whole, cut off or damaged.
    :raises CutError: where it can be read no further.
    """
    state: tuple[dict, dict] = ({}, {})
    with file.open('rb') as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            raise CutError('does not begin as an MCAP file does')
        for kind, body in _records(stream):
            if kind == _FOOTER:
                return
            if kind == _CHUNK:
                inner, whole = _open_chunk(body)
                yield from _messages(_records(inner), state)
                if not whole:
                    raise CutError('is cut off within a chunk')
            else:
                yield from _messages([(kind, body)], state)
    raise CutError('ends without a footer, as when its recorder was killed or a copy broken off')


def _records(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    while head := stream.read(9):
        if len(head) < 9:
            raise CutError('is cut off within a record')
        kind, size = struct.unpack('<BQ', head)
        if size > _LARGEST:
            raise CutError(f'is damaged at byte {stream.tell() - 9}: a record of {size} bytes')
        body = stream.read(size)
        if len(body) < size and kind != _CHUNK:
            raise CutError('is cut off within a record')
        yield kind, body


def _open_chunk(body: bytes) -> tuple[BinaryIO, bool]:
    """Return a chunk's records, and whether they are all there."""
    try:
        size, = struct.unpack_from('<Q', body, 16)
        compression, at = _text(body, 28)
        data = body[at + 8:]
    except (struct.error, UnicodeDecodeError) as error:
        raise CutError('is cut off within a chunk') from error
    raw = _decompress(data, compression)
    return io.BytesIO(raw[:size]), len(raw) >= size


def _decompress(data: bytes, compression: str) -> bytes:
    """Decompress as much as is there."""
    if not compression:
        return data
    if compression == 'lz4':
        from lz4.frame import LZ4FrameDecompressor
        stream = LZ4FrameDecompressor()
    elif compression == 'zstd':
        stream = _zstd().ZstdDecompressor()
    else:
        raise CutError(f'has a chunk compressed by {compression!r}: expected lz4 or zstd')
    parts = []
    # What is damaged raises something of the library's own; what came before stays.
    with suppress(Exception):
        for at in range(0, len(data), 1 << 16):
            parts.append(stream.decompress(data[at:at + (1 << 16)]))
    return b''.join(parts)


def _zstd() -> Any:
    try:
        # Of Python 3.14 and later.
        from compression import zstd  # pyright: ignore[reportMissingImports]
    except ImportError:
        from backports import zstd
    return zstd


def _messages(records: Any, state: tuple[dict, dict]) -> Iterator[tuple[dict, int, bytes]]:
    schemas, channels = state
    for kind, body in records:
        try:
            if kind == _SCHEMA:
                number, = struct.unpack_from('<H', body)
                name, at = _text(body, 2)
                encoding, at = _text(body, at)
                schemas[number] = name, (encoding, _text(body, at)[0])
            elif kind == _CHANNEL:
                number, schema = struct.unpack_from('<HH', body)
                topic, at = _text(body, 4)
                _, at = _text(body, at)
                name, definition = schemas[schema]
                channels[number] = {'id': number, 'topic': topic, 'msgtype': name,
                                    'definition': definition, 'offers': _offers(body, at)}
            elif kind == _MESSAGE:
                number, _, stamp_ns, _ = struct.unpack_from('<HIQQ', body)
                yield channels[number], stamp_ns, body[22:]
        except (struct.error, UnicodeDecodeError, KeyError) as error:
            raise CutError(f'is damaged: a record of kind {kind} makes no sense') from error


def _offers(body: bytes, at: int) -> str:
    end = at + 4 + struct.unpack_from('<I', body, at)[0]
    at += 4
    while at < end:
        key, at = _text(body, at)
        value, at = _text(body, at)
        if key == 'offered_qos_profiles':
            return value
    return ''


def _text(body: bytes, at: int) -> tuple[str, int]:
    size, = struct.unpack_from('<I', body, at)
    at += 4
    if len(body) < at + size:
        raise struct.error('text is cut off')
    return body[at:at + size].decode(), at + size
