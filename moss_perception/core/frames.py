"""Inputs and outputs of the predictor: plain data, without ROS and without torch."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from moss_perception.core import images as imaging
from moss_perception.core.errors import CandidateError, ConfigError
import numpy as np

DISTORTION_COEFFICIENTS = {
    '': (0,), 'plumb_bob': (0, 4, 5), 'rational_polynomial': (0, 8, 12, 14), 'equidistant': (4,)}
"""Numbers of coefficients that OpenCV's projection takes, by CameraInfo's distortion model."""


@dataclass(frozen=True)
class Frame:
    """
    One camera image with its stamp.

    :ivar stamp_ns: header stamp, nanoseconds, above 0.
    :ivar frame_id: the camera's optical frame.
    :ivar image: uint8 array, RGB, shape ``(H, W, 3)``; or anything that
        :func:`moss_perception.core.images.decode` takes (a raw or compressed image message); or
        what :mod:`moss_perception.runtime.fitting` prepares from these ahead of time.
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
    :ivar matrix: float array, shape ``(3, 3)``, of the unrectified image (``K``), pixels.
    :ivar distortion: float array, shape ``(N,)`` (``D``); empty for none.
    :ivar model: a key of ``DISTORTION_COEFFICIENTS``; empty for none.
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
        if self.matrix.shape != (3, 3) or not (self.matrix[0, 0] > 0 and self.matrix[1, 1] > 0):
            raise ConfigError(
                f'camera matrix must be 3 x 3 with positive focal lengths, got {self.matrix!r}')
        check_distortion(self.model, self.distortion)

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


