"""What goes into the predictor and what comes out: plain data, without ROS and without torch."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from moss_perception.core import images as imaging
from moss_perception.core.errors import CandidateError, ConfigError
import numpy as np


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


@dataclass(frozen=True)
class Camera:
    """
    A calibrated camera, as sensor_msgs/CameraInfo describes it.

    :ivar width: image width, pixels.
    :ivar height: image height, pixels.
    :ivar matrix: float array, shape ``(3, 3)``, of the unrectified image (``K``), pixels.
    :ivar distortion: float array, shape ``(N,)`` (``D``); empty for none.
    :ivar model: ``plumb_bob``, ``rational_polynomial``, ``equidistant`` or empty for none.
    """

    width: int
    height: int
    matrix: np.ndarray
    distortion: np.ndarray = field(default_factory=lambda: np.zeros(0))
    model: str = 'plumb_bob'

    def __post_init__(self):
        if self.matrix.shape != (3, 3) or not (self.matrix[0, 0] > 0 and self.matrix[1, 1] > 0):
            raise ConfigError(
                f'camera matrix must be 3 x 3 with positive focal lengths, got {self.matrix!r}')


@dataclass(frozen=True)
class Candidates:
    """
    Grasp candidates, in the camera's optical frame (x right, y down, z forward).

    :ivar stamp_ns: when they hold, nanoseconds, above 0.
    :ivar frame_id: must be the images' frame_id.
    :ivar positions: float64, shape ``(K, 3)``, metres.
    :ivar yaws: float64, shape ``(K,)``, radians about the optical axis: the direction in which
        the gripper closes; the same grasp for yaw and yaw + pi.
    """

    stamp_ns: int
    frame_id: str
    positions: np.ndarray
    yaws: np.ndarray

    def __post_init__(self):
        if self.stamp_ns <= 0:
            raise CandidateError(f'candidates need a stamp above 0, got {self.stamp_ns}')
        if self.positions.ndim != 2 or self.positions.shape[1] != 3:
            raise CandidateError(
                f'candidate positions must be (K, 3), got {self.positions.shape}')
        if self.yaws.shape != self.positions.shape[:1]:
            raise CandidateError(
                f'expected {len(self.positions)} candidate yaws, got {self.yaws.shape}')


@dataclass(frozen=True)
class Prediction:
    """
    What the predictor says of the newest sample.

    :ivar stamp_ns: header stamp of the newest frame used, nanoseconds.
    :ivar frame_id: the camera's optical frame.
    :ivar score: probability in [0, 1] that a grasp at the default grasp point succeeds.
    :ivar uncertainty: standard deviation of that probability over the ensemble, in [0, 0.5].
    :ivar default_point: float64, shape ``(3,)``, metres; NaN without a calibrated camera.
    :ivar points: float64, shape ``(K, 3)``: the candidates' positions, in order, metres.
    :ivar pixels: float64, shape ``(K, 2)``: their image points (column, row) in the camera's
        image; NaN where a candidate can't be projected.
    :ivar scores: float64, shape ``(K,)``, in [0, 1]; NaN where it can't be projected.
    :ivar uncertainties: float64, shape ``(K,)``, in [0, 0.5]; NaN likewise.
    :ivar motion_features: float32, shape ``(h, w, D)``: the MOSS map.
    :ivar size: height and width of the camera's image, pixels.
    :ivar source: the image that was scored, checked but not decoded; see :attr:`image`.
    :ivar missing_in_window: how many samples of the window repeat the one before.
    :ivar decode_s: seconds spent decoding and resizing.
    :ivar inference_s: seconds spent in the engine.
    :ivar novelty: how far what the network sees is from its training, 0 or more; one in twenty
        of training's own samples is beyond 1; NaN if the checkpoint does not say. Beyond 1 it is
        part of the uncertainties, see :func:`moss_perception.runtime.ood.widen`.
    """

    stamp_ns: int
    frame_id: str
    score: float
    uncertainty: float
    default_point: np.ndarray
    points: np.ndarray
    pixels: np.ndarray
    scores: np.ndarray
    uncertainties: np.ndarray
    motion_features: np.ndarray
    size: tuple[int, int]
    source: Any
    missing_in_window: int = 0
    decode_s: float = 0.0
    inference_s: float = 0.0
    novelty: float = float('nan')

    @cached_property
    def image(self) -> np.ndarray:
        """
        The camera's image that was scored, whole: uint8, RGB, shape ``(H, W, 3)``.

        Decoded when it is asked for: the network saw less of it.
        """
        return self.source if isinstance(self.source, np.ndarray) else imaging.decode(self.source)
