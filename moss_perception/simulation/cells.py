"""Cells: what scenes are drawn from, and what gripper works there."""

from dataclasses import dataclass

from moss_perception.core.errors import ConfigError


@dataclass(frozen=True)
class Gripper:
    """
    What the parallel gripper's fingers are like.

    :ivar force_n: limit of each finger's force, newtons.
    :ivar solref: MuJoCo's time constant, seconds, and damping ratio of the pads' contacts: a
        longer time is a softer pad.
    :ivar solimp: MuJoCo's least and largest impedance of these contacts, and the depth, metres,
        over which the one becomes the other.
    :ivar friction: sliding, torsional (m) and rolling (m) friction of the pads; of two things
        that touch, the larger counts.
    """

    force_n: float = 10.0
    solref: tuple = (0.008, 1.0)
    solimp: tuple = (0.9, 0.95, 0.001)
    friction: tuple = (0.1, 0.005, 0.0005)


@dataclass(frozen=True)
class Cell:
    """
    What scenes are drawn from.

    :ivar name: what recordings and data sets call it.
    :ivar families: of objects, for training and the plain test.
    :ivar held_out: families that are drawn only when asked for, by name or as the split.
    :ivar motions: name and share of each kind of motion; the shares add up to 1.
    :ivar candidates: how many grasps are tried in each scene.
    :ivar monitor: whether frames go on while a grasp is executed.
    :ivar gripper: its fingers.
    """

    name: str
    families: tuple
    held_out: tuple
    motions: tuple
    candidates: int
    monitor: bool
    gripper: Gripper = Gripper()

    @property
    def motion_names(self) -> tuple:
        """Return the kinds of motion."""
        return tuple(name for name, _ in self.motions)


BELT = Cell(
    'belt', ('box', 'cylinder', 'capsule', 'ellipsoid'), (),
    (('still', 0.15), ('constant', 0.55), ('accelerating', 0.15), ('oscillating', 0.15)),
    candidates=6, monitor=False)

# Held out: of each of the two, a relative is trained on (cylinder and bottle; L shape), so that
# they ask whether grasping carries over, not whether the never seen can be guessed.
FULL = Cell(
    'full', ('box', 'cylinder', 'capsule', 'ellipsoid', 'bottle', 'l_shape'), ('mug', 't_shape'),
    (('still', 0.10), ('constant', 0.16), ('accelerating', 0.15), ('braking', 0.14),
     ('stop_and_go', 0.16), ('oscillating', 0.16), ('rolling', 0.13)),
    candidates=9, monitor=True,
    gripper=Gripper(5.0, (0.016, 1.0), (0.85, 0.95, 0.002), (0.3, 0.01, 0.001)))

CELLS = {cell.name: cell for cell in (BELT, FULL)}


def cell_named(name: str) -> Cell:
    """
    Look a cell up.

    :raises ConfigError: if there is no cell of that name.
    """
    if name not in CELLS:
        raise ConfigError(f'unknown cell {name!r}, expected one of {", ".join(CELLS)}')
    return CELLS[name]
