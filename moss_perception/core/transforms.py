"""Rigid transforms between frames: checked, applied, chained and interpolated."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from moss_perception.core.errors import ConfigError
from moss_perception.core.frames import unit_quaternions
import numpy as np

EXPECTED = 'expected seven finite numbers x y z qx qy qz qw, of which the last four are a unit ' \
    'quaternion'


@dataclass(frozen=True, eq=False)
class Transform:
    """
    The pose of a source frame in a target frame; it takes points of the source to the target.

    :ivar position: float64, shape ``(3,)``, metres.
    :ivar orientation: float64, shape ``(4,)``, unit quaternion x y z w.
    """

    position: np.ndarray
    orientation: np.ndarray

    def points(self, points: np.ndarray) -> np.ndarray:
        """Take points of the source frame to the target frame: shape ``(K, 3)``."""
        x, y, z, w = self.orientation
        rotation = np.array([
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])
        return points @ rotation.T + self.position

    def orientations(self, quaternions: np.ndarray) -> np.ndarray:
        """Take orientations x y z w to the target frame; the norm stays: shape ``(K, 4)``."""
        ours, theirs = self.orientation, np.asarray(quaternions, np.float64)
        vector = (ours[3] * theirs[:, :3] + theirs[:, 3:] * ours[:3]
                  + np.cross(ours[:3], theirs[:, :3]))
        scalar = ours[3] * theirs[:, 3] - theirs[:, :3] @ ours[:3]
        return np.column_stack([vector, scalar])

    def inverse(self) -> 'Transform':
        """Return the pose of the target frame in the source frame."""
        back = Transform(np.zeros(3), self.orientation * (-1, -1, -1, 1))
        return Transform(-back.points(self.position[None])[0], back.orientation)

    def __matmul__(self, other: 'Transform') -> 'Transform':
        """Return the transform that applies the other one first, then this one."""
        return Transform(self.points(other.position[None])[0],
                         self.orientations(other.orientation[None])[0])

    @property
    def numbers(self) -> str:
        """The seven numbers x y z qx qy qz qw, with all digits."""
        return ' '.join(repr(float(x)) for x in (*self.position, *self.orientation))


IDENTITY = Transform(np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]))


class Transforms(Protocol):
    """A source of transforms, such as tf or a recording of it."""

    def lookup(self, target: str, source: str, stamp_ns: int) -> Transform:
        """
        Return the pose of a frame in another one.

        :param stamp_ns: when, nanoseconds.
        :raises FrameUnknownError: if it is not known.
        """
        ...


def checked_transform(values: Sequence[float] | np.ndarray, name: str) -> Transform:
    """
    Build a transform from seven numbers.

    :param values: x y z, metres, and a unit quaternion qx qy qz qw, which may be rounded.
    :param name: of the thing, for the message.
    :raises ConfigError: if the count is wrong, a number is not finite, or the quaternion is not
        of unit length.
    """
    numbers = np.asarray(values, np.float64)
    if numbers.shape != (7,) or not np.isfinite(numbers).all():
        raise ConfigError(f'{name}={_shown(values)} is not allowed: {EXPECTED}')
    if not unit_quaternions(numbers[None, 3:])[0]:
        length = np.linalg.norm(numbers[3:])
        raise ConfigError(f'{name}={_shown(values)} is not allowed: its quaternion has the '
                          f'length {length:.3g}, {EXPECTED}')
    return Transform(numbers[:3], numbers[3:] / np.linalg.norm(numbers[3:]))


def parse_transform(value: Any, name: str = 'candidates_transform') -> Transform | None:
    """
    Read a transform that a user gave.

    :param value: seven numbers, or a text of seven numbers between spaces or commas; empty for
        none.
    :param name: of the parameter or option, for the message.
    :raises ConfigError: as :func:`checked_transform`, or if it is something else.
    """
    given = value.replace(',', ' ').split() if isinstance(value, str) else value
    if given is None or (isinstance(given, (Sequence, np.ndarray)) and not len(given)):
        return None
    try:
        if isinstance(given, (bool, int, float)) or any(isinstance(x, bool) for x in given):
            raise TypeError
        numbers = [float(x) for x in given]
    except (TypeError, ValueError):
        raise ConfigError(f'{name}={value!r} is not allowed: {EXPECTED}') from None
    return checked_transform(numbers, name)


def interpolate(before: Transform, after: Transform, share: float) -> Transform:
    """
    Return the transform between two, along the shorter rotation.

    :param share: 0 for the first, 1 for the second.
    """
    ours, theirs = before.orientation, after.orientation
    cosine = float(ours @ theirs)
    if cosine < 0:
        theirs, cosine = -theirs, -cosine
    angle = np.arccos(min(cosine, 1.0))
    if angle > 1e-6:
        weights = np.sin([(1 - share) * angle, share * angle]) / np.sin(angle)
    else:
        weights = np.array([1 - share, share])
    mixed = weights[0] * ours + weights[1] * theirs
    return Transform((1 - share) * before.position + share * after.position,
                     mixed / np.linalg.norm(mixed))


def _shown(values: Sequence[float] | np.ndarray) -> str:
    return '[' + ', '.join(f'{float(x):g}' for x in values) + ']'
