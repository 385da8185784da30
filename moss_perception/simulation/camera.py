"""The work cell's camera: intrinsics, mounting, and grasps in its optical frame."""

from dataclasses import dataclass
import math

import numpy as np

WIDTH = 128
HEIGHT = 128
# The view is 0.38 m across at the belt from 0.6 m above it.
MOUNT_HEIGHT_M = 0.6
FOCAL_PX = 128 * MOUNT_HEIGHT_M / 0.38


def camera_matrix() -> np.ndarray:
    """
    Return the intrinsics; integer coordinates are pixel centres.

    :returns: float64, shape ``(3, 3)``, pixels.
    """
    return np.array([[FOCAL_PX, 0.0, (WIDTH - 1) / 2],
                     [0.0, FOCAL_PX, (HEIGHT - 1) / 2],
                     [0.0, 0.0, 1.0]])


def field_of_view_y() -> float:
    """Return the vertical field of view, radians."""
    return 2 * math.atan(HEIGHT / 2 / FOCAL_PX)


@dataclass(frozen=True)
class Mount:
    """
    Where the camera hangs; it looks straight down.

    :ivar position: metres, world frame.
    :ivar turn: rotation about the vertical, radians; at 0 the image's right is along the belt.
    """

    position: tuple
    turn: float = 0.0

    @property
    def rotation(self) -> np.ndarray:
        """Return the optical axes (x right, y down, z forward) as world columns, ``(3, 3)``."""
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        return np.array([[cos, sin, 0.0], [sin, -cos, 0.0], [0.0, 0.0, -1.0]])

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
        :returns: the same in the optical frame, yaw about the optical axis, in (-pi/2, pi/2].
        """
        grasps = np.asarray(grasps, dtype=np.float64)
        return np.column_stack([self.to_optical(grasps[:, :3]),
                                half_turn(self.turn - grasps[:, 3])])

    def grasps_to_world(self, grasps: np.ndarray) -> np.ndarray:
        """Undo :meth:`grasps_to_optical`; looking straight down makes it its own mirror."""
        grasps = np.asarray(grasps, dtype=np.float64)
        return np.column_stack([self.to_world(grasps[:, :3]),
                                half_turn(self.turn - grasps[:, 3])])


def half_turn(angle):
    """Bring angles of a parallel gripper, the same every pi, into (-pi/2, pi/2]."""
    return np.pi / 2 - (np.pi / 2 - np.asarray(angle)) % np.pi


def project(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """
    Project optical points to pixels.

    :param points: shape ``(K, 3)``, metres, z above 0.
    :param matrix: intrinsics, shape ``(3, 3)``.
    :returns: columns and rows, shape ``(K, 2)``.
    """
    homogeneous = np.asarray(points) @ np.asarray(matrix).T
    return homogeneous[:, :2] / homogeneous[:, 2:]
