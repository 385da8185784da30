"""A planner that re-sends the same points with other orientations, over topics and real nodes."""

import math
import time

from geometry_msgs.msg import Pose, PoseArray, PoseStamped
from moss_perception.core.frames import Camera, Candidates
from moss_perception.core.scores import GraspScores, read_scores
from moss_perception.ros.common import conversions
from moss_perception.runtime.predictor import Predictor
import numpy as np
import pytest
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo

pytestmark = pytest.mark.timeout(120)
PERIOD, WINDOW, MOST_FRAMES = 10**8, 16, 400
POINT, YAWS = (0.02, 0.02, 0.5), (0.0, math.pi / 2)
GROUND = np.random.default_rng(5).integers(0, 255, (24, 32, 3), np.uint8)
MATRIX = np.array([[30.0, 0, 15.5], [0, 30, 11.5], [0, 0, 1]])


def image(stamp_ns, index):
    return conversions.rgb_to_image(np.roll(GROUND, index, axis=1), stamp_ns, 'camera')


def camera_info(stamp_ns):
    return CameraInfo(
        header=conversions.header(stamp_ns, 'camera'), width=32, height=24,
        k=MATRIX.ravel().tolist(), d=[0.0] * 5, distortion_model='plumb_bob')


def proposal(stamp_ns, yaw):
    message = PoseArray(header=conversions.header(stamp_ns, 'camera'), poses=[Pose()])
    pose = message.poses[0]
    pose.position.x, pose.position.y, pose.position.z = POINT
    pose.orientation.z, pose.orientation.w = math.sin(yaw / 2), math.cos(yaw / 2)
    return message


def expected_scores(model, stamps):
    """Score every frame with each orientation, offline."""
    by_yaw = []
    for yaw in YAWS:
        predictor = Predictor.load(str(model))
        predictor.set_camera(Camera(32, 24, MATRIX))
        predictor.set_candidates(Candidates.from_yaws(
            stamps[0], 'camera', np.array([POINT]), np.array([yaw])))
        by_yaw.append({p.stamp_ns: p.scores[0] for index, stamp_ns in enumerate(stamps)
                       if (p := predictor.push(conversions.to_frame(image(stamp_ns, index))))})
    return by_yaw


def test_a_new_orientation_never_comes_with_the_score_of_the_old_one(
        stream, peer, harness, tiny_checkpoint, tmp_path):
    # Stamps of now: the gate compares them with its clock.
    start_ns = time.time_ns()
    stamps = [start_ns + index * PERIOD for index in range(MOST_FRAMES)]
    selected = peer.listen(PoseStamped, '/selected_grasp')
    gate = harness.NodeProcess(tmp_path, 'grasp_gate', ros_args=[word for pair in (
        ('-r', f'grasp_scores:={stream.name}/grasp_scores'), ('-p', 'min_score:=0.0'),
        ('-p', 'release_score:=0.0'), ('-p', 'max_uncertainty:=0.5'), ('-p', 'hold_time:=0.0'),
        ('-p', 'max_age:=60.0')) for word in pair])
    try:
        harness.wait_for(lambda: peer.node.count_publishers('/selected_grasp'), 40, 'gate')
        stream.connect(image(stamps[0], 0))
        infos = stream.publisher(CameraInfo, '/camera_info')
        poses = stream.publisher(PoseArray, '/grasp_candidates')
        yaw_sent = {}
        for index, stamp_ns in enumerate(stamps[1:], start=1):
            infos.publish(camera_info(stamp_ns))
            # Two frames each, so that no yaw belongs to odd or even frames.
            yaw_sent[stamp_ns] = YAWS[index // 2 % 2]
            poses.publish(proposal(stamp_ns, yaw_sent[stamp_ns]))
            stream.send(image(stamp_ns, index))
            # The gate discovers the predictor after the first scores.
            if len(selected) >= 8:
                break
    finally:
        gate.stop()
    assert len(selected) >= 8, gate.output()
    stamps = stamps[:index + 1]
    harness.wait_for(lambda: len(stream.scores) > index + 1 - WINDOW, 10, 'scores')
    expected = expected_scores(tiny_checkpoint, stamps)
    rows, seen = {}, set()
    for cloud in stream.scores:
        scores, stamp_ns = GraspScores.of(read_scores(cloud)), Time.from_msg(
            cloud.header.stamp).nanoseconds
        if not len(scores.candidates) or np.isnan(scores.candidates['score'][0]):
            continue
        turn = scores.orientations[0]
        yaw = yaw_sent[scores.candidates_stamp_ns]
        assert 2 * math.atan2(turn[2], turn[3]) == pytest.approx(yaw, abs=1e-6)
        own, other = expected[YAWS.index(yaw)], expected[1 - YAWS.index(yaw)]
        assert abs(own[stamp_ns] - other[stamp_ns]) > 1e-4
        assert scores.candidates['score'][0] == pytest.approx(own[stamp_ns], abs=1e-5)
        rows[stamp_ns] = turn
        seen.add(yaw)
    assert seen == set(YAWS)
    assert {Time.from_msg(message.header.stamp).nanoseconds for message in selected} <= set(rows)
    for message in selected:
        turn = message.pose.orientation
        np.testing.assert_array_equal(
            np.float32([turn.x, turn.y, turn.z, turn.w]),
            rows[Time.from_msg(message.header.stamp).nanoseconds])
