"""Cells and domains: the distributions that scenes are drawn from, and the gripper there."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from statistics import NormalDist

from moss_perception.core.errors import ConfigError
from moss_perception.simulation.equipment import Goods, Gripper, Surface, View
import numpy as np

TICK_S = 0.01
TICK_NS = round(TICK_S * 1e9)
# Travel of objects until the fingers grip, over all motions of the full cell, metres.
_LEADS = NormalDist(0.05, 0.045)


@dataclass(frozen=True)
class Domain:
    """
    Ranges that the scenes of a domain are drawn from.

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
    :ivar camera_shift: largest displacement of the camera along each axis, metres. The belt cell
        uses only the fields up to here.
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
    :ivar sampler: ``factors`` to draw from the ranges above, uniformly and by factor of the shift;
        ``randomised`` to draw from ``spreads.SPREADS`` instead.
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
    sampler: str = 'factors'


_BELT_DOMAINS = {domain.name: domain for domain in (
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
# Factors that change only the images, and those that change what happens, or when.
VISUAL = FACTORS[:FACTORS.index('timing')]
DYNAMIC = FACTORS[FACTORS.index('timing'):]


def _shift(name: str, factors: tuple) -> Domain:
    return replace(_SIM, name=name, **{field: value for factor in factors
                                       for field, value in SHIFT[factor].items()})


_FULL_DOMAINS = {
    'sim': _SIM,
    'shifted': _shift('shifted', FACTORS),
    **{f'shifted.{factor}': _shift(f'shifted.{factor}', (factor,)) for factor in FACTORS},
    'shifted.visual': _shift('shifted.visual', VISUAL),
    'shifted.dynamic': _shift('shifted.dynamic', DYNAMIC),
    'randomised': Domain('randomised', sampler='randomised'),
}


def uniform_leads(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw leads of grasps along the belt uniformly, metres, shape ``(count,)``."""
    return rng.uniform(-0.02, 0.10, count)


def stratified_leads(rng: np.random.Generator, count: int,
                     leads: NormalDist = _LEADS) -> np.ndarray:
    """
    Draw one lead from each of ``count`` equally likely intervals, metres, shape ``(count,)``.

    Wherever an object goes, some leads then match its true motion, its motion at constant
    velocity, and no motion.

    :param leads: distribution of the travel of objects until the fingers grip, metres.
    """
    shares = (rng.permutation(count) + rng.uniform(0.05, 0.95, count)) / count
    # The outermost 3 % at each end are beyond the reach of any motion.
    return np.array([leads.inv_cdf(0.03 + 0.94 * share) for share in shares])


@dataclass(frozen=True)
class Cell:
    """
    A work cell: the distributions of its scenes, and its gripper.

    The random streams and draws of a cell must not change: data sets were made with them.

    :ivar name: name in recordings and data sets.
    :ivar families: object families for training and the plain test.
    :ivar held_out: object families that are drawn only on request, by name or as the split.
    :ivar motions: name and probability of each kind of motion; they sum to 1.
    :ivar domains: domains of its scenes, by name.
    :ivar candidates: number of candidate grasps in each scene.
    :ivar monitor: whether frames are recorded while a grasp is executed.
    :ivar leads: draws the candidates' leads along the belt.
    :ivar offset_stream: number of the random stream of the candidates.
    :ivar crosswise: probability that a candidate's yaw is drawn from all directions.
    :ivar track_with_belt: whether the object's later position is taken from the belt's motion
        instead of simulated.
    :ivar floor_size: MuJoCo's size of the drawn floor, metres.
    :ivar mesh_quality: MuJoCo's attributes of the meshes' resolution; empty for its default.
    :ivar gripper: the gripper; ``view`` the camera, ``surface`` the belt or table, ``goods`` the
        ranges of the objects.
    :ivar speed: factor of all velocities.
    :ivar draws: cell whose random streams and draws it has: ``belt`` or ``full``.
    :ivar described: values of its cell file; empty for a built-in cell.
    """

    name: str
    families: tuple
    held_out: tuple
    motions: tuple
    domains: dict[str, Domain]
    candidates: int
    monitor: bool
    leads: Callable[[np.random.Generator, int], np.ndarray]
    offset_stream: int
    crosswise: float
    track_with_belt: bool
    floor_size: tuple
    mesh_quality: str = ''
    gripper: Gripper = Gripper()
    view: View = View()
    surface: Surface = Surface()
    goods: Goods = Goods()
    speed: float = 1.0
    draws: str = 'full'
    described: dict = field(default_factory=dict)

    @property
    def motion_names(self) -> tuple:
        """Return the names of the kinds of motion."""
        return tuple(name for name, _ in self.motions)

    def domain(self, name: str) -> Domain:
        """
        Look up a domain by its name.

        :raises ConfigError: if the cell has no such domain.
        """
        if name not in self.domains:
            raise ConfigError(
                f'unknown domain {name!r}, expected one of {", ".join(self.domains)}')
        return self.domains[name]


BELT = Cell(
    'belt', ('box', 'cylinder', 'capsule', 'ellipsoid'), (),
    (('still', 0.15), ('constant', 0.55), ('accelerating', 0.15), ('oscillating', 0.15)),
    _BELT_DOMAINS, candidates=6, monitor=False, leads=uniform_leads, offset_stream=3,
    crosswise=0.15, track_with_belt=True, floor_size=(3, 3, 0.1), draws='belt')

# Training shows relatives of both held-out families (cylinder and bottle; L shape), so that they
# test whether grasping transfers.
FULL = Cell(
    'full', ('box', 'cylinder', 'capsule', 'ellipsoid', 'bottle', 'l_shape'), ('mug', 't_shape'),
    (('still', 0.10), ('constant', 0.16), ('accelerating', 0.15), ('braking', 0.14),
     ('stop_and_go', 0.16), ('oscillating', 0.16), ('rolling', 0.13)),
    _FULL_DOMAINS, candidates=9, monitor=True, leads=stratified_leads, offset_stream=33,
    crosswise=0.1, track_with_belt=False, floor_size=(0.6, 0.6, 0.6),
    # Shadows and several instants a frame make coarser meshes worthwhile.
    mesh_quality='numquads="1" numslices="16" numstacks="8"',
    gripper=Gripper(5.0, (0.016, 1.0), (0.85, 0.95, 0.002), (0.3, 0.01, 0.001)))

CELLS = {cell.name: cell for cell in (BELT, FULL)}


def cell_named(name: str) -> Cell:
    """
    Look up a cell by its name, or read its file.

    :param name: a built-in cell, or the path of a cell file, which ends with ``.yaml``.
    :raises ConfigError: if no cell has that name, or the file is not usable.
    """
    if name.endswith(('.yaml', '.yml')):
        from moss_perception.simulation.cell_file import read_cell
        return read_cell(name)
    if name not in CELLS:
        raise ConfigError(f'unknown cell {name!r}, expected one of {", ".join(CELLS)}, or the '
                          'path of a cell file (.yaml)')
    return CELLS[name]
