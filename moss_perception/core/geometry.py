"""From grasps in the camera's optical frame to the inputs of the network's head."""

from collections.abc import Sequence
from functools import lru_cache
import math
from typing import TYPE_CHECKING

import cv2
from moss_perception.core.frames import Camera
from moss_perception.core.scores import ScoreReason
import numpy as np

if TYPE_CHECKING:
    from numpy.polynomial import Polynomial

# Grey level of the border around an image.
GROUND = 114
# To undo a distortion: points of its first approximation, steps after it, and the farthest ray.
_GRID, _NEWTON_STEPS, _WIDEST_RAY = 512, 8, 20.0


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


def project(positions: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """
    Project points of the optical frame into the unrectified image.

    :param positions: float64, shape ``(K, 3)``, metres.
    :param camera: the calibrated camera.
    :returns: float64 pixels (column, row), shape ``(K, 2)``, NaN for points that the camera does
        not see; and uint8 reasons, shape ``(K,)``, see
        :class:`moss_perception.core.scores.ScoreReason`.
    """
    pixels = np.full((len(positions), 2), np.nan)
    reasons = np.full(len(positions), ScoreReason.NOT_A_NUMBER, np.uint8)
    finite = np.isfinite(positions).all(axis=1)
    reasons[finite] = ScoreReason.BEHIND_CAMERA
    ahead = np.flatnonzero(finite)[positions[finite, 2] > 1e-6]
    # Points far beyond the view may exceed floating point: they compare as not seen.
    with np.errstate(over='ignore', invalid='ignore'):
        rays = positions[ahead, :2] / positions[ahead, 2:]
        distorted, within = distort(rays, camera)
        flat = distorted @ camera.matrix[:2, :2].T + camera.matrix[:2, 2]
    seen = ((flat >= -0.5) & (flat < (camera.width - 0.5, camera.height - 0.5))).all(axis=1)
    reasons[ahead] = np.where(
        within, np.where(seen, ScoreReason.SCORED, ScoreReason.OUTSIDE_IMAGE),
        ScoreReason.BEYOND_LENS_MODEL)
    pixels[ahead[within & seen]] = flat[within & seen]
    return pixels, reasons


def unproject(pixels: np.ndarray, camera: Camera) -> np.ndarray:
    """
    Find the rays that the camera sees at pixels of the unrectified image.

    :param pixels: float64, shape ``(K, 2)``, (column, row).
    :param camera: the calibrated camera.
    :returns: float64, shape ``(K, 2)``: x / z and y / z in the optical frame; NaN where the lens
        model has no ray in front of the camera for a pixel.
    """
    distorted = np.linalg.solve(
        camera.matrix[:2, :2], (pixels - camera.matrix[:2, 2]).T).T
    if not camera.distortion.any() and camera.model != 'equidistant':
        return distorted
    rays = (_undo_fisheye if camera.model == 'equidistant' else _undo_radial)(distorted, camera)
    again, within = distort(rays, camera)
    gaps = np.linalg.norm(again - distorted, axis=1)
    return np.where((within & (gaps < 1e-6))[:, None], rays, np.nan)


def _undo_fisheye(distorted: np.ndarray, camera: Camera) -> np.ndarray:
    bent = _polynomial(_fisheye_series(camera.distortion))
    radii = np.linalg.norm(distorted, axis=1)
    grid = np.linspace(0, min(_fisheye_limit(_key(camera)), math.pi / 2), _GRID)
    angles = np.interp(radii, bent(grid), grid)
    for _ in range(_NEWTON_STEPS):
        angles = angles - (bent(angles) - radii) / bent.deriv()(angles)
    return distorted * np.where(radii > 0, np.tan(angles) / np.maximum(radii, 1e-12), 1)[:, None]


def _undo_radial(distorted: np.ndarray, camera: Camera) -> np.ndarray:
    """Start from the radial terms alone, then take Newton steps with all of them."""
    # The limit itself may be a pole.
    grid = np.linspace(0, 0.999 * min(_radial_limit(_key(camera)), _WIDEST_RAY), _GRID)
    above, below = _radial_fraction(camera.distortion)
    radii = np.linalg.norm(distorted, axis=1)
    start = np.interp(radii, grid * above(grid ** 2) / below(grid ** 2), grid)
    rays = distorted * np.where(radii > 0, start / np.maximum(radii, 1e-12), 1)[:, None]
    for _ in range(_NEWTON_STEPS):
        flat, slopes = _bend(rays, camera)
        fixed = np.linalg.det(slopes) != 0
        rays[fixed] -= np.linalg.solve(
            slopes[fixed], (flat - distorted)[fixed][..., None])[..., 0]
    return rays


def distort(rays: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """
    Apply the lens distortion to rays.

    Far off the axis a distortion polynomial turns back: it maps a ray to a pixel at which the
    camera sees another ray. The model holds only up to the angle at which it first turns back.

    :param rays: float64, shape ``(K, 2)``: x / z and y / z.
    :returns: float64, shape ``(K, 2)``: distorted x / z and y / z, before the camera matrix; and
        bool, shape ``(K,)``: whether the lens model holds for the ray.
    """
    radii = np.hypot(rays[:, 0], rays[:, 1])
    if not len(rays) or not camera.distortion.any() and camera.model != 'equidistant':
        return rays, np.ones(len(rays), bool)
    if camera.model == 'equidistant':
        angles = np.arctan(radii)
        bent = _polynomial(_fisheye_series(camera.distortion))(angles)
        scale = np.where(radii > 0, bent / np.maximum(radii, 1e-12), 1)
        return rays * scale[:, None], angles < _fisheye_limit(_key(camera))
    flat, slopes = _bend(rays, camera)
    # Tangential terms can fold the image, too: it is mirrored there.
    return flat, (np.linalg.det(slopes) > 0) & (radii < _radial_limit(_key(camera)))


def _bend(rays: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Distort by OpenCV's model: shape ``(K, 2)``, and its derivatives, ``(K, 2, 2)``."""
    points = np.concatenate([rays, np.ones((len(rays), 1))], axis=1).reshape(-1, 1, 3)
    zero = np.zeros(3)
    flat, jacobian = cv2.projectPoints(points, zero, zero, np.eye(3),
                                       camera.distortion.astype(np.float64))
    # Columns 3 and 4 are the derivatives by x and y, at a depth of 1.
    return flat.reshape(-1, 2), jacobian[:, 3:5].reshape(-1, 2, 2)


def _key(camera: Camera) -> tuple[float, ...]:
    return tuple(camera.distortion.tolist())


@lru_cache(maxsize=16)
def _fisheye_limit(coefficients: tuple[float, ...]) -> float:
    """Return the angle at which the fisheye polynomial first turns back, radians."""
    slope = _polynomial(_fisheye_series(coefficients)).deriv()
    return math.sqrt(_first_root(slope.coef[::2]))


def _fisheye_series(coefficients: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return theta (1 + k1 theta^2 + ... + k4 theta^8) as coefficients of theta."""
    series = np.zeros(10)
    given = (1.0, *coefficients[:4])
    series[1:2 * len(given):2] = given
    return series


@lru_cache(maxsize=16)
def _radial_limit(coefficients: tuple[float, ...]) -> float:
    """Return the radius at which the radial terms first turn back, or have a pole."""
    above, below = _radial_fraction(coefficients)
    square = _polynomial([0.0, 1.0])
    # The sign of the derivative of r N(s) / D(s) by r, with s = r^2.
    slope = (above + 2 * square * above.deriv()) * below - 2 * square * above * below.deriv()
    return math.sqrt(min(_first_root(slope.coef), _first_root(below.coef)))


def _radial_fraction(
        coefficients: Sequence[float] | np.ndarray) -> 'tuple[Polynomial, Polynomial]':
    """Return N and D of the radial distortion r N(r^2) / D(r^2)."""
    k = np.zeros(8)
    k[:min(8, len(coefficients))] = coefficients[:8]
    return _polynomial([1.0, k[0], k[1], k[4]]), _polynomial([1.0, *k[5:]])


def _polynomial(coefficients: Sequence[float] | np.ndarray) -> 'Polynomial':
    # Few cameras need it, and every start of a node would pay for the import.
    from numpy.polynomial import Polynomial
    return Polynomial(coefficients)


def _first_root(coefficients: np.ndarray) -> float:
    """Return the smallest positive real root of a polynomial, infinity if there is none."""
    # No camera sees so far that smaller ones matter, and their quotients would be infinite.
    roots = np.asarray(_polynomial(coefficients).trim(1e-12).roots(), np.complex128)
    real = roots.real[(np.abs(roots.imag) <= 1e-9 * np.abs(roots)) & (roots.real > 0)]
    return float(real.min(initial=np.inf))


def encode_grasps(pixels: np.ndarray, depths: np.ndarray, yaws: np.ndarray,
                  focal: tuple[float, float], transform: np.ndarray, image_size: int,
                  half_width_m: float, lead_times: np.ndarray | None = None) -> np.ndarray:
    """
    Describe grasps in the network's normalised image coordinates.

    :param pixels: float64, shape ``(K, 2)``, image points in the camera's image.
    :param depths: float64, shape ``(K,)``, metres.
    :param yaws: float64, shape ``(K,)``, radians about the optical axis.
    :param focal: focal lengths along x and y, pixels of the camera's image.
    :param transform: from :func:`letterbox`.
    :param image_size: side of the network's square input, pixels.
    :param half_width_m: half of the gripper's opening, metres.
    :param lead_times: float64, shape ``(K,)``: time until the fingers close, seconds; ``None``
        for a network without time inputs.
    :returns: float32, shape ``(K, 5)``: x and y in [-1, 1] (the image's outer edges), depth in
        metres, and the vector from the grasp point to a fingertip, in units of x and y; with
        lead times they are a sixth column.
    """
    scale, shift = transform[0], transform[1:]
    unit = 2 / image_size
    points = (pixels * scale + shift + 0.5) * unit - 1
    reach = half_width_m * np.asarray(focal, np.float64) / depths[:, None] * scale * unit
    fingers = reach * np.stack([np.cos(yaws), np.sin(yaws)], axis=1)
    columns = [points, depths[:, None], fingers]
    if lead_times is not None:
        columns.append(lead_times[:, None])
    return np.concatenate(columns, axis=1).astype(np.float32)
