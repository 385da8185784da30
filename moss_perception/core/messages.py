"""
Messages as the predictor's plain data.

Only fields are read, so messages of rclpy and of a recording both work.
"""

from typing import Any

from moss_perception.core.errors import ConfigError
from moss_perception.core.frames import Camera, Candidates, Frame
import numpy as np


def stamp_to_ns(stamp: Any) -> int:
    """Return a stamp in nanoseconds."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def to_frame(message: Any) -> Frame:
    """
    Wrap an image message, without decoding it.

    :param message: with the fields of sensor_msgs/Image or CompressedImage, and a header.
    """
    return Frame(stamp_to_ns(message.header.stamp), message.header.frame_id, message)


def to_camera(message: Any) -> Camera:
    """
    Read a camera's calibration.

    :param message: with the fields of sensor_msgs/CameraInfo.
    :raises ConfigError: if it holds no calibration, or one that can't be used.
    """
    matrix = np.array(message.k, np.float64).reshape(3, 3)
    distortion = np.array(message.d, np.float64)
    if not (matrix[0, 0] > 0 and matrix[1, 1] > 0):
        raise ConfigError(f'camera_info is not calibrated: K[0] is {matrix[0, 0]:g} and K[4] is '
                          f'{matrix[1, 1]:g}, expected focal lengths above 0')
    if not (np.isfinite(matrix).all() and matrix[2].tolist() == [0, 0, 1]
            and np.linalg.det(matrix) > 0):
        raise ConfigError(f'camera_info has K {matrix.ravel().tolist()}: expected finite numbers, '
                          'a last row of 0, 0, 1 and an inverse')
    roi = message.roi
    return Camera(
        message.width, message.height, matrix, distortion, message.distortion_model,
        (roi.x_offset, roi.y_offset, roi.width, roi.height),
        # 0 means 1 in the message.
        (max(1, message.binning_x), max(1, message.binning_y)))


def to_candidates(message: Any) -> Candidates:
    """
    Read grasp candidates.

    A pose that is not finite, or not a rotation, is kept; it gets no score.

    :param message: with the fields of geometry_msgs/PoseArray: poses in the camera's optical
        frame, x the direction in which the gripper closes.
    :raises CandidateError: if the stamp is 0.
    """
    positions = [(p.position.x, p.position.y, p.position.z) for p in message.poses]
    orientations = [(p.orientation.x, p.orientation.y, p.orientation.z, p.orientation.w)
                    for p in message.poses]
    return Candidates(
        stamp_to_ns(message.header.stamp), message.header.frame_id,
        np.array(positions, np.float64).reshape(-1, 3),
        np.array(orientations, np.float64).reshape(-1, 4))
