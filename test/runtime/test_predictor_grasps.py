"""Which grasps a predictor scores: those given, where the camera sees them, and the default."""

from frames import CAMERA, candidates, frame, push_all, WINDOW
from moss_perception.core.frames import Camera
import numpy as np
import pytest


def test_candidates_are_scored_in_order_and_nan_where_unseen(predictor):
    predictor.set_camera(CAMERA)
    predictor.set_candidates(candidates(0, [
        [0, 0, 0.5], [0, 0, -0.5], [0.1, -0.05, 0.6], [3, 0, 0.5], [np.nan, 0, 1]]))
    prediction = push_all(predictor, [frame(k) for k in range(WINDOW)])[-1]
    assert np.isnan(prediction.scores).tolist() == [False, True, False, True, True]
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
    assert np.isnan(prediction.default_point).all()
    assert np.isfinite(prediction.score)


def test_a_camera_of_another_size_is_not_used(predictor):
    predictor.set_camera(Camera(64, 64, CAMERA.matrix))
    predictor.set_candidates(candidates(0, [[0, 0, 0.5]]))
    assert np.isnan(push_all(predictor, [frame(k) for k in range(WINDOW)])[-1].scores).all()


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


def test_candidates_of_the_loop_before_do_not_hold_after_it(predictor):
    predictor.set_camera(CAMERA)
    push_all(predictor, [frame(k) for k in range(30, 34)])
    predictor.set_candidates(candidates(WINDOW - 1, [[0, 0, 0.5]]))
    predictor.set_candidates(candidates(33, [[0, 0, 0.5]] * 3))
    predictions = push_all(predictor, [frame(k) for k in range(WINDOW + 20)])
    assert {len(p.scores) for p in predictions if p is not None} == {0}
