"""Calibrations as ROS's camera_calibration writes them."""

from pathlib import Path

from robot_bag import Robot
import yaml

DISTORTION = [0.01, -0.02, 0.001, 0.0, 0.0]


def write_calibration(path: Path, size: tuple[int, int] = Robot.size, focal: float = Robot.focal,
                      distortion=DISTORTION, **more) -> Path:
    """
    Write a calibration; by default that of the robot's recordings.

    :param more: further keys of the file.
    """
    width, height = size
    path.write_text(yaml.safe_dump({
        'image_width': width, 'image_height': height, 'distortion_model': 'plumb_bob',
        'camera_matrix': {'data': [focal, 0, width / 2, 0, focal, height / 2, 0, 0, 1]},
        'distortion_coefficients': {'data': list(distortion)}, **more}))
    return path
