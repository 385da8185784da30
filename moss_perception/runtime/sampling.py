"""From frames to samples: chosen by stamp, checked, decoded, and fitted to a square."""

from dataclasses import dataclass
from typing import Any

from moss_perception.core import image_messages
from moss_perception.core.errors import ConfigError, FrameError
from moss_perception.core.geometry import letterbox
from moss_perception.core.image_messages import ImageLimits, LIMITS
from moss_perception.core.images import decode_for
from moss_perception.core.looks import doubt
import numpy as np


@dataclass(frozen=True)
class Admission:
    """
    What the sampler decided about a frame.

    :ivar index: sample number since the last reset; ``None`` for a frame between two samples.
    :ivar epoch: counts the resets; samples of an older epoch are void.
    :ivar reset_reason: why this frame began a new epoch, or ``None``.
    :ivar went_back: whether its stamp is below that of the frame before, also across a reset.
    """

    index: int | None
    epoch: int
    reset_reason: str | None = None
    went_back: bool = False


class Sampler:
    """
    Chooses, by stamp, the frames that become samples at a fixed rate.

    Sample ``k`` is the first frame stamped at or after ``t0 + (k - 1/4) / rate``, with ``t0`` the
    stamp of the first frame since the last reset. The quarter period lets a camera that runs at
    the model's rate jitter.

    :param rate_hz: samples a second, above 0.
    :raises ConfigError: if ``rate_hz`` is not above 0.
    """

    def __init__(self, rate_hz: float):
        if not rate_hz > 0:
            raise ConfigError(f'frame rate must be above 0 Hz, got {rate_hz}')
        self.period_ns = round(1e9 / rate_hz)
        self.epoch = 0
        self._origin_ns: int | None = None
        self._last_ns = 0
        self._last_index = -1
        self._frame_id = ''

    def reset(self) -> None:
        """Forget the stream: the next frame is sample 0 of a new epoch."""
        self.epoch += 1
        self._origin_ns = None

    def admit(self, stamp_ns: int, frame_id: str) -> Admission:
        """
        Decide about the next frame of the stream.

        :param stamp_ns: header stamp, nanoseconds.
        :param frame_id: the camera's optical frame.
        :returns: sample number, epoch, reset reason, and whether the stamp went back.
        :raises FrameError: ``zero_stamp``, if the stamp is not above 0.
        """
        if stamp_ns <= 0:
            raise FrameError('zero_stamp', f'frame needs a header stamp above 0, got {stamp_ns}')
        went_back = self.take_stamp(stamp_ns)
        reason = self._reset_reason(went_back, frame_id)
        if reason is not None:
            self.reset()
        self._frame_id = frame_id
        if self._origin_ns is None:
            self._origin_ns, self._last_index = stamp_ns, 0
            return Admission(0, self.epoch, reason, went_back)
        index = (stamp_ns - self._origin_ns + self.period_ns // 4) // self.period_ns
        if index <= self._last_index:
            return Admission(None, self.epoch)
        self._last_index = index
        return Admission(index, self.epoch)

    def take_stamp(self, stamp_ns: int) -> bool:
        """Note a frame's stamp; return whether it is below the one before, also across a reset."""
        went_back, self._last_ns = stamp_ns < self._last_ns, stamp_ns
        return went_back

    def _reset_reason(self, went_back: bool, frame_id: str) -> str | None:
        if self._origin_ns is None:
            return None
        if went_back:
            return 'stamp_backwards'
        return 'frame_id' if frame_id != self._frame_id else None


@dataclass(frozen=True)
class Fitted:
    """
    An image that is ready for the network.

    :ivar square: uint8, RGB, shape ``(S, S, 3)``.
    :ivar transform: maps a pixel of the camera's image to the square, see
        :func:`moss_perception.core.geometry.letterbox`.
    :ivar size: height and width of the camera's image, pixels.
    :ivar source: the image that was fitted.
    :ivar doubt: why the picture may show nothing, one of the keys of
        :data:`moss_perception.core.looks.LOOKS`; empty if it looks well.
    """

    square: np.ndarray
    transform: np.ndarray
    size: tuple[int, int]
    source: Any
    doubt: str = ''


class Checked:
    """A placeholder for an image that has been checked and will not be decoded."""


def fit(image: Any, side: int) -> Fitted:
    """
    Decode an image and fit it to the network's input.

    :param image: from :func:`check`, or an image as in
        :class:`moss_perception.core.frames.Frame`; a fitted image is returned as it is.
    :param side: side of the network's input, pixels.
    :raises FrameError: if the image cannot be used.
    """
    if isinstance(image, Fitted):
        return image
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise FrameError('size', f'expected a uint8 RGB array (H, W, 3), got {image.dtype} '
                                     f'{image.shape}')
        pixels, reduction = image, 1
    else:
        pixels, reduction = decode_for(image, side)
    square, transform = letterbox(pixels, side, reduction)
    height, width, _ = pixels.shape
    return Fitted(square, transform, (height * reduction, width * reduction), image,
                  doubt(pixels))


def check(image: Any, limits: ImageLimits = LIMITS) -> Any:
    """
    Check an image as far as that is possible without decoding it.

    :param image: as in :class:`moss_perception.core.frames.Frame`.
    :param limits: what it may cost to decode.
    :returns: the checked image, for :func:`fit`, which does not check it again.
    :raises FrameError: if the image cannot be used.
    """
    # The shape of an array is checked when it is fitted.
    if isinstance(image, (np.ndarray, Fitted, Checked)):
        return image
    return image_messages.check(image, limits)
