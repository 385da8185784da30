"""Read video clips image by image, with the clip's timestamps."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
from moss_perception.core.errors import ClipError
import numpy as np

SUFFIXES = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm', '.wmv')
# Much more than the model's input (128 pixels), and small enough for long clips.
LONGEST_SIDE = 640
_QUALITY = 90
_USUAL_HZ = 30.0
# Containers that count images by duration and rate are off by one or two.
_UNCERTAIN_IMAGES, _UNCERTAIN_SHARE = 2, 0.05
# As in the predictor's window: an image may be a little early for its sample.
_EARLY = 0.25


@dataclass(frozen=True)
class ClipFrame:
    """
    One image of a clip.

    :ivar time_ns: time since the clip's first image, nanoseconds.
    :ivar jpeg: the image as JPEG.
    :ivar size: width and height of the image, pixels.
    :ivar filmed: width and height in the clip, pixels.
    """

    time_ns: int
    jpeg: bytes
    size: tuple[int, int]
    filmed: tuple[int, int]


def read_frames(path: Path, *, clip_hz: float = 0.0, rate_hz: float = 0.0,
                side: int = LONGEST_SIDE, whole: bool = True) -> Iterator[ClipFrame]:
    """
    Read a clip; one image is in memory at a time.

    :param path: any file that OpenCV can read.
    :param clip_hz: actual frame rate of the clip if its timestamps are wrong; 0 to use its
        timestamps.
    :param rate_hz: highest number of images per second to keep; 0 for all.
    :param side: longest side in pixels; larger images are scaled down.
    :param whole: whether a clip that ends before its announced end is an error.
    :returns: the images in order, their times rising from 0.
    :raises ClipError: if there is no such file, no image in it, or it is cut off.
    """
    if not path.is_file():
        raise ClipError(f'video {path} is not there: expected a file such as an .mp4')
    video = cv2.VideoCapture(str(path))
    try:
        read, due_ns = 0, 0.0
        for time_ns, image in _pictures(video, clip_hz):
            read += 1
            if rate_hz and time_ns < due_ns - _EARLY * 1e9 / rate_hz:
                continue
            if rate_hz:
                # Do not catch up after a gap in the clip.
                due_ns = (int(time_ns * rate_hz / 1e9 + _EARLY) + 1) * 1e9 / rate_hz
            yield _frame(time_ns, image, side)
        announced = video.get(cv2.CAP_PROP_FRAME_COUNT)
    finally:
        video.release()
    if not read:
        raise ClipError(f'video {path} has no image that can be read: expected a video '
                        'that OpenCV opens, such as H.264 in an .mp4')
    missing = announced - read
    if whole and missing > _UNCERTAIN_IMAGES + _UNCERTAIN_SHARE * announced:
        raise ClipError(f'video {path} is damaged or cut off: {read} images could be read, '
                        f'expected {announced:.0f}')


def _pictures(video: cv2.VideoCapture, clip_hz: float) -> Iterator[tuple[int, np.ndarray]]:
    period_ms = 1000 / (clip_hz or video.get(cv2.CAP_PROP_FPS) or _USUAL_HZ)
    first_ms, last_ms = None, -period_ms
    while True:
        there, image = video.read()
        if not there:
            return
        position_ms = video.get(cv2.CAP_PROP_POS_MSEC)
        first_ms = position_ms if first_ms is None else first_ms
        own_ms = position_ms - first_ms
        # Some containers have no timestamps: use the frame rate.
        by_clock = not clip_hz and own_ms > last_ms
        last_ms = own_ms if by_clock else last_ms + period_ms
        yield round(last_ms * 1e6), image


def _frame(time_ns: int, image: np.ndarray, side: int) -> ClipFrame:
    height, width = image.shape[:2]
    scale = side / max(width, height)
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return ClipFrame(time_ns, jpeg.tobytes(), (image.shape[1], image.shape[0]), (width, height))
