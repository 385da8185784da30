"""Camera image messages, raw or compressed, and the check that each passes before decoding."""

from dataclasses import dataclass, field
import re
import struct
from typing import Any
import zlib

from moss_perception.core.errors import FrameError
import numpy as np

MAX_SIDE = 16384

# Bytes per pixel of a row. For nv12 these are the luma rows; half as many chroma rows follow.
PIXEL_BYTES = {
    'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1, 'mono16': 2,
    'bayer_rggb8': 1, 'bayer_bggr8': 1, 'bayer_gbrg8': 1, 'bayer_grbg8': 1,
    'yuv422': 2, 'uyvy': 2, 'yuv422_yuy2': 2, 'yuyv': 2, 'nv12': 1,
}

# Two neighbouring pixels of a row share their chroma.
_SUBSAMPLED = {'yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv', 'nv12'}

_GENERIC = re.compile(r'(8|16|32|64)[USF]C\d*')
_JPEG_START, _JPEG_SCAN, _JPEG_END = b'\xff\xd8', b'\xff\xda', b'\xff\xd9'
_JPEG_FRAMES = frozenset(range(0xc0, 0xd0)) - {0xc4, 0xc8, 0xcc}
_PNG_START = b'\x89PNG\r\n\x1a\n'
_PNG_ANIMATION = frozenset({b'acTL', b'fcTL', b'fdAT'})


@dataclass(frozen=True)
class RawImage:
    """
    An uncompressed image, with the fields of sensor_msgs/Image.

    :ivar data: anything with the buffer protocol, ``step * height`` bytes.
    :ivar step: bytes of a row, padding included.
    """

    encoding: str
    height: int
    width: int
    step: int
    data: Any
    is_bigendian: int = 0

    @classmethod
    def from_rgb(cls, image: np.ndarray) -> 'RawImage':
        """
        Wrap an array.

        :param image: uint8, RGB, shape ``(H, W, 3)``.
        """
        height, width, _ = image.shape
        return cls('rgb8', height, width, 3 * width, np.ascontiguousarray(image))


@dataclass(frozen=True)
class CompressedImage:
    """
    A JPEG or PNG image, with the fields of sensor_msgs/CompressedImage.

    :ivar data: anything with the buffer protocol.
    """

    data: Any
    format: str = 'jpeg'


@dataclass(frozen=True)
class CheckedImage:
    """
    An image whose structure and size have been checked; only :func:`check` makes one.

    :ivar message: with the fields of sensor_msgs/Image or CompressedImage.
    :ivar width: pixels.
    :ivar height: pixels; for raw nv12 images as the message says it.
    :ivar is_compressed: whether the message is a CompressedImage.
    :ivar is_jpeg: whether the data is a JPEG.
    """

    message: Any = field(repr=False)
    width: int
    height: int
    is_compressed: bool = False
    is_jpeg: bool = False


def check(image: Any) -> CheckedImage:
    """
    Check an image's size, structure and encoding without decoding it.

    :param image: anything with the fields of sensor_msgs/Image or CompressedImage. A
        :class:`CheckedImage` is returned as it is, so each image is checked once.
    :raises FrameError: with reason ``encoding``, ``size``, ``step`` or ``compressed``.
    """
    if isinstance(image, CheckedImage):
        return image
    return _check_compressed(image) if hasattr(image, 'format') else _check_raw(image)


def bytes_of(message: Any) -> np.ndarray:
    """Return the message's data as a flat uint8 array, without a copy where possible."""
    if isinstance(message.data, np.ndarray):
        return np.ascontiguousarray(message.data).reshape(-1).view(np.uint8)
    return np.frombuffer(message.data, np.uint8)


def _check_side(width: int, height: int, reason: str) -> None:
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise FrameError(
            reason, f'image of {width} x {height} pixels: expected 1 to {MAX_SIDE} a side')


def _check_raw(message: Any) -> CheckedImage:
    encoding, width, height, step = message.encoding, message.width, message.height, message.step
    if encoding not in PIXEL_BYTES:
        what = 'holds depth or unnamed channels' if _GENERIC.fullmatch(encoding) else 'is unknown'
        raise FrameError('encoding', f'encoding {encoding!r} {what}: expected one of '
                                     f'{", ".join(PIXEL_BYTES)}')
    _check_side(width, height, 'size')
    row = width * PIXEL_BYTES[encoding]
    if step < row:
        raise FrameError(
            'step', f'step of {step} bytes: expected at least {row} for {width} pixels {encoding}')
    if step % 2 and encoding == 'mono16':
        raise FrameError('step', f'step of {step} bytes: expected an even one for mono16')
    if encoding in _SUBSAMPLED and width % 2:
        raise FrameError('size', f'{encoding} of width {width}: expected an even width')
    rows = _rows(encoding, height)
    size = memoryview(message.data).nbytes
    if size not in [step * count for count in rows]:
        expected = ' or '.join(str(step * count) for count in rows)
        raise FrameError(
            'size', f'{size} bytes of data: expected {expected or "an even height"} '
            f'for {height} rows of {step} bytes, {encoding}')
    return CheckedImage(message, width, height)


