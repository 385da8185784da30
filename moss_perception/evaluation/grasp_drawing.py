"""Draw an executed grasp into an image: its place, and the fingers in their closing direction."""

import cv2
from moss_perception.core.frames import Camera
from moss_perception.core.geometry import project
from moss_perception.evaluation.attempts import Attempt
import numpy as np

# Length of a finger in the drawing, as a share of the distance between the fingers.
_FINGER = 0.35
_RIM = (0, 0, 0)
# OpenCV draws to a fraction of a pixel, in units of 2^-4 pixels.
_SHIFT = 4


def finger_points(attempt: Attempt, camera: Camera | None, half_width_m: float) -> np.ndarray:
    """
    Find where the camera sees the fingertips of an attempt's executed grasp.

    :param camera: calibration of the images; ``None`` if none fits them.
    :param half_width_m: half of the gripper's opening, metres.
    :returns: float64, shape ``(2, 2)``: column and row of both tips in units of the image's width
        and height; shape ``(0,)`` if the grasp is unknown or not in the image.
    """
    if attempt.position is None or camera is None or not np.isfinite(attempt.yaw):
        return np.zeros(0)
    (pixel,), _ = project(attempt.position[None], camera)
    if not np.isfinite(pixel).all():
        return np.zeros(0)
    # The network is told the same vector, see core.geometry.encode_grasps.
    reach = half_width_m * np.diag(camera.matrix)[:2] / attempt.position[2]
    along = reach * (np.cos(attempt.yaw), np.sin(attempt.yaw))
    return (np.stack([pixel - along, pixel + along]) + 0.5) / (camera.width, camera.height)


def gripper_lines(fingers: np.ndarray, width: int, height: int) -> np.ndarray:
    """
    Return the lines of a gripper as one stroke.

    :param fingers: of :func:`finger_points`, shape ``(2, 2)``.
    :param width: of the image to draw in, pixels.
    :param height: of this image, pixels.
    :returns: float64, shape ``(6, 2)``: columns and rows, pixels.
    """
    left, right = fingers * (width, height) - 0.5
    along = right - left
    across = _FINGER / 2 * np.array([-along[1], along[0]])
    return np.array([left + across, left - across, left, right, right + across, right - across])


def paint_gripper(image: np.ndarray, fingers: np.ndarray,
                  colour: tuple[int, int, int]) -> np.ndarray:
    """
    Draw a gripper on a copy of an image, with a dark rim.

    :param image: uint8, RGB, shape ``(H, W, 3)``.
    :param fingers: of :func:`finger_points`; nothing is drawn if they are unknown.
    :param colour: of the lines, RGB.
    """
    image = np.ascontiguousarray(image).copy()
    if fingers.shape == (2, 2):
        stroke_gripper(image, fingers, colour)
    return image


def stroke_gripper(image: np.ndarray, fingers: np.ndarray, colour: tuple[int, int, int],
                   rim: tuple[int, int, int] = _RIM) -> None:
    """
    Draw a gripper into an image, in place.

    :param image: uint8, RGB, shape ``(H, W, 3)``.
    :param fingers: of :func:`finger_points`, shape ``(2, 2)``; both may be the same point.
    :param colour: of the lines, RGB.
    :param rim: colour around the lines, RGB.
    """
    height, width = image.shape[:2]
    lines = gripper_lines(fingers, width, height)
    # Pixels that OpenCV can still count: a finger may be far outside the image.
    points = np.clip(lines, -10 * width, 10 * width)
    stroke = np.round(points * 2 ** _SHIFT).astype(np.int32)
    thick = max(1, round(min(height, width) / 120))
    for line_width, paint in ((thick + 2, rim), (thick, colour)):
        cv2.polylines(image, [stroke], False, paint, line_width, cv2.LINE_AA, _SHIFT)
        centre = np.round(points[2:4].mean(axis=0) * 2 ** _SHIFT).astype(int)
        cv2.circle(image, centre.tolist(), 2 * thick * 2 ** _SHIFT, paint, line_width,
                   cv2.LINE_AA, _SHIFT)
