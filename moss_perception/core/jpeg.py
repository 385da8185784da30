"""
The structure of a JPEG, walked from its first marker to its last, and its decoding.

The walk tells what the decoder will see: one frame header, how many scans, and an end. The decoder
is libjpeg-turbo, which OpenCV uses too, through simplejpeg: OpenCV does not return its warnings,
and only they tell a picture that lost bytes in the middle from a whole one.
"""

from dataclasses import dataclass
import re
import struct

from moss_perception.core.errors import FrameError
import numpy as np
import simplejpeg

START = b'\xff\xd8'
# In entropy-coded data, 0xff is followed by 0 or is a restart marker.
_AFTER_SCAN = re.compile(rb'\xff(?=[\x01-\xcf\xd8-\xfe])')
_END, _SCAN, _BASELINE, _PROGRESSIVE = 0xd9, 0xda, (0xc0, 0xc1), 0xc2
_FRAMES = frozenset(range(0xc0, 0xd0)) - {0xc4, 0xc8, 0xcc}
# Huffman and quantisation tables, restart interval, application data, comments.
_SEGMENTS = frozenset({0xc4, 0xdb, 0xdd, 0xfe, *range(0xe0, 0xf0)})
_CHANNELS = (1, 3, 4)
# Some cameras pad the last scan; the picture before it is whole.
_PADDING = re.compile(r'([0-9]+) extraneous bytes before marker 0xd9')
_MOST_PADDING = 16


@dataclass(frozen=True)
class JpegHeader:
    """
    What the structure of a JPEG says about its picture.

    :ivar width: pixels.
    :ivar height: pixels.
    :ivar channels: 1, 3 or 4.
    :ivar scans: number of scans; more than one in a progressive file.
    """

    width: int
    height: int
    channels: int
    scans: int


def read_structure(data: np.ndarray) -> JpegHeader:
    """
    Walk the markers of a JPEG without decoding it.

    :param data: uint8, flat, beginning with ``START``; bytes after the end marker are ignored.
    :raises FrameError: with reason ``compressed``, if a marker is missing, unknown or repeated, a
        segment is cut off, or the data ends before the end marker.
    """
    view, at, header, scans = data.data, len(START), None, 0
    while True:
        marker, at = _marker(view, at)
        if marker == _END:
            break
        if marker not in _SEGMENTS | _FRAMES | {_SCAN}:
            raise _damaged(view, f'marker ff {marker:02x} at byte {at - 2}: expected a table, '
                           'a frame header, a scan or the end')
        end = _segment_end(view, marker, at)
        if marker in _FRAMES:
            if header is not None:
                raise _damaged(view, f'a second frame header at byte {at - 2}: expected one')
            header = _frame(view, marker, at, end)
        elif marker == _SCAN:
            if header is None:
                raise _damaged(view, f'a scan at byte {at - 2} has no frame header before it: '
                               'expected one')
            scans += 1
            found = _AFTER_SCAN.search(view, end)
            end = len(view) if found is None else found.start()
        at = end
    if header is None:
        raise _damaged(view, 'no frame header: expected one before the end marker')
    if not scans:
        raise _damaged(view, 'no scan: expected one before the end marker')
    return JpegHeader(*header, scans)


def decode(data: np.ndarray, colours: str, size: tuple[int, int]) -> np.ndarray:
    """
    Decode a JPEG whose structure was read; a picture that is there in part is refused.

    :param data: uint8, flat.
    :param colours: ``RGB``, ``BGR`` or ``GRAY``.
    :param size: height and width to decode to: the picture's, or a half, a quarter or an eighth.
    :returns: uint8, shape ``(*size, channels)``.
    :raises FrameError: with reason ``compressed``.
    """
    def run(strict: bool) -> np.ndarray:
        return simplejpeg.decode_jpeg(
            data, colours, min_height=size[0], min_width=size[1], strict=strict)

    try:
        return run(strict=True)
    except ValueError as error:
        why = ' '.join(str(error).split())
    padding = _PADDING.search(why)
    if padding is None or int(padding[1]) > _MOST_PADDING:
        raise FrameError('compressed', f'JPEG of {len(data)} bytes decodes in part ({why}): '
                         'expected a picture without lost or changed bytes')
    return run(strict=False)


def _marker(view: memoryview, at: int) -> tuple[int, int]:
    """Read the marker at a byte; return it and the byte after it."""
    first = at
    while at < len(view) and view[at] == 0xff:
        at += 1
    if at >= len(view):
        raise FrameError('compressed', f'JPEG of {len(view)} bytes is cut off: expected an end '
                         'marker')
    if at == first:
        raise _damaged(view, f'byte {view[at]:02x} at byte {at}: expected a marker')
    return view[at], at + 1


def _segment_end(view: memoryview, marker: int, at: int) -> int:
    length = int.from_bytes(view[at:at + 2], 'big')
    if length < 2 or at + length > len(view):
        raise FrameError('compressed', f'JPEG of {len(view)} bytes is cut off in marker '
                         f'ff {marker:02x} at byte {at - 2}: expected a segment of 2 bytes or '
                         f'more, and all of its {length}')
    return at + length


def _frame(view: memoryview, marker: int, at: int, end: int) -> tuple[int, int, int]:
    if marker not in (*_BASELINE, _PROGRESSIVE):
        raise _damaged(view, f'frame header ff {marker:02x} (lossless, hierarchical or '
                       'arithmetic): expected a baseline or progressive JPEG')
    if end < at + 8:
        raise _damaged(view, f'a frame header of {end - at} bytes: expected 8 or more')
    bits, height, width, channels = struct.unpack('>BHHB', view[at + 2:at + 8])
    if bits != 8 or channels not in _CHANNELS or end != at + 8 + 3 * channels:
        raise _damaged(view, f'a frame header of {end - at} bytes with {channels} channels of '
                       f'{bits} bits: expected 1, 3 or 4 channels of 8 bits')
    return width, height, channels


def _damaged(view: memoryview, what: str) -> FrameError:
    return FrameError('compressed', f'JPEG of {len(view)} bytes is damaged: {what}')
