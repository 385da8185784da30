"""Objects to grasp: families, each drawn at random and made of a few solids."""

import colorsys
from dataclasses import dataclass, replace
import math
from typing import Optional

from moss_perception.core.errors import ConfigError
from moss_perception.simulation.equipment import GOODS, Goods
import numpy as np

FAMILIES = ('box', 'cylinder', 'capsule', 'ellipsoid', 'bottle', 'mug', 'l_shape', 't_shape')
ROLLING = ('cylinder', 'capsule', 'bottle')
LYING = (0.0, math.pi / 2, 0.0)
_WALLS = 10


@dataclass(frozen=True)
class Part:
    """
    One solid of an object, in the object's frame.

    :ivar kind: MuJoCo's type: ``box``, ``cylinder``, ``capsule``, ``ellipsoid`` or ``sphere``.
    :ivar size: MuJoCo's half sizes, metres.
    :ivar position: position of its centre, metres.
    :ivar euler: rotation, radians.
    :ivar shade: factor of its colour, 0 to 1.
    """

    kind: str
    size: tuple
    position: tuple = (0.0, 0.0, 0.0)
    euler: tuple = (0.0, 0.0, 0.0)
    shade: float = 1.0

    @property
    def volume(self) -> float:
        """Return its volume, cubic metres."""
        first, *more = self.size
        if self.kind == 'cylinder':
            return 2 * math.pi * first ** 2 * more[0]
        if self.kind == 'capsule':
            return math.pi * first ** 2 * (2 * more[0] + 4 / 3 * first)
        if self.kind == 'sphere':
            return 4 / 3 * math.pi * first ** 3
        return {'box': 8.0, 'ellipsoid': 4 / 3 * math.pi}[self.kind] * first * more[0] * more[1]

    @property
    def half_extents(self) -> tuple[float, float, float]:
        """Return half extents of a box along the object's axes that holds it, metres."""
        first, *more = self.size
        x, y, z = {'cylinder': (first, first, *more), 'sphere': (first,) * 3,
                   'capsule': (first, first, first + sum(more))}.get(self.kind, self.size)
        if self.euler == LYING:
            return z, y, x
        cos, sin = abs(math.cos(self.euler[2])), abs(math.sin(self.euler[2]))
        return cos * x + sin * y, sin * x + cos * y, z


@dataclass(frozen=True)
class ObjectSpec:
    """
    An object to grasp.

    Its origin is the middle of the part to grasp, and its x axis lies along that part, so that
    a gripper closes along y.

    :ivar shape: its family, one of ``FAMILIES``.
    :ivar half_sizes: half extents along its own x (long), y (short) and z, metres; of a
        composite, those of the part that contains the origin.
    :ivar mass: kg.
    :ivar friction: sliding friction coefficient against belt and fingers.
    :ivar x: position along the belt at the decision, metres.
    :ivar y: lateral offset from the middle of the belt, metres.
    :ivar yaw: rotation of its long axis about the vertical, radians.
    :ivar color: red, green, blue, 0 to 1.
    :ivar parts: its solids, in the pose at rest; empty for one of the four simple shapes with
        ``half_sizes``.
    :ivar ballast: x, y, z, metres, and share of the mass of a point mass that shifts the centre of
        mass; empty for none.
    :ivar rollers: spheres that touch the belt instead of the solids, since MuJoCo's contacts of a
        cylinder with a box are too inexact and would accelerate it.
    :ivar rolling_friction: rolling friction on the belt, metres; ``None`` for that on fingers.
    """

    shape: str
    half_sizes: tuple
    mass: float
    friction: float
    x: float
    y: float
    yaw: float
    color: tuple = (0.8, 0.3, 0.2)
    parts: tuple = ()
    ballast: tuple = ()
    rollers: tuple = ()
    rolling_friction: Optional[float] = None

    @property
    def solids(self) -> tuple[Part, ...]:
        """Return its solids, also of a simple shape."""
        long, short, high = self.half_sizes
        return self.parts or ({
            'box': Part('box', (long, short, high)),
            'cylinder': Part('cylinder', (long, high)),
            'capsule': Part('capsule', (short, long - short), euler=LYING),
            'ellipsoid': Part('ellipsoid', (long, short, high)),
        }[self.shape],)


