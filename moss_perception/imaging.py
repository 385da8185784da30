"""Decode camera images, raw or compressed, into RGB arrays: the only home of decoding."""

from dataclasses import dataclass
import functools
import importlib.util
import logging
import re
import struct
import subprocess
import sys
from typing import Any

import cv2
from moss_perception.errors import FrameError, MossError
import numpy as np

MAX_SIDE = 16384

# Bytes per pixel of a row. nv12 counts its rows of luma; half as many rows of chroma follow.
PIXEL_BYTES = {
    'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1, 'mono16': 2,
    'bayer_rggb8': 1, 'bayer_bggr8': 1, 'bayer_gbrg8': 1, 'bayer_grbg8': 1,
    'yuv422': 2, 'uyvy': 2, 'yuv422_yuy2': 2, 'yuyv': 2, 'nv12': 1,
}

# The older name is the one that every release of cv_bridge and rosbags-image knows.
SYNONYMS = {'uyvy': 'yuv422', 'yuyv': 'yuv422_yuy2'}

# What cv_bridge converts to rgb8; the rest goes through rosbags-image on every machine, because
# cv_bridge has no conversion for planar images.
CV_BRIDGE_ENCODINGS = frozenset(PIXEL_BYTES) - {'nv12'}

# Two neighbours in a row share their chroma.
SUBSAMPLED = {'yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv', 'nv12'}

GENERIC = re.compile(r'(8|16|32|64)[USF]C\d*')
JPEG_START, JPEG_SCAN, JPEG_END = b'\xff\xd8', b'\xff\xda', b'\xff\xd9'
JPEG_FRAMES = frozenset(range(0xc0, 0xd0)) - {0xc4, 0xc8, 0xcc}
PNG_START, PNG_END = b'\x89PNG\r\n\x1a\n', b'IEND\xaeB`\x82'

# A JPEG is decoded at a half, a quarter or an eighth of its size at a fraction of the cost. It
# stays this much larger than what it is for: so averaging pixels does most of the reducing, as it
# does where an image comes uncompressed, and the result is about the same.
OVERSAMPLING = 2
REDUCED = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4,
           8: cv2.IMREAD_REDUCED_COLOR_8}

# A module built for NumPy 1 can end the process when NumPy 2 calls it: nothing that a `try`
# could catch, so the first call is made by a process of its own.
PROBE = (
    'import numpy; from cv_bridge.boost.cv_bridge_boost import cvtColor2; '
    'image = cvtColor2(numpy.array([[[1, 2, 3]]], numpy.uint8), "bgr8", "rgb8"); '
    'assert image.tolist() == [[[3, 2, 1]]], image'
)


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


def check(message: Any) -> None:
    """
    Check an image's sizes and encoding without decoding it.

    :param message: anything with the fields of sensor_msgs/Image or CompressedImage.
    :raises FrameError: with reason ``encoding``, ``size``, ``step`` or ``compressed``.
    """
    if hasattr(message, 'format'):
        _check_compressed(message)
    else:
        _check_raw(message)


def decode(message: Any) -> np.ndarray:
    """
    Decode an image.

    :param message: anything with the fields of sensor_msgs/Image or CompressedImage.
    :returns: uint8 array with memory of its own, RGB, shape ``(H, W, 3)``.
    :raises FrameError: with reason ``encoding``, ``size``, ``step`` or ``compressed``.
    :raises MossError: if neither cv_bridge nor rosbags-image can be imported.
    """
    return decode_for(message, MAX_SIDE)[0]


def decode_for(message: Any, side: int) -> tuple[np.ndarray, int]:
    """
    Decode an image that will be fitted into a square; a large JPEG comes reduced.

    :param message: anything with the fields of sensor_msgs/Image or CompressedImage.
    :param side: of the square, pixels.
    :returns: uint8 array with memory of its own, RGB, shape ``(H / n, W / n, 3)``; and ``n``: 1,
        or 2, 4 or 8 if the image's longer side then still is at least twice the square's.
    :raises FrameError: with reason ``encoding``, ``size``, ``step`` or ``compressed``.
    :raises MossError: if neither cv_bridge nor rosbags-image can be imported.
    """
    check(message)
    if hasattr(message, 'format'):
        reduction = _reduction(_bytes_of(message), side)
        return _decode_compressed(message, reduction), reduction
    return _decode_raw(_normalise(message)), 1


def _decode_raw(image: RawImage) -> np.ndarray:
    if backend() == 'cv_bridge' and image.encoding in CV_BRIDGE_ENCODINGS:
        return decode_by_cv_bridge(image)
    return decode_by_rosbags(image)


