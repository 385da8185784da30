"""Camera calibrations in the YAML format of ROS's camera_calibration."""

from dataclasses import dataclass
from pathlib import Path

from moss_perception.core.errors import BagError, ClipError, ConfigError
from moss_perception.core.frames import check_distortion
import numpy as np

# Scaling rounds sides to whole pixels.
_SAME_SHAPE = 0.01


@dataclass(frozen=True)
class Calibration:
    """
    A calibrated camera, of the unrectified image.

    :ivar width: width of the calibrated image, pixels.
    :ivar height: height of the calibrated image, pixels.
    :ivar matrix: float64, shape ``(3, 3)``, pixels.
    :ivar distortion: float64, shape ``(N,)``.
    :ivar model: distortion model, ``plumb_bob``, ``rational_polynomial`` or ``equidistant``.
    """

    width: int
    height: int
    matrix: np.ndarray
    distortion: np.ndarray
    model: str

    def check(self, width: int, height: int) -> None:
        """
        Check the aspect ratio of a clip.

        :raises ClipError: if it differs from that of the calibration.
        """
        if abs(width * self.height / (height * self.width) - 1) > _SAME_SHAPE:
            raise ClipError(f'images of {width} x {height} pixels: the calibration is of '
                            f'{self.width} x {self.height}, expected the same shape')

    def scaled(self, width: int, height: int) -> np.ndarray:
        """
        Return the matrix for images of another size.

        :returns: float64, shape ``(3, 3)``, pixels; pixels' centres are whole numbers.
        """
        x, y = width / self.width, height / self.height
        # The left edge of the image is at -0.5, and stays there.
        return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]]) @ self.matrix


def read_calibration(path: Path) -> Calibration:
    """
    Read what camera_calibration and camera_info_manager write.

    :param path: YAML with image_width, image_height, camera_matrix, distortion_model and
        distortion_coefficients.
    :raises BagError: if it can't be read or used.
    """
    import yaml
    try:
        values = yaml.safe_load(path.read_text(encoding='utf-8'))
        model = values['distortion_model']
        calibration = Calibration(
            int(values['image_width']), int(values['image_height']),
            np.array(values['camera_matrix']['data'], np.float64).reshape(3, 3),
            np.array(values['distortion_coefficients']['data'], np.float64).ravel(), model)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, 'strerror', None) or ' '.join(str(error).split())
        raise BagError(f"calibration {path} can't be read: {reason}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise BagError(
            f'calibration {path} lacks or garbles a value ({" ".join(str(error).split())}): '
            'expected image_width, image_height, camera_matrix, distortion_model and '
            'distortion_coefficients') from error
    _check(path, calibration)
    return calibration


def _check(path: Path, calibration: Calibration) -> None:
    matrix, distortion, model = calibration.matrix, calibration.distortion, calibration.model
    if not (calibration.width > 0 and calibration.height > 0):
        raise BagError(f'calibration {path} is of {calibration.width} x {calibration.height} '
                       'pixels: expected sides above 0')
    if not (np.isfinite(matrix).all() and matrix[0, 0] > 0 and matrix[1, 1] > 0
            and matrix[2].tolist() == [0, 0, 1]):
        raise BagError(f'calibration {path} has the matrix {matrix.ravel().tolist()}: expected '
                       'finite numbers, focal lengths above 0 and a last row of 0, 0, 1')
    try:
        check_distortion(model, distortion)
    except ConfigError as error:
        raise BagError(f'calibration {path} cannot be used: {error}') from None
