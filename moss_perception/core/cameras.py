"""How images relate to the calibration and the candidates: rectified or not, in which frame."""

from dataclasses import dataclass
import re
from typing import Any

from moss_perception.core.errors import ConfigError
from moss_perception.core.frames import Camera
from moss_perception.core.transforms import parse_transform, Transform
import numpy as np

AUTO, RECTIFIED, RAW = 'auto', 'true', 'false'
RECTIFICATIONS = (AUTO, RECTIFIED, RAW)
_MOST_KNOWN = 32
# As image_proc, ZED and RealSense name rectified images: image_rect, image_rect_color,
# image_rect_raw, rect/image.
_RECT_NAME = re.compile(r'(?:^|_)rect(?:ified)?(?:_|$)')


@dataclass(frozen=True)
class CameraSetup:
    """
    What a user says about the camera where messages do not say it.

    :ivar rectified: whether the images are rectified: ``auto`` (by the topic's name and the
        calibration), ``true`` or ``false``.
    :ivar candidates_frame: the frame that ``candidates_transform`` maps from; empty for whatever
        frame the candidates name.
    :ivar candidates_transform: pose of that frame in the camera's optical frame; ``None`` for
        none.
    :raises ConfigError: if a value is not allowed, or there is a frame and no transform.
    """

    rectified: str = AUTO
    candidates_frame: str = ''
    candidates_transform: Transform | None = None

    def __post_init__(self):
        if self.rectified not in RECTIFICATIONS:
            raise ConfigError(f'rectified={self.rectified!r} is not allowed: expected one of '
                              f'{", ".join(RECTIFICATIONS)}')
        if self.candidates_frame and self.candidates_transform is None:
            raise ConfigError(
                f'candidates_frame={self.candidates_frame!r} is not allowed without '
                'candidates_transform: expected the pose of this frame in the camera frame, too')

    @classmethod
    def of(cls, rectified: Any = AUTO, candidates_frame: str = '',
           candidates_transform: Any = None) -> 'CameraSetup':
        """
        Read values as parameters and options give them.

        :param rectified: a text, or a boolean, as which YAML reads ``true``.
        :param candidates_transform: see :func:`moss_perception.core.transforms.parse_transform`.
        :raises ConfigError: if a value is not allowed.
        """
        text = str(rectified).lower() if isinstance(rectified, bool) else rectified
        return cls(text, candidates_frame, parse_transform(candidates_transform))

    @property
    def values(self) -> dict[str, str]:
        """The settings as texts that :meth:`of` reads, without those that are not set."""
        found = {'rectified': self.rectified, 'candidates_frame': self.candidates_frame,
                 'candidates_transform': '' if self.candidates_transform is None
                 else self.candidates_transform.numbers}
        return {name: text for name, text in found.items() if text}


def to_camera(message: Any, image_topic: str = '', rectified: str = AUTO) -> Camera:
    """
    Read a camera's calibration.

    Binning and region of interest are kept: :meth:`Camera.at_size` applies them to images.

    :param message: with the fields of sensor_msgs/CameraInfo.
    :param image_topic: topic of the images, which may say that they are rectified.
    :param rectified: ``true``: use P and ignore D; ``false``: use K and D; ``auto``: decide by
        the topic's name, where the calibration makes a difference.
    :raises ConfigError: if it holds no calibration, or one that can't be used.
    """
    roi = message.roi
    images = {'region': (roi.x_offset, roi.y_offset, roi.width, roi.height),
              # 0 means 1 in the message.
              'binning': (max(1, message.binning_x), max(1, message.binning_y))}
    matrix, size = np.array(message.k, np.float64).reshape(3, 3), (message.width, message.height)
    if rectified == RECTIFIED or (rectified == AUTO and names_rectified(image_topic)
                                  and _differs(message, matrix)):
        return Camera(*size, _projection(message, image_topic), np.zeros(0), '', **images)
    if not (matrix[0, 0] > 0 and matrix[1, 1] > 0):
        raise ConfigError(f'camera_info is not calibrated: K[0] is {matrix[0, 0]:g} and K[4] is '
                          f'{matrix[1, 1]:g}, expected focal lengths above 0')
    return Camera(*size, matrix, np.array(message.d, np.float64), message.distortion_model,
                  **images)


def names_rectified(image_topic: str) -> bool:
    """Tell whether a topic's name says that its images are rectified."""
    *spaces, name = ['', *image_topic.removesuffix('/compressed').split('/')]
    return bool(_RECT_NAME.search(name)) or spaces[-1] in ('rect', 'rectified')


def _differs(message: Any, matrix: np.ndarray) -> bool:
    """Tell whether rectified images have another projection than K alone."""
    rotation = np.array(message.r, np.float64).reshape(3, 3)
    projection = np.array(message.p, np.float64).reshape(3, 4)[:, :3]
    return bool(np.any(np.array(message.d, np.float64))
                or rotation.any() and not np.allclose(rotation, np.eye(3), atol=1e-6)
                or projection.any() and not np.allclose(projection, matrix, atol=1e-6))


def _projection(message: Any, image_topic: str) -> np.ndarray:
    """Return the camera matrix of the rectified images."""
    projection = np.array(message.p, np.float64).reshape(3, 4)
    images = f'the images on {image_topic}' if image_topic else 'the images'
    if not (projection[0, 0] > 0 and projection[1, 1] > 0):
        raise ConfigError(
            f'camera_info has no projection of rectified images: P[0] is {projection[0, 0]:g} '
            f'and P[5] is {projection[1, 1]:g}, expected focal lengths above 0, or rectified: '
            f'false if K and D describe {images}')
    if projection[:, 3].any():
        # The message and many drivers disagree about whose frame points are in.
        raise ConfigError(
            f'camera_info is of the second camera of a stereo pair: P[3] is '
            f'{projection[0, 3]:g} and P[7] is {projection[1, 3]:g}, expected 0; use the first '
            f'camera, or rectified: false if K and D describe {images}')
    return projection[:, :3]


class CalibrationCheck:
    """
    Notices calibrations that return after another one, as those of two cameras on one topic do.

    A camera that is calibrated anew has another one from then on, which is no problem.
    """

    def __init__(self):
        self._known: list[Any] = []
        self._newest: Any = None
        self._returns = 0

    def take(self, calibration: Any) -> None:
        """Take the next calibration of a topic, anything that compares by value, or ``None``."""
        if calibration is None or calibration == self._newest:
            return
        self._newest = calibration
        if calibration in self._known:
            self._returns += 1
        elif len(self._known) < _MOST_KNOWN:
            # A zoom lens has another one with each image.
            self._known.append(calibration)

    def lines(self) -> list[str]:
        """Return what is wrong, in words; empty if no calibration returns."""
        if not self._returns:
            return []
        return [f'{len(self._known)} calibrations alternate on one topic, {self._returns} times '
                'an earlier one returns, and candidates are projected by the newest: expected one '
                "camera's calibration on a topic"]
