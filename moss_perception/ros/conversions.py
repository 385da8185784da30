"""Between ROS messages and the predictor's plain data."""

import array
import math
from typing import Any

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseArray, Quaternion
from moss_perception.errors import CandidateError, ConfigError
from moss_perception.grasp.frame import Camera, Candidates, Frame, Prediction
from moss_perception.ros.point_cloud import SCORE_FIELDS
import numpy as np
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header

# Numbers of coefficients that OpenCV's projection takes, by CameraInfo's distortion model.
COEFFICIENTS = {
    '': (0,), 'plumb_bob': (0, 4, 5), 'rational_polynomial': (0, 8, 12, 14), 'equidistant': (4,)}


def stamp_to_ns(stamp: Time) -> int:
    """Return a stamp in nanoseconds."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def ns_to_stamp(stamp_ns: int) -> Time:
    """Return nanoseconds, 0 or more, as a stamp."""
    return Time(sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)


def header(stamp_ns: int, frame_id: str) -> Header:
    """Build a header."""
    return Header(stamp=ns_to_stamp(stamp_ns), frame_id=frame_id)


def to_frame(message: Any) -> Frame:
    """
    Wrap an image message, without decoding it.

    :param message: sensor_msgs/Image or sensor_msgs/CompressedImage.
    """
    return Frame(stamp_to_ns(message.header.stamp), message.header.frame_id, message)


def to_camera(message: CameraInfo) -> Camera:
    """
    Read a camera's calibration.

    :param message: camera_info.
    :raises ConfigError: if it holds no calibration, or one that can't be used.
    """
    matrix = np.array(message.k, np.float64).reshape(3, 3)
    distortion = np.array(message.d, np.float64)
    if not (matrix[0, 0] > 0 and matrix[1, 1] > 0):
        raise ConfigError(f'camera_info is not calibrated: K[0] is {matrix[0, 0]:g} and K[4] is '
                          f'{matrix[1, 1]:g}, expected focal lengths above 0')
    if not (np.isfinite(matrix).all() and matrix[2].tolist() == [0, 0, 1]
            and np.linalg.det(matrix) > 0):
        raise ConfigError(f'camera_info has K {matrix.ravel().tolist()}: expected finite numbers, '
                          'a last row of 0, 0, 1 and an inverse')
    model = message.distortion_model
    if model not in COEFFICIENTS:
        raise ConfigError(f'camera_info has distortion model {model!r}: expected one of '
                          f'{[name for name in COEFFICIENTS if name]}')
    if len(distortion) not in COEFFICIENTS[model] or not np.isfinite(distortion).all():
        raise ConfigError(f'camera_info has distortion {distortion.tolist()}: expected '
                          f'{COEFFICIENTS[model]} finite coefficients for {model!r}')
    return Camera(message.width, message.height, matrix, distortion, model)


def to_candidates(message: PoseArray) -> Candidates:
    """
    Read grasp candidates.

    :param message: poses in the camera's optical frame, x the direction in which the gripper
        closes.
    :raises CandidateError: if a position or an orientation is not usable, or the stamp is 0.
    """
    positions = np.array([[p.position.x, p.position.y, p.position.z] for p in message.poses])
    positions = positions.reshape(-1, 3)
    wrong = np.flatnonzero(~np.isfinite(positions).all(axis=1))
    if len(wrong):
        raise CandidateError(f'candidate {wrong[0]} has position {positions[wrong[0]].tolist()}: '
                             'expected finite numbers')
    yaws = np.array([_yaw(i, p.orientation) for i, p in enumerate(message.poses)], np.float64)
    return Candidates(
        stamp_to_ns(message.header.stamp), message.header.frame_id, positions, yaws)


def _yaw(index: int, rotation: Quaternion) -> float:
    """Return the angle of the rotated x axis in the image plane; see :class:`Candidates`."""
    x, y, z, w = rotation.x, rotation.y, rotation.z, rotation.w
    norm = x * x + y * y + z * z + w * w
    # Twice as wide as the rounding of a quaternion that was printed with two digits.
    if not 0.9 < norm < 1.1:
        raise CandidateError(f'candidate {index} has orientation ({x:g}, {y:g}, {z:g}, {w:g}): '
                             'expected a unit quaternion')
    return math.atan2(2 * (x * y + z * w), w * w + x * x - y * y - z * z)


def scores_to_cloud(prediction: Prediction) -> PointCloud2:
    """
    Write grasp scores as a cloud of one point a candidate, in order.

    A candidate that can't be projected keeps its position and has NaN as score; where no
    candidates are given, the one point is the default grasp point.
    """
    if len(prediction.points):
        table = np.column_stack([prediction.points, prediction.scores, prediction.uncertainties])
    else:
        table = np.array([[*prediction.default_point, prediction.score, prediction.uncertainty]])
    table = np.ascontiguousarray(table, '<f4')
    count, columns = table.shape
    return PointCloud2(
        header=header(prediction.stamp_ns, prediction.frame_id), height=1, width=count,
        fields=[PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
                for i, name in enumerate(SCORE_FIELDS)],
        is_bigendian=False, point_step=4 * columns, row_step=4 * columns * count,
        data=_octets(table), is_dense=bool(np.isfinite(table).all()))


def features_to_image(prediction: Prediction) -> Image:
    """Write the map of motion features as an image of encoding ``32FC<D>``."""
    features = np.ascontiguousarray(prediction.motion_features, '<f4')
    height, width, depth = features.shape
    return Image(
        header=header(prediction.stamp_ns, prediction.frame_id), height=height, width=width,
        encoding=f'32FC{depth}', is_bigendian=0, step=4 * width * depth, data=_octets(features))


def rgb_to_image(image: np.ndarray, stamp_ns: int, frame_id: str) -> Image:
    """
    Write an array as an image message.

    :param image: uint8, RGB, shape ``(H, W, 3)``.
    :param stamp_ns: header stamp, nanoseconds.
    :param frame_id: the camera's optical frame.
    """
    height, width, _ = image.shape
    return Image(header=header(stamp_ns, frame_id), height=height, width=width, encoding='rgb8',
                 is_bigendian=0, step=3 * width, data=_octets(np.ascontiguousarray(image)))


def _octets(values: np.ndarray) -> array.array:
    # rclpy checks bytes element by element, an array.array('B') not.
    octets = array.array('B')
    octets.frombytes(values.tobytes())
    return octets
