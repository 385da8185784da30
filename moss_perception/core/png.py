"""
The structure of a PNG: its chunks, their order and checksums, and how much its pixels inflate to.

OpenCV's decoder also reads animations and metadata. It is handed the chunks of the picture alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
import struct
import zlib

from moss_perception.core.errors import FrameError
import numpy as np

START = b'\x89PNG\r\n\x1a\n'
_ANIMATION = frozenset({b'acTL', b'fcTL', b'fdAT'})
_KNOWN = (b'IHDR', b'PLTE', b'IDAT', b'IEND')
# By colour type: channels, and the bits that each may have.
_COLOURS = {0: (1, (1, 2, 4, 8, 16)), 2: (3, (8, 16)), 3: (1, (1, 2, 4, 8)), 4: (2, (8, 16)),
            6: (4, (8, 16))}
_PALETTE = 3
# First column and row, and distances of columns and rows, of the seven passes of Adam7.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
          (0, 1, 1, 2))
_STEP = 1 << 20


@dataclass(frozen=True)
class PngHeader:
    """
    What the structure of a PNG says about its picture.

    :ivar width: pixels.
    :ivar height: pixels.
    :ivar bits: bits of a channel: 1, 2, 4, 8 or 16.
    :ivar grey: whether the picture is grey, without colours or a palette.
    :ivar inflated: bytes that its data inflate to.
    :ivar chunks: begin and end of the chunks that hold the picture, in order.
    """

    width: int
    height: int
    bits: int
    grey: bool
    inflated: int
    chunks: tuple[tuple[int, int], ...] = field(repr=False)


def read_structure(data: np.ndarray) -> PngHeader:
    """
    Walk the chunks of a PNG up to IEND, without inflating anything.

    :param data: uint8, flat, beginning with ``START``; bytes after IEND are ignored.
    :raises FrameError: with reason ``compressed``, if a chunk is cut off, damaged, missing, in
        the wrong place or part of an animation.
    """
    view = data.data
    start = bytes(view[:33])
    if start[8:16] != b'\0\0\0\rIHDR' or len(start) < 33:
        begin = start[8:16].hex(' ') or 'nothing'
        raise FrameError('compressed', f'PNG of {len(data)} bytes begins with {begin} after its '
                         'signature: expected a whole IHDR chunk of 13 bytes')
    kept, kinds = [], []
    for kind, begin, end in _chunks(view):
        if kind in _KNOWN:
            _check_order(kinds, kind, end - begin - 12)
            kinds.append(kind)
            kept.append((begin, end))
        elif not kind[0] & 0x20:
            # A small first letter says that a decoder may ignore the chunk.
            raise FrameError('compressed', f'PNG with an unknown {_named(kind)} at byte {begin}: '
                             'expected IHDR, PLTE, IDAT, IEND and chunks that may be ignored')
        elif kinds[-1] == b'IDAT':
            kinds.append(kind)
    width, height, bits, colour, *methods = struct.unpack('>IIBBBBB', start[16:29])
    if b'IDAT' not in kinds:
        raise FrameError('compressed', 'PNG without an IDAT chunk: expected one or more')
    if colour not in _COLOURS or bits not in _COLOURS[colour][1] or methods[:2] != [0, 0] \
            or methods[2] > 1:
        raise FrameError('compressed', f'PNG of colour type {colour} with {bits} bits, '
                         f'compression {methods[0]}, filter {methods[1]}, interlace {methods[2]}: '
                         'expected a combination that PNG allows')
    if colour == _PALETTE and b'PLTE' not in kinds:
        raise FrameError('compressed', 'PNG of colour type 3 without a PLTE chunk: expected one')
    inflated = _inflated(width, height, bits * _COLOURS[colour][0], bool(methods[2]))
    return PngHeader(width, height, bits, colour in (0, 4), inflated, tuple(kept))


def picture_of(data: np.ndarray, header: PngHeader) -> np.ndarray:
    """
    Return a PNG of the picture alone, once its data have been inflated.

    :param data: uint8, flat, whose structure is ``header``.
    :returns: uint8, flat: the signature, IHDR, PLTE, IDAT and IEND.
    :raises FrameError: with reason ``compressed``, if the data inflate to more or less than the
        picture takes, or are damaged.
    """
    view = data.data
    size, whole = _inflate(view, header)
    if size != header.inflated or not whole:
        less = 'more' if size > header.inflated else 'less'
        raise FrameError('compressed', f'PNG whose data inflate to {less} than its '
                         f'{header.width} x {header.height} pixels: expected '
                         f'{header.inflated} bytes and their checksum')
    return np.frombuffer(b''.join(
        [START, *(view[begin:end] for begin, end in header.chunks)]), np.uint8)


def _chunks(view: memoryview) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, begin and end of each chunk up to IEND."""
    at, kind = len(START), b''
    while kind != b'IEND':
        if at + 12 > len(view):
            raise FrameError('compressed', f'PNG of {len(view)} bytes is cut off after '
                             f'{_named(kind)}: expected an IEND chunk')
        length, kind = struct.unpack_from('>I4s', view, at)
        end = at + 12 + length
        if kind in _ANIMATION:
            raise FrameError('compressed', f'animated PNG with {_named(kind)}: '
                             'expected a PNG of one picture, without acTL, fcTL and fdAT')
        if end > len(view):
            raise FrameError(
                'compressed', f'PNG is cut off in {_named(kind)} at byte {at}: expected '
                f'{length + 12} bytes, {len(view) - at} are left')
        expected = zlib.crc32(view[at + 4:end - 4])
        (stored,) = struct.unpack_from('>I', view, end - 4)
        if stored != expected:
            raise FrameError('compressed', f'PNG with a damaged {_named(kind)} at byte {at}: '
                             f'its CRC is {stored:08x}, expected {expected:08x}')
        yield kind, at, end
        at = end


