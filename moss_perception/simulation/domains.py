"""Domains: ranges of the look, the camera, the sensor and the physics of scenes."""

from dataclasses import dataclass, replace

from moss_perception.core.errors import ConfigError


@dataclass(frozen=True)
class Domain:
    """
    Ranges that the scenes of a domain are drawn from.

    The belt cell uses the first group, up to ``camera_shift``; the full cell uses all.

    :ivar name: name in recordings.
    :ivar belt_brightness: range of the belt's mean colour, 0 to 1.
    :ivar belt_contrast: range of its texture's contrast, 0 to 1.
    :ivar object_saturation: range of the object's colour saturation, 0 to 1.
    :ivar object_brightness: range of its colour value, 0 to 1.
    :ivar light: range of the total strength of the lamps.
    :ivar ambient: range of the ambient light.
    :ivar tint: largest change of one colour channel's gain.
    :ivar noise: range of the sensor noise's standard deviation, grey levels of 255.
    :ivar blur: range of the lens blur's standard deviation, pixels.
    :ivar jpeg_quality: of the compressed images, 1 to 100.
    :ivar camera_turn: largest rotation of the camera about the vertical, radians.
    :ivar camera_shift: largest displacement of the camera along each axis, metres.

    :ivar texture: ``blotches``, or ``photographic``: edges, and amplitudes as in photographs.
    :ivar object_contrast: range of the object's texture's contrast; ``floor_contrast`` likewise.
    :ivar lamps: smallest and largest number of lamps.
    :ivar lamp_slant: standard deviation of the lamps' directions, as tangent of the slant.
    :ivar lamp_tint: largest change of one colour channel of a lamp.
    :ivar shadows: probability that the first lamp casts shadows.
    :ivar gain: range of the camera's gain; ``gamma`` of its tone curve's exponent,
        ``saturation`` of its colour saturation.
    :ivar camera_tilt: largest rotation about each of the image's axes, radians; the camera
        moves with it, so that it still looks at the same place of the belt.
    :ivar focal: largest relative change of the focal length.
    :ivar centre: largest displacement of the principal point along each axis, pixels.
    :ivar belt_tint: largest change of one colour channel of the belt.
    :ivar floor_brightness: range of the floor's colour value, 0 to 1; ``floor_saturation``
        likewise.
    :ivar distractors: smallest and largest number of objects beside the belt; half as many lie
        on it.
    :ivar shot: range of the shot noise: variance per grey level, grey levels.
    :ivar exposure_s: range of the exposure time, seconds; ``readout_s`` of the delay of the last
        row's exposure after the first row's.
    :ivar jitter_s: range of the standard deviation of the time at which a frame is taken, seconds.
    :ivar drop: range of the probability that a frame is lost.
    :ivar mass: range of the factor of the object's mass; ``friction`` of its friction.
    :ivar latency_s: range of the time from a frame's stamp until the gripper starts, seconds.
    """

    name: str
    belt_brightness: tuple = (0.15, 0.5)
    belt_contrast: tuple = (0.02, 0.5)
    object_saturation: tuple = (0.3, 1.0)
    object_brightness: tuple = (0.4, 1.0)
    light: tuple = (0.45, 0.9)
    ambient: tuple = (0.2, 0.4)
    tint: float = 0.05
    noise: tuple = (1.0, 5.0)
    blur: tuple = (0.0, 0.4)
    jpeg_quality: int = 90
    camera_turn: float = 0.1
    camera_shift: float = 0.01

    texture: str = 'blotches'
    object_contrast: tuple = (0.0, 0.0)
    floor_contrast: tuple = (0.0, 0.0)
    lamps: tuple = (1, 1)
    lamp_slant: float = 0.35
    lamp_tint: float = 0.0
    shadows: float = 0.0
    gain: tuple = (1.0, 1.0)
    gamma: tuple = (1.0, 1.0)
    saturation: tuple = (1.0, 1.0)
    camera_tilt: float = 0.0
    focal: float = 0.0
    centre: float = 0.0
    belt_tint: float = 0.0
    floor_brightness: tuple = (0.15, 0.6)
    floor_saturation: tuple = (0.2, 0.7)
    distractors: tuple = (0, 0)
    shot: tuple = (0.0, 0.0)
    exposure_s: tuple = (0.0, 0.0)
    readout_s: tuple = (0.0, 0.0)
    jitter_s: tuple = (0.0, 0.0)
    drop: tuple = (0.0, 0.0)
    mass: tuple = (1.0, 1.0)
    friction: tuple = (1.0, 1.0)
    latency_s: tuple = (0.0, 0.0)


