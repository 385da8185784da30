"""Conversions between ROS messages and the predictor's plain data."""

import array
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Point, Pose, Quaternion
from moss_perception.core.cameras import to_camera
from moss_perception.core.clouds import cloud_fields
from moss_perception.core.frames import (
    stamp_to_ns,
    to_candidates,
    to_frame,
)
from moss_perception.core.lead_times import LEAD_TIME_DTYPE, to_lead_times
from moss_perception.core.scores import Prediction, rows_of
from moss_perception.core.text import clean, one_line
from moss_perception.data.outcomes import Outcome, values_of
import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import Image, PointCloud2, PointField
from std_msgs.msg import Header

__all__ = [
    'diagnostics', 'features_to_image', 'header', 'lead_times_to_cloud', 'ns_to_stamp',
    'outcome_to_array', 'rgb_to_image', 'row_to_pose', 'scores_to_cloud', 'stamp_to_ns', 'status',
    'to_camera',
    'to_candidates', 'to_frame', 'to_lead_times']

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR, DiagnosticStatus.STALE)


def ns_to_stamp(stamp_ns: int) -> Time:
    """Return nanoseconds, 0 or more, as a stamp."""
    return Time(sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)


def header(stamp_ns: int, frame_id: str) -> Header:
    """Build a header."""
    return Header(stamp=ns_to_stamp(stamp_ns), frame_id=frame_id)


def scores_to_cloud(prediction: Prediction) -> PointCloud2:
    """
    Write grasp scores as a cloud: a point per candidate, in order, then the default grasp point.

    A candidate without a score has NaN there, and the reason; see docs/planner.md.
    """
    rows = rows_of(prediction)
    # A checkpoint without time inputs has no lead times, which makes no point invalid.
    floats = [rows[name] for name in rows.dtype.names or ()
              if rows.dtype[name].kind == 'f' and name != 'lead_time']
    return _cloud(rows, prediction.stamp_ns, prediction.frame_id, bool(np.isfinite(floats).all()))


def lead_times_to_cloud(stamp_ns: int, frame_id: str, values: np.ndarray) -> PointCloud2:
    """
    Write lead times as a cloud, a point per candidate, as ``grasp_lead_times`` takes it.

    :param stamp_ns: of the PoseArray of the candidates, nanoseconds.
    :param frame_id: of that PoseArray.
    :param values: shape ``(K,)``, seconds.
    """
    rows = np.zeros(len(values), LEAD_TIME_DTYPE)
    rows['lead_time'] = values
    return _cloud(rows, stamp_ns, frame_id, bool(np.isfinite(rows['lead_time']).all()))


def _cloud(rows: np.ndarray, stamp_ns: int, frame_id: str, is_dense: bool) -> PointCloud2:
    size = rows.dtype.itemsize
    return PointCloud2(
        header=header(stamp_ns, frame_id), height=1, width=len(rows),
        fields=[PointField(name=name, offset=offset, datatype=datatype, count=1)
                for name, offset, datatype in cloud_fields(rows.dtype)],
        is_bigendian=False, point_step=size, row_step=size * len(rows), data=_octets(rows),
        is_dense=is_dense)


def row_to_pose(row: np.void | np.ndarray) -> Pose:
    """Return the pose of one row of scores: the one that was scored."""
    x, y, z, qx, qy, qz, qw = (float(row[n]) for n in ('x', 'y', 'z', 'qx', 'qy', 'qz', 'qw'))
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))


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


def status(name: str, level: bytes, message: str, values: dict[str, Any],
           hardware_id: str = '') -> DiagnosticStatus:
    """
    Build a status message; names out of other people's messages are made harmless.

    :param name: name of the node.
    :param level: ``OK``, ``WARN``, ``ERROR`` or ``STALE``.
    :param message: the state in words.
    :param values: numbers and words by key; floats are written with three decimals.
    :param hardware_id: the hardware or simulator.
    """
    pairs = [KeyValue(key=clean(key), value=f'{value:.3f}' if isinstance(value, float)
                      else one_line(value)) for key, value in values.items()]
    return DiagnosticStatus(
        name=name, level=level, message=one_line(message), hardware_id=hardware_id,
        values=pairs)


def outcome_to_array(message: str, outcome: Outcome, frame_id: str,
                     source: str) -> DiagnosticArray:
    """
    Write the outcome of an attempt, stamped with its end, as ``grasp_outcome`` has it.

    :param message: the outcome in words.
    :param source: name of what reports it.
    """
    return DiagnosticArray(header=header(outcome.end_ns, frame_id), status=[status(
        f'attempt/{outcome.attempt}', OK if outcome.success else WARN, message,
        values_of(outcome), source)])


def diagnostics(node: Node, level: bytes, message: str, values: dict[str, Any],
                hardware_id: str = '') -> DiagnosticArray:
    """Build the message that a node publishes about itself; see :func:`status`."""
    array = DiagnosticArray(status=[status(
        node.get_fully_qualified_name().lstrip('/'), level, message, values, hardware_id)])
    array.header.stamp = node.get_clock().now().to_msg()
    return array


def _octets(values: np.ndarray) -> array.array:
    # rclpy checks bytes element by element, an array.array('B') not.
    octets = array.array('B')
    octets.frombytes(values.tobytes())
    return octets
