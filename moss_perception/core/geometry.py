"""From grasps in the camera's optical frame to what the network's head takes."""

import cv2
from moss_perception.core.errors import ConfigError
from moss_perception.core.frames import Camera
import numpy as np

# Grey level of what is outside of an image.
GROUND = 114


def letterbox(image: np.ndarray, size: int,
              reduction: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """
    Fit an image into a square, keeping its aspect ratio, centred on a grey ground.

    :param image: uint8, RGB, shape ``(H, W, 3)``.
    :param size: side of the square, pixels.
    :param reduction: how many times larger the camera's image is, each way.
    :returns: uint8 array, shape ``(size, size, 3)``; and the float64 array
        ``(scale, shift_x, shift_y)`` that takes a pixel of the camera's image there:
        ``column * scale + shift_x``, pixel centres at whole numbers.
    """
    height, width = image.shape[0] * reduction, image.shape[1] * reduction
    scale = size / max(height, width)
    fitted = (max(1, round(width * scale)), max(1, round(height * scale)))
    left, top = (size - fitted[0]) // 2, (size - fitted[1]) // 2
    transform = np.array([scale, left + 0.5 * scale - 0.5, top + 0.5 * scale - 0.5])
    if image.shape[:2] == fitted[::-1] == (size, size):
        return image, transform
    square = np.full((size, size, 3), GROUND, np.uint8)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    square[top:top + fitted[1], left:left + fitted[0]] = cv2.resize(
        image, fitted, interpolation=method)
    return square, transform


def project(positions: np.ndarray, camera: Camera) -> np.ndarray:
    """
    Project points of the optical frame into the unrectified image.

    :param positions: float64, shape ``(K, 3)``, metres.
    :param camera: the calibrated camera.
    :returns: float64, shape ``(K, 2)``, pixels (column, row); NaN for points that are not in
        front of the camera, not finite, or outside its image.
    :raises ConfigError: if the camera's distortion model is unknown.
    """
    pixels = np.full((len(positions), 2), np.nan)
    ahead = np.isfinite(positions).all(axis=1)
    np.greater(positions[:, 2], 1e-6, out=ahead, where=ahead)
    if not ahead.any():
        return pixels
    points = np.ascontiguousarray(positions[ahead], np.float64).reshape(-1, 1, 3)
    zero = np.zeros(3)
    distortion = camera.distortion.astype(np.float64)
    if camera.model == 'equidistant':
        flat, _ = cv2.fisheye.projectPoints(points, zero, zero, camera.matrix, distortion[:4])
    elif camera.model in ('', 'plumb_bob', 'rational_polynomial'):
        flat, _ = cv2.projectPoints(points, zero, zero, camera.matrix, distortion)
    else:
        raise ConfigError(f'distortion model {camera.model!r} is unknown: expected plumb_bob, '
                          'rational_polynomial or equidistant')
    flat = flat.reshape(-1, 2)
    seen = ((flat >= -0.5) & (flat < (camera.width - 0.5, camera.height - 0.5))).all(axis=1)
    seen &= _within_model(points.reshape(-1, 3), flat, camera)
    pixels[np.flatnonzero(ahead)[seen]] = flat[seen]
    return pixels


def _within_model(points: np.ndarray, pixels: np.ndarray, camera: Camera) -> np.ndarray:
    """
    Tell which points the distortion model really sees where it puts them.

    Far outside the view its polynomial turns back, and puts a point into the image that isn't
    there; undone, such a pixel leads to another point.
    """
    if not camera.distortion.any() or camera.model == 'equidistant':
        return np.ones(len(points), bool)
    back = cv2.undistortPoints(pixels.reshape(-1, 1, 2), camera.matrix,
                               camera.distortion.astype(np.float64))
    rays = points[:, :2] / points[:, 2:]
    gap = np.linalg.norm(back.reshape(-1, 2) - rays, axis=1)
    # Undoing takes few iterations and is not exact; a point that was folded back is far off.
    return gap < 0.1 * (1 + np.linalg.norm(rays, axis=1))


def encode_grasps(pixels: np.ndarray, depths: np.ndarray, yaws: np.ndarray, focal: float,
                  transform: np.ndarray, image_size: int, half_width_m: float) -> np.ndarray:
    """
    Describe grasps in the network's normalised image coordinates.

    :param pixels: float64, shape ``(K, 2)``, image points in the camera's image.
    :param depths: float64, shape ``(K,)``, metres.
    :param yaws: float64, shape ``(K,)``, radians about the optical axis.
    :param focal: focal length in pixels of the camera's image.
    :param transform: from :func:`letterbox`.
    :param image_size: side of the network's square input, pixels.
    :param half_width_m: half of the gripper's opening, metres.
    :returns: float32, shape ``(K, 5)``: x and y in [-1, 1] (the image's outer edges), depth in
        metres, and the vector from the grasp point to where a finger stands, in units of x and y.
    """
    scale, shift = transform[0], transform[1:]
    unit = 2 / image_size
    points = (pixels * scale + shift + 0.5) * unit - 1
    reach = half_width_m * focal / depths * scale * unit
    fingers = reach[:, None] * np.stack([np.cos(yaws), np.sin(yaws)], axis=1)
    return np.concatenate([points, depths[:, None], fingers], axis=1).astype(np.float32)
