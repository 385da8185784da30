"""Find a grasp among others where nothing says which of them it is."""

import numpy as np

SAME_POSITION_M = 1e-3
"""Two grasps of one recording are the same up to this distance, metres."""
SAME_ANGLE_RAD = 0.02
"""And up to this angle between their closing directions, radians."""


def nearest_grasp(positions: np.ndarray, yaws: np.ndarray, position: np.ndarray,
                  yaw: float) -> int | None:
    """
    Find the grasp that is nearest to a given one, within the tolerances of this module.

    :param positions: shape ``(K, 3)``, metres.
    :param yaws: closing directions about the optical axis, shape ``(K,)``, radians. A gripper is
        symmetric: yaw and yaw + pi are the same grasp.
    :param position: shape ``(3,)``, in the same frame.
    :param yaw: of the given grasp, radians.
    :returns: its index; ``None`` where none is within both tolerances.
    """
    distances = np.linalg.norm(np.asarray(positions, float).reshape(-1, 3) - position, axis=1)
    turns = np.abs((np.asarray(yaws, float) - yaw + np.pi / 2) % np.pi - np.pi / 2)
    # In units of the tolerances, so that position and angle both decide between two grasps.
    gaps = np.maximum(distances / SAME_POSITION_M, turns / SAME_ANGLE_RAD)
    gaps = np.where(np.isfinite(gaps), gaps, np.inf)
    if not len(gaps):
        return None
    nearest = int(gaps.argmin())
    return nearest if gaps[nearest] <= 1 else None
