"""The keys of a cell file: their defaults, units and ranges."""

from collections.abc import Mapping
from dataclasses import dataclass
import math
import re
from typing import Any

from moss_perception.simulation.cells import FULL
from moss_perception.simulation.equipment import BELT, GOODS, MOUNT_M, SURFACE, TABLE, VIEW

NUMBER, WHOLE, RANGE, POINT, SIZE, NAME, CHOICE, NAMES, SHARES = (
    'number', 'whole number', 'range', 'point', 'size', 'name', 'choice', 'names', 'shares')


class CellKeyError(ValueError):
    """What is wrong with a cell file: the key, its value, and what was expected."""


@dataclass(frozen=True)
class Key:
    """
    A key of a cell file.

    :ivar kind: what the value is.
    :ivar default: the value without the key: that of the cell ``full``.
    :ivar about: what it sets.
    :ivar low: lowest number; ``high`` the highest one.
    :ivar unit: unit of the numbers; empty for none.
    :ivar choices: allowed words of a choice.
    """

    kind: str
    default: Any
    about: str
    low: float = 0.0
    high: float = 1.0
    unit: str = ''
    choices: tuple = ()

    @property
    def expected(self) -> str:
        """Say in words what is allowed."""
        span = f'{self.low:g} to {self.high:g}' + (f' {self.unit}' if self.unit else '')
        return {
            NUMBER: f'a number from {span}', WHOLE: f'a whole number from {span}',
            RANGE: f'the lowest and the highest value, [low, high], from {span}',
            POINT: f'[x, y], each from {span}',
            SIZE: f'[width, height], whole numbers from {span}',
            NAME: 'a name of small letters, digits and _',
            CHOICE: f'one of {", ".join(self.choices)}',
            NAMES: 'a list of names', SHARES: 'names with their shares, above 0'}[self.kind]

    def accepts(self, value: Any) -> bool:
        """Tell whether a value is allowed, by its kind and range alone."""
        if self.kind in (NUMBER, WHOLE):
            return self._is_number(value, self.kind == WHOLE)
        if self.kind in (RANGE, POINT, SIZE):
            return (isinstance(value, list) and len(value) == 2
                    and all(self._is_number(one, self.kind == SIZE) for one in value)
                    and (self.kind != RANGE or value[0] <= value[1]))
        if self.kind == NAME:
            return isinstance(value, str) and bool(re.fullmatch('[a-z0-9_]+', value))
        if self.kind == CHOICE:
            return value in self.choices
        if self.kind == NAMES:
            return isinstance(value, list) and all(isinstance(one, str) for one in value)
        return isinstance(value, Mapping) and bool(value) and all(
            self._is_number(one, False) and one > 0 for one in value.values())

    def _is_number(self, value: Any, whole: bool) -> bool:
        fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        return fits and math.isfinite(value) and self.low <= value <= self.high


def check(name: str, value: Any) -> Any:
    """
    Check the value of a key.

    :returns: the value; numbers that may have a fraction are floats.
    :raises CellKeyError: naming the key, its value and what was expected.
    """
    key = KEYS[name]
    if not key.accepts(value):
        raise CellKeyError(f'{name} is {value!r}: expected {key.expected}')
    if key.kind == NUMBER:
        return float(value)
    if key.kind in (RANGE, POINT):
        return [float(one) for one in value]
    return {one: float(share) for one, share in value.items()} if key.kind == SHARES else value


_GRIPPER = FULL.gripper
_TIMES = (('approach', 'from the start until the gripper is over the point'),
          ('descend', 'from there down to the point'),
          ('close', 'for which the fingers close; they meet the object after half of it'),
          ('lift', 'up'), ('shake', 'for which the object is shaken'))
