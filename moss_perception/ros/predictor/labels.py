"""Text on images: in a box, of a size that fits the image, and beside other labels."""

from dataclasses import dataclass

import cv2
import numpy as np

FONT = cv2.FONT_HERSHEY_SIMPLEX
BOX, WHITE, BLACK = (20, 20, 20), (255, 255, 255), (0, 0, 0)
# A 640 x 480 image has lines of 20 pixels; larger images have less space covered by text.
_LINE_OF_VGA, _VGA = 20, 480
_SMALLEST_LINE = 12
# A font of scale 1 is about this many pixels high, and its line about half as much again.
_FONT_PIXELS = 33
_OPACITY = 0.75
# Where a label is tried: directions, then further away.
_DIRECTIONS = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1))
_RINGS = 5


def line_height(image: np.ndarray) -> int:
    """Return the height of a line of text that can be read on an image, pixels."""
    short = min(image.shape[:2])
    larger = _LINE_OF_VGA + (short - _VGA) / 40
    return max(_SMALLEST_LINE, round(min(short * _LINE_OF_VGA / _VGA, larger)))


@dataclass(frozen=True)
class Box:
    """A rectangle: ``left`` and ``top`` inside, ``right`` and ``bottom`` outside, pixels."""

    left: int
    top: int
    right: int
    bottom: int

    def overlaps(self, other: 'Box') -> bool:
        """Whether two boxes share a pixel."""
        return (self.left < other.right and other.left < self.right
                and self.top < other.bottom and other.top < self.bottom)

    def is_within(self, image: np.ndarray) -> bool:
        """Whether the box is whole on the image."""
        return (self.left >= 0 and self.top >= 0 and self.right <= image.shape[1]
                and self.bottom <= image.shape[0])


def text_size(text: str, line: int) -> tuple[int, int]:
    """Return width and height of the box around a text, pixels, for lines of this height."""
    (width, _), _ = cv2.getTextSize(text, FONT, line / _FONT_PIXELS, _thickness(line))
    return width + line // 2, line


def write(image: np.ndarray, text: str, left: int, top: int, line: int,
          colour: tuple[int, int, int] = WHITE,
          box: tuple[int, int, int] | None = BOX) -> None:
    """
    Write a text with a box behind it, so that you can read it on any background.

    A box keeps its place at any thickness; OpenCV 5 sets thicker glyphs wider, so a rim of
    thicker text would be out of place.

    :param image: uint8, RGB, shape ``(H, W, 3)``; drawn on in place. What lies outside is cut off.
    :param left: of the box, pixels.
    :param top: of the box, pixels.
    :param line: height of the box, pixels.
    :param box: colour of the box; ``None`` where the background is plain.
    """
    if box is not None:
        width, height = text_size(text, line)
        shade(image, Box(left, top, left + width, top + height), box)
    cv2.putText(image, text, (left + line // 4, top + round(0.74 * line)), FONT,
                line / _FONT_PIXELS, colour, _thickness(line), cv2.LINE_AA)


def shade(image: np.ndarray, box: Box, colour: tuple[int, int, int] = BOX) -> None:
    """Lay a colour over a part of an image, in place; the image shines through."""
    part = image[max(0, box.top):max(0, box.bottom), max(0, box.left):max(0, box.right)]
    part[:] = part * (1 - _OPACITY) + np.array(colour) * _OPACITY


def place(image: np.ndarray, size: tuple[int, int], at: tuple[int, int], reach: int,
          taken: list[Box]) -> Box | None:
    """
    Find a place for a label beside a point.

    :param size: width and height of the label, pixels.
    :param at: column and row of the point.
    :param reach: shortest distance between the point and the label, pixels.
    :param taken: boxes that it must not overlap.
    :returns: the nearest free box that is whole on the image; ``None`` if there is none.
    """
    width, height = size
    for ring in range(_RINGS):
        away = reach + ring * height
        for x, y in _DIRECTIONS:
            left = at[0] + x * away - (width if x < 0 else 0 if x > 0 else width // 2)
            top = at[1] + y * away - (height if y < 0 else 0 if y > 0 else height // 2)
            box = Box(left, top, left + width, top + height)
            if box.is_within(image) and not any(box.overlaps(other) for other in taken):
                return box
    return None


def _thickness(line: int) -> int:
    return max(1, round(line / 20))
