"""Between ROS messages and the predictor's plain data."""

import array

from builtin_interfaces.msg import Time
from moss_perception.core.frames import Prediction
from moss_perception.core.messages import (
    COEFFICIENTS,
    stamp_to_ns,
    to_camera,
    to_candidates,
    to_frame,
)
from moss_perception.ros.common.point_cloud import SCORE_FIELDS
import numpy as np
from sensor_msgs.msg import Image, PointCloud2, PointField
from std_msgs.msg import Header

__all__ = [
    'COEFFICIENTS', 'features_to_image', 'header', 'ns_to_stamp', 'rgb_to_image',
    'scores_to_cloud', 'stamp_to_ns', 'to_camera', 'to_candidates', 'to_frame']


def ns_to_stamp(stamp_ns: int) -> Time:
    """Return nanoseconds, 0 or more, as a stamp."""
    return Time(sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)


def header(stamp_ns: int, frame_id: str) -> Header:
    """Build a header."""
    return Header(stamp=ns_to_stamp(stamp_ns), frame_id=frame_id)


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