KEYS = {
    'name': Key(NAME, '', 'name in recordings and data sets; without it, that of the file'),
    'surface.kind': Key(CHOICE, BELT, 'what objects lie on: a belt that moves, or a table on '
                        'which a bar pushes them', choices=(BELT, TABLE)),
    'surface.width': Key(NUMBER, 2 * SURFACE.half_width_m, 'its width', 0.12, 2.0, 'm'),
    'camera.height': Key(NUMBER, VIEW.position[2], 'height above the surface', 0.2, 3.0, 'm'),
    'camera.tilt': Key(NUMBER, 0.0, 'angle between its axis and the vertical; it looks across '
                       'the belt', 0.0, 65.0, 'degrees'),
    'camera.turn': Key(NUMBER, 0.0, 'rotation about the vertical; at 0 the belt runs to the '
                       'right in the image', -180.0, 180.0, 'degrees'),
    'camera.look_at': Key(POINT, list(MOUNT_M[:2]), 'place on the surface in the middle of the '
                          'image, along and across the belt; objects are near (0, 0) at the '
                          'decision', -0.3, 0.3, 'm'),
    'camera.focal_length': Key(NUMBER, VIEW.focal_px, 'as in `K` of camera_info; there is no '
                               'distortion', 20.0, 5000.0, 'pixels'),
    'camera.resolution': Key(SIZE, list(VIEW.size), 'width and height of the image', 32, 1920,
                             'pixels'),
    'gripper.opening': Key(NUMBER, 2 * _GRIPPER.half_opening_m, 'between the open pads', 0.03,
                           0.3, 'm'),
    'gripper.force': Key(NUMBER, _GRIPPER.force_n, 'of each finger, at most', 0.5, 100.0, 'N'),
    **{f'gripper.pads.{name}': Key(NUMBER, 2 * half, f'{name} of a pad', 0.004, 0.08, 'm')
       for name, half in zip(('thickness', 'width', 'height'), _GRIPPER.pad, strict=True)},
    'gripper.pads.friction': Key(NUMBER, _GRIPPER.friction[0], 'friction coefficient of the '
                                 'pads; that of pad or object counts, the larger one', 0.0, 3.0),
    'gripper.pads.softness': Key(NUMBER, _GRIPPER.solref[0], "time constant of MuJoCo's contacts; "
                                 'larger is softer', 0.004, 0.1, 's'),
    **{f'gripper.times.{name}': Key(NUMBER, seconds, f'time {about}', 0.05, 5.0, 's')
       for (name, about), seconds in zip(_TIMES, _GRIPPER.times_s, strict=True)},
    'objects.families': Key(NAMES, list(FULL.families), 'families for training and the plain '
                            'test'),
    'objects.held_out': Key(NAMES, list(FULL.held_out), 'families of the split held_out'),
    'objects.size': Key(RANGE, list(GOODS.size), 'factor of all lengths of an object', 0.3, 3.0),
    'objects.mass': Key(RANGE, list(GOODS.mass), 'mass of an object', 0.001, 5.0, 'kg'),
    'objects.friction': Key(RANGE, list(GOODS.friction), 'friction coefficient of an object',
                            0.05, 2.0),
    'objects.across': Key(NUMBER, GOODS.across_m, 'largest distance from the middle of the '
                          'surface', 0.0, 0.5, 'm'),
    'motions': Key(SHARES, dict(FULL.motions), 'kinds of motion with their shares of the scenes',
                   0.0, 1e6),
    'speed': Key(NUMBER, 0.14, 'highest speed of a belt at constant speed, or of a push; all '
                 'velocities change in proportion', 0.005, 0.6, 'm/s'),
    'latency': Key(RANGE, list(FULL.domains['sim'].latency_s), "time from an image's stamp until "
                   'the gripper starts, in the domain sim', 0.0, 1.0, 's'),
    'candidates.number': Key(WHOLE, FULL.candidates, 'candidates of a scene', 1, 50),
    'candidates.lead': Key(NUMBER, 0.05, 'mean distance of the candidates ahead of the object: '
                           'about its way until the fingers close', -0.3, 0.5, 'm'),
    'candidates.lead_spread': Key(NUMBER, 0.045, 'standard deviation of that distance', 0.001,
                                  0.3, 'm'),
}
"""All keys by name, with a dot for each level."""