def sample_solid(shape: str, rng: np.random.Generator, domain) -> ObjectSpec:
    """Draw one of the four simple shapes, for the cell ``belt``."""
    sizes = {
        'box': lambda: (rng.uniform(0.022, 0.045), rng.uniform(0.012, 0.022),
                        rng.uniform(0.015, 0.03)),
        'cylinder': lambda: (*[rng.uniform(0.015, 0.027)] * 2, rng.uniform(0.015, 0.03)),
        'capsule': lambda: (rng.uniform(0.032, 0.05), *[rng.uniform(0.013, 0.022)] * 2),
        'ellipsoid': lambda: (rng.uniform(0.028, 0.045), rng.uniform(0.015, 0.023),
                              rng.uniform(0.014, 0.02)),
    }
    color = colorsys.hsv_to_rgb(
        rng.uniform(), rng.uniform(*domain.object_saturation),
        rng.uniform(*domain.object_brightness))
    return ObjectSpec(
        shape, sizes[shape](), rng.uniform(0.05, 0.35), rng.uniform(0.5, 1.0),
        rng.uniform(-0.04, 0.01), float(np.clip(rng.normal(0, 0.015), -0.03, 0.03)),
        rng.uniform(-math.pi / 2, math.pi / 2), color)


def sample_object(family: str, rng: np.random.Generator, rolls: bool = False) -> ObjectSpec:
    """
    Draw an object of a family without its colour, for the cell ``full``; all fit the gripper.

    :param family: one of ``FAMILIES``.
    :param rolls: whether it rolls along the belt; it then lies across the belt, balanced.
    :raises ConfigError: if the family is unknown or cannot roll.
    """
    if family not in FAMILIES:
        raise ConfigError(f'unknown shape {family!r}, expected one of {", ".join(FAMILIES)}')
    if rolls and family not in ROLLING:
        raise ConfigError(
            f'a {family} does not roll, expected one of {", ".join(ROLLING)} for the motion '
            "'rolling'")
    upright = family == 'mug' or (
        family in ('cylinder', 'bottle') and not rolls and rng.uniform() < 0.5)
    half_sizes, parts = _MAKERS[family](rng, upright)
    round_ = family in ('capsule', 'ellipsoid') or family in ROLLING and not upright
    yaw = (math.pi / 2 + rng.uniform(-0.1, 0.1) if rolls
           else rng.uniform(-math.pi / 2, math.pi / 2))
    # An object that does not roll must keep its place on a belt that starts and stops.
    rolling_friction = None
    if rolls or round_:
        rolling_friction = rng.uniform(0.00001, 0.00005) if rolls else 0.006
    return ObjectSpec(
        family, half_sizes, rng.uniform(0.03, 0.35), rng.uniform(0.3, 0.9),
        rng.uniform(-0.04, 0.02), float(np.clip(rng.normal(0, 0.015), -0.03, 0.03)), yaw,
        parts=parts, ballast=_sample_ballast(rng, half_sizes, round_),
        rollers=_rollers(*half_sizes) if rolls and family != 'capsule' else (),
        rolling_friction=rolling_friction)


def fitted(thing: ObjectSpec, goods: Goods, seed: int) -> ObjectSpec:
    """
    Fit an object to the ranges of a cell.

    With the ranges that the families are drawn from, it stays the same, bit for bit.

    :param goods: ranges of the cell.
    :param seed: of the scene.
    """
    usual = GOODS
    if goods == usual:
        return thing
    factor = float(np.random.default_rng([seed, 60]).uniform(*goods.size))
    return replace(
        thing, half_sizes=tuple(factor * x for x in thing.half_sizes),
        parts=tuple(_scaled(part, factor) for part in thing.parts),
        rollers=tuple(_scaled(part, factor) for part in thing.rollers),
        ballast=(*(factor * x for x in thing.ballast[:3]), *thing.ballast[3:]),
        mass=_moved(thing.mass, usual.mass, goods.mass),
        friction=_moved(thing.friction, usual.friction, goods.friction),
        y=thing.y * goods.across_m / usual.across_m)


def _scaled(part: Part, factor: float) -> Part:
    return replace(part, size=tuple(factor * x for x in part.size),
                   position=tuple(factor * x for x in part.position))


def _moved(value: float, usual: tuple, wanted: tuple) -> float:
    """Move a value from one range into another, in proportion."""
    if wanted == usual:
        return value
    share = (value - usual[0]) / (usual[1] - usual[0])
    return wanted[0] + share * (wanted[1] - wanted[0])


def _rollers(long: float, _, radius: float) -> tuple:
    """Return spheres of a lying cylinder's radius, near its ends."""
    return tuple(Part('sphere', (radius,), (side * 0.8 * long, 0.0, 0.0)) for side in (-1, 1))


def _sample_ballast(rng: np.random.Generator, half_sizes: tuple, round_: bool) -> tuple:
    """Draw a point mass and its share of the mass; on the long axis of round objects."""
    spread = np.array([0.4, 0.0, 0.0] if round_ else [0.4, 0.3, 0.3])
    place = rng.uniform(-1, 1, 3) * spread * half_sizes
    return (*place, rng.uniform(0.1, 0.5))


