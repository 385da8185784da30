"""The work cell's camera: intrinsics, mounting, and grasps in its optical frame."""

from dataclasses import dataclass, replace
import math

from moss_perception.simulation.cells import Domain
from moss_perception.simulation.equipment import FOCAL_PX, HEIGHT, VIEW, View, WIDTH
import numpy as np


@dataclass(frozen=True)
class Lens:
    """
    The camera's intrinsics, without distortion.

    :ivar focal_px: focal length, pixels.
    :ivar centre: offset of the principal point from the middle of the image: right, down, pixels.
    :ivar size: width and height of the image, pixels.
    """

    focal_px: float = FOCAL_PX
    centre: tuple = (0.0, 0.0)
    size: tuple[int, int] = (WIDTH, HEIGHT)

    @property
    def matrix(self) -> np.ndarray:
        """Return the intrinsics, ``(3, 3)``, pixels; integer coordinates are pixel centres."""
        return np.array([[self.focal_px, 0.0, (self.size[0] - 1) / 2 + self.centre[0]],
                         [0.0, self.focal_px, (self.size[1] - 1) / 2 + self.centre[1]],
                         [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Mount:
    """
    Pose of the camera; without tilt it looks straight down.

    :ivar position: metres, world frame.
    :ivar turn: rotation about the vertical, radians; at 0, right in the image is along the belt.
    :ivar tilt: rotations about the optical x axis, then about the new y axis, radians, each below
        pi/2.
    """

    position: tuple
    turn: float = 0.0
    tilt: tuple = (0.0, 0.0)

    @property
    def rotation(self) -> np.ndarray:
        """Return the optical axes (x right, y down, z forward) as world columns, ``(3, 3)``."""
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        level = np.array([[cos, sin, 0.0], [sin, -cos, 0.0], [0.0, 0.0, -1.0]])
        if not any(self.tilt):
            return level
        (cos_x, cos_y), (sin_x, sin_y) = np.cos(self.tilt), np.sin(self.tilt)
        about_x = np.array([[1.0, 0.0, 0.0], [0.0, cos_x, -sin_x], [0.0, sin_x, cos_x]])
        about_y = np.array([[cos_y, 0.0, sin_y], [0.0, 1.0, 0.0], [-sin_y, 0.0, cos_y]])
        return level @ about_x @ about_y

    def to_optical(self, points: np.ndarray) -> np.ndarray:
        """Express world points ``(..., 3)`` in the optical frame, metres."""
        return (np.asarray(points) - np.asarray(self.position)) @ self.rotation

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """Express optical points ``(..., 3)`` in the world frame, metres."""
        return np.asarray(points) @ self.rotation.T + np.asarray(self.position)

    def grasps_to_optical(self, grasps: np.ndarray) -> np.ndarray:
        """
        Express grasps in the optical frame.

        :param grasps: shape ``(K, 4)``: x, y, z, metres, and the closing direction's yaw about
            the vertical, radians, in the world frame.
        :returns: the same in the optical frame; yaw of the closing direction as projected along
            the optical axis, in (-pi/2, pi/2].
        """
        grasps = np.asarray(grasps, dtype=np.float64)
        yaw = self._projected(grasps[:, 3], self.rotation[:2, :2].T)
        return np.column_stack([self.to_optical(grasps[:, :3]), half_turn(yaw)])

    def grasps_to_world(self, grasps: np.ndarray) -> np.ndarray:
        """Invert :meth:`grasps_to_optical`; the closing direction is horizontal."""
        grasps = np.asarray(grasps, dtype=np.float64)
        yaw = self._projected(grasps[:, 3], np.linalg.inv(self.rotation[:2, :2].T))
        return np.column_stack([self.to_world(grasps[:, :3]), half_turn(yaw)])

    def _projected(self, yaw: np.ndarray, change: np.ndarray) -> np.ndarray:
        # Without tilt this is a mirror, its own inverse. Recorded scenes depend on its rounding.
        if not any(self.tilt):
            return self.turn - yaw
        along = change @ np.stack([np.cos(yaw), np.sin(yaw)])
        return np.arctan2(along[1], along[0])


def sample_lens(domain: Domain, rng: np.random.Generator, view: View = VIEW) -> Lens:
    """Draw the intrinsics of the cell ``full``, or of another camera."""
    return Lens(view.focal_px * (1 + rng.uniform(-1, 1) * domain.focal),
                tuple(rng.uniform(-1, 1, 2) * domain.centre), view.size)


def sample_level_mount(domain: Domain, rng: np.random.Generator, view: View = VIEW) -> Mount:
    """Draw the pose of the camera of the cell ``belt``, without tilt."""
    turn = view.turn + rng.uniform(-1, 1) * domain.camera_turn
    return Mount(tuple(view.position + rng.uniform(-1, 1, 3) * domain.camera_shift), turn)


def sample_mount(domain: Domain, rng: np.random.Generator, view: View = VIEW) -> Mount:
    """
    Draw the pose of the camera of the cell ``full``, or of another one.

    Whatever its tilt, it looks at the same place of the belt.
    """
    level = sample_level_mount(domain, rng, view)
    tilt = rng.uniform(-1, 1, 2) * domain.camera_tilt
    return looking_at(level.position, level.turn, (view.tilt + tilt[0], tilt[1]))


def looking_at(above: tuple, turn: float, tilt: tuple) -> Mount:
    """
    Return the tilted camera that looks at the place of the belt below a point.

    :param above: the point; its height is the camera's, metres, world frame.
    """
    tilted = Mount(above, turn, tilt)
    position, forward = np.array(above), tilted.rotation[:, 2]
    position[:2] += forward[:2] / forward[2] * position[2]
    return replace(tilted, position=tuple(position))


def half_turn(angle):
    """Wrap angles of a parallel gripper, which repeat every pi, into (-pi/2, pi/2]."""
    return np.pi / 2 - (np.pi / 2 - np.asarray(angle)) % np.pi
