"""How images relate to the calibration and the candidates: rectified or not, in which frame."""

from dataclasses import dataclass, field
from pathlib import Path
import re
from typing import Any

from moss_perception.core.errors import BagError, ConfigError
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
class _WholeImage:
    """The region of interest of a calibration in a file."""

    x_offset: int = 0
    y_offset: int = 0
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class CalibrationFile:
    """
    A calibration in a file: the fields of sensor_msgs/CameraInfo that :func:`to_camera` reads.

    :ivar width: of the images, pixels; ``height`` likewise.
    :ivar k: the camera matrix, 9 numbers row by row, pixels.
    :ivar d: the coefficients of ``distortion_model``.
    :ivar r: rotation to the rectified images, 9 numbers.
    :ivar p: projection of the rectified images, 12 numbers, pixels; zeros if it is not known.
    """

    width: int
    height: int
    k: tuple[float, ...]
    d: tuple[float, ...]
    distortion_model: str
    r: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    p: tuple[float, ...] = (0.0,) * 12
    binning_x: int = 0
    binning_y: int = 0
    roi: _WholeImage = field(default_factory=_WholeImage)


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
    :ivar calibration: of the images, in place of a recorded one; ``None`` to use that.
    :raises ConfigError: if a value is not allowed, or there is a frame and no transform.
    """

    rectified: str = AUTO
    candidates_frame: str = ''
    candidates_transform: Transform | None = None
    calibration: CalibrationFile | None = None

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
           candidates_transform: Any = None, calibration: Path | str = '') -> 'CameraSetup':
        """
        Read values as parameters and options give them.

        :param rectified: a text, or a boolean, as which YAML reads ``true``.
        :param candidates_transform: see :func:`moss_perception.core.transforms.parse_transform`.
        :param calibration: file that :func:`read_calibration_file` reads; empty for none.
        :raises ConfigError: if a value is not allowed.
        :raises BagError: if the calibration can't be read or used.
        """
        text = str(rectified).lower() if isinstance(rectified, bool) else rectified
        return cls(text, candidates_frame, parse_transform(candidates_transform),
                   read_calibration_file(Path(calibration)) if calibration else None)

    def camera(self, image_topic: str) -> Camera | None:
        """
        Return the camera of the calibration in a file; ``None`` without one.

        :param image_topic: topic of the images, which may say that they are rectified.
        :raises ConfigError: if the calibration can't be used for such images.
        """
        if self.calibration is None:
            return None
        return to_camera(self.calibration, image_topic, self.rectified)

    @property
    def values(self) -> dict[str, str]:
        """The settings of a node as texts that :meth:`of` reads, without those not set."""
        found = {'rectified': self.rectified, 'candidates_frame': self.candidates_frame,
                 'candidates_transform': '' if self.candidates_transform is None
                 else self.candidates_transform.numbers}
        return {name: text for name, text in found.items() if text}


def read_calibration_file(path: Path) -> CalibrationFile:
    """
    Read what camera_calibration and camera_info_manager write.

    :param path: YAML with image_width, image_height, camera_matrix, distortion_model and
        distortion_coefficients; and perhaps rectification_matrix and projection_matrix, which
        rectified images need.
    :raises BagError: if it can't be read or used.
    """
    # The node reads its calibration from a topic.
    import yaml
    try:
        values = yaml.safe_load(path.expanduser().read_text(encoding='utf-8'))
        more: dict[str, Any] = {short: _numbers(values[name], count) for short, name, count in (
            ('r', 'rectification_matrix', 9), ('p', 'projection_matrix', 12)) if name in values}
        found = CalibrationFile(
            int(values['image_width']), int(values['image_height']),
            _numbers(values['camera_matrix'], 9), _numbers(values['distortion_coefficients']),
            values['distortion_model'], **more)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        reason = getattr(error, 'strerror', None) or ' '.join(str(error).split())
        raise BagError(f"calibration {path} can't be read: {reason}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise BagError(
            f'calibration {path} lacks or garbles a value ({" ".join(str(error).split())}): '
            'expected image_width, image_height, camera_matrix, distortion_model and '
            'distortion_coefficients') from error
    if not (found.width > 0 and found.height > 0):
        raise BagError(f'calibration {path} is of {found.width} x {found.height} pixels: expected '
                       'sides above 0')
    try:
        Camera(found.width, found.height, np.array(found.k).reshape(3, 3), np.array(found.d),
               found.distortion_model)
    except ConfigError as error:
        raise BagError(f'calibration {path} cannot be used: {error}') from None
    return found


def _numbers(values: Any, count: int | None = None) -> tuple[float, ...]:
    found = np.array(values['data'], np.float64).ravel()
    if count is not None and len(found) != count:
        raise ValueError(f'{len(found)} numbers in place of {count}')
    return tuple(found.tolist())


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
