"""
Inputs of the predictor as plain data, without ROS and without torch.

The functions that read messages only read fields, so messages of rclpy and of a recording both
work.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from moss_perception.core.errors import CandidateError, ConfigError
import numpy as np

DISTORTION_COEFFICIENTS = {
    '': (0,), 'plumb_bob': (0, 4, 5), 'rational_polynomial': (0, 4, 5, 8, 12, 14),
    'equidistant': (4,)}
"""Numbers of coefficients that OpenCV's projection takes, by CameraInfo's distortion model."""

MOST_CANDIDATES = 1000
"""Most poses of a PoseArray. Each costs time at every image, and a planner has some dozens."""

# What drivers call these models, too.
_OTHER_NAMES = {'fisheye': 'equidistant'}


@dataclass(frozen=True)
class Frame:
    """
    One camera image with its stamp.

    :ivar stamp_ns: header stamp, nanoseconds, above 0.
    :ivar frame_id: the camera's optical frame.
    :ivar image: uint8 array, RGB, shape ``(H, W, 3)``; or anything that
        :func:`moss_perception.core.images.decode` takes (a raw or compressed image message); or
        what :mod:`moss_perception.runtime.sampling` prepares from these ahead of time.
    """

    stamp_ns: int
    frame_id: str
    image: Any


@dataclass(frozen=True, eq=False)
class Camera:
    """
    A calibrated camera, as sensor_msgs/CameraInfo describes it.

    :ivar width: width of the image that was calibrated, pixels.
    :ivar height: its height, pixels.
    :ivar matrix: float array, shape ``(3, 3)``, pixels: ``K``, or of rectified images the
        left part of ``P``.
    :ivar distortion: float array, shape ``(N,)`` (``D``); empty for none.
    :ivar model: a key of ``DISTORTION_COEFFICIENTS``; empty for none. ``fisheye`` is taken for
        ``equidistant``.
    :ivar region: the part of it that images show: left, top, width and height, pixels; a width
        and height of 0 for all of it.
    :ivar binning: how many of its columns and rows make one of the images'.
    """

    width: int
    height: int
    matrix: np.ndarray
    distortion: np.ndarray = field(default_factory=lambda: np.zeros(0))
    model: str = 'plumb_bob'
    region: tuple[int, int, int, int] = (0, 0, 0, 0)
    binning: tuple[int, int] = (1, 1)

    def __post_init__(self):
        matrix = self.matrix
        if matrix.shape != (3, 3) or not (
                np.isfinite(matrix).all() and matrix[0, 0] > 0 and matrix[1, 1] > 0
                and matrix[2].tolist() == [0, 0, 1] and np.linalg.det(matrix) > 0):
            raise ConfigError(
                f'the camera has the matrix {matrix.tolist()}: expected 3 x 3 finite numbers, '
                'focal lengths above 0, a last row of 0, 0, 1 and an inverse')
        model = _OTHER_NAMES.get(self.model, self.model)
        # A frozen dataclass can only set its own fields like this.
        object.__setattr__(self, 'model', model)
        object.__setattr__(self, 'distortion', fit_distortion(model, self.distortion))

    def __eq__(self, other: object) -> bool:
        """Compare every value; most calibrations of a stream are the same."""
        return isinstance(other, Camera) and (
            (self.width, self.height, self.model, self.region, self.binning)
            == (other.width, other.height, other.model, other.region, other.binning)
            and np.array_equal(self.matrix, other.matrix)
            and np.array_equal(self.distortion, other.distortion))

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of the images, by the region and the binning, pixels."""
        width, height = self.region[2] or self.width, self.region[3] or self.height
        return width // self.binning[0], height // self.binning[1]

    def at_size(self, width: int, height: int) -> 'Camera | None':
        """
        Return the calibration of images of this size, ``None`` if it does not fit them.

        Some drivers set a binning and calibrate the binned image, so the size decides.
        """
        if (width, height) == (self.width, self.height):
            return self
        if (width, height) != self.image_size:
            return None
        # A pixel's centre is at a whole number, its edge half a pixel before.
        matrix, (x, y) = self.matrix.copy(), self.binning
        matrix[:2, 2] += 0.5 - np.array(self.region[:2])
        matrix[:2] /= [[x], [y]]
        matrix[:2, 2] -= 0.5
        return Camera(width, height, matrix, self.distortion, self.model)

    def scaled(self, width: int, height: int) -> 'Camera':
        """Return the calibration of images that were scaled to another size, pixels."""
        x, y = width / self.width, height / self.height
        # The left edge of the image is at -0.5, and stays there.
        matrix = np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]]) @ self.matrix
        return Camera(width, height, matrix, self.distortion, self.model)


