"""The look of a scene: surfaces, lamps, distractors, and the lens's blur."""

from collections.abc import Callable, Mapping
import colorsys
from dataclasses import dataclass
from functools import partial

from moss_perception.simulation.cells import Domain
from moss_perception.simulation.equipment import SURFACE, Surface
import numpy as np

# Beside the belt (half as wide: 0.11 m) and in view.
_BESIDE_M = (0.15, 0.22)
_FLOOR_Z_M = -0.06
# Distance from the object along the belt that the open gripper does not reach.
CLEAR_M = 0.17
ROLLED_S = 2.0
# Smallest difference of a colour channel, 0 to 1, between object and belt; number of draws.
_LEAST_CONTRAST = 0.2
_DRAWS = 20


@dataclass(frozen=True)
class Lamp:
    """
    A lamp.

    :ivar direction: direction of its light, unit vector, world frame.
    :ivar diffuse: red, green, blue, 0 to 1.
    :ivar shadow: whether it casts shadows.
    :ivar position: of a near lamp, metres, world frame; empty for a distant one.
    :ivar cutoff: half angle of a near lamp's cone, at most pi/2, radians.
    :ivar focus: exponent of the cosine by which its light falls off inside the cone.
    """

    direction: tuple
    diffuse: tuple
    shadow: bool = False
    position: tuple = ()
    cutoff: float = np.pi / 2
    focus: float = 0.0


@dataclass(frozen=True)
class Cover:
    """
    A procedural texture of a surface.

    :ivar kind: one of ``textures.KINDS``.
    :ivar wavelength: of its pattern, as a share of the texture's width; ``angle`` of its
        direction, radians.
    :ivar tint: red, green, blue of the pattern, about 1 for a grey one.
    :ivar grain: standard deviation of the noise on it, relative to that of the pattern.
    """

    kind: str
    wavelength: float
    angle: float
    tint: tuple = (1.0, 1.0, 1.0)
    grain: float = 0.0


@dataclass(frozen=True)
class Distractor:
    """
    An object without contacts.

    :ivar shape: ``box``, ``ellipsoid``, ``capsule`` or ``cylinder``.
    :ivar size: MuJoCo's size of the shape, metres.
    :ivar position: of its centre, metres: in the world frame; if it rides on the belt, x is
        relative to the position of the object to grasp at the decision.
    :ivar yaw: rotation about the vertical, radians.
    :ivar color: red, green, blue, 0 to 1.
    :ivar rides: whether it lies on the belt.
    """

    shape: str
    size: tuple
    position: tuple
    yaw: float
    color: tuple
    rides: bool = False


@dataclass(frozen=True)
class Look:
    """
    Look of a scene: surfaces, light and faults of the camera.

    :ivar belt: grey level of the belt, 0 to 1, and ``belt_contrast`` of its texture.
    :ivar texture_seed: seed of the belt's texture.
    :ivar floor: red, green, blue of the floor.
    :ivar lamps: all lamps.
    :ivar ambient: strength of the ambient light.
    :ivar gains: of the camera's colour channels, red, green, blue.
    :ivar noise: standard deviation, grey levels; ``blur``: standard deviation, pixels.
    :ivar texture: ``blotches`` or ``photographic``; ``slope``: fall-off of its amplitude.
    :ivar belt_tint: factors of the belt's red, green, blue.
    :ivar floor_contrast: of the floor's texture; ``object_contrast`` of the object's; 0 for none.
    :ivar distractors: all distractors.
    :ivar covers: of belt, floor and object, in the place of ``texture``; empty for none.
    :ivar gloss: MuJoCo's specular reflection and shininess of belt, floor and object, 0 to 1;
        empty for a matt belt and MuJoCo's default.
    :ivar fingers: red, green, blue of the gripper's fingers, and ``palm`` of its palm.
    """

    belt: float = 0.3
    belt_contrast: float = 0.3
    texture_seed: int = 0
    floor: tuple = (0.3, 0.3, 0.3)
    lamps: tuple[Lamp, ...] = (Lamp((0.0, 0.0, -1.0), (0.6, 0.6, 0.6)),)
    ambient: float = 0.3
    gains: tuple = (1.0, 1.0, 1.0)
    noise: float = 0.0
    blur: float = 0.0
    texture: str = 'blotches'
    slope: float = 1.0
    belt_tint: tuple = (1.0, 1.0, 1.0)
    floor_contrast: float = 0.0
    object_contrast: float = 0.0
    distractors: tuple = ()
    covers: tuple[Cover, ...] = ()
    gloss: tuple = ()
    fingers: tuple = (0.55, 0.57, 0.6)
    palm: tuple = (0.25, 0.27, 0.3)

    @property
    def shadows(self) -> bool:
        """Whether a lamp casts shadows."""
        return any(lamp.shadow for lamp in self.lamps)


def sample_plain_look(domain: Domain, rng: np.random.Generator) -> Look:
    """Draw the look of a scene of the belt cell."""
    direction = np.append(rng.normal(0, 0.35, 2), -1.0)
    return Look(
        rng.uniform(*domain.belt_brightness), rng.uniform(*domain.belt_contrast),
        int(rng.integers(2 ** 31)), tuple(rng.uniform(0.1, 0.6, 3)),
        (Lamp(unit(direction), (rng.uniform(*domain.light),) * 3),),
        rng.uniform(*domain.ambient), tuple(1 + rng.uniform(-1, 1, 3) * domain.tint),
        rng.uniform(*domain.noise), rng.uniform(*domain.blur))


