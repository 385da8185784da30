"""Which grasps a predictor scores: those given, where the camera sees them, and the default."""

from frames import CAMERA, candidates, frame, push_all, WINDOW
from moss_perception.core.frames import Camera, Candidates
from moss_perception.core.geometry import project
from moss_perception.core.scores import ScoreReason
from moss_perception.models.moss_grasp import MossGraspConfig
from moss_perception.runtime.grasp_points import grasp_points
from moss_perception.runtime.predictor import Predictor
import numpy as np
import pytest


def test_candidates_are_scored_in_order_and_nan_where_unseen(predictor):
    predictor.set_camera(CAMERA)
    predictor.set_candidates(candidates(0, [
        [0, 0, 0.5], [0, 0, -0.5], [0.1, -0.05, 0.6], [3, 0, 0.5], [np.nan, 0, 1]]))
    prediction = push_all(predictor, [frame(k) for k in range(WINDOW)])[-1]
    assert np.isnan(prediction.scores).tolist() == [False, True, False, True, True]
    assert prediction.reasons.tolist() == [
        ScoreReason.SCORED, ScoreReason.BEHIND_CAMERA, ScoreReason.SCORED,
        ScoreReason.OUTSIDE_IMAGE, ScoreReason.NOT_A_NUMBER]
    assert np.isnan(prediction.uncertainties).tolist() == [False, True, False, True, True]
    assert prediction.scores[0] != prediction.scores[2]
    np.testing.assert_allclose(prediction.pixels[0], [15.5, 15.5])
    np.testing.assert_allclose(prediction.pixels[2], [15.5 + 40 / 6, 15.5 - 40 / 12])


def test_two_grasps_at_one_point_can_differ_and_a_half_turn_does_not(predictor):
    predictor.set_camera(CAMERA)
    predictor.set_candidates(candidates(
        0, [[0.02, 0.01, 0.5]] * 3 + [[0.024, 0.012, 0.6]], [0.2, 1.4, 0.2 + np.pi, 0.2]))
    scores = push_all(predictor, [frame(k) for k in range(WINDOW)])[-1].scores
    assert scores[0] != scores[1]
    assert scores[0] == pytest.approx(scores[2], abs=1e-5)  # cos and sin of pi are rounded
    assert scores[0] != scores[3]


def test_without_camera_info_only_the_default_grasp_point(predictor):
    predictor.set_candidates(candidates(0, [[0, 0, 0.5]]))
    prediction = push_all(predictor, [frame(k) for k in range(WINDOW)])[-1]
    assert np.isnan(prediction.scores).all()
    assert prediction.reasons.tolist() == [ScoreReason.NO_CALIBRATION]
    assert np.isnan(prediction.default_point).all()
    assert np.isfinite(prediction.score)


def test_a_camera_of_another_size_is_not_used(predictor):
    predictor.set_camera(Camera(64, 64, CAMERA.matrix))
    predictor.set_candidates(candidates(0, [[0, 0, 0.5]]))
    prediction = push_all(predictor, [frame(k) for k in range(WINDOW)])[-1]
    assert np.isnan(prediction.scores).all()
    assert prediction.reasons.tolist() == [ScoreReason.NO_CALIBRATION]


def test_the_default_point_lies_where_the_camera_sees_it(predictor):
    predictor.set_camera(CAMERA)
    prediction = push_all(predictor, [frame(k) for k in range(WINDOW)])[-1]
    np.testing.assert_allclose(prediction.default_point, [0, 0, 0.6], atol=1e-12)


def test_candidates_hold_from_their_stamp_until_newer_ones(predictor):
    predictor.set_camera(CAMERA)
    predictor.set_candidates(candidates(WINDOW, [[0, 0, 0.5]]))
    predictor.set_candidates(candidates(WINDOW + 2, [[0, 0, 0.5], [0, 0, 0.6]]))
    predictor.set_candidates(candidates(WINDOW + 3, []))
    counts = [len(p.scores) for p in push_all(predictor, [frame(k) for k in range(WINDOW + 4)])
              if p is not None]
    assert counts == [0, 1, 1, 2, 0]


