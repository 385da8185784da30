"""Camera image messages, raw or compressed, and the check that each passes before decoding."""

from dataclasses import dataclass, field
import re
from typing import Any

from moss_perception.core import jpeg, png
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
# Of the most megapixels, in all scans together; a usual progressive JPEG has ten scans.
_SCANNED = 10
_BAYER = re.compile(r'\bbayer_(rggb|bggr|gbrg|grbg)(8|16)')
_TARGET = re.compile(r'\bcompressed\s+(\w+)')
_JPEG_NAME = re.compile(r'm?jpe?g', re.IGNORECASE)
# By their first bytes.
_OTHERS = {rb'RIFF....WEBP': 'a WebP', rb'GIF8': 'a GIF', rb'BM': 'a BMP',
           rb'II\*\0|MM\0\*': 'a TIFF', rb'\0\0\0\x0cjP': 'a JPEG 2000',
           rb'\xff\x0a|\0\0\0\x0cJXL': 'a JPEG XL', rb'....ftypavi[fs]': 'an AVIF',
           rb'....ftyphe': 'a HEIF', rb'\0\0(\0)?\x01': 'an H.264 or H.265 packet'}


@dataclass(frozen=True)
class ImageLimits:
    """
    What a picture may cost, said before it is decoded.

    :ivar megapixels: most pixels of a picture, millions.
    :ivar scans: most scans of a progressive JPEG. Each costs about as much as a whole picture, so
        the pixels of all scans are bounded too, to ten times the pixels.
    """

    megapixels: float = 50.0
    scans: int = 100


LIMITS = ImageLimits()
"""What holds unless other limits are said."""


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
    :ivar header: the structure of a compressed picture; ``None`` for raw images.
    :ivar bayer: encoding of a compressed mosaic, such as ``bayer_rggb8``; empty for pictures.
    """

    message: Any = field(repr=False)
    width: int
    height: int
    header: jpeg.JpegHeader | png.PngHeader | None = None
    bayer: str = ''

    @property
    def is_jpeg(self) -> bool:
        """Whether the data is a JPEG."""
        return isinstance(self.header, jpeg.JpegHeader)


def check(image: Any, limits: ImageLimits = LIMITS) -> CheckedImage:
    """
    Check an image's size, structure and encoding without decoding it.

    :param image: anything with the fields of sensor_msgs/Image or CompressedImage. A
        :class:`CheckedImage` is returned as it is, so each image is checked once.
    :param limits: what it may cost to decode.
    :raises FrameError: with reason ``encoding``, ``size``, ``step`` or ``compressed``.
    """
    if isinstance(image, CheckedImage):
        return image
    return (_check_compressed if hasattr(image, 'format') else _check_raw)(image, limits)


def bytes_of(message: Any) -> np.ndarray:
    """Return the message's data as a flat uint8 array, without a copy where possible."""
    if isinstance(message.data, np.ndarray):
        return np.ascontiguousarray(message.data).reshape(-1).view(np.uint8)
    return np.frombuffer(message.data, np.uint8)


def _check_size(width: int, height: int, limits: ImageLimits, scans: int = 1,
                reason: str = 'compressed') -> None:
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise FrameError(
            reason, f'image of {width} x {height} pixels: expected 1 to {MAX_SIDE} a side')
    megapixels = width * height / 1e6
    if megapixels > limits.megapixels:
        raise FrameError(
            reason, f'image of {width} x {height} pixels, {megapixels:.1f} megapixels: expected '
            f'at most {limits.megapixels:g}, the parameter max_megapixels')
    if scans > limits.scans or megapixels * scans > _SCANNED * limits.megapixels:
        raise FrameError(
            reason, f'JPEG of {width} x {height} pixels in {scans} scans: expected at most '
            f'{min(limits.scans, int(_SCANNED * limits.megapixels / megapixels))}, by the '
            'parameters max_scans and max_megapixels')