def sample_look(domain: Domain, draw: Mapping[str, np.random.Generator],
                rolling: float, surface: Surface = SURFACE) -> tuple[Look, tuple]:
    """
    Draw the look of a scene of the cell ``full``, and the colour of its object.

    :param draw: random generator of each factor of the shift.
    :param rolling: initial velocity at which the object rolls on the belt, m/s.
    :param surface: belt or table.
    """
    textures, colours, noise = draw['textures'], draw['colours'], draw['noise']
    belt = colours.uniform(*domain.belt_brightness)
    tint = 1 + colours.uniform(-1, 1, 3) * domain.tint
    belt_tint = 1 + colours.uniform(-1, 1, 3) * domain.belt_tint
    floor = draw_color(colours, domain.floor_saturation, domain.floor_brightness)
    color = visible_color(belt * belt_tint, partial(
        draw_color, colours, domain.object_saturation, domain.object_brightness))
    lamps, ambient = _lamps(domain, draw['light'])
    return Look(
        belt=belt, belt_contrast=textures.uniform(*domain.belt_contrast),
        texture_seed=int(textures.integers(2 ** 31)), texture=domain.texture,
        slope=textures.uniform(0.9, 1.3),
        floor_contrast=textures.uniform(*domain.floor_contrast),
        object_contrast=textures.uniform(*domain.object_contrast),
        floor=floor, belt_tint=tuple(belt_tint), gains=tuple(tint), lamps=lamps,
        ambient=ambient, noise=noise.uniform(*domain.noise), blur=noise.uniform(*domain.blur),
        distractors=_distractors(
            domain, draw['distractors'], CLEAR_M + ROLLED_S * abs(rolling), surface),
    ), color


def visible_color(belt: np.ndarray, draw: Callable[[], tuple]) -> tuple:
    """Draw the colour of the object until it differs visibly from the belt."""
    color = ()
    for _ in range(_DRAWS):
        color = draw()
        if np.abs(color - belt).max() >= _LEAST_CONTRAST:
            break
    return color


def draw_color(rng: np.random.Generator, saturation: tuple, brightness: tuple) -> tuple:
    """Draw red, green and blue, 0 to 1, uniformly in their ranges."""
    return colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(*saturation), rng.uniform(*brightness))


def _lamps(domain: Domain, rng: np.random.Generator) -> tuple:
    least, most = domain.lamps
    count = int(rng.integers(least, most + 1))
    light, ambient = rng.uniform(*domain.light), rng.uniform(*domain.ambient)
    shares = rng.uniform(0.3, 1.0, most)[:count]
    shadow = rng.uniform() < domain.shadows
    lamps = []
    for index, share in enumerate(shares / shares.sum()):
        direction = np.append(np.clip(rng.normal(0, domain.lamp_slant, 2), -1.8, 1.8), -1.0)
        color = 1 + rng.uniform(-1, 1, 3) * domain.lamp_tint
        lamps.append(Lamp(unit(direction), tuple(light * share * color),
                          bool(shadow) and index == 0))
    return tuple(lamps), ambient


def unit(vector: np.ndarray) -> tuple:
    """Return the vector of length 1 in the same direction."""
    return tuple(vector / np.linalg.norm(vector))


def _distractors(domain: Domain, rng: np.random.Generator, clear_m: float,
                 surface: Surface) -> tuple:
    count = int(rng.integers(domain.distractors[0], domain.distractors[1] + 1))
    return tuple(draw_distractor(rng, rides, clear_m, surface)
                 for rides in [False] * count + [True] * (count // 2))


def draw_distractor(rng: np.random.Generator, rides: bool, clear_m: float,
                    surface: Surface = SURFACE) -> Distractor:
    """
    Draw an object beside the belt, or on it.

    :param clear_m: smallest distance along the belt, on it, from the object to grasp, metres.
    :param surface: belt or table.
    """
    shape = str(rng.choice(('box', 'cylinder', 'capsule', 'ellipsoid')))
    long, short, high = rng.uniform((0.02, 0.012, 0.012), (0.05, 0.022, 0.03))
    size, high = {
        'box': ((long, short, high), high),
        'cylinder': ((short, high), high),
        'capsule': ((short, long), short + long),
        'ellipsoid': ((long, short, high), high),
    }[shape]
    side = rng.choice((-1.0, 1.0))
    if rides:
        place = side * rng.uniform(clear_m, clear_m + 0.2), rng.uniform(-0.07, 0.07)
    else:
        wider_m = surface.half_width_m - SURFACE.half_width_m
        place = rng.uniform(-0.2, 0.25), side * (wider_m + rng.uniform(*_BESIDE_M))
    height = high + (0.0 if rides else _FLOOR_Z_M)
    color = colorsys.hsv_to_rgb(*rng.uniform((0, 0.1, 0.15), (1, 0.9, 1.0)))
    return Distractor(shape, size, (*place, height), rng.uniform(-np.pi, np.pi), color, rides)
