"""The images of a video clip: read one by one, kept on disk, moved and dropped."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
import math
from pathlib import Path
import struct
import tempfile
import zlib

import cv2
from moss_perception.core.errors import BagError, ClipError, ConfigError
import numpy as np

SUFFIXES = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm', '.wmv')
# Much more than the model's input (128 pixels), and small enough for long clips.
LONGEST_SIDE = 640
MOST_PIXELS = 7680 * 4320
"""Pixels of a picture of a video: 8K; its decoder takes several times as many bytes."""
_QUALITY = 90
_USUAL_HZ = 30.0
# Containers that count images by duration and rate are off by one or two.
_UNCERTAIN_IMAGES, _UNCERTAIN_SHARE = 2, 0.05
# As in the predictor's window: an image may be a little early for its sample.
_EARLY = 0.25
# Of a spooled image: time, bytes of the JPEG, size and filmed size.
_HEAD = struct.Struct('<qIHHHH')
# Jitter in distances to a neighbour: below one half, so that stamps keep their order.
_FARTHEST = 0.4


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
    :raises ClipError: if there is no such file, no image in it, or it is too
        large or cut off.
    """
    if not path.is_file():
        raise ClipError(f'video {path} is not there: expected a file such as an .mp4')
    # FFmpeg only: OpenCV's own readers of AVI and of image files hand damaged pictures to its
    # image decoders, which can crash.
    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        check_size(path, int(video.get(cv2.CAP_PROP_FRAME_WIDTH)),
                   int(video.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        read, due_ns = 0, 0.0
        for time_ns, image in _pictures(video, clip_hz):
            read += 1
            # It can change within a stream.
            check_size(path, image.shape[1], image.shape[0])
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


def check_size(path: Path, width: int, height: int) -> None:
    """
    Check the size that a video announces, before a picture is decoded.

    :raises ClipError: if a picture has more than :data:`MOST_PIXELS`.
    """
    if width * height > MOST_PIXELS:
        raise ClipError(f'video {path} has pictures of {width} x {height} pixels: expected at '
                        f'most {MOST_PIXELS}; scale it down, such as by ffmpeg -vf scale=1920:-2')


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


class ClipSpool:
    """
    Holds a clip's images on disk, so that clips of any length are used as a whole or not at all.

    :param folder: folder for the hidden file, which is deleted with the block.
    :ivar count: number of images.
    :ivar last_ns: time of the last image, nanoseconds since the first.
    :ivar filmed: width and height of the clip, pixels.
    """

    def __init__(self, folder: Path):
        self.count, self.last_ns = 0, 0
        self.filmed = (0, 0)
        self._folder = folder

    def __enter__(self) -> 'ClipSpool':
        try:
            self._file = tempfile.TemporaryFile(dir=self._folder)
        except OSError as error:
            raise self._problem(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        # Data that could not be flushed is no longer needed.
        with suppress(OSError):
            self._file.close()

    def fill(self, frames: Iterable[ClipFrame]) -> None:
        """
        Store a clip.

        :raises ClipError: if it can't be read to its end.
        :raises BagError: if the disk is full.
        """
        for frame in frames:
            try:
                self._file.write(_HEAD.pack(
                    frame.time_ns, len(frame.jpeg), *frame.size, *frame.filmed))
                self._file.write(frame.jpeg)
            except OSError as error:
                raise self._problem(error) from error
            self.count += 1
            self.last_ns, self.filmed = frame.time_ns, frame.filmed

    def frames(self) -> Iterator[ClipFrame]:
        """
        Yield the images in order.

        :raises BagError: if they can't be written or read.
        """
        try:
            self._file.seek(0)
            while head := self._file.read(_HEAD.size):
                time_ns, size, *sides = _HEAD.unpack(head)
                yield ClipFrame(time_ns, self._file.read(size), tuple(sides[:2]),
                                tuple(sides[2:]))
        except OSError as error:
            raise self._problem(error) from error

    def _problem(self, error: OSError) -> BagError:
        return BagError(f'could not keep a clip in {self._folder}: {error.strerror or error}')


@dataclass(frozen=True)
class Disturbance:
    """
    Jitter and losses of a clip's images, except the first and the last one.

    :ivar jitter_s: standard deviation of the stamps about their true times, seconds; no stamp is
        off by more than 0.4 of the distance to its neighbour.
    :ivar drops: probability that an image is lost, 0 up to but not including 1.
    :ivar seed: random seed.
    :raises ConfigError: if a value is not allowed.
    """

    jitter_s: float = 0.0
    drops: float = 0.0
    seed: int = 0

    def __post_init__(self):
        if not (self.jitter_s >= 0 and math.isfinite(self.jitter_s)):
            raise ConfigError(f'jitter of {self.jitter_s} s: expected 0 or more seconds')
        if not 0 <= self.drops < 1:
            raise ConfigError(f'drops of {self.drops}: expected a share from 0 to below 1')
        if self.seed < 0:
            raise ConfigError(f'seed {self.seed}: expected 0 or more')

    def label(self, domain: str) -> str:
        """Return a domain's name with this disturbance: ``real.jitter_0.02.drops_0.05``."""
        said = [f'{name}_{value:g}' for name, value in (
            ('jitter', self.jitter_s), ('drops', self.drops)) if value]
        return '.'.join([domain, *said])

    def apply(self, frames: Iterable[ClipFrame], name: str) -> Iterator[tuple[int, ClipFrame]]:
        """
        Move and drop images.

        :param name: name of the clip; the result depends only on it and on the seed.
        :returns: time since the clip's first image, nanoseconds, rising, and image.
        """
        rng = np.random.default_rng([self.seed, 22, zlib.crc32(name.encode())])
        before = here = None
        for after in frames:
            if here is not None:
                yield from self._one(rng, before, here, after)
            before, here = here, after
        if here is not None:
            yield here.time_ns, here

    def _one(self, rng: np.random.Generator, before: ClipFrame | None, here: ClipFrame,
             after: ClipFrame) -> Iterator[tuple[int, ClipFrame]]:
        # Both are drawn for each image, so that more jitter does not lose other images.
        late_ns, luck = rng.standard_normal() * self.jitter_s * 1e9, rng.uniform()
        if before is None:
            yield here.time_ns, here
        elif luck >= self.drops:
            late_ns = min(max(late_ns, _FARTHEST * (before.time_ns - here.time_ns)),
                          _FARTHEST * (after.time_ns - here.time_ns))
            yield here.time_ns + round(late_ns), here
