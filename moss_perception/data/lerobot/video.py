"""Videos of a LeRobotDataset, by PyAV: frames in a row, in files of a limited size."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.error import FFmpegError
from moss_perception.core.errors import ClipError, DataError
from moss_perception.data.clips import frames
from moss_perception.data.clips.frames import check_size
import numpy as np

CODEC, PIXELS = 'libx264', 'yuv420p'
# Every other frame is whole, as lerobot has it: a clip is found without decoding much.
GROUP = 2
# Hardly visible compression.
_OPTIONS = {'crf': '16', 'g': str(GROUP), 'bf': '0', 'preset': 'fast'}


class VideoWriter:
    """
    Writes one MP4; a context manager.

    :param size: width and height, both even, pixels.
    :param fps: frames per second.
    :raises DataError: if the size is odd.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: int):
        if any(length % 2 for length in size):
            raise DataError(f'images of {size[0]} x {size[1]} pixels: expected even sides for '
                            'videos; use --images jpeg')
        path.parent.mkdir(parents=True, exist_ok=True)
        self.frames = 0
        self._output = av.open(str(path), 'w')
        self._stream = self._output.add_stream(CODEC, fps, options=_OPTIONS)
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = PIXELS
        self._base = Fraction(1, fps)

    def __enter__(self) -> 'VideoWriter':
        return self

    def __exit__(self, *_: object) -> None:
        if self.frames:
            self._output.mux(self._stream.encode(None))
        self._output.close()

    def add(self, image: np.ndarray) -> None:
        """Append a frame: uint8, RGB, shape ``(H, W, 3)``."""
        frame = av.VideoFrame.from_ndarray(image, format='rgb24')
        frame.pts, frame.time_base = self.frames, self._base
        self.frames += 1
        self._output.mux(self._stream.encode(frame))


def video_info(size: tuple[int, int], fps: int) -> dict[str, object]:
    """Describe the videos as ``meta/info.json`` does."""
    return {'video.height': size[1], 'video.width': size[0], 'video.codec': 'h264',
            'video.pix_fmt': PIXELS, 'video.is_depth_map': False, 'video.fps': fps,
            'video.channels': 3, 'video.g': GROUP, 'has_audio': False}


def read_video(path: Path) -> Iterator[np.ndarray]:
    """
    Decode the frames of a video in their order.

    :returns: uint8, RGB, shape ``(H, W, 3)``.
    :raises DataError: if it is missing or damaged, or its pictures have more than
        :data:`moss_perception.data.clips.frames.MOST_PIXELS`.
    """
    if not path.is_file():
        raise DataError(f'the video {path} is missing: expected the whole data set, with its '
                        'folder videos/; download it again')
    try:
        with av.open(str(path)) as video:
            context = video.streams.video[0].codec_context
            check_size(path, context.width, context.height)
            # What the container announces need not be what its stream has.
            context.options = {**context.options, 'max_pixels': str(frames.MOST_PIXELS)}
            for frame in video.decode(video=0):
                yield frame.to_ndarray(format='rgb24')
    except ClipError as error:
        raise DataError(str(error)) from error
    except (FFmpegError, IndexError) as error:
        raise DataError(f"the video {path} can't be decoded: {error}; expected an MP4 that "
                        'FFmpeg reads') from error
