"""The look of a scene: surfaces with their textures, lamps, distractors, and the lens's blur."""

from collections.abc import Mapping
import colorsys
from dataclasses import dataclass

import cv2
from moss_perception.core.errors import SimulationError
from moss_perception.simulation.cells import Domain
import numpy as np

# Beside the belt (half as wide: 0.11 m) and in view.
_BESIDE_M = (0.15, 0.22)
_FLOOR_Z_M = -0.06
# Distance from the object along the belt that the open gripper does not reach.
_CLEAR_M = 0.17
_ROLLED_S = 2.0
# Smallest difference of a colour channel, 0 to 1, between object and belt; number of draws.
_LEAST_CONTRAST = 0.2
_DRAWS = 20
# Principal axes of the colours in photographs: luminance, blue against yellow, red against green.
_OPPONENTS = np.array([[1.0, 1.0, 1.0], [0.5, 0.5, -1.0], [1.0, -1.0, 0.0]]) / 3 ** 0.5
_CHROMA = np.array([1.0, 0.25, 0.15])
_LEAVES = 500


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
        (Lamp(_unit(direction), (rng.uniform(*domain.light),) * 3),),
        rng.uniform(*domain.ambient), tuple(1 + rng.uniform(-1, 1, 3) * domain.tint),
        rng.uniform(*domain.noise), rng.uniform(*domain.blur))


def sample_look(domain: Domain, draw: Mapping[str, np.random.Generator],
                rolling: float) -> tuple[Look, tuple]:
    """
    Draw the look of a scene of the cell ``full``, and the colour of its object.

    :param draw: random generator of each factor of the shift.
    :param rolling: initial velocity at which the object rolls on the belt, m/s.
    """
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
        distractors=_distractors(
            domain, draw['distractors'], _CLEAR_M + _ROLLED_S * abs(rolling)),
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
        lamps.append(Lamp(_unit(direction), tuple(light * share * color),
                          bool(shadow) and index == 0))
    return tuple(lamps), ambient


def _unit(vector: np.ndarray) -> tuple:
    return tuple(vector / np.linalg.norm(vector))


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


def photographic(rng: np.random.Generator, height: int, width: int, slope: float) -> np.ndarray:
    """
    Draw a texture with edges whose amplitude falls with frequency as in photographs.

    Overlapping discs of all sizes give the phases, and so the edges (dead leaves model); the
    amplitude is set to ``frequency ** -slope``. Luminance varies most, so the colour channels are
    correlated.

    :param slope: about 1 for photographs.
    :returns: shape ``(height, width, 3)``, RGB, of mean 0; its luminance of variance 1.
    """
    leaves = np.zeros((height, width, 3))
    radii = np.sort(2 * (1 - rng.uniform(0, 0.97, _LEAVES)) ** -0.8)[::-1]
    for radius in radii:
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(radius) + 1, int(radius * rng.uniform(0.4, 1)) + 1)
        cv2.ellipse(leaves, centre, axes, rng.uniform(0, 180), 0, 360,
                    rng.normal(0, 1, 3).tolist(), -1)
    spectrum = np.fft.rfft2(leaves, axes=(0, 1))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf
    amplitude = frequency[..., None] ** -slope
    spectrum *= amplitude / np.maximum(np.abs(spectrum), 1e-12)
    axes = np.fft.irfft2(spectrum, (height, width), axes=(0, 1))
    axes /= axes.std(axis=(0, 1))
    return (axes * _CHROMA) @ _OPPONENTS * 3 ** 0.5


def belt_texture(look: Look) -> bytes:
    """Draw the texture of the belt as PNG; its width covers 0.4 m of the belt."""
    rng = np.random.default_rng(look.texture_seed)
    if look.texture == 'photographic':
        drawn = photographic(rng, 256, 256, look.slope)
        return _png(look.belt * (1 + look.belt_contrast * drawn) * look.belt_tint)
    blotches = cv2.resize(rng.normal(0, 0.5, (8, 20)), (256, 128), interpolation=cv2.INTER_CUBIC)
    grain = cv2.resize(rng.normal(0, 0.4, (64, 128)), (256, 128))
    seams = np.zeros((128, 256))
    for column in rng.integers(0, 250, rng.integers(0, 4)):
        seams[:, column:column + 5] += rng.choice((-1.0, 1.0))
    level = look.belt * (1 + look.belt_contrast * (blotches + grain + seams))
    tint = (1 + rng.uniform(-0.12, 0.12, 3))[::-1]  # drawn in the order blue, green, red
    return _png(level[..., None] * tint * look.belt_tint)


def cover_texture(look: Look, contrast: float, part: int) -> bytes:
    """
    Draw a texture that modulates a colour, as PNG of 128 x 128 pixels.

    :param contrast: standard deviation relative to the mean.
    :param part: number of the textured part of a scene.
    """
    rng = np.random.default_rng([look.texture_seed, part])
    return _png(0.8 * (1 + contrast * photographic(rng, 128, 128, look.slope)))


def _png(color: np.ndarray) -> bytes:
    done, data = cv2.imencode('.png', np.round(np.clip(color, 0, 1) * 255).astype(
        np.uint8)[..., ::-1])
    if not done:
        raise SimulationError(f'OpenCV could not encode a texture of shape {color.shape} as PNG')
    return data.tobytes()
