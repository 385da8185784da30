"""The camera picture of the page: a small JPEG of the scored frame, and the motion in it."""

import base64
from collections import OrderedDict
from dataclasses import dataclass
import math
from typing import Any

import cv2
from moss_perception.core.errors import FrameError
from moss_perception.core.frames import stamp_to_ns
from moss_perception.core.image_messages import bytes_of, check
from moss_perception.core.images import decode_for
from moss_perception.core.text import clean
from moss_perception.ros.predictor.overlay import motion_energy
import numpy as np
from sensor_msgs.msg import Image
import simplejpeg

SIDE = 640
"""Longest side of the picture, pixels; a larger image is reduced."""
_KEPT = 12
_QUALITY = 70
_DECAY = 0.98
_DIGITS = 4


@dataclass(frozen=True)
class Picture:
    """
    A picture for the page.

    :ivar stamp_ns: of the frame, nanoseconds.
    :ivar jpeg: the file.
    :ivar size: width and height of the frame, pixels.
    """

    stamp_ns: int
    jpeg: bytes
    size: tuple[int, int]


class Pictures:
    """
    Keeps the newest image messages, and makes a JPEG of the one that is shown.

    :ivar problem: why the newest image could not be shown; empty if it could.
    """

    def __init__(self):
        self._messages: OrderedDict[int, Any] = OrderedDict()
        self._made: Picture | None = None
        self.problem = ''

    def take(self, message: Any) -> None:
        """Keep an image message, raw or compressed."""
        self._messages[stamp_to_ns(message.header.stamp)] = message
        while len(self._messages) > _KEPT:
            self._messages.popitem(last=False)

    def forget(self) -> None:
        """Forget all images."""
        self._messages.clear()
        self._made = None

    def of(self, stamp_ns: int) -> Picture | None:
        """
        Return the picture of a frame, or of the newest one if this frame is not there.

        :returns: ``None`` if there is none that can be decoded.
        """
        # A copy: the thread of the node adds to it.
        messages = self._messages.copy()
        if not messages:
            return None
        if stamp_ns not in messages:
            stamp_ns = next(reversed(messages))
        if self._made is None or self._made.stamp_ns != stamp_ns:
            try:
                self._made = _picture(stamp_ns, messages[stamp_ns])
                self.problem = ''
            except FrameError as error:
                self.problem = clean(error)
                return None
        return self._made


def _picture(stamp_ns: int, message: Any) -> Picture:
    checked = check(message)
    size = (checked.width, checked.height)
    if checked.is_jpeg and not checked.bayer and max(size) <= SIDE:
        return Picture(stamp_ns, bytes_of(message).tobytes(), size)
    image, _ = decode_for(message, SIDE // 2)
    height, width = image.shape[:2]
    if (factor := SIDE / max(width, height)) < 1:
        small = (max(1, round(width * factor)), max(1, round(height * factor)))
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(image), _QUALITY, 'RGB', '420')
    return Picture(stamp_ns, jpeg, size)


class MotionHeat:
    """The motion map as bytes; its scale follows the strongest motion of the last seconds."""

    def __init__(self):
        self._peak = 1e-6
        self._newest: dict[str, Any] | None = None

    def take(self, message: Image) -> None:
        """Take a motion map of ``~/motion_features``; other images are ignored."""
        depth = message.encoding.removeprefix('32FC')
        if not depth.isdecimal() or len(depth) > _DIGITS:
            return
        shape = (message.height, message.width, int(depth))
        if not message.data or len(message.data) != 4 * math.prod(shape):
            return
        values = np.frombuffer(message.data, '<f4')
        if not np.isfinite(values).all():
            return
        energy = motion_energy(values.reshape(shape))
        if not np.isfinite(energy).all():
            return
        self._peak = max(float(energy.max()), _DECAY * self._peak)
        heat = np.round(255 * np.clip(energy / self._peak, 0, 1)).astype(np.uint8)
        self._newest = {'rows': shape[0], 'columns': shape[1],
                        'values': base64.b64encode(heat.tobytes()).decode()}

    def forget(self) -> None:
        """Forget the map."""
        self._newest = None

    @property
    def newest(self) -> dict[str, Any] | None:
        """Rows, columns, and bytes from 0 to 255 in base64; ``None`` without a map."""
        return self._newest
