"""Images as the network takes them: decoded and fitted to its input, by whoever has the time."""

from dataclasses import dataclass
from typing import Any

from moss_perception.core import image_messages as images
from moss_perception.core import images as imaging
from moss_perception.core.errors import FrameError
from moss_perception.core.geometry import letterbox
import numpy as np


@dataclass(frozen=True)
class Fitted:
    """
    An image that is ready for the network.

    :ivar square: uint8, RGB, shape ``(S, S, 3)``.
    :ivar transform: takes a pixel of the camera's image there, see
        :func:`moss_perception.core.geometry.letterbox`.
    :ivar size: height and width of the camera's image, pixels.
    :ivar source: the image as it came.
    """

    square: np.ndarray
    transform: np.ndarray
    size: tuple[int, int]
    source: Any


class Checked:
    """Stands for an image that was checked already, and that nobody will decode."""


def fit(image: Any, side: int) -> Fitted:
    """
    Decode an image and fit it to the network's input.

    :param image: as in :class:`moss_perception.core.frames.Frame`; what is fitted stays as it is.
    :param side: of the network's input, pixels.
    :raises FrameError: if it can't be used.
    """
    if isinstance(image, Fitted):
        return image
    pixels, reduction = _decode(image, side)
    square, transform = letterbox(pixels, side, reduction)
    height, width, _ = pixels.shape
    return Fitted(square, transform, (height * reduction, width * reduction), image)


def check(image: Any) -> None:
    """
    Find out without decoding it whether an image can be used, as far as that goes.

    :param image: as in :class:`moss_perception.core.frames.Frame`.
    :raises FrameError: if it can't be used.
    """
    # An array's shape is looked at when it is fitted.
    if not isinstance(image, (np.ndarray, Fitted, Checked)):
        images.check(image)


def _decode(image: Any, side: int) -> tuple[np.ndarray, int]:
    if not isinstance(image, np.ndarray):
        return imaging.decode_for(image, side)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise FrameError('size', f'expected a uint8 RGB array (H, W, 3), got {image.dtype} '
                                 f'{image.shape}')
    return image, 1