def _named(kind: bytes) -> str:
    # A damaged name may hold any bytes, line breaks too.
    return f'chunk {kind.decode("latin-1")!r}' if kind else 'its signature'


def _check_order(before: list[bytes], kind: bytes, length: int) -> None:
    """Refuse a chunk that must not come here, or not with this length."""
    wrong = ''
    if kind == b'IHDR' and before:
        wrong = 'expected one, as the first chunk'
    elif kind == b'PLTE' and (b'PLTE' in before or b'IDAT' in before):
        wrong = 'expected one, before the first IDAT'
    elif kind == b'PLTE' and not (0 < length <= 768 and length % 3 == 0):
        wrong = f'{length} bytes; expected 3 for each of 1 to 256 colours'
    elif kind == b'IDAT' and b'IDAT' in before and before[-1] != b'IDAT':
        wrong = 'expected all IDAT chunks one after another'
    elif kind == b'IEND' and length:
        wrong = f'{length} bytes; expected none'
    if wrong:
        raise FrameError('compressed', f'PNG with a misplaced {_named(kind)}: {wrong}')


def _inflated(width: int, height: int, bits: int, interlaced: bool) -> int:
    """Return the bytes of all rows, each with the byte that names its filter."""
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    total = 0
    for left, top, across, down in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total


def _inflate(view: memoryview, header: PngHeader) -> tuple[int, bool]:
    """Inflate the data in small steps; return their size, and whether they end as they should."""
    inflater, size = zlib.decompressobj(), 0
    try:
        for begin, end in header.chunks:
            left = view[begin + 8:end - 4] if view[begin + 4:begin + 8] == b'IDAT' else b''
            while left and not inflater.eof and size <= header.inflated:
                size += len(inflater.decompress(left, _STEP))
                left = inflater.unconsumed_tail
    except zlib.error as error:
        raise FrameError('compressed', f'PNG with damaged pixels ({error}): expected data that '
                         'inflate') from error
    return size, inflater.eof