def fit_distortion(model: str, coefficients: np.ndarray) -> np.ndarray:
    """
    Check a distortion model, and bring its coefficients to a count that OpenCV takes.

    Drivers write zeros behind the coefficients of a model, or leave the last ones out.

    :param coefficients: float array, shape ``(N,)``.
    :raises ConfigError: naming the value and what was expected.
    """
    counts = DISTORTION_COEFFICIENTS.get(model)
    if counts is None:
        raise ConfigError(f'the camera has distortion model {model!r}: expected one of '
                          f'{", ".join(filter(None, DISTORTION_COEFFICIENTS))}')
    used, least = np.trim_zeros(coefficients, 'b'), min(filter(None, counts), default=0)
    count = len(coefficients) if len(coefficients) in counts else next(
        (x for x in counts if x >= len(used)), 0)
    # Any other number of zeros is nobody's calibration of a fisheye lens.
    unset = model == 'equidistant' and not len(used) and len(coefficients) not in counts
    short = len(used) and len(coefficients) < least
    if unset or short or len(used) > count or not np.isfinite(coefficients).all():
        expected = ' or '.join(map(str, filter(None, counts))) or 'no'
        raise ConfigError(f'the camera has distortion {coefficients.tolist()}: expected '
                          f'{expected} finite coefficients for {model or "no distortion model"}, '
                          'and only zeros behind them')
    return np.append(used, np.zeros(count - len(used)))


@dataclass(frozen=True)
class Candidates:
    """
    Grasp candidates, in the camera's optical frame (x right, y down, z forward).

    One bad pose does not spoil the others: see :attr:`valid`.

    :ivar stamp_ns: the candidates hold for frames from this stamp on, nanoseconds, above 0.
    :ivar frame_id: the images' frame_id; candidates in another frame get no scores.
    :ivar positions: float64, shape ``(K, 3)``, metres.
    :ivar orientations: float64, shape ``(K, 4)``, unit quaternions x y z w; the x axis of the
        gripper is the direction in which it closes.
    :ivar lead_times: float64, shape ``(K,)``: from the stamp of the newest frame until the
        fingers close on the object, seconds, 0 or more; ``None`` if they are not known.
    """

    stamp_ns: int
    frame_id: str
    positions: np.ndarray
    orientations: np.ndarray
    lead_times: np.ndarray | None = None

    def __post_init__(self):
        if self.stamp_ns <= 0:
            raise CandidateError(f'candidates need a stamp above 0, got {self.stamp_ns}')
        if self.positions.ndim != 2 or self.positions.shape[1] != 3:
            raise CandidateError(
                f'candidate positions must be (K, 3), got {self.positions.shape}')
        if self.orientations.shape != (len(self.positions), 4):
            raise CandidateError(f'candidate orientations must be ({len(self.positions)}, 4), '
                                 f'got {self.orientations.shape}')
        if self.lead_times is not None:
            check_lead_times(self.lead_times, len(self.positions))

    @classmethod
    def from_yaws(cls, stamp_ns: int, frame_id: str, positions: np.ndarray,
                  yaws: np.ndarray, lead_times: np.ndarray | None = None) -> 'Candidates':
        """
        Build candidates that are rotated about the optical axis only.

        :param yaws: shape ``(K,)``, radians; the other parameters are the fields of this class.
        """
        return cls(stamp_ns, frame_id, positions, orientations_from_yaws(yaws), lead_times)

    @cached_property
    def valid(self) -> np.ndarray:
        """Whether a pose is a finite position and a unit quaternion: bool, shape ``(K,)``."""
        return np.isfinite(self.positions).all(axis=1) & unit_quaternions(self.orientations)

    def problem(self) -> str:
        """Describe the first pose that can't be scored, or return an empty text."""
        wrong = np.flatnonzero(~self.valid)
        if not len(wrong):
            return ''
        position, orientation = (x[wrong[0]].tolist() for x in (self.positions, self.orientations))
        return (f"{len(wrong)} of {len(self.positions)} candidates can't be scored: candidate "
                f'{wrong[0]} has position {position} and orientation {orientation}, expected '
                'finite numbers and a unit quaternion')

    @cached_property
    def yaws(self) -> np.ndarray:
        """
        Angles of the closing direction in the image plane: float64, shape ``(K,)``.

        Radians about the optical axis; yaw and yaw + pi are the same grasp.
        """
        return yaws_from_orientations(self.orientations)


