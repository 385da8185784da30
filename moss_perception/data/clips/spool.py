"""Images of one clip on disk, so that clips of any length are used as a whole or not at all."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
import struct
import tempfile

from moss_perception.core.errors import BagError
from moss_perception.data.clips.video import ClipFrame

_HEAD = struct.Struct('<qIHHHH')


class ClipSpool:
    """
    Holds a clip's images in a file that vanishes with it.

    :ivar count: number of images.
    :ivar last_ns: time of the last image, nanoseconds since the first.
    :ivar filmed: width and height of the clip, pixels.
    """

    def __init__(self, folder: Path):
        """
        Say where; nothing is made before the block is entered.

        :param folder: folder for the hidden file.
        """
        self.count, self.last_ns = 0, 0
        self.filmed = (0, 0)
        self._folder = folder

    def __enter__(self) -> 'ClipSpool':
        """
        Make the file.

        :raises BagError: if it can't be made.
        """
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