def _check_raw(message: Any, limits: ImageLimits) -> CheckedImage:
    encoding, width, height, step = message.encoding, message.width, message.height, message.step
    if _JPEG_NAME.fullmatch(encoding) or _is_jpeg(message.data):
        raise FrameError('encoding', f'a JPEG in a raw image of encoding {encoding!r}: expected '
                         'pixels, or the JPEG as sensor_msgs/CompressedImage')
    if encoding not in PIXEL_BYTES:
        what = 'holds depth or unnamed channels' if _GENERIC.fullmatch(encoding) else 'is unknown'
        raise FrameError('encoding', f'encoding {encoding!r} {what}: expected one of '
                                     f'{", ".join(PIXEL_BYTES)}')
    _check_size(width, height, limits, reason='size')
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


def _is_jpeg(data: Any) -> bool:
    """Tell a whole JPEG by its first and last bytes, which no picture has by chance."""
    view = memoryview(data).cast('B') if memoryview(data).nbytes else memoryview(b'')
    if bytes(view[:3]) != b'\xff\xd8\xff':
        return False
    return bytes(view[-64:]).rstrip(b'\0').endswith(b'\xff\xd9')


def _rows(encoding: str, height: int) -> list[int]:
    """
    List how many rows of data an image of this height may have.

    In nv12 images of image_transport, ``height`` is the picture's, and half as many chroma rows
    follow. In those of OpenCV and rosbags it counts all rows. The data's length shows which.
    """
    if encoding != 'nv12':
        return [height]
    return [height * 3 // 2] * (height % 2 == 0) + [height] * (height % 3 == 0)


def _check_compressed(message: Any, limits: ImageLimits) -> CheckedImage:
    declared = message.format
    if re.search(r'compressedDepth|\b(16|32|64)[USF]C\d', declared):
        raise FrameError(
            'encoding', f'format {declared!r} holds depth: expected a JPEG or PNG in colour')
    data = bytes_of(message)
    # Read in place, because most frames of a recording are only checked.
    start = data[:16].tobytes()
    if not start:
        raise FrameError('compressed', 'no data: expected a JPEG or PNG')
    if start.startswith(png.START):
        header = png.read_structure(data)
        _check_size(header.width, header.height, limits)
        if header.bits == 16 and header.grey and not declared.startswith('mono16'):
            raise FrameError(
                'encoding', f'grey PNG of 16 bits, format {declared!r}, may be depth: '
                'expected 8 bits or a format that begins with mono16')
        bayer = _mosaic(declared, header.grey and header.bits == 8)
    elif start.startswith(jpeg.START):
        header = jpeg.read_structure(data)
        _check_size(header.width, header.height, limits, header.scans)
        bayer = _mosaic(declared, header.channels == 1)
    else:
        name = next((name for begin, name in _OTHERS.items() if re.match(begin, start)), '')
        raise FrameError('compressed', f'data begins with {start[:4].hex(" ")}'
                         f'{name and f", {name}"}: expected a JPEG or PNG')
    return CheckedImage(message, header.width, header.height, header, bayer)


def _mosaic(declared: str, one_channel: bool) -> str:
    """
    Return the Bayer pattern of a picture whose pixels are still a mosaic; empty for all others.

    image_transport names the encoding before compression, and after it the one that it converted
    to: a mosaic that is compressed as it is has none, or is called grey.
    """
    found = _BAYER.search(declared)
    if found is None:
        return ''
    target = _TARGET.search(declared)
    converted = target is not None and not target[1].startswith(('bayer', 'mono'))
    if found[2] != '8' or converted == one_channel:
        raise FrameError(
            'encoding', f'format {declared!r} with {"one channel" if one_channel else "colours"} '
            'of a Bayer mosaic: expected one channel of 8 bits as bayer_rggb8, or colours '
            'that end in bgr8 or rgb8')
    return '' if converted else found[0]