def check_lead_times(values: np.ndarray, count: int) -> None:
    """
    Check the lead times of some candidates.

    :param values: float64, shape ``(count,)``, seconds.
    :raises CandidateError: if their number differs, or one is not finite or below 0.
    """
    if values.shape != (count,):
        raise CandidateError(f'lead times have the shape {values.shape}: expected ({count},), '
                             'one for each candidate')
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if len(wrong):
        raise CandidateError(f'lead time {values[wrong[0]]:g} s of candidate {wrong[0]} is not '
                             'allowed: expected a finite number of seconds, 0 or more')


def unit_quaternions(quaternions: np.ndarray) -> np.ndarray:
    """Tell which quaternions, shape ``(K, 4)``, are of unit length: bool, shape ``(K,)``."""
    norms = (quaternions ** 2).sum(axis=1)
    # Twice as wide as the rounding of a quaternion that was printed with two digits.
    return (norms > 0.9) & (norms < 1.1)


def orientations_from_yaws(yaws: np.ndarray) -> np.ndarray:
    """
    Write rotations about the optical axis as quaternions.

    :param yaws: shape ``(K,)``, radians.
    :returns: float64, shape ``(K, 4)``, x y z w.
    """
    half, zeros = np.asarray(yaws, np.float64) / 2, np.zeros(len(yaws))
    return np.stack([zeros, zeros, np.sin(half), np.cos(half)], axis=1)


def yaws_from_orientations(orientations: np.ndarray) -> np.ndarray:
    """
    Return the directions of the x axis about the optical axis.

    :param orientations: shape ``(K, 4)``, quaternions x y z w.
    :returns: float64, shape ``(K,)``, radians.
    """
    x, y, z, w = np.asarray(orientations, np.float64).T
    return np.arctan2(2 * (x * y + z * w), w * w + x * x - y * y - z * z)


def stamp_to_ns(stamp: Any) -> int:
    """Return a stamp in nanoseconds."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def to_frame(message: Any) -> Frame:
    """
    Wrap an image message, without decoding it.

    :param message: with the fields of sensor_msgs/Image or CompressedImage, and a header.
    """
    return Frame(stamp_to_ns(message.header.stamp), message.header.frame_id, message)


def to_candidates(message: Any, most: int | None = None) -> Candidates:
    """
    Read grasp candidates.

    A pose that is not finite, or not a rotation, is kept; it gets no score.

    :param message: with the fields of geometry_msgs/PoseArray: poses in the camera's optical
        frame, x the direction in which the gripper closes.
    :param most: how many poses may be in it; ``None`` for any number.
    :raises CandidateError: if the stamp is 0, or there are too many poses.
    """
    if most is not None and len(message.poses) > most:
        raise CandidateError(f'{len(message.poses)} candidates came at once: expected at most '
                             f'{most}, the parameter max_candidates')
    positions = [(p.position.x, p.position.y, p.position.z) for p in message.poses]
    orientations = [(p.orientation.x, p.orientation.y, p.orientation.z, p.orientation.w)
                    for p in message.poses]
    return Candidates(
        stamp_to_ns(message.header.stamp), message.header.frame_id,
        np.array(positions, np.float64).reshape(-1, 3),
        np.array(orientations, np.float64).reshape(-1, 4))
