"""A planner that takes the best grasp: rclpy, NumPy and the standard messages, nothing else."""

from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.time import Time
from sensor_msgs.msg import PointCloud2

FORMATS = {2: 'u1', 5: 'i4', 6: 'u4', 7: 'f4'}  # by PointField.datatype


class Planner(Node):
    def __init__(self):
        super().__init__('planner')
        self.target = self.create_publisher(PoseStamped, 'planner/target', 10)
        self.create_subscription(
            PointCloud2, 'grasp_predictor/grasp_scores', self.on_scores, qos_profile_sensor_data)

    def on_scores(self, cloud):
        age = (self.get_clock().now() - Time.from_msg(cloud.header.stamp)).nanoseconds / 1e9
        if abs(age) > 0.5:
            return
        order = '>' if cloud.is_bigendian else '<'
        rows = np.frombuffer(bytes(cloud.data), np.dtype({
            'names': [field.name for field in cloud.fields],
            'formats': [order + FORMATS[field.datatype] for field in cloud.fields],
            'offsets': [field.offset for field in cloud.fields],
            'itemsize': cloud.point_step}))
        rows = rows[rows['candidate'] >= 0]  # -1 is the default grasp point
        # A candidate without a score has NaN, which compares as False: it is never good.
        good = rows[(rows['score'] >= 0.5) & (rows['uncertainty'] <= 0.25)]
        if len(good):
            x, y, z, qx, qy, qz, qw = good[np.argmax(good['score'])][
                ['x', 'y', 'z', 'qx', 'qy', 'qz', 'qw']].item()
            self.target.publish(PoseStamped(header=cloud.header, pose=Pose(
                position=Point(x=x, y=y, z=z),
                orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))))


rclpy.init()
rclpy.spin(Planner())