def backend() -> str:
    """
    Tell what decodes raw images, chosen at the first call.

    :returns: ``cv_bridge`` or ``rosbags-image``.
    :raises MossError: if neither can be imported.
    """
    if _cv_bridge() is not None:
        return 'cv_bridge'
    if _rosbags_image() is not None:
        return 'rosbags-image'
    raise MossError(
        'no decoder for images: expected cv_bridge (apt) or rosbags-image (PyPI) to be installed')


def decode_by_cv_bridge(image: RawImage) -> np.ndarray:
    """
    Convert a checked image without padding by cv_bridge.

    :param image: of an encoding in ``CV_BRIDGE_ENCODINGS``.
    :returns: uint8, RGB, shape ``(H, W, 3)``.
    """
    return np.array(_cv_bridge().imgmsg_to_cv2(image, 'rgb8'))


def decode_by_rosbags(image: RawImage) -> np.ndarray:
    """
    Convert a checked image without padding by rosbags-image.

    :param image: of any encoding in ``PIXEL_BYTES``.
    :returns: uint8, RGB, shape ``(H, W, 3)``.
    :raises MossError: if rosbags-image can't be imported.
    """
    convert = _rosbags_image()
    if convert is None:
        raise MossError(
            f'encoding {image.encoding!r} is decoded by rosbags-image (PyPI), which is missing')
    return np.array(convert(image, 'rgb8'))


@functools.cache
def _cv_bridge() -> Any:
    """Return a CvBridge, or None where there is none that works."""
    if importlib.util.find_spec('cv_bridge') is None:
        return None
    try:
        if int(np.__version__.split('.')[0]) >= 2:
            _probe_cv_bridge()
        # cv_bridge's own __init__ hides the failure of its compiled half.
        from cv_bridge import CvBridge
        from cv_bridge.boost.cv_bridge_boost import cvtColor2  # noqa: F401
        return CvBridge()
    except Exception as error:  # noqa: BLE001  a broken binary may raise anything
        logging.getLogger(__name__).warning(
            'cv_bridge is installed but unusable (%s): decoding goes through rosbags-image',
            ' '.join(str(error).split()) or type(error).__name__)
        return None


def _probe_cv_bridge() -> None:
    """Call cv_bridge once in another process, and raise ImportError if that fails."""
    probe = subprocess.run(
        [sys.executable, '-c', PROBE], check=False, capture_output=True, text=True, timeout=60)
    if probe.returncode:
        lines = probe.stderr.strip().splitlines() or ['no message']
        raise ImportError(f'NumPy {np.__version__}, exit status {probe.returncode}: {lines[-1]}')


@functools.cache
def _rosbags_image() -> Any:
    """Return rosbags-image's conversion, or None where it is not installed."""
    try:
        from rosbags.image import message_to_cvimage
    except ImportError:
        return None
    return message_to_cvimage


def _bytes_of(message: Any) -> np.ndarray:
    """Return the message's data as a flat uint8 array, without a copy where possible."""
    if isinstance(message.data, np.ndarray):
        return np.ascontiguousarray(message.data).reshape(-1).view(np.uint8)
    return np.frombuffer(message.data, np.uint8)


def _refuse_encoding(encoding: str) -> None:
    expected = ', '.join(PIXEL_BYTES)
    if GENERIC.fullmatch(encoding):
        raise FrameError(
            'encoding',
            f'encoding {encoding!r} holds depth or unnamed channels: expected one of {expected}')
    raise FrameError('encoding', f'unknown encoding {encoding!r}: expected one of {expected}')


def _check_side(width: int, height: int, reason: str) -> None:
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise FrameError(
            reason, f'image of {width} x {height} pixels: expected 1 to {MAX_SIDE} a side')


def _check_raw(message: Any) -> None:
    encoding, width, height, step = message.encoding, message.width, message.height, message.step
    if encoding not in PIXEL_BYTES:
        _refuse_encoding(encoding)
    _check_side(width, height, 'size')
    row = width * PIXEL_BYTES[encoding]
    if step < row:
        raise FrameError(
            'step', f'step of {step} bytes: expected at least {row} for {width} pixels {encoding}')
    if step % 2 and encoding == 'mono16':
        raise FrameError('step', f'step of {step} bytes: expected an even one for mono16')
    if encoding in SUBSAMPLED and width % 2:
        raise FrameError('size', f'{encoding} of width {width}: expected an even width')
    rows = _rows(encoding, height)
    size = memoryview(message.data).nbytes
    if size not in [step * count for count in rows]:
        expected = ' or '.join(str(step * count) for count in rows)
        raise FrameError(
            'size', f'{size} bytes of data: expected {expected or "an even height"} '
            f'for {height} rows of {step} bytes, {encoding}')


