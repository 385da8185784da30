"""Look of one scene: surfaces, lamps, distractors, and faults of the lens."""

from dataclasses import dataclass

from moss_perception.simulation.domains import Domain
import numpy as np


@dataclass(frozen=True)
class Lamp:
    """
    A distant lamp.

    :ivar direction: direction of its light, unit vector, world frame.
    :ivar diffuse: red, green, blue, 0 to 1.
    :ivar shadow: whether it casts shadows.
    """

    direction: tuple
    diffuse: tuple
    shadow: bool = False


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
    Look of a scene: belt, light and faults of the camera.

    :ivar belt: grey level of the belt, 0 to 1, and ``belt_contrast`` of its texture.
    :ivar texture_seed: seed of the belt's texture.
    :ivar floor: red, green, blue of the floor.
    :ivar lamp: direction of the lamp's light, and ``light``, ``ambient`` its strengths.
    :ivar gains: of the camera's colour channels, red, green, blue.
    :ivar noise: standard deviation, grey levels; ``blur``: standard deviation, pixels.
    :ivar texture: ``blotches`` or ``photographic``; ``slope``: fall-off of its amplitude.
    :ivar belt_tint: factors of the belt's red, green, blue.
    :ivar floor_contrast: of the floor's texture; ``object_contrast`` of the object's; 0 for none.
    :ivar lamps: all lamps; if empty, one of ``lamp`` and ``light``, white and without shadows.
    :ivar distractors: all distractors.
    """

    belt: float = 0.3
    belt_contrast: float = 0.3
    texture_seed: int = 0
    floor: tuple = (0.3, 0.3, 0.3)
    lamp: tuple = (0.0, 0.0, -1.0)
    light: float = 0.6
    ambient: float = 0.3
    gains: tuple = (1.0, 1.0, 1.0)
    noise: float = 0.0
    blur: float = 0.0
    texture: str = 'blotches'
    slope: float = 1.0
    belt_tint: tuple = (1.0, 1.0, 1.0)
    floor_contrast: float = 0.0
    object_contrast: float = 0.0
    lamps: tuple = ()
    distractors: tuple = ()


def sample_look(rng: np.random.Generator, domain: Domain) -> Look:
    """Draw the look of a scene of the belt cell."""
    lamp = np.append(rng.normal(0, 0.35, 2), -1.0)
    return Look(
        rng.uniform(*domain.belt_brightness), rng.uniform(*domain.belt_contrast),
        int(rng.integers(2 ** 31)), tuple(rng.uniform(0.1, 0.6, 3)),
        tuple(lamp / np.linalg.norm(lamp)), rng.uniform(*domain.light),
        rng.uniform(*domain.ambient), tuple(1 + rng.uniform(-1, 1, 3) * domain.tint),
        rng.uniform(*domain.noise), rng.uniform(*domain.blur))