def _rows(encoding: str, height: int) -> list[int]:
    """
    List how many rows of data an image of this height may have.

    In nv12 images of image_transport, ``height`` is the picture's, and half as many chroma rows
    follow. In those of OpenCV and rosbags it counts all rows. The data's length shows which.
    """
    if encoding != 'nv12':
        return [height]
    return [height * 3 // 2] * (height % 2 == 0) + [height] * (height % 3 == 0)


def _check_compressed(message: Any) -> CheckedImage:
    if re.search(r'compressedDepth|\b(16|32|64)[USF]C\d', message.format):
        raise FrameError(
            'encoding', f'format {message.format!r} holds depth: expected a JPEG or PNG in colour')
    data = bytes_of(message)
    # Read in place, because most frames of a recording are only checked.
    start = data[:33].tobytes()
    if not start:
        raise FrameError('compressed', 'no data: expected a JPEG or PNG')
    if start.startswith(_PNG_START):
        width, height = _check_png(start, data, message.format)
        return CheckedImage(message, width, height, is_compressed=True)
    if start.startswith(_JPEG_START):
        width, height = _jpeg_size(data)
        _check_side(width, height, 'compressed')
        return CheckedImage(message, width, height, is_compressed=True, is_jpeg=True)
    raise FrameError(
        'compressed', f'data begins with {start[:4].hex(" ")}: expected a JPEG or PNG')


def _check_png(start: bytes, data: np.ndarray, declared: str) -> tuple[int, int]:
    """Check a PNG and return its width and height."""
    if start[8:16] != b'\0\0\0\rIHDR' or len(start) < 33:
        begin = start[8:16].hex(' ') or 'nothing'
        raise FrameError('compressed', f'PNG of {len(data)} bytes begins with {begin} after its '
                         'signature: expected a whole IHDR chunk of 13 bytes')
    width, height, bits, colour = struct.unpack('>IIBB', start[16:26])
    _check_side(width, height, 'compressed')
    _check_png_chunks(data.data)
    if bits == 16 and colour == 0 and not declared.startswith('mono16'):
        raise FrameError(
            'encoding', f'grey PNG of 16 bits, format {declared!r}, may be depth: '
            'expected 8 bits or a format that begins with mono16')
    return width, height


def _check_png_chunks(data: memoryview) -> None:
    """
    Walk all chunks up to IEND; a damaged animation can crash the decoder.

    :param data: a PNG, its signature included; bytes after IEND are ignored.
    :raises FrameError: if a chunk is cut off, damaged, missing or part of an animation.
    """
    at, kind = len(_PNG_START), b''
    while kind != b'IEND':
        if at + 12 > len(data):
            raise FrameError('compressed', f'PNG of {len(data)} bytes is cut off after '
                             f'{_chunk(kind)}: expected an IEND chunk')
        length, kind = struct.unpack_from('>I4s', data, at)
        end = at + 8 + length
        if kind in _PNG_ANIMATION:
            raise FrameError('compressed', f'animated PNG with {_chunk(kind)}: '
                             'expected a PNG of one picture, without acTL, fcTL and fdAT')
        if end + 4 > len(data):
            raise FrameError(
                'compressed', f'PNG is cut off in {_chunk(kind)} at byte {at}: expected '
                f'{length + 12} bytes, {len(data) - at} are left')
        expected, (stored,) = zlib.crc32(data[at + 4:end]), struct.unpack_from('>I', data, end)
        if stored != expected:
            raise FrameError('compressed', f'PNG with a damaged {_chunk(kind)} at byte {at}: '
                             f'its CRC is {stored:08x}, expected {expected:08x}')
        at = end + 4


def _chunk(kind: bytes) -> str:
    # A damaged name may hold any bytes, line breaks too.
    return f'chunk {kind.decode("latin-1")!r}' if kind else 'its signature'


def _jpeg_size(data: np.ndarray) -> tuple[int, int]:
    """Read width and height of a whole JPEG."""
    if _is_cut_off(data):
        raise FrameError(
            'compressed', f'JPEG of {len(data)} bytes is cut off: expected an end marker')
    at, head = 2, data.data
    while at + 9 <= len(head) and head[at] == 0xff:
        marker, length = head[at + 1], int.from_bytes(head[at + 2:at + 4], 'big')
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack('>HH', head[at + 5:at + 9])
            return width, height
        at += 1 if marker == 0xff else 2 + length
    raise FrameError('compressed', f'JPEG of {len(data)} bytes has no frame header')


def _is_cut_off(data: np.ndarray) -> bool:
    # Entropy-coded data never contains an end marker, and a thumbnail's comes before the scan.
    if data[-2:].tobytes() == _JPEG_END:
        return False
    text = data.tobytes()
    return text.rfind(_JPEG_END) < text.rfind(_JPEG_SCAN)
