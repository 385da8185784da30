"""Scored grasps as markers, by their fields."""

from dataclasses import replace

from moss_perception.core.scores import Prediction, ScoreReason
from moss_perception.ros.common.conversions import header
from moss_perception.ros.predictor.markers import best_index, colour_of, scores_to_markers
import numpy as np
import pytest
from visualization_msgs.msg import Marker


@pytest.fixture
def given():
    """Return a prediction of four candidates: good, poor, out of the image, not a number."""
    scores = np.array([0.2, 0.9, np.nan, np.nan])
    return Prediction(
        stamp_ns=3 * 10**9, frame_id='camera', score=0.5, uncertainty=0.1,
        default_point=np.zeros(3), default_orientation=np.array([0, 0, 0, 1.0]),
        candidates_stamp_ns=1, points=np.array([[0.1, 0, 0.5], [0.2, 0, 0.5], [9, 0, 0.5],
                                                [np.nan, 0, 0]]),
        orientations=np.tile([0, 0, 0.6, 0.8], (4, 1)), pixels=np.zeros((4, 2)), scores=scores,
        uncertainties=np.abs(scores) / 10, size=(1, 1), source=None,
        reasons=np.array([0, 0, ScoreReason.OUTSIDE_IMAGE, ScoreReason.NOT_A_NUMBER], np.uint8),
        motion_features=np.zeros((1, 1, 1), np.float32))


def test_each_candidate_is_a_gripper_and_a_text_with_the_stamp_of_the_scores(given):
    first, *markers = scores_to_markers(given, 0.5, 0.04).markers
    assert first.action == Marker.DELETEALL
    assert all(one.header == header(3 * 10**9, 'camera') for one in markers)
    assert [(one.ns, one.id) for one in markers] == [
        (ns, index) for index in range(3) for ns in ('grasps', 'scores')]
    assert [one.text for one in markers if one.ns == 'scores'] == [
        '0: 0.20', 'best 1: 0.90', '2: outside image']
    gripper = markers[2]
    assert gripper.type == Marker.LINE_LIST and len(gripper.points) == 8
    assert {abs(point.x) for point in gripper.points[:6]} == {0.04}
    # The fingers end at the grasp and reach back along the direction of approach.
    assert max(point.z for point in gripper.points) == 0
    pose = gripper.pose
    assert (pose.position.x, pose.orientation.z) == pytest.approx((0.2, 0.6))
    assert gripper.scale.x > markers[0].scale.x


def test_colours_tell_good_poor_and_unscored_grasps_apart():
    (good, poor, worse, unknown) = (colour_of(score, 0.5) for score in (0.5, 0.4, 0.0, np.nan))
    assert good[1] > good[0] and poor[0] > poor[1] > worse[1] and len(set(unknown)) == 1
    assert colour_of(0.0, 0.0) == good


def test_without_candidates_the_old_markers_are_deleted(given):
    none = replace(given, points=np.zeros((0, 3)), orientations=np.zeros((0, 4)),
                   pixels=np.zeros((0, 2)), scores=np.zeros(0), uncertainties=np.zeros(0),
                   reasons=np.zeros(0, np.uint8))
    only, = scores_to_markers(none, 0.5, 0.04).markers
    assert only.action == Marker.DELETEALL and best_index(none.scores) is None
