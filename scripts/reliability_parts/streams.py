"""What runs in the processes of the load: a camera, the predictor, and those who listen."""

import time
from typing import Any

import cv2
from moss_perception.ros.common import conversions
from moss_perception.ros.common.spinning import check_interrupt, run_node, serving, spin_until
from moss_perception.ros.predictor.node import GraspPredictor
import numpy as np
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from reliability_parts.nodes import ready

FRAME = 'camera'
_RELIABLE = QoSProfile(depth=1000)


def _qos(reliability: str, depth: int) -> QoSProfile:
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy[reliability.upper()])


def _topic(compressed: bool) -> tuple[Any, str]:
    return (CompressedImage, 'image/compressed') if compressed else (Image, 'image')


def _pictures(width: int, height: int, compressed: bool) -> list[Any]:
    """Return messages with moving structure, which are published in turns."""
    noise = np.random.default_rng(7).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    ground = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    found = []
    for shift in range(8):
        moved = np.roll(ground, 4 * shift, axis=1)
        found.append(CompressedImage(
            format='jpeg', data=cv2.imencode('.jpg', moved)[1].tobytes()) if compressed
            else conversions.rgb_to_image(moved, 1, FRAME))
    return found


def camera(rate_hz: float, seconds: float, width: int, height: int, compressed: bool,
           reliability: str, subscribers: int = 1) -> dict[str, Any]:
    """
    Publish images at a rate, once there are subscribers.

    :returns: when each stamp was published, by the monotonic clock, nanoseconds.
    """
    published: dict[str, int] = {}

    def work(node: Node) -> None:
        kind, topic = _topic(compressed)
        publisher = node.create_publisher(kind, topic, _qos(reliability, 5))
        infos = node.create_publisher(CameraInfo, 'camera_info', 1)
        pictures = _pictures(width, height, compressed)
        ready()
        with serving(node) as spin:
            assert spin_until(spin, lambda: publisher.get_subscription_count() >= subscribers, 60)
        time.sleep(1.0)
        infos.publish(CameraInfo(
            header=conversions.header(time.time_ns(), FRAME), width=width, height=height,
            d=[0.0] * 5, distortion_model='plumb_bob',
            k=[1.0 * width, 0.0, width / 2, 0.0, 1.0 * width, height / 2, 0.0, 0.0, 1.0]))
        period_s, began_s = 1 / rate_hz, time.monotonic()
        for number in range(round(seconds * rate_hz)):
            delay_s = began_s + number * period_s - time.monotonic()
            if delay_s > 0:
                time.sleep(delay_s)
            message = pictures[number % len(pictures)]
            stamp_ns = time.time_ns()
            message.header = conversions.header(stamp_ns, FRAME)
            published[str(stamp_ns)] = time.monotonic_ns()
            publisher.publish(message)
    run_node('camera', lambda: Node('camera'), work, [])
    return published


def bare(compressed: bool, reliability: str, depth: int, executor: str) -> dict[str, int]:
    """Receive images and do nothing with them; return when each was received."""
    received: dict[str, int] = {}

    def make() -> Node:
        node = Node('bare')
        kind, topic = _topic(compressed)

        def hear(message: Any) -> None:
            received[str(conversions.stamp_to_ns(message.header.stamp))] = time.monotonic_ns()
        node.create_subscription(kind, topic, hear, _qos(reliability, depth))
        ready()
        return node
    run_node('bare', make, lambda node: _spin(node, executor), [])
    return received


def listener() -> dict[str, Any]:
    """Receive scores; return when each was received, and what became of the images."""
    scored: dict[str, int] = {}
    statuses: dict[str, int] = {}

    def make() -> Node:
        node = Node('listener')

        def hear(message: PointCloud2) -> None:
            scored[str(conversions.stamp_to_ns(message.header.stamp))] = time.monotonic_ns()

        def count(message: Header) -> None:
            statuses[message.frame_id] = statuses.get(message.frame_id, 0) + 1
        node.create_subscription(PointCloud2, 'grasp_predictor/grasp_scores', hear, _RELIABLE)
        node.create_subscription(Header, 'grasp_predictor/processed', count, _RELIABLE)
        ready()
        return node
    run_node('listener', make, args=[])
    return {'scored': scored, 'statuses': statuses}


def predictor(model: str, compressed: bool, reliability: str, depth: int,
              executor: str, threads: int) -> dict[str, Any]:
    """Run an active predictor; return its counters and the percentiles of its steps."""
    found: dict[str, Any] = {}
    values = {'model_path': model, 'image_transport': 'compressed' if compressed else 'raw',
              'qos_depth': depth, 'qos_reliability': reliability, 'threads': threads}

    def make() -> GraspPredictor:
        return GraspPredictor(parameter_overrides=[
            Parameter(name, value=value) for name, value in values.items()])

    def work(node: GraspPredictor) -> None:
        assert node.trigger_configure().name == 'SUCCESS', node.failure
        assert node.trigger_activate().name == 'SUCCESS', node.failure
        ready()
        try:
            _spin(node, executor)
        finally:
            counters = node.predictor.counters
            durations = node._monitor._durations
            found.update(
                frames=counters.frames, scored=counters.scored, stored=counters.stored,
                skipped=counters.skipped, dropped=counters.dropped, missing=counters.missing,
                refused=sum(counters.refused.values()),
                step_p50_ms=round(durations['inference'].percentile_ms(50), 2),
                decode_p50_ms=round(durations['decode'].percentile_ms(50), 2))
    run_node('grasp_predictor', make, work, [])
    return found


def _spin(node: Node, executor: str) -> None:
    """Serve a node by the executor of the nodes, or by rclpy's EventsExecutor."""
    if executor == 'single':
        with serving(node) as spin:
            while True:
                spin(0.2)
    from rclpy.experimental import EventsExecutor
    made: Any = EventsExecutor(context=node.context)
    made.add_node(node)
    try:
        # Not its spin(), which runs no timer here, and ends at no signal.
        while True:
            made.spin_once(0.2)
            check_interrupt()
    finally:
        made.shutdown()
