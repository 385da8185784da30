"""Checks of the grasps that a planner selects in a live cell."""

from dataclasses import dataclass
import threading

from moss_perception.simulation.camera import Mount
from moss_perception.simulation.equipment import SURFACE, Surface
from moss_perception.simulation.execution import CLEARANCE_M
import numpy as np

FRAME, BETWEEN, OLD, REACH = 'frame', 'between_scenes', 'old', 'reach'


@dataclass(frozen=True)
class Refusal:
    """
    Refusal of a selected grasp.

    :ivar reason: short constant for counting: ``frame``, ``between_scenes``, ``old``, ``reach``.
    :ivar message: description.
    """

    reason: str
    message: str


@dataclass(frozen=True)
class Selected:
    """
    A grasp to execute.

    :ivar stamp_ns: stamp of the frame that it was selected from.
    :ivar grasp: x, y, z, metres, and yaw, radians, in the world frame, shape ``(4,)``.
    """

    stamp_ns: int
    grasp: np.ndarray


class Selections:
    """
    Passes selected grasps between threads, one for each scene.

    :param frame_id: optical frame of the camera, in which grasps must be given.
    :ivar repeated: number of grasps that came after the first of a scene; this is no error.
    """

    def __init__(self, frame_id: str):
        self.frame_id = frame_id
        self.repeated = 0
        self._lock = threading.Lock()
        self._mount: Mount | None = None
        self._start_ns, self._reach_m = 0, reach_m(SURFACE)
        self._taken: Selected | None = None
        self._executing = False

    def open(self, start_ns: int, mount: Mount, surface: Surface = SURFACE):
        """Accept grasps for a scene whose first frame has this stamp."""
        with self._lock:
            self._reach_m = reach_m(surface)
            self._start_ns, self._mount = start_ns, mount
            self._taken, self._executing = None, False

    def close(self):
        """Accept no grasps until the next scene."""
        with self._lock:
            self._mount = self._taken = None

    def take(self) -> Selected | None:
        """Return the first grasp of the scene once; ``None`` otherwise."""
        with self._lock:
            if self._executing or self._taken is None:
                return None
            self._executing = True
            return self._taken

    def offer(self, stamp_ns: int, frame_id: str, grasp: np.ndarray) -> Refusal | None:
        """
        Offer a selected grasp.

        :param stamp_ns: stamp of the frame that it was selected from.
        :param frame_id: coordinate frame of the grasp.
        :param grasp: x, y, z, metres, and yaw about the optical axis, radians, shape ``(4,)``.
        :returns: the refusal; ``None`` if the grasp is accepted, or if the scene already has one.
        """
        with self._lock:
            if frame_id != self.frame_id:
                return Refusal(FRAME, f'selected grasp is in the frame {frame_id!r}: expected '
                               f'{self.frame_id!r}')
            if self._mount is None:
                return Refusal(BETWEEN, f'selected grasp of {_seconds(stamp_ns)} comes between '
                               'two scenes: expected one while a scene waits for it')
            if stamp_ns < self._start_ns:
                return Refusal(
                    OLD, f'selected grasp is stamped {_seconds(stamp_ns)}: expected '
                    f'{_seconds(self._start_ns)} or later, when the present scene began')
            if self._taken is not None:
                self.repeated += 1
                return None
            world = self._mount.grasps_to_world(np.asarray(grasp)[None])[0]
            low, high = self._reach_m
            if not ((world[:3] >= low) & (world[:3] <= high)).all():
                return Refusal(REACH, f'selected grasp is out of reach: at {_metres(world[:3])} '
                               f'of the cell, expected {_metres(low)} to {_metres(high)}')
            self._taken = Selected(stamp_ns, world)
            return None


def reach_m(surface: Surface) -> tuple[tuple, tuple]:
    """
    Return the lowest and highest x, y and z of a grasp, metres, world frame.

    This is the part of the belt in view and a little downstream, at heights where the fingers pass
    over other objects.
    """
    side = surface.half_width_m
    return (-0.25, -side, -0.02), (0.35, side, CLEARANCE_M)


def _seconds(stamp_ns: int) -> str:
    return f'{stamp_ns // 10**9}.{stamp_ns % 10**9:09d}'


def _metres(point) -> str:
    return '({:.3f}, {:.3f}, {:.3f}) m'.format(*point)