def _rows(encoding: str, height: int) -> list[int]:
    """
    List how many rows of data an image of this height may have.

    For nv12, image_transport takes ``height`` for the picture's and half as many rows of chroma
    follow; OpenCV and rosbags take it for all of them. The data's length tells which is meant.
    """
    if encoding != 'nv12':
        return [height]
    return [height * 3 // 2] * (height % 2 == 0) + [height] * (height % 3 == 0)


def _normalise(message: Any) -> RawImage:
    """Strip padding, byte order and synonyms, which the decoders treat differently."""
    encoding, width, step = message.encoding, message.width, message.step
    data = _bytes_of(message)
    rows = data.size // step
    data = data.reshape(rows, step)[:, :width * PIXEL_BYTES[encoding]]
    if encoding == 'mono16':
        wide = np.ascontiguousarray(data).view('>u2' if message.is_bigendian else '<u2')
        # 65535 / 255 = 257; rounded here because the decoders don't agree on rounding
        data = ((wide.astype(np.uint32) + 128) // 257).astype(np.uint8)
        encoding = 'mono8'
    encoding = SYNONYMS.get(encoding, encoding)
    return RawImage(encoding, rows, width, data.shape[1], np.ascontiguousarray(data))


def _check_compressed(message: Any) -> None:
    depth = re.search(r'compressedDepth|\b(16|32|64)[USF]C\d', message.format)
    if depth:
        raise FrameError(
            'encoding', f'format {message.format!r} holds depth: expected a JPEG or PNG in colour')
    data = _bytes_of(message)
    # Looked at in place: most frames of a recording are only checked.
    start = data[:33].tobytes()
    if not start:
        raise FrameError('compressed', 'no data: expected a JPEG or PNG')
    if start.startswith(PNG_START):
        _check_png(start, data, message.format)
    elif start.startswith(JPEG_START):
        _check_side(*_jpeg_size(data), 'compressed')
    else:
        raise FrameError(
            'compressed', f'data begins with {start[:4].hex(" ")}: expected a JPEG or PNG')


def _check_png(start: bytes, data: np.ndarray, declared: str) -> None:
    if len(data) < 33 or PNG_END not in data[-64:].tobytes():
        raise FrameError(
            'compressed', f'PNG of {len(data)} bytes is cut off: expected an IEND chunk')
    width, height, bits, colour = struct.unpack('>IIBB', start[16:26])
    _check_side(width, height, 'compressed')
    if bits == 16 and colour == 0 and not declared.startswith('mono16'):
        raise FrameError(
            'encoding', f'grey PNG of 16 bits, format {declared!r}, may be depth: '
            'expected 8 bits or a format that begins with mono16')


def _jpeg_size(data: np.ndarray) -> tuple[int, int]:
    """Read width and height of a whole JPEG."""
    if _is_cut_off(data):
        raise FrameError(
            'compressed', f'JPEG of {len(data)} bytes is cut off: expected an end marker')
    at, head = 2, memoryview(data)
    while at + 9 <= len(head) and head[at] == 0xff:
        marker, length = head[at + 1], int.from_bytes(head[at + 2:at + 4], 'big')
        if marker in JPEG_FRAMES:
            height, width = struct.unpack('>HH', head[at + 5:at + 9])
            return width, height
        at += 1 if marker == 0xff else 2 + length
    raise FrameError('compressed', f'JPEG of {len(data)} bytes has no frame header')


def _is_cut_off(data: np.ndarray) -> bool:
    # Entropy-coded data never contains an end marker, and a thumbnail's comes before the scan.
    if data[-2:].tobytes() == JPEG_END:
        return False
    text = data.tobytes()
    return text.rfind(JPEG_END) < text.rfind(JPEG_SCAN)


def _reduction(data: np.ndarray, side: int) -> int:
    """Tell by how much a checked image can be reduced while it is decoded."""
    if data[:2].tobytes() != JPEG_START:
        return 1
    size = _jpeg_size(data)
    # Of other sizes the last pixels would hold what lies beyond the image.
    return max(n for n in REDUCED if n == 1 or (
        max(size) >= n * OVERSAMPLING * side and not any(length % n for length in size)))


def _decode_compressed(message: Any, reduction: int) -> np.ndarray:
    """
    Decode by OpenCV, as both cv_bridge and rosbags-image do, but for grey images too.

    The camera's calibration holds for the pixels as stored, so an EXIF rotation is not applied.
    """
    flags = REDUCED[reduction] | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(_bytes_of(message), flags)
    if image is None:
        raise FrameError('compressed', f'damaged image, format {message.format!r}: '
                         'expected a JPEG or PNG that OpenCV can decode')
    if 'compressed rgb' in message.format:
        # image_transport's name for channels that were not swapped before they were compressed
        return image
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
