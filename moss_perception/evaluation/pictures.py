"""Small pictures of frames: for pages, and kept during a run that no recording has images of."""

from collections.abc import Mapping
from typing import Any

import cv2
from moss_perception.core.errors import FrameError
from moss_perception.core.images import decode
from moss_perception.evaluation.records import AttemptRecord
from moss_perception.evaluation.shown import choose, stamps_shown
import numpy as np

WIDEST = 320
# Their fate is heard of within a few frames. As messages they are large.
_UNDECIDED = 32
# A minute of ten samples a second: some 10 MB.
_RECENT = 600


def to_jpeg(image: np.ndarray) -> bytes:
    """
    Make a small picture.

    :param image: uint8, RGB, shape ``(H, W, 3)``; what is wider than 320 pixels is made smaller.
    :returns: a JPEG file, some 10 to 20 kB.
    """
    factor = WIDEST / image.shape[1]
    if factor < 1:
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode('.jpg', np.ascontiguousarray(image[:, :, ::-1]),
                           [cv2.IMWRITE_JPEG_QUALITY, 85])
    return data.tobytes()


class Pictures:
    """
    Keeps of a run what its film strips may show, however long the run is.

    That is: frames whose fate isn't known yet, as messages; the newest scored ones, small; and
    those of the attempts that would be shown if the run ended now. Two topics keep no order
    between them, so a frame's fate may be heard before the frame.

    :param undecided: frames that wait for their fate, or fates for their frame, at most.
    :param recent: newest scored frames that are kept.
    """

    def __init__(self, undecided: int = _UNDECIDED, recent: int = _RECENT):
        self._sizes = undecided, recent
        self._messages: dict[int, Any] = {}
        self._awaited: dict[int, None] = {}
        self._recent: dict[int, bytes] = {}
        self._attempts: list[AttemptRecord] = []
        self._kept: dict[int, bytes] = {}

    @property
    def kept(self) -> Mapping[int, bytes]:
        """Return the pictures of the attempts that are shown: JPEG files, by header stamp."""
        return dict(self._kept)

    @property
    def count(self) -> int:
        """How many frames are held, as messages or as pictures."""
        return len(self._messages) + len(self._recent.keys() | self._kept.keys())

    def see(self, stamp_ns: int, message: Any) -> None:
        """
        Take a frame.

        :param message: with the fields of sensor_msgs/Image or CompressedImage.
        """
        if stamp_ns in self._awaited:
            del self._awaited[stamp_ns]
            self._shrink(stamp_ns, message)
        else:
            _put(self._messages, stamp_ns, message, self._sizes[0])

    def decide(self, stamp_ns: int, kind: str) -> None:
        """
        Take a frame's fate.

        :param kind: ``scored``, or another: only what was scored is shown.
        """
        message = self._messages.pop(stamp_ns, None)
        if kind == 'scored' and message is not None:
            self._shrink(stamp_ns, message)
        elif kind == 'scored':
            _put(self._awaited, stamp_ns, None, self._sizes[0])

    def finish(self, attempt: AttemptRecord) -> None:
        """Take an attempt that is over and whose scores have all come."""
        attempts = [*self._attempts, attempt]
        # Who isn't chosen now never will be. Their order decides between equals.
        self._attempts = [attempts[n] for n in sorted(one.index for one in choose(attempts))]
        there = {**self._recent, **self._kept}
        self._kept = {stamp_ns: there[stamp_ns] for one in self._attempts
                      for stamp_ns in stamps_shown(one) if stamp_ns in there}

    def _shrink(self, stamp_ns: int, message: Any) -> None:
        try:
            picture = to_jpeg(decode(message))
        except FrameError:
            # The predictor finds the same, and counts it.
            return
        _put(self._recent, stamp_ns, picture, self._sizes[1])


def _put(there: dict, key: int, value: Any, most: int) -> None:
    there[key] = value
    while len(there) > most:
        del there[next(iter(there))]