def check_distortion(model: str, coefficients: np.ndarray) -> None:
    """
    Check a distortion model and its coefficients.

    :param coefficients: float array, shape ``(N,)``.
    :raises ConfigError: naming the value and what was expected.
    """
    counts = DISTORTION_COEFFICIENTS.get(model)
    if counts is None:
        raise ConfigError(f'the camera has distortion model {model!r}: expected one of '
                          f'{", ".join(filter(None, DISTORTION_COEFFICIENTS))}')
    if len(coefficients) not in counts or not np.isfinite(coefficients).all():
        expected = ' or '.join(map(str, counts))
        raise ConfigError(f'the camera has distortion {coefficients.tolist()}: expected '
                          f'{expected} finite coefficients for {model or "no distortion model"}')


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
    """

    stamp_ns: int
    frame_id: str
    positions: np.ndarray
    orientations: np.ndarray

    def __post_init__(self):
        if self.stamp_ns <= 0:
            raise CandidateError(f'candidates need a stamp above 0, got {self.stamp_ns}')
        if self.positions.ndim != 2 or self.positions.shape[1] != 3:
            raise CandidateError(
                f'candidate positions must be (K, 3), got {self.positions.shape}')
        if self.orientations.shape != (len(self.positions), 4):
            raise CandidateError(f'candidate orientations must be ({len(self.positions)}, 4), '
                                 f'got {self.orientations.shape}')

    @classmethod
    def from_yaws(cls, stamp_ns: int, frame_id: str, positions: np.ndarray,
                  yaws: np.ndarray) -> 'Candidates':
        """
        Build candidates that are rotated about the optical axis only.

        :param yaws: shape ``(K,)``, radians; the other parameters are the fields of this class.
        """
        return cls(stamp_ns, frame_id, positions, orientations_from_yaws(yaws))

    @cached_property
    def valid(self) -> np.ndarray:
        """Whether a pose is a finite position and a unit quaternion: bool, shape ``(K,)``."""
        norms = (self.orientations ** 2).sum(axis=1)
        # Twice as wide as the rounding of a quaternion that was printed with two digits.
        return np.isfinite(self.positions).all(axis=1) & (norms > 0.9) & (norms < 1.1)

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
        x, y, z, w = self.orientations.T
        return np.arctan2(2 * (x * y + z * w), w * w + x * x - y * y - z * z)


def orientations_from_yaws(yaws: np.ndarray) -> np.ndarray:
    """
    Write rotations about the optical axis as quaternions.

    :param yaws: shape ``(K,)``, radians.
    :returns: float64, shape ``(K, 4)``, x y z w.
    """
    half, zeros = np.asarray(yaws, np.float64) / 2, np.zeros(len(yaws))
    return np.stack([zeros, zeros, np.sin(half), np.cos(half)], axis=1)


@dataclass(frozen=True)
class WatchedScores:
    """
    Scores of the grasps that a predictor was told to watch, in their order.

    :ivar scores: float64, shape ``(W,)``, in [0, 1]; NaN where the grasp can't be scored.
    :ivar uncertainties: float64, shape ``(W,)``, in [0, 0.5]; NaN likewise.
    :ivar rows: int, shape ``(W,)``: row of each among the grasps that the network was given, of
        which row 0 is the default grasp; -1 where it can't be scored.
    :ivar reasons: of :class:`moss_perception.core.scores.ScoreReason`, shape ``(W,)``.
    :ivar listed: bool, shape ``(W,)``: whether the grasp is one of the candidates, too, up to a
        tenth of a millimetre.
    """

    scores: np.ndarray
    uncertainties: np.ndarray
    rows: np.ndarray
    reasons: np.ndarray
    listed: np.ndarray


@dataclass(frozen=True)
class Prediction:
    """
    The scores of the newest sample.

    :ivar stamp_ns: header stamp of the newest frame used, nanoseconds.
    :ivar frame_id: the camera's optical frame.
    :ivar score: probability in [0, 1] that a grasp at the default grasp point succeeds.
    :ivar uncertainty: standard deviation of that probability over the ensemble, in [0, 0.5].
    :ivar default_point: float64, shape ``(3,)``, metres; NaN without a calibrated camera.
    :ivar default_orientation: float64, shape ``(4,)``, quaternion x y z w.
    :ivar candidates_stamp_ns: stamp of the candidates that were scored, nanoseconds; 0 for none.
    :ivar points: float64, shape ``(K, 3)``: the candidates' positions in the camera's frame, in
        order, metres; NaN for candidates of another frame.
    :ivar orientations: float64, shape ``(K, 4)``: their quaternions x y z w; NaN likewise.
    :ivar pixels: float64, shape ``(K, 2)``: their image points (column, row) in the camera's
        image; NaN for candidates without a score.
    :ivar scores: float64, shape ``(K,)``, in [0, 1]; NaN for candidates without a score.
    :ivar uncertainties: float64, shape ``(K,)``, in [0, 0.5]; NaN likewise.
    :ivar reasons: uint8, shape ``(K,)``: why a candidate has no score, see
        :class:`moss_perception.core.scores.ScoreReason`.
    :ivar motion_features: float32, shape ``(h, w, D)``: the MOSS map.
    :ivar size: height and width of the camera's image, pixels.
    :ivar source: the image that was scored, checked but not decoded; see :attr:`image`.
    :ivar missing_in_window: how many samples of the window repeat the one before.
    :ivar decode_s: seconds spent decoding and resizing.
    :ivar inference_s: seconds spent in the engine.
    :ivar ood_score: how far the network's features are from those of training, 0 or more; one in
        twenty training samples is above 1; NaN if the checkpoint cannot tell. Above 1 it
        inflates the uncertainties, see :func:`moss_perception.runtime.ood.widen`.
    :ivar watched: scores of the watched grasps, apart from the candidates; ``None`` where none
        are watched.
    """

    stamp_ns: int
    frame_id: str
    score: float
    uncertainty: float
    default_point: np.ndarray
    default_orientation: np.ndarray
    candidates_stamp_ns: int
    points: np.ndarray
    orientations: np.ndarray
    pixels: np.ndarray
    scores: np.ndarray
    uncertainties: np.ndarray
    reasons: np.ndarray
    motion_features: np.ndarray
    size: tuple[int, int]
    source: Any
    missing_in_window: int = 0
    decode_s: float = 0.0
    inference_s: float = 0.0
    ood_score: float = float('nan')
    watched: WatchedScores | None = None

    @cached_property
    def image(self) -> np.ndarray:
        """
        The whole camera image that was scored: uint8, RGB, shape ``(H, W, 3)``.

        It is decoded on first use; the network reads a smaller one.
        """
        return self.source if isinstance(self.source, np.ndarray) else imaging.decode(self.source)
