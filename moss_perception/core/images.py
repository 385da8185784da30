"""Decode camera images, raw or compressed, into RGB arrays: the only home of decoding."""

import functools
import importlib.util
import logging
import subprocess
import sys
from typing import Any

import cv2
from moss_perception.core import jpeg, png
from moss_perception.core.codes import coded
from moss_perception.core.errors import FrameError, MossError
from moss_perception.core.image_messages import (
    bytes_of,
    check,
    CheckedImage,
    MAX_SIDE,
    PIXEL_BYTES,
    RawImage,
)
import numpy as np

# The older name is the one that every release of cv_bridge and rosbags-image knows.
_SYNONYMS = {'uyvy': 'yuv422', 'yuyv': 'yuv422_yuy2'}

# Encodings that cv_bridge converts to rgb8. rosbags-image converts the rest on every machine,
# because cv_bridge has no conversion for planar images.
CV_BRIDGE_ENCODINGS = frozenset(PIXEL_BYTES) - {'nv12'}

# Decoding a JPEG at a half, a quarter or an eighth of its size costs a fraction of the time. The
# decoded image stays this many times larger than the target, so that averaging pixels does most
# of the reduction, as for raw images, and the results are about the same.
_OVERSAMPLING = 2
_REDUCTIONS = (1, 2, 4, 8)

# A module built for NumPy 1 can crash the process when NumPy 2 calls it. `try` cannot catch that,
# so the first call is made in another process.
_PROBE = (
    'import numpy; from cv_bridge.boost.cv_bridge_boost import cvtColor2; '
    'image = cvtColor2(numpy.array([[[1, 2, 3]]], numpy.uint8), "bgr8", "rgb8"); '
    'assert image.tolist() == [[[3, 2, 1]]], image'
)


def decode(image: Any) -> np.ndarray:
    """
    Check and decode an image.

    :param image: anything that :func:`moss_perception.core.image_messages.check` takes.
    :returns: uint8 array with memory of its own, RGB, shape ``(H, W, 3)``.
    :raises FrameError: with reason ``encoding``, ``size``, ``step`` or ``compressed``.
    :raises MossError: if neither cv_bridge nor rosbags-image can be imported.
    """
    return decode_for(image, MAX_SIDE)[0]


def decode_for(image: Any, side: int) -> tuple[np.ndarray, int]:
    """
    Check and decode an image that will be fitted into a square; large JPEGs are reduced.

    :param image: anything that :func:`moss_perception.core.image_messages.check` takes.
    :param side: side of the square, pixels.
    :returns: uint8 array with memory of its own, RGB, shape ``(H / n, W / n, 3)``; and ``n``: 1,
        or 2, 4 or 8 if the reduced image's longer side is at least twice the square's.
    :raises FrameError: with reason ``encoding``, ``size``, ``step`` or ``compressed``.
    :raises MossError: if neither cv_bridge nor rosbags-image can be imported.
    """
    checked = check(image)
    if checked.header is not None and not checked.bayer:
        reduction = _reduction(checked, side)
        return _decode_compressed(checked, reduction), reduction
    raw = _mosaic(checked) if checked.bayer else _normalise(checked.message)
    by_cv_bridge = backend() == 'cv_bridge' and raw.encoding in CV_BRIDGE_ENCODINGS
    return (decode_by_cv_bridge if by_cv_bridge else decode_by_rosbags)(raw), 1


