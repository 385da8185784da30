"""Draw look, camera, sensor and physics factors of a scene from its domain."""

import colorsys
from dataclasses import dataclass, replace

from moss_perception.simulation.camera import FOCAL_PX, Lens, Mount, MOUNT_HEIGHT_M
from moss_perception.simulation.domains import Domain, FACTORS
from moss_perception.simulation.look import Distractor, Lamp, Look
from moss_perception.simulation.sensor import Sensor
import numpy as np

CAMERA_X_M = 0.03
# Beside the belt (half as wide: 0.11 m) and in view.
_BESIDE_M = (0.15, 0.22)
_FLOOR_Z_M = -0.06
# Distance from the object along the belt that the open gripper does not reach.
_CLEAR_M = 0.17
_ROLLED_S = 2.0
# Smallest difference of a colour channel, 0 to 1, between object and belt; number of draws.
_LEAST_CONTRAST = 0.2
_DRAWS = 20


@dataclass(frozen=True)
class Physics:
    """
    Factors by which a scene's physics differs from the draws of its object.

    :ivar mass: factor of the object's mass, and ``friction`` of its friction; ``ObjectSpec``
        holds them already.
    :ivar latency_s: time from a frame's stamp until the gripper starts to move, seconds.
    """

    mass: float = 1.0
    friction: float = 1.0
    latency_s: float = 0.0


def surround(spec):
    """
    Draw everything that depends on the domain; the object's shape and motion do not.

    Each factor has its own random generator and a fixed order of draws, so that shifting one
    factor does not change the draws of the others.

    :param spec: the :class:`~moss_perception.simulation.scene.SceneSpec` of a scene.
    :returns: the scene with look, mount, lens, sensor, physics, and the object's colour, mass and
        friction replaced.
    """
    domain, seed = spec.domain, spec.seed
    draw = {factor: np.random.default_rng([seed, 20, index])
            for index, factor in enumerate(FACTORS)}
    physics = Physics(draw['physics'].uniform(*domain.mass),
                      draw['physics'].uniform(*domain.friction),
                      draw['latency'].uniform(*domain.latency_s))
    look, color = _look(domain, draw)
    return replace(
        spec,
        look=replace(look, distractors=_distractors(
            domain, draw['distractors'], _CLEAR_M + _ROLLED_S * abs(spec.rolling))),
        mount=_mount(domain, draw['camera']), lens=_lens(domain, draw['intrinsics']),
        sensor=_sensor(domain, draw), physics=physics,
        object=replace(spec.object, color=color, mass=spec.object.mass * physics.mass,
                       friction=spec.object.friction * physics.friction))


def _look(domain: Domain, draw: dict) -> tuple:
    textures, colours, noise = draw['textures'], draw['colours'], draw['noise']
    belt = colours.uniform(*domain.belt_brightness)
    tint = 1 + colours.uniform(-1, 1, 3) * domain.tint
    belt_tint = 1 + colours.uniform(-1, 1, 3) * domain.belt_tint
    floor = _color(colours, domain.floor_saturation, domain.floor_brightness)
    color = _visible_color(belt * belt_tint, colours, domain)
    lamps, ambient = _lamps(domain, draw['light'])
    return Look(
        belt=belt, belt_contrast=textures.uniform(*domain.belt_contrast),
        texture_seed=int(textures.integers(2 ** 31)), texture=domain.texture,
        slope=textures.uniform(0.9, 1.3),
        floor_contrast=textures.uniform(*domain.floor_contrast),
        object_contrast=textures.uniform(*domain.object_contrast),
        floor=floor, belt_tint=tuple(belt_tint), gains=tuple(tint), lamps=lamps,
        ambient=ambient, noise=noise.uniform(*domain.noise), blur=noise.uniform(*domain.blur),
    ), color


def _visible_color(belt: np.ndarray, rng: np.random.Generator, domain: Domain) -> tuple:
    """Draw the colour of the object until it differs visibly from the belt."""
    color = ()
    for _ in range(_DRAWS):
        color = _color(rng, domain.object_saturation, domain.object_brightness)
        if np.abs(color - belt).max() >= _LEAST_CONTRAST:
            break
    return color


def _color(rng: np.random.Generator, saturation: tuple, brightness: tuple) -> tuple:
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
        lamps.append(Lamp(tuple(direction / np.linalg.norm(direction)),
                          tuple(light * share * color), bool(shadow) and index == 0))
    return tuple(lamps), ambient


def _mount(domain: Domain, rng: np.random.Generator) -> Mount:
    turn = rng.uniform(-1, 1) * domain.camera_turn
    shift = rng.uniform(-1, 1, 3) * domain.camera_shift
    tilt = tuple(rng.uniform(-1, 1, 2) * domain.camera_tilt)
    position = np.array([CAMERA_X_M, 0.0, MOUNT_HEIGHT_M]) + shift
    forward = Mount((0.0, 0.0, 0.0), turn, tilt).rotation[:, 2]
    position[:2] += forward[:2] / forward[2] * position[2]
    return Mount(tuple(position), turn, tilt)


def _lens(domain: Domain, rng: np.random.Generator) -> Lens:
    return Lens(FOCAL_PX * (1 + rng.uniform(-1, 1) * domain.focal),
                tuple(rng.uniform(-1, 1, 2) * domain.centre))


def _sensor(domain: Domain, draw: dict) -> Sensor:
    exposure, timing = draw['exposure'], draw['timing']
    return Sensor(
        gain=exposure.uniform(*domain.gain), gamma=exposure.uniform(*domain.gamma),
        saturation=exposure.uniform(*domain.saturation), shot=draw['noise'].uniform(*domain.shot),
        exposure_s=draw['motion_blur'].uniform(*domain.exposure_s),
        readout_s=draw['rolling_shutter'].uniform(*domain.readout_s),
        jitter_s=timing.uniform(*domain.jitter_s), drop=timing.uniform(*domain.drop))


def _distractors(domain: Domain, rng: np.random.Generator, clear_m: float) -> tuple:
    count = int(rng.integers(domain.distractors[0], domain.distractors[1] + 1))
    return tuple(_distractor(rng, rides, clear_m)
                 for rides in [False] * count + [True] * (count // 2))


def _distractor(rng: np.random.Generator, rides: bool, clear_m: float) -> Distractor:
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
        place = rng.uniform(-0.2, 0.25), side * rng.uniform(*_BESIDE_M)
    height = high + (0.0 if rides else _FLOOR_Z_M)
    color = colorsys.hsv_to_rgb(*rng.uniform((0, 0.1, 0.15), (1, 0.9, 1.0)))
    return Distractor(shape, size, (*place, height), rng.uniform(-np.pi, np.pi), color, rides)
