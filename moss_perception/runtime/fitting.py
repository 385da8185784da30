"""From an image to the network's input: checked, decoded, and fitted to a square."""

from dataclasses import dataclass
from typing import Any

from moss_perception.core import image_messages
from moss_perception.core import images as imaging
from moss_perception.core.errors import FrameError
from moss_perception.core.geometry import letterbox
import numpy as np


@dataclass(frozen=True)
class Fitted:
    """
    An image that is ready for the network.

    :ivar square: uint8, RGB, shape ``(S, S, 3)``.
    :ivar transform: maps a pixel of the camera's image to the square, see
        :func:`moss_perception.core.geometry.letterbox`.
    :ivar size: height and width of the camera's image, pixels.
    :ivar source: the image that was fitted.
    """

    square: np.ndarray
    transform: np.ndarray
    size: tuple[int, int]
    source: Any


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
    pixels, reduction = _decode(image, side)
    square, transform = letterbox(pixels, side, reduction)
    height, width, _ = pixels.shape
    return Fitted(square, transform, (height * reduction, width * reduction), image)


def check(image: Any) -> Any:
    """
    Check an image as far as that is possible without decoding it.

    :param image: as in :class:`moss_perception.core.frames.Frame`.
    :returns: the checked image, for :func:`fit`, which does not check it again.
    :raises FrameError: if the image cannot be used.
    """
    # The shape of an array is checked when it is fitted.
    if isinstance(image, (np.ndarray, Fitted, Checked)):
        return image
    return image_messages.check(image)


def _decode(image: Any, side: int) -> tuple[np.ndarray, int]:
    if not isinstance(image, np.ndarray):
        return imaging.decode_for(image, side)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise FrameError('size', f'expected a uint8 RGB array (H, W, 3), got {image.dtype} '
                                 f'{image.shape}')
    return image, 1