def test_a_new_calibration_moves_the_candidates_that_are_kept(predictor, monkeypatch):
    calls = []
    monkeypatch.setattr('moss_perception.runtime.grasp_points.grasp_points',
                        lambda *given: calls.append(given) or grasp_points(*given))
    predictor.set_candidates(candidates(0, [[0, 0, 0.5]]))
    shifted = CAMERA.matrix + [[0, 0, 2], [0, 0, 0], [0, 0, 0]]
    pixels = []
    for k in range(WINDOW + 3):
        # A driver sends its calibration with each image.
        predictor.set_camera(Camera(CAMERA.width, CAMERA.height, CAMERA.matrix.copy()
                                    if k <= WINDOW else shifted))
        prediction = predictor.push(frame(k))
        pixels += [] if prediction is None else [prediction.pixels[0, 0]]
    assert pixels == [15.5, 15.5, 17.5, 17.5]
    assert len(calls) == 2


@pytest.mark.parametrize('resets', [False, True])
def test_candidates_of_the_loop_before_do_not_hold_after_it(predictor, resets):
    predictor.set_camera(CAMERA)
    push_all(predictor, [frame(k) for k in range(30, 34)])
    predictor.set_candidates(candidates(WINDOW - 1, [[0, 0, 0.5]]))
    predictor.set_candidates(candidates(33, [[0, 0, 0.5]] * 3))
    if resets:
        predictor.reset()
    predictions = push_all(predictor, [frame(k) for k in range(WINDOW + 20)])
    assert {len(p.scores) for p in predictions if p is not None} == {0}
    assert predictor.counters.resets == ({'requested': 1} if resets else {'stamp_backwards': 1})


def test_candidates_of_the_loop_before_do_not_hold_after_a_pause_in_which_it_ended(predictor):
    predictor.set_camera(CAMERA)
    push_all(predictor, [frame(k) for k in range(20)])
    predictor.set_candidates(candidates(30, [[0, 0, 0.5]] * 3))
    for k in (29, 30, 5):
        assert predictor.pause(frame(k)).reason == 'paused'
    predictor.reset('enabled')
    predictions = push_all(predictor, [frame(k) for k in range(22, 22 + WINDOW)])
    assert len(predictions[-1].scores) == 0
    assert (predictor.counters.frames, predictor.counters.skipped) == (23 + WINDOW, 3)


def test_a_prediction_carries_the_poses_and_the_stamp_of_the_set_that_was_scored(predictor):
    predictor.set_camera(CAMERA)
    first = candidates(0, [[0, 0, 0.5]], [0.3])
    second = candidates(WINDOW, [[0, 0, 0.5]], [1.4])
    for given in (first, second):
        predictor.set_candidates(given)
    found = push_all(predictor, [frame(k) for k in range(WINDOW + 1)])[-2:]
    for prediction, given in zip(found, (first, second), strict=True):
        assert prediction.candidates_stamp_ns == given.stamp_ns
        np.testing.assert_array_equal(prediction.points, given.positions)
        np.testing.assert_array_equal(prediction.orientations, given.orientations)
    assert found[0].scores[0] != found[1].scores[0]


def test_without_candidates_there_is_no_stamp_of_a_set(predictor):
    prediction = push_all(predictor, [frame(k) for k in range(WINDOW)])[-1]
    assert prediction.candidates_stamp_ns == 0
    assert prediction.points.shape == (0, 3) and prediction.orientations.shape == (0, 4)
    np.testing.assert_array_equal(prediction.default_orientation, [0, 0, 0, 1])


def test_one_bad_pose_leaves_the_scores_of_the_others(predictor, engine):
    positions = np.array([[0, 0, 0.5], [0.02, 0, 0.5], [np.inf, 0, 0.5], [0, 0.02, 0.5]])
    orientations = np.array([[0, 0, 0, 1], [0, 0, 0, 2], [0, 0, 0, 1], [0, 0, np.nan, 1.0]])
    clean = np.tile([0, 0, 0, 1.0], (4, 1))
    stamp_ns = frame(0).stamp_ns
    other = Predictor(engine)
    for one, given in ((predictor, orientations), (other, clean)):
        one.set_camera(CAMERA)
        one.set_candidates(Candidates(stamp_ns, 'camera', positions, given))
    found, expected = (push_all(one, [frame(k) for k in range(WINDOW)])[-1]
                       for one in (predictor, other))
    assert found.reasons.tolist() == [0, 5, 5, 5]
    assert expected.reasons.tolist() == [0, 0, 5, 0]
    assert found.scores[0] == pytest.approx(expected.scores[0], rel=1e-5)
    assert np.isnan(found.scores[1:]).all() and np.isnan(found.pixels[1:]).all()