_BELT = {domain.name: domain for domain in (
    Domain('sim'),
    Domain('shifted', belt_brightness=(0.5, 0.85), belt_contrast=(0.05, 0.35),
           object_saturation=(0.0, 0.5), object_brightness=(0.1, 0.6), light=(0.15, 0.4),
           ambient=(0.1, 0.5), tint=0.25, noise=(6.0, 14.0), blur=(0.5, 1.0), jpeg_quality=70),
)}

_SIM = Domain('sim', lamps=(1, 2), lamp_tint=0.05, gain=(0.9, 1.1), gamma=(0.9, 1.1),
              saturation=(0.9, 1.1), camera_tilt=0.02, focal=0.02, centre=1.0, belt_tint=0.1,
              distractors=(0, 1), shot=(0.0, 0.05), latency_s=(0.0, 0.02))
# Ranges that each factor of the shift replaces in ``sim``.
SHIFT = {
    'textures': {'texture': 'photographic', 'belt_contrast': (0.1, 0.3),
                 'object_contrast': (0.1, 0.35), 'floor_contrast': (0.15, 0.45)},
    'light': {'lamps': (2, 3), 'lamp_slant': 0.9, 'lamp_tint': 0.3, 'shadows': 0.5,
              'light': (0.45, 0.95), 'ambient': (0.15, 0.4)},
    'exposure': {'gain': (0.8, 1.35), 'gamma': (0.65, 1.25), 'saturation': (0.4, 1.4)},
    'camera': {'camera_turn': 0.3, 'camera_shift': 0.025, 'camera_tilt': 0.14},
    'intrinsics': {'focal': 0.1, 'centre': 5.0},
    'colours': {'belt_brightness': (0.35, 0.75), 'belt_tint': 0.3, 'tint': 0.2,
                'object_saturation': (0.1, 0.8), 'object_brightness': (0.1, 0.8),
                'floor_brightness': (0.1, 0.8), 'floor_saturation': (0.0, 0.35)},
    'distractors': {'distractors': (3, 6)},
    'noise': {'noise': (3.0, 8.0), 'shot': (0.1, 0.6), 'blur': (0.4, 1.0)},
    'motion_blur': {'exposure_s': (0.02, 0.06)},
    'rolling_shutter': {'readout_s': (0.02, 0.05)},
    'jpeg': {'jpeg_quality': 45},
    'timing': {'jitter_s': (0.008, 0.025), 'drop': (0.02, 0.15)},
    'physics': {'mass': (0.6, 1.7), 'friction': (0.65, 1.2)},
    'latency': {'latency_s': (0.04, 0.12)},
}
FACTORS = tuple(SHIFT)
# Factors that change only the images.
VISUAL = FACTORS[:FACTORS.index('timing')]

_FULL = {
    'sim': _SIM,
    'shifted': replace(_SIM, name='shifted', **{
        field: value for fields in SHIFT.values() for field, value in fields.items()}),
    **{f'shifted.{factor}': replace(_SIM, name=f'shifted.{factor}', **fields)
       for factor, fields in SHIFT.items()},
}
_DOMAINS = {'belt': _BELT, 'full': _FULL}


def domains_of(cell=None) -> dict:
    """
    Return the domains of a cell by their names.

    :param cell: a :class:`~moss_perception.simulation.cells.Cell` or its name; ``None`` for belt.
    """
    return _DOMAINS[getattr(cell, 'name', cell) or 'belt']


def domain_named(name: str, cell=None) -> Domain:
    """
    Look up a domain by its name.

    :param name: ``sim``, ``shifted``, or, in the full cell, ``shifted.<factor>``: ``sim`` with
        only that one of ``FACTORS`` shifted.
    :param cell: a :class:`~moss_perception.simulation.cells.Cell` or its name; ``None`` for belt.
    :raises ConfigError: if the cell has no such domain.
    """
    domains = domains_of(cell)
    if name not in domains:
        raise ConfigError(f'unknown domain {name!r}, expected one of {", ".join(domains)}')
    return domains[name]
