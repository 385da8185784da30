"""Cells: the distributions that scenes are drawn from, and the gripper that works there."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

from moss_perception.core.errors import ConfigError
import numpy as np

# Travel of objects until the fingers grip, over all motions of the full cell, metres.
_LEADS = NormalDist(0.05, 0.045)


def uniform_leads(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw leads of grasps along the belt uniformly, metres, shape ``(count,)``."""
    return rng.uniform(-0.02, 0.10, count)


def stratified_leads(rng: np.random.Generator, count: int) -> np.ndarray:
    """
    Draw one lead from each of ``count`` equally likely intervals, metres, shape ``(count,)``.

    Wherever an object goes, some leads then match its true motion, its motion at constant
    velocity, and no motion.
    """
    shares = (rng.permutation(count) + rng.uniform(0.05, 0.95, count)) / count
    # The outermost 3 % at each end are beyond the reach of any motion.
    return np.array([_LEADS.inv_cdf(0.03 + 0.94 * share) for share in shares])


@dataclass(frozen=True)
class Gripper:
    """
    Fingers of a parallel gripper.

    :ivar force_n: largest force of each finger, newtons.
    :ivar solref: MuJoCo's time constant, seconds, and damping ratio of the pads' contacts; a
        longer time constant makes softer pads.
    :ivar solimp: MuJoCo's smallest and largest impedance of these contacts, and the depth,
        metres, over which it changes.
    :ivar friction: sliding, torsional (m) and rolling (m) friction of the pads; MuJoCo takes the
        larger value of two bodies in contact.
    """

    force_n: float = 10.0
    solref: tuple = (0.008, 1.0)
    solimp: tuple = (0.9, 0.95, 0.001)
    friction: tuple = (0.1, 0.005, 0.0005)


@dataclass(frozen=True)
class Cell:
    """
    A work cell: the distributions of its scenes, and its gripper.

    The random streams and draws of a cell must not change: data sets were made with them.

    :ivar name: name in recordings and data sets.
    :ivar families: object families for training and the plain test.
    :ivar held_out: object families that are drawn only on request, by name or as the split.
    :ivar motions: name and probability of each kind of motion; they sum to 1.
    :ivar candidates: number of candidate grasps in each scene.
    :ivar monitor: whether frames are recorded while a grasp is executed.
    :ivar leads: draws the candidates' leads along the belt.
    :ivar offset_stream: number of the random stream of the candidates.
    :ivar crosswise: probability that a candidate's yaw is drawn from all directions.
    :ivar track_with_belt: whether the object's later position is taken from the belt's motion
        instead of simulated.
    :ivar floor_size: MuJoCo's size of the drawn floor, metres.
    :ivar mesh_quality: MuJoCo's attributes of the meshes' resolution; empty for its default.
    :ivar gripper: fingers of the gripper.
    """

    name: str
    families: tuple
    held_out: tuple
    motions: tuple
    candidates: int
    monitor: bool
    leads: Callable[[np.random.Generator, int], np.ndarray]
    offset_stream: int
    crosswise: float
    track_with_belt: bool
    floor_size: tuple
    mesh_quality: str = ''
    gripper: Gripper = Gripper()

    @property
    def motion_names(self) -> tuple:
        """Return the names of the kinds of motion."""
        return tuple(name for name, _ in self.motions)


BELT = Cell(
    'belt', ('box', 'cylinder', 'capsule', 'ellipsoid'), (),
    (('still', 0.15), ('constant', 0.55), ('accelerating', 0.15), ('oscillating', 0.15)),
    candidates=6, monitor=False, leads=uniform_leads, offset_stream=3, crosswise=0.15,
    track_with_belt=True, floor_size=(3, 3, 0.1))

# Training shows relatives of both held-out families (cylinder and bottle; L shape), so that they
# test whether grasping transfers.
FULL = Cell(
    'full', ('box', 'cylinder', 'capsule', 'ellipsoid', 'bottle', 'l_shape'), ('mug', 't_shape'),
    (('still', 0.10), ('constant', 0.16), ('accelerating', 0.15), ('braking', 0.14),
     ('stop_and_go', 0.16), ('oscillating', 0.16), ('rolling', 0.13)),
    candidates=9, monitor=True, leads=stratified_leads, offset_stream=33, crosswise=0.1,
    track_with_belt=False, floor_size=(0.6, 0.6, 0.6),
    # Shadows and several instants a frame make coarser meshes worthwhile.
    mesh_quality='numquads="1" numslices="16" numstacks="8"',
    gripper=Gripper(5.0, (0.016, 1.0), (0.85, 0.95, 0.002), (0.3, 0.01, 0.001)))

CELLS = {cell.name: cell for cell in (BELT, FULL)}


def cell_named(name: str) -> Cell:
    """
    Look up a cell by its name.

    :raises ConfigError: if no cell has that name.
    """
    if name not in CELLS:
        raise ConfigError(f'unknown cell {name!r}, expected one of {", ".join(CELLS)}')
    return CELLS[name]
