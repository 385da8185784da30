"""The publishers of sim_cell."""

import array
import math
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Point, Pose, PoseArray, Quaternion
from moss_perception.data.outcomes import Outcome
from moss_perception.ros.cell.lock_step import LockStep
from moss_perception.ros.common.conversions import (
    header,
    lead_times_to_cloud,
    ns_to_stamp,
    outcome_to_array,
    rgb_to_image,
)
from moss_perception.ros.common.spinning import acknowledged
from moss_perception.ros.common.subscriptions import type_name
from moss_perception.simulation.sensor import encode
import numpy as np
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

# The first messages must still be there when a subscriber that discovers us late asks for them.
_DEPTH = 100


class CellTopics:
    """
    The publishers of sim_cell; a :class:`moss_perception.simulation.live_config.Feed`.

    :param node: an rclpy node.
    :param frame_id: frame of every header.
    :param compressed: whether images are published as JPEG.
    :param with_clock: whether ``/clock`` is published.
    :param with_lead_times: whether ``grasp_lead_times`` is published.
    :param lock_step: publishes the images one at a time; ``None`` to publish them at once.
    """

    def __init__(self, node: Node, frame_id: str, compressed: bool, with_clock: bool,
                 with_lead_times: bool = False, lock_step: LockStep | None = None):
        self._frame_id, self._compressed = frame_id, compressed
        self._lock_step = lock_step
        make = node.create_publisher
        # The resolved name, so that remapping image moves image/compressed too.
        name = node.resolve_topic_name('image')
        self._image = make(CompressedImage, f'{name}/compressed', _DEPTH) if compressed \
            else make(Image, name, _DEPTH)
        self._info = make(CameraInfo, 'camera_info', _DEPTH)
        self._candidates = make(PoseArray, 'grasp_candidates', _DEPTH)
        self._lead_times = make(PointCloud2, 'grasp_lead_times', _DEPTH) if (
            with_lead_times) else None
        self._outcome = make(DiagnosticArray, 'grasp_outcome', _DEPTH)
        self._clock = make(Clock, '/clock', _DEPTH) if with_clock else None

    @property
    def is_seen(self) -> bool:
        """Whether someone subscribes to the images."""
        return self._image.get_subscription_count() > 0

    @property
    def image_topic(self) -> str:
        """The images' topic, with its namespace."""
        return self._image.topic_name

    def rows(self) -> list[str]:
        """Describe the publishers, one line each."""
        every = [self._image, self._info, self._candidates, self._lead_times, self._outcome,
                 self._clock]
        return [f'{p.topic_name} {type_name(p.msg_type)}' for p in every if p is not None]

    def clock(self, stamp_ns: int) -> None:
        """Publish the simulated time, if /clock is published."""
        if self._clock is not None:
            self._clock.publish(Clock(clock=ns_to_stamp(stamp_ns)))

    def camera_info(self, stamp_ns: int, width: int, height: int, matrix: np.ndarray) -> None:
        """Publish the calibration of a camera without distortion."""
        self._info.publish(camera_info(self._header(stamp_ns), width, height, matrix))

    def candidates(self, stamp_ns: int, grasps: np.ndarray) -> None:
        """Publish grasps in the optical frame, shape ``(K, 4)``."""
        self._candidates.publish(PoseArray(
            header=self._header(stamp_ns), poses=[grasp_to_pose(grasp) for grasp in grasps]))

    def lead_times(self, stamp_ns: int, values: np.ndarray) -> None:
        """Publish the lead times of the candidates, shape ``(K,)``, if they are published."""
        if self._lead_times is not None:
            self._lead_times.publish(lead_times_to_cloud(stamp_ns, self._frame_id, values))

    def image(self, stamp_ns: int, image: np.ndarray, jpeg_quality: int) -> None:
        """
        Publish a frame, uint8, RGB, shape ``(H, W, 3)``, if it has a subscriber.

        :raises MossError: if lock step gets no report of it.
        """
        if self._lock_step is None and not self.is_seen:
            return
        # Of either type: the topic has the one that was chosen.
        message: Any = rgb_to_image(
            image, stamp_ns, self._frame_id) if not self._compressed else (
            CompressedImage(header=self._header(stamp_ns), format='jpeg',
                            data=array.array('B', encode(image, jpeg_quality))))
        if self._lock_step is None:
            self._image.publish(message)
            return
        self._lock_step.publish(self._image, message, stamp_ns, [
            x for x in (self._info, self._candidates, self._lead_times) if x is not None])

    def outcome(self, message: str, **fields: Any) -> None:
        """Publish the outcome of an attempt, stamped with its end."""
        self._outcome.publish(outcome_to_array(
            message, Outcome(**fields), self._frame_id, 'sim_cell'))

    def flush(self, timeout_s: float) -> None:
        """Wait until the subscribers have received all outcomes."""
        acknowledged(self._outcome, timeout_s)

    def _header(self, stamp_ns: int) -> Any:
        return header(stamp_ns, self._frame_id)


def grasp_to_pose(grasp: np.ndarray) -> Pose:
    """
    Write a grasp as a pose.

    :param grasp: x, y, z, metres, and yaw about the optical axis, radians; shape ``(4,)``.
    """
    x, y, z, yaw = (float(value) for value in grasp)
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(
        x=0.0, y=0.0, z=math.sin(yaw / 2), w=math.cos(yaw / 2)))


def camera_info(head: Any, width: int, height: int, matrix: np.ndarray) -> CameraInfo:
    """
    Write a calibration without distortion.

    :param head: the image's header.
    :param matrix: intrinsics, shape ``(3, 3)``, pixels.
    """
    matrix = np.asarray(matrix, np.float64)
    return CameraInfo(
        header=head, width=width, height=height, distortion_model='plumb_bob', d=[0.0] * 5,
        k=matrix.ravel(), r=np.eye(3).ravel(),
        p=np.column_stack([matrix, np.zeros(3)]).ravel())
