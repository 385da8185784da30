"""One scene, drawn from a seed: the object, the belt's motion, colours, light and camera."""

import colorsys
from dataclasses import dataclass
import math

from moss_perception.errors import ConfigError
from moss_perception.simulation.camera import Lens, Mount, MOUNT_HEIGHT_M
from moss_perception.simulation.domains import Domain
from moss_perception.simulation.look import Look, sample_look
from moss_perception.simulation.motions import Motion, MOTIONS, sample_motion
from moss_perception.simulation.sensor import Sensor
from moss_perception.simulation.surroundings import Physics
import numpy as np

SHAPES = ('box', 'cylinder', 'capsule', 'ellipsoid')
FRAME_RATE_HZ = 10
FRAMES = 20
DECISION_S = (FRAMES - 1) / FRAME_RATE_HZ
_MOTION_SHARES = (0.15, 0.55, 0.15, 0.15)


@dataclass(frozen=True)
class ObjectSpec:
    """
    The thing to grasp.

    :ivar shape: one of ``SHAPES``.
    :ivar half_sizes: half extents along its own x (long), y (short) and z, metres.
    :ivar mass: kg.
    :ivar friction: sliding friction coefficient against belt and fingers.
    :ivar x: where on the belt it is when the grasp is decided, metres.
    :ivar y: lateral offset from the belt's middle, metres.
    :ivar yaw: of its long axis about the vertical, radians.
    :ivar color: red, green, blue, 0 to 1.
    """

    shape: str
    half_sizes: tuple
    mass: float
    friction: float
    x: float
    y: float
    yaw: float
    color: tuple = (0.8, 0.3, 0.2)


@dataclass(frozen=True)
class SceneSpec:
    """All that is needed to build a scene again."""

    seed: int
    domain: Domain
    motion: Motion
    object: ObjectSpec
    look: Look = Look()
    mount: Mount = Mount((0.03, 0.0, MOUNT_HEIGHT_M))
    lens: Lens = Lens()
    sensor: Sensor = Sensor()
    physics: Physics = Physics()


def sample_scene(seed: int, domain: Domain, motion: str = '', shape: str = '') -> SceneSpec:
    """
    Draw a scene; the same arguments give the same scene.

    :param seed: at least 0.
    :param domain: ranges of its look.
    :param motion: one of ``motions.MOTIONS``; empty for any.
    :param shape: one of ``SHAPES``; empty for any.
    :raises ConfigError: if the seed, motion or shape is out of range.
    """
    if seed < 0:
        raise ConfigError(f'scene seed must be at least 0, got {seed}')
    rng = np.random.default_rng([seed, 1])
    motion = motion or str(rng.choice(MOTIONS, p=_MOTION_SHARES))
    shape = shape or str(rng.choice(SHAPES))
    turn = rng.uniform(-1, 1) * domain.camera_turn
    shift = rng.uniform(-1, 1, 3) * domain.camera_shift
    mount = Mount(tuple(np.array([0.03, 0.0, MOUNT_HEIGHT_M]) + shift), turn)
    return SceneSpec(seed, domain, sample_motion(motion, rng, DECISION_S),
                     _sample_object(shape, rng, domain), sample_look(rng, domain), mount)


def _sample_object(shape: str, rng: np.random.Generator, domain: Domain) -> ObjectSpec:
    sizes = {
        'box': lambda: (rng.uniform(0.022, 0.045), rng.uniform(0.012, 0.022),
                        rng.uniform(0.015, 0.03)),
        'cylinder': lambda: (*[rng.uniform(0.015, 0.027)] * 2, rng.uniform(0.015, 0.03)),
        'capsule': lambda: (rng.uniform(0.032, 0.05), *[rng.uniform(0.013, 0.022)] * 2),
        'ellipsoid': lambda: (rng.uniform(0.028, 0.045), rng.uniform(0.015, 0.023),
                              rng.uniform(0.014, 0.02)),
    }
    if shape not in sizes:
        raise ConfigError(f'unknown shape {shape!r}, expected one of {", ".join(SHAPES)}')
    color = colorsys.hsv_to_rgb(
        rng.uniform(), rng.uniform(*domain.object_saturation),
        rng.uniform(*domain.object_brightness))
    return ObjectSpec(
        shape, sizes[shape](), rng.uniform(0.05, 0.35), rng.uniform(0.5, 1.0),
        rng.uniform(-0.04, 0.01), float(np.clip(rng.normal(0, 0.015), -0.03, 0.03)),
        rng.uniform(-math.pi / 2, math.pi / 2), color)
