"""A camera with a planner beside running nodes, and the delays that they see."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
import math
import threading
import time

from geometry_msgs.msg import Pose, PoseArray
from live_nodes import NodeError, START_S
from moss_perception.client import GraspScorer, Latency, ScoredGrasps
from moss_perception.ros.common.conversions import header, rgb_to_image
from moss_perception.ros.common.spinning import own_context
import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, qos_profile_sensor_data, QoSProfile
from sensor_msgs.msg import CameraInfo, Image

WIDTH, HEIGHT, PICTURES = 320, 240, 32
# Scores that a measurement needs.
_FEWEST = 3


@dataclass
class Delays:
    """
    What a camera and its planner have seen.

    :ivar seconds: from the publishing of each image until its scores came.
    :ivar latency: of the planner, from each proposal until its first scores.
    :ivar staleness: age of the frames at the receipt of their scores.
    """

    seconds: list[float] = field(default_factory=list)
    latency: Latency = Latency.of(())
    staleness: Latency = Latency.of(())

    def row(self) -> dict[str, object]:
        """Return the columns of a table."""
        return {'p50 ms': self.percentile(50), 'p99 ms': self.percentile(99),
                'longest ms': self.percentile(100), 'scores': len(self.seconds)}

    def percentile(self, percent: float) -> float:
        """Return a percentile of ``seconds``, milliseconds."""
        return float(np.percentile(self.seconds, percent) * 1e3)


class Camera:
    """
    A camera and a planner in one namespace: nine candidates with each image.

    :param context: of rclpy, initialised.
    :param namespace: absolute, or empty.
    :param grasps: number of candidates.
    """

    def __init__(self, context: Context, namespace: str = '', grasps: int = 9):
        self.node = rclpy.create_node('benchmark_camera', namespace=namespace or None,
                                      context=context)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._images = self.node.create_publisher(Image, 'image', qos_profile_sensor_data)
        infos = self.node.create_publisher(CameraInfo, 'camera_info', latched)
        infos.publish(CameraInfo(
            header=header(1, 'camera'), width=WIDTH, height=HEIGHT, distortion_model='plumb_bob',
            d=[0.0] * 5, k=[300.0, 0.0, WIDTH / 2, 0.0, 300.0, HEIGHT / 2, 0.0, 0.0, 1.0]))
        self._infos, self._grasps = infos, grasps
        rng = np.random.default_rng(0)
        ground = rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        self._pictures = [np.roll(ground, 4 * k, axis=1) for k in range(PICTURES)]
        self._sent: dict[int, float] = {}
        self._count, self.delays = 0, Delays()
        self._scorer = GraspScorer(self.node, self._on_scores)

    def connected(self) -> bool:
        """Whether the predictor hears the images."""
        return self._images.get_subscription_count() > 0

    def send(self) -> None:
        """Propose, and publish an image."""
        stamp_ns = self.node.get_clock().now().nanoseconds
        poses = PoseArray(header=header(stamp_ns, 'camera'))
        for index in range(self._grasps):
            pose = Pose()
            pose.position.x, pose.position.z = 0.01 * (index - self._grasps // 2), 0.6
            poses.poses.append(pose)
        image = rgb_to_image(self._pictures[self._count % PICTURES], stamp_ns, 'camera')
        self._count += 1
        self._scorer.propose(poses)
        self._sent[stamp_ns] = time.monotonic()
        self._images.publish(image)

    def _on_scores(self, scores: ScoredGrasps) -> None:
        if (sent_s := self._sent.pop(scores.stamp_ns, None)) is not None:
            self.delays.seconds.append(time.monotonic() - sent_s)

    def restart(self) -> None:
        """Begin to measure."""
        self.delays = Delays()
        self._sent.clear()

    def end(self) -> Delays:
        """Return what was measured."""
        self.delays.latency, self.delays.staleness = self._scorer.latency, self._scorer.staleness
        return self.delays


@contextmanager
def cameras(namespaces: Sequence[str] = ('',), grasps: int = 9) -> Iterator[list[Camera]]:
    """Create cameras that a thread spins, and wait until they are connected."""
    context = own_context()
    made = [Camera(context, name, grasps) for name in namespaces]
    executor = SingleThreadedExecutor(context=context)
    for camera in made:
        executor.add_node(camera.node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    try:
        end_s = time.monotonic() + START_S
        while not all(camera.connected() for camera in made):
            if time.monotonic() > end_s:
                raise NodeError('nobody subscribes to the images: expected an active predictor')
            time.sleep(0.05)
        yield made
    finally:
        executor.shutdown()
        thread.join(5.0)
        for camera in made:
            camera.node.destroy_node()
        rclpy.shutdown(context=context)


def play(made: Sequence[Camera], rate_hz: float, seconds: float) -> list[Delays]:
    """
    Send images at a rate, and measure once the windows have filled.

    :param seconds: to measure; longer until each camera has seen some scores.
    :returns: of each camera.
    :raises NodeError: if no scores come.
    """
    begun_s, count, end_s = time.monotonic(), 0, math.inf
    limit_s = begun_s + START_S + seconds
    while (now_s := time.monotonic()) < end_s or not _seen(made, _FEWEST):
        if now_s > limit_s:
            raise NodeError('no scores came: expected an active grasp_predictor')
        if end_s == math.inf and _seen(made, 1):
            end_s = now_s + seconds
            for camera in made:
                camera.restart()
        for camera in made:
            camera.send()
        count += 1
        # A late camera does not catch up: its images would come in a burst.
        begun_s = max(begun_s, time.monotonic() - count / rate_hz)
        time.sleep(max(begun_s + count / rate_hz - time.monotonic(), 0.0))
    return [camera.end() for camera in made]


def _seen(made: Sequence[Camera], fewest: int) -> bool:
    return all(len(camera.delays.seconds) >= fewest for camera in made)
