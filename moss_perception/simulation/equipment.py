"""The equipment of a cell: gripper, camera, belt or table, and the ranges of its objects."""

from dataclasses import dataclass
import math

from moss_perception.data.schema import APPROACH_S, CLOSE_S, DESCEND_S, LIFT_S, SHAKE_S

WIDTH = 128
HEIGHT = 128
# The view is 0.38 m across at the belt from 0.6 m above it.
MOUNT_HEIGHT_M = 0.6
FOCAL_PX = 128 * MOUNT_HEIGHT_M / 0.38
# Without the domain's shifts, in the world frame.
MOUNT_M = (0.03, 0.0, MOUNT_HEIGHT_M)
BELT, TABLE = 'belt', 'table'


@dataclass(frozen=True)
class Gripper:
    """
    A parallel gripper, and how long it takes.

    :ivar force_n: largest force of each finger, newtons.
    :ivar solref: MuJoCo's time constant, seconds, and damping ratio of the pads' contacts; a
        longer time constant makes softer pads.
    :ivar solimp: MuJoCo's smallest and largest impedance of these contacts, and the depth,
        metres, over which it changes.
    :ivar friction: sliding, torsional (m) and rolling (m) friction of the pads; MuJoCo takes the
        larger value of two bodies in contact.
    :ivar half_opening_m: from the gripper's middle to each pad's face, open, metres.
    :ivar pad: half thickness, half width and half height of each pad, metres.
    :ivar times_s: duration of each of ``PHASES``, seconds.
    """

    force_n: float = 10.0
    solref: tuple = (0.008, 1.0)
    solimp: tuple = (0.9, 0.95, 0.001)
    friction: tuple = (0.1, 0.005, 0.0005)
    half_opening_m: float = 0.045
    pad: tuple = (0.005, 0.011, 0.016)
    times_s: tuple = (APPROACH_S, DESCEND_S, CLOSE_S, LIFT_S, SHAKE_S)

    @property
    def grip_s(self) -> float:
        """Return the time from the start until the fingers meet an object, seconds."""
        approach_s, descend_s, close_s, *_ = self.times_s
        return approach_s + descend_s + close_s / 2

    @property
    def duration_s(self) -> float:
        """Return the duration of a whole grasp, seconds."""
        return sum(self.times_s)


@dataclass(frozen=True)
class View:
    """
    The camera without the domains' shifts.

    :ivar position: the camera's height above the place that it looks at, and that place: x, y,
        height, metres, world frame.
    :ivar turn: rotation about the vertical, radians.
    :ivar tilt: rotation away from the vertical, radians: the camera looks across the belt, along
        +y at a turn of 0.
    :ivar focal_px: focal length, pixels.
    :ivar size: width and height of the image, pixels.
    """

    position: tuple = MOUNT_M
    turn: float = 0.0
    tilt: float = 0.0
    focal_px: float = FOCAL_PX
    size: tuple[int, int] = (WIDTH, HEIGHT)

    @property
    def field_of_view_y(self) -> float:
        """Return the vertical angle of view, radians."""
        return 2 * math.atan(self.size[1] / 2 / self.focal_px)


@dataclass(frozen=True)
class Surface:
    """
    What objects lie on.

    :ivar kind: ``belt``, which moves along +x, or ``table``, on which a bar pushes objects.
    :ivar half_width_m: half of its width, metres.
    """

    kind: str = BELT
    half_width_m: float = 0.11


@dataclass(frozen=True)
class Goods:
    """
    Ranges of the objects, in place of those that their families are drawn from.

    :ivar size: smallest and largest factor of all lengths.
    :ivar mass: smallest and largest mass, kg; ``friction`` of the friction coefficient.
    :ivar across_m: largest distance from the middle of the belt, metres.
    """

    size: tuple = (1.0, 1.0)
    mass: tuple = (0.03, 0.35)
    friction: tuple = (0.3, 0.9)
    across_m: float = 0.03


VIEW, SURFACE, GOODS = View(), Surface(), Goods()