def _box(rng, upright) -> tuple:
    half = (rng.uniform(0.02, 0.05), rng.uniform(0.01, 0.023), rng.uniform(0.014, 0.034))
    return half, (Part('box', half),)


def _cylinder(rng, upright) -> tuple:
    radius = rng.uniform(0.014, 0.026)
    if upright:
        high = rng.uniform(0.015, 0.036)
        return (radius, radius, high), (Part('cylinder', (radius, high)),)
    long = rng.uniform(1.2, 2.0) * radius
    return (long, radius, radius), (Part('cylinder', (radius, long), euler=LYING),)


def _capsule(rng, upright) -> tuple:
    radius, straight = rng.uniform(0.012, 0.022), rng.uniform(0.016, 0.034)
    return ((straight + radius, radius, radius),
            (Part('capsule', (radius, straight), euler=LYING),))


def _ellipsoid(rng, upright) -> tuple:
    short = rng.uniform(0.015, 0.024)
    # Flatter than wide, so that it does not tip over.
    half = (rng.uniform(0.028, 0.046), short, rng.uniform(0.75, 0.95) * short)
    return half, (Part('ellipsoid', half),)


def _bottle(rng, upright) -> tuple:
    """Draw body, neck and cap; the neck is at +x where the bottle lies."""
    radius = rng.uniform(0.015, 0.024)
    body = rng.uniform(0.016, 0.024) if upright else rng.uniform(0.022, 0.038)
    neck, thin = rng.uniform(0.006, 0.01), rng.uniform(0.4, 0.55) * radius
    pieces = ((radius, body, 0.0, 1.0), (thin, neck, body + neck, 0.8),
              (1.15 * thin, 0.3 * neck, body + 1.7 * neck, 0.4))
    parts = tuple(
        Part('cylinder', (wide, long), (0.0, 0.0, along) if upright else (along, 0.0, 0.0),
             (0.0, 0.0, 0.0) if upright else LYING, shade)
        for wide, long, along, shade in pieces)
    return (radius, radius, body) if upright else (body, radius, radius), parts


def _mug(rng, upright) -> tuple:
    """Draw a hollow cup of flat walls about a bottom; the handle is at +x."""
    radius, high, wall = rng.uniform(0.021, 0.03), rng.uniform(0.02, 0.032), 0.0025
    width = (radius - wall) * math.tan(math.pi / _WALLS) + wall / 2
    turns = [2 * math.pi * (index + 0.5) / _WALLS for index in range(_WALLS)]
    walls = [
        Part('box', (wall / 2, width, high - wall / 2),
             ((radius - wall / 2) * math.cos(turn), (radius - wall / 2) * math.sin(turn),
              wall / 2), (0.0, 0.0, turn))
        for turn in turns]
    bottom = Part('cylinder', (radius, wall), (0.0, 0.0, wall - high), shade=0.6)
    reach, thick = rng.uniform(0.013, 0.019), rng.uniform(0.0025, 0.0035)
    grip = 0.55 * high
    handle = [
        Part('box', (reach / 2, thick, thick), (radius + reach / 2 - wall, 0.0, level), shade=0.8)
        for level in (grip, -grip)]
    handle.append(Part('box', (thick, thick, grip + thick), (radius + reach - wall, 0.0, 0.0),
                       shade=0.8))
    return (radius, radius, high), (bottom, *walls, *handle)


def _l_shape(rng, upright) -> tuple:
    """Draw a bar along x, and a foot at its end to either side; its free part can be held."""
    long, wide = rng.uniform(0.032, 0.046), rng.uniform(0.009, 0.013)
    high = rng.uniform(0.01, 0.02)
    foot, side = rng.uniform(0.012, 0.024), float(rng.choice((-1.0, 1.0)))
    return (long, wide, high), (
        Part('box', (long, wide, high), (wide, 0.0, 0.0)),
        Part('box', (wide, foot, high), (long, side * (wide + foot), 0.0)))


def _t_shape(rng, upright) -> tuple:
    """Draw a stem along x, and a crossbar at its end."""
    long, wide, high = rng.uniform(0.03, 0.045), rng.uniform(0.009, 0.014), rng.uniform(0.01, 0.02)
    cross = wide + rng.uniform(0.014, 0.024)
    return (long, wide, high), (
        Part('box', (long, wide, high)),
        Part('box', (wide, cross, high), (long + wide, 0.0, 0.0)))


_MAKERS = {'box': _box, 'cylinder': _cylinder, 'capsule': _capsule, 'ellipsoid': _ellipsoid,
           'bottle': _bottle, 'mug': _mug, 'l_shape': _l_shape, 't_shape': _t_shape}
