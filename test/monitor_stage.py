"""A stage for the views of a system: a node that looks like grasp_predictor, and what it says."""

import math
import time

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Point, Pose, PoseArray, PoseStamped, Quaternion
from moss_perception.core.scores import Prediction, ScoreReason
from moss_perception.data.outcomes import Outcome
from moss_perception.ros.common.conversions import (
    header,
    OK,
    outcome_to_array,
    scores_to_cloud,
    status,
)
import numpy as np
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_harness import wait_for
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
import simplejpeg
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

FRAME, SIZE = 'camera_optical_frame', (320, 240)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
VALUES = {
    'state': 'active', 'rate_hz': 29.9, 'score_rate_hz': 10.0, 'window_fill': '16/16',
    'decode_p50_ms': 0.5, 'decode_p95_ms': 0.9, 'inference_p50_ms': 12.0,
    'inference_p95_ms': 18.5, 'age_p50_ms': 20.0, 'age_p95_ms': 41.0, 'frames': 900,
    'scored': 300, 'dropped': 0, 'missing': 2, 'refused': 0, 'ood_score': 0.62,
    'out_of_distribution': 'no', 'model': 'moss_grasp', 'budget_level': '1,2',
    'budget_target': '1,2', 'cost_ms/1,2': 9.1, 'engine': 'onnxruntime', 'device': 'cpu',
    'threads': 2, 'model_sha256': '4f85fa81928b50ed', 'score_threshold': 0.5,
    'gripper_half_width': 0.04, 'topic': '/camera/image/compressed', 'paused': 'no'}


def prediction(stamp_ns, scores, default=0.2):
    """Make a prediction of candidates in a row before the camera."""
    count = len(scores)
    points = np.array([[0.06 * (k - (count - 1) / 2), 0.02 * (k % 3 - 1), 0.5]
                       for k in range(count)]).reshape(-1, 3)
    half = np.linspace(0, math.pi / 4, count)
    turns = np.stack([np.zeros(count), np.zeros(count), np.sin(half), np.cos(half)], axis=1)
    scores = np.array(scores, np.float64)
    return Prediction(
        stamp_ns, FRAME, default, 0.03, np.array([0, 0, 0.5]), np.array([0, 0, 0, 1.0]), stamp_ns,
        points, turns, np.zeros((count, 2)), scores, np.where(np.isfinite(scores), 0.05, np.nan),
        np.where(np.isfinite(scores), 0, ScoreReason.OUTSIDE_IMAGE).astype(np.uint8),
        np.zeros((2, 2, 3), np.float32), SIZE[::-1], None)


def calibration():
    """Return the camera_info of the stage's camera."""
    width, height = SIZE
    return CameraInfo(header=header(1, FRAME), width=width, height=height,
                      distortion_model='plumb_bob', d=[0.0] * 5,
                      k=[300.0, 0.0, width / 2, 0.0, 300.0, height / 2, 0.0, 0.0, 1.0])


def jpeg():
    """Return a picture with a gradient."""
    width, height = SIZE
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 1] = np.linspace(40, 200, width).astype(np.uint8)
    return simplejpeg.encode_jpeg(image, 80, 'RGB', '420')


class Stage:
    """
    Publishes as a predictor, a gate, a camera and a robot do, on the node of a peer.

    :param peer: of the harness, with a node called grasp_predictor.
    """

    def __init__(self, peer):
        self.peer, self.node, self.calls = peer, peer.node, []
        publisher = peer.node.create_publisher
        self.diagnostics = publisher(DiagnosticArray, '/diagnostics', 10)
        self.scores = publisher(PointCloud2, '/grasp_predictor/grasp_scores', 10)
        self.features = publisher(Image, '/grasp_predictor/motion_features', 10)
        self.selected = publisher(PoseStamped, '/selected_grasp', 10)
        self.gate = publisher(String, '/grasp_gate/state', LATCHED)
        self.outcomes = publisher(DiagnosticArray, '/grasp_outcome', 10)
        self.images = publisher(CompressedImage, '/camera/image/compressed', 10)
        self.info = publisher(CameraInfo, '/camera/camera_info', 10)
        # The views find the camera by what the predictor subscribes to.
        for kind, topic in ((CompressedImage, '/camera/image/compressed'),
                            (CameraInfo, '/camera/camera_info'), (PoseArray, '/grasps')):
            peer.node.create_subscription(kind, topic, lambda _: None, 10)
        peer.node.create_service(Trigger, '/grasp_predictor/reset', self._on_reset)
        peer.node.create_service(SetBool, '/grasp_predictor/enable', self._on_enable)
        # No frame of another stage has these stamps.
        self.stamp_ns, self.paused = time.time_ns(), 'no'
        self.outcomes_are_heard = False

    def _on_reset(self, _, response):
        self.calls.append('reset')
        response.success, response.message = True, 'the window was forgotten'
        return response

    def _on_enable(self, request, response):
        self.paused = 'no' if request.data else 'yes'
        self.calls.append('resume' if request.data else 'pause')
        response.success, response.message = True, self.calls[-1]
        return response

    def add_recorder(self):
        """Look like attempt_recorder, too."""
        state = self.peer.node.create_publisher(String, '/attempt_recorder/state', LATCHED)
        state.publish(String(data='idle'))
        for name in ('start', 'succeed', 'fail', 'discard'):
            self.peer.node.create_service(
                Trigger, f'/attempt_recorder/{name}', self._recorder(name, state))

    def _recorder(self, name, state):
        def answer(_, response):
            self.calls.append(name)
            state.publish(String(data='recording' if name == 'start' else 'idle'))
            response.success, response.message = True, f'{name}ed'
            return response
        return answer

    def diagnose(self, level=OK, message='running: 10.0 scores a second', **changes):
        """Publish diagnostics once."""
        values = {**VALUES, 'paused': self.paused, **changes}
        self.diagnostics.publish(DiagnosticArray(status=[
            status('grasp_predictor', level, message, values)]))

    def frame(self, scores=(0.3, 0.9, 0.6), selected=1, frame_id=FRAME):
        """Publish an image, its scores, its motion and the selection."""
        self.stamp_ns += 100_000_000
        one = prediction(self.stamp_ns, scores)
        head = header(self.stamp_ns, frame_id)
        self.info.publish(calibration())
        self.images.publish(CompressedImage(header=head, format='jpeg', data=jpeg()))
        features = np.zeros((8, 8, 3), '<f4')
        features[3:5, 3:5] = 1
        self.scores.publish(scores_to_cloud(one))
        self.features.publish(Image(header=head, height=8, width=8, encoding='32FC3', step=96,
                                    data=features.tobytes()))
        if selected is not None:
            x, y, z = one.points[selected]
            self.selected.publish(PoseStamped(header=head, pose=Pose(
                position=Point(x=x, y=y, z=z), orientation=Quaternion())))
        self.gate.publish(String(data='selected' if selected is not None else 'waiting'))

    def attempt(self, number, success=True, **changes):
        """Publish the outcome of an attempt that was decided at the newest frame."""
        if not self.outcomes_are_heard:
            wait_for(self.outcomes.get_subscription_count, 30, 'who hears the outcomes')
            # The view may know of this publisher a moment later, and hears nothing until then.
            time.sleep(0.3)
            self.outcomes_are_heard = True
        named = {'object': 'mug', 'motion': 'constant', **changes}
        self.outcomes.publish(outcome_to_array('held' if success else 'lost', Outcome(
            number, self.stamp_ns, self.stamp_ns, self.stamp_ns + 500_000_000, success, 'real',
            named['motion'], named['object'], candidate=1), FRAME, 'robot'))
