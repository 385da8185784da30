"""A grasp_predictor in the test's process, whose models need not be installed, and its planner."""

import time

from diagnostic_msgs.msg import DiagnosticArray
from frames import candidates as grasps
from frames import frame, START_NS
from geometry_msgs.msg import Pose, PoseArray
from moss_perception.core.scores import GraspScores, read_scores
from moss_perception.ros.common import conversions
from moss_perception.ros.common.spinning import acknowledged
from moss_perception.ros.predictor.node import GraspPredictor
import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

PLACES = [[0.0, 0.0, 0.5], [0.02, 0.0, 0.5]]


class Bench:
    """
    A node in the test's process, and a planner with a camera that it hears.

    :param remap: rules for the node's names, such as ``image:=/camera/image_raw``.
    """

    def __init__(self, checkpoint, remap=(), **parameters):
        values = {'model_path': str(checkpoint), 'engine': 'torch', 'threads': 1,
                  'qos_reliability': 'reliable', **parameters}
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        try:
            rules = [word for rule in remap for word in ('-r', rule)]
            self.node = GraspPredictor(
                context=self.context, cli_args=['--ros-args', *rules], parameter_overrides=[
                    Parameter(name, value=value) for name, value in values.items()])
        except BaseException:
            rclpy.shutdown(context=self.context)
            raise
        self.peer = rclpy.create_node('planner', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        for one in (self.node, self.peer):
            self.executor.add_node(one)
        make, hear = self.peer.create_publisher, self.peer.create_subscription
        self.images, self.infos = make(Image, 'image', 10), make(CameraInfo, 'camera_info', 10)
        self.poses = make(PoseArray, 'grasp_candidates', 10)
        self.lead_times = make(PointCloud2, 'grasp_lead_times', 10)
        self.scores, self.processed, self.diagnostics = [], [], []
        hear(PointCloud2, 'grasp_predictor/grasp_scores', self.scores.append, 100)
        hear(Header, 'grasp_predictor/processed', self.processed.append, 100)
        hear(DiagnosticArray, '/diagnostics', self.diagnostics.append, 100)

    def configure(self) -> str:
        """Return the result of the transition."""
        return self.node.trigger_configure().name

    def activate(self, hears_planner: bool = True) -> None:
        """Configure and activate the node, and wait until it hears the planner, if it shall."""
        assert self.configure() == 'SUCCESS'
        assert self.node.trigger_activate().name == 'SUCCESS'
        if not hears_planner:
            return
        publishers = (self.images, self.infos, self.poses, self.lead_times)
        self.spin_until(lambda: all(x.get_subscription_count() for x in publishers))
        self.infos.publish(CameraInfo(
            header=conversions.header(START_NS, 'camera'), width=32, height=32, d=[0.0] * 5,
            k=[40.0, 0.0, 15.5, 0.0, 40.0, 15.5, 0.0, 0.0, 1.0], distortion_model='plumb_bob'))

    def spin_until(self, there, timeout_s: float = 20.0) -> None:
        """Serve both nodes until something is there."""
        end = time.monotonic() + timeout_s
        while not there():
            assert time.monotonic() < end, 'nothing came'
            self.executor.spin_once(timeout_sec=0.02)

    def propose(self, k: int, places=PLACES, lead_times=None, frame_id='camera') -> None:
        """Publish candidates of frame ``k``, and their lead times."""
        given = grasps(k, places)
        message = PoseArray(header=conversions.header(given.stamp_ns, frame_id))
        for x, y, z in given.positions:
            pose = Pose()
            pose.position.x, pose.position.y, pose.position.z = x, y, z
            message.poses.append(pose)
        self.poses.publish(message)
        if lead_times is not None:
            self.time(k, lead_times, frame_id)

    def time(self, k: int, values, frame_id='camera') -> None:
        """Publish lead times of frame ``k``."""
        self.lead_times.publish(conversions.lead_times_to_cloud(
            frame(k).stamp_ns, frame_id, np.array(values, float)))

    def send(self, k: int):
        """Publish image ``k`` once all before it has come; return its scores, if any."""
        # The executor serves what has arrived in the order of the subscriptions, images last.
        for publisher in (self.infos, self.poses, self.lead_times):
            assert acknowledged(publisher, 10.0)
        done, scored = len(self.processed), len(self.scores)
        self.images.publish(conversions.rgb_to_image(
            frame(k).image, frame(k).stamp_ns, 'camera'))
        self.spin_until(lambda: len(self.processed) > done)
        if self.processed[-1].frame_id != 'scored':
            return None
        self.spin_until(lambda: len(self.scores) > scored)
        return GraspScores.of(read_scores(self.scores[-1]))

    def values(self) -> dict[str, str]:
        """Return the next diagnostics of the node."""
        self.diagnostics.clear()
        self.spin_until(lambda: any('grasp_predictor' in status.name for array in
                                    self.diagnostics for status in array.status))
        return {pair.key: pair.value for pair in self.diagnostics[0].status[0].values}

    def close(self) -> None:
        """End both nodes."""
        if self.node._inputs is not None:
            self.node.trigger_deactivate()
        for one in (self.node, self.peer):
            one.destroy_node()
        rclpy.shutdown(context=self.context)
        # rclpy's lifecycle nodes leave the domain once nothing holds them.
        vars(self).clear()