def test_candidates_of_another_frame_get_no_score_and_retire_the_set_before(predictor):
    predictor.set_camera(CAMERA)
    predictor.set_candidates(candidates(0, [[0, 0, 0.5]]))
    predictor.set_candidates(candidates(WINDOW, [[0, 0, 0.5]] * 2, frame_id='base_link'))
    before, after = push_all(predictor, [frame(k) for k in range(WINDOW + 1)])[-2:]
    assert before.reasons.tolist() == [ScoreReason.SCORED]
    assert after.reasons.tolist() == [ScoreReason.FRAME_UNKNOWN] * 2
    # Nobody knows where they are in the camera's frame.
    assert np.isnan(after.scores).all() and np.isnan(after.points).all()
    assert after.candidates_stamp_ns == frame(WINDOW).stamp_ns


def test_forgotten_candidates_are_not_scored_any_longer(predictor):
    predictor.set_camera(CAMERA)
    predictor.set_candidates(candidates(0, [[0, 0, 0.5]]))
    assert len(push_all(predictor, [frame(k) for k in range(WINDOW)])[-1].scores) == 1
    predictor.forget_candidates()
    assert len(predictor.push(frame(WINDOW)).scores) == 0


def test_the_default_point_honours_distortion(predictor):
    # Off the centre, so that the distortion moves the ray of the default pixel.
    matrix = np.array([[40.0, 0, 5], [0, 30, 5], [0, 0, 1]])
    camera = Camera(32, 32, matrix, np.array([-0.2, 0.05, 0, 0, 0]))
    predictor.set_camera(camera)
    point = push_all(predictor, [frame(k) for k in range(WINDOW)])[-1].default_point
    pixels, _ = project(point[None], camera)
    np.testing.assert_allclose(pixels, [[15.5, 15.5]], atol=1e-9)
    assert point[2] == pytest.approx(0.6)
    assert abs(point[0] - 0.6 * 10.5 / 40) > 1e-3


def test_the_finger_reach_follows_the_focal_length_of_its_axis():
    camera = Camera(32, 32, np.array([[40.0, 0, 15.5], [0, 20, 15.5], [0, 0, 1]]))
    given = candidates(0, [[0, 0, 0.5]] * 2, [0.0, np.pi / 2])
    config = MossGraspConfig(image_size=32, gripper_half_width_m=0.05)
    points = grasp_points(given, camera, 'camera', (32, 32), np.array([1.0, 0, 0]), config)
    # 0.05 m at 0.5 m are 4 pixels along x and 2 along y; 16 pixels are 1 unit.
    np.testing.assert_allclose(
        points.encoded[1:, 3:], [[4 / 16, 0], [0, 2 / 16]], atol=1e-7)


def test_a_watched_grasp_within_the_tolerances_of_a_candidate_has_its_score(predictor):
    predictor.set_camera(CAMERA)
    predictor.set_candidates(candidates(0, [[3, 0, 0.5], [0, 0, 0.5], [0.1, -0.05, 0.6]]))
    predictor.watch(Candidates.from_yaws(
        1, 'camera', np.array([[0.1005, -0.05, 0.6], [0.102, -0.05, 0.6], [3, 0, 0.5]]),
        np.array([0.01, 0.0, 0.0])))
    prediction = push_all(predictor, [frame(k) for k in range(WINDOW)])[-1]
    watched = prediction.watched
    assert watched.listed.tolist() == [True, False, False]
    assert watched.scores[0] == prediction.scores[2] != watched.scores[1]
    assert watched.rows.tolist() == [2, 3, -1] and np.isnan(watched.scores[2])