def backend() -> str:
    """
    Return the name of the decoder for raw images, chosen at the first call.

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
    """Return a CvBridge, or None if there is none that works."""
    if importlib.util.find_spec('cv_bridge') is None:
        return None
    try:
        if int(np.__version__.split('.')[0]) >= 2:
            _probe_cv_bridge()
        # cv_bridge's own __init__ hides the failure of its compiled half. PyPI has none.
        from cv_bridge import CvBridge  # pyright: ignore[reportMissingImports]
        from cv_bridge.boost.cv_bridge_boost import (  # pyright: ignore[reportMissingImports]
            cvtColor2,  # noqa: F401
        )
        return CvBridge()
    except Exception as error:  # noqa: BLE001  a broken binary may raise anything
        logging.getLogger(__name__).warning(
            coded('cv_bridge', 'cv_bridge is installed but unusable (%s): decoding goes through '
                  'rosbags-image'),
            ' '.join(str(error).split()) or type(error).__name__)
        return None


def _probe_cv_bridge() -> None:
    """Call cv_bridge once in another process, and raise ImportError if that fails."""
    probe = subprocess.run(
        [sys.executable, '-c', _PROBE], check=False, capture_output=True, text=True, timeout=60)
    if probe.returncode:
        lines = probe.stderr.strip().splitlines() or ['no message']
        raise ImportError(f'NumPy {np.__version__}, exit status {probe.returncode}: {lines[-1]}')


@functools.cache
def _rosbags_image() -> Any:
    """Return rosbags-image's conversion, or None if it is not installed."""
    try:
        from rosbags.image import message_to_cvimage
    except ImportError:
        return None
    return message_to_cvimage


def _normalise(message: Any) -> RawImage:
    """Remove padding, byte order and synonyms, which the decoders treat differently."""
    encoding, width, step = message.encoding, message.width, message.step
    data = bytes_of(message)
    rows = data.size // step
    data = data.reshape(rows, step)[:, :width * PIXEL_BYTES[encoding]]
    if encoding == 'mono16':
        wide = np.ascontiguousarray(data).view('>u2' if message.is_bigendian else '<u2')
        # 65535 / 255 = 257; rounded here because the decoders don't agree on rounding
        data = ((wide.astype(np.uint32) + 128) // 257).astype(np.uint8)
        encoding = 'mono8'
    encoding = _SYNONYMS.get(encoding, encoding)
    return RawImage(encoding, rows, width, data.shape[1], np.ascontiguousarray(data))


def _reduction(image: CheckedImage, side: int) -> int:
    """Return by how much an image can be reduced while it is decoded."""
    if not isinstance(image.header, jpeg.JpegHeader):
        return 1
    size = image.width, image.height
    # For sizes that n does not divide, the last pixels would include what is beyond the image.
    return max(n for n in _REDUCTIONS if n == 1 or (
        max(size) >= n * _OVERSAMPLING * side and not any(length % n for length in size)))


def _decode_compressed(image: CheckedImage, reduction: int) -> np.ndarray:
    """
    Decode a picture in grey or colour.

    The camera's calibration is for the pixels as stored, so an EXIF rotation is not applied.
    """
    # image_transport's name for channels that were not swapped before compression
    swapped = 'compressed rgb' not in image.message.format
    if isinstance(image.header, jpeg.JpegHeader):
        return jpeg.decode(bytes_of(image.message), 'RGB' if swapped else 'BGR',
                           (image.height // reduction, image.width // reduction))
    pixels = _decode_png(image, cv2.IMREAD_COLOR)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if swapped else pixels


def _mosaic(image: CheckedImage) -> RawImage:
    """Decode a mosaic that was compressed as if it were grey."""
    if isinstance(image.header, jpeg.JpegHeader):
        data = bytes_of(image.message)
        pixels = jpeg.decode(data, 'GRAY', (image.height, image.width))
    else:
        pixels = _decode_png(image, cv2.IMREAD_GRAYSCALE)
    return RawImage(image.bayer, image.height, image.width, image.width,
                    np.ascontiguousarray(pixels).reshape(-1))


def _decode_png(image: CheckedImage, flags: int) -> np.ndarray:
    """Decode by OpenCV, as both cv_bridge and rosbags-image do, what is there of the picture."""
    assert isinstance(image.header, png.PngHeader)
    pixels = cv2.imdecode(png.picture_of(bytes_of(image.message), image.header),
                          flags | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise FrameError('compressed', f'damaged image, format {image.message.format!r}: '
                         'expected a PNG that OpenCV can decode')
    return pixels
