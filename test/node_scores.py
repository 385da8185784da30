"""Run grasp_predictor in the test's process, and return what it publishes."""

import time

from frames import frame
from moss_perception.ros.common import conversions
from moss_perception.ros.predictor.node import GraspPredictor
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Float32


def node_scores(checkpoint, count: int = 3, **parameters) -> list[float]:
    """
    Send frames to a node with this checkpoint until it has published some scores.

    :param parameters: of the node.
    """
    values = {'model_path': str(checkpoint), 'qos_depth': 100, 'max_gap': 60.0, 'threads': 1,
              **parameters}
    context = rclpy.Context()
    rclpy.init(context=context)
    try:
        node = GraspPredictor(context=context, parameter_overrides=[
            Parameter(name, value=value) for name, value in values.items()])
        camera = rclpy.create_node('camera', context=context)
        images, scores = camera.create_publisher(Image, 'image', 100), []
        camera.create_subscription(Float32, '/grasp_predictor/grasp_score', scores.append, 100)
        executor = SingleThreadedExecutor(context=context)
        for one in (node, camera):
            executor.add_node(one)
        assert node.trigger_configure().name == 'SUCCESS'
        assert node.trigger_activate().name == 'SUCCESS'
        sent, end = 0, time.monotonic() + 60
        while len(scores) < count:
            assert time.monotonic() < end, f'{len(scores)} scores after {sent} images'
            if images.get_subscription_count():
                images.publish(conversions.rgb_to_image(
                    frame(sent).image, frame(sent).stamp_ns, 'camera'))
                sent += 1
            executor.spin_once(timeout_sec=0.02)
        node.trigger_deactivate()
        node.trigger_cleanup()
        for one in (node, camera):
            one.destroy_node()
    finally:
        rclpy.shutdown(context=context)
    return [one.data for one in scores]
