"""Letterboxing, projection and encoding, against values worked out by hand."""

import cv2
from moss_perception.core.errors import ConfigError
from moss_perception.core.frames import Camera
from moss_perception.core.geometry import encode_grasps, letterbox, project
from moss_perception.models.config import GraspConfig
import numpy as np
import pytest

MATRIX = np.array([[100.0, 0, 50], [0, 100, 40], [0, 0, 1]])


def test_letterbox_keeps_the_aspect_ratio_and_centres():
    square, transform = letterbox(np.full((180, 320, 3), 200, np.uint8), 128)
    assert square.shape == (128, 128, 3)
    assert (square[28:100] == 200).all()
    assert (square[:28] == 114).all() and (square[100:] == 114).all()
    np.testing.assert_allclose(transform, [0.4, -0.3, 27.7])


def test_letterbox_takes_a_point_where_its_pixel_goes():
    image = np.zeros((300, 200, 3), np.uint8)
    cv2.circle(image, (60, 220), 6, (255, 255, 255), -1)
    square, (scale, shift_x, shift_y) = letterbox(image, 128)
    rows, columns = np.nonzero(square[..., 0] > 150)
    inside = columns > 25  # the grey ground is darker than 150, but keep the border out
    assert columns[inside].mean() == pytest.approx(60 * scale + shift_x, abs=0.5)
    assert rows[inside].mean() == pytest.approx(220 * scale + shift_y, abs=0.5)


def test_letterbox_leaves_an_image_of_the_right_size_alone():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    square, transform = letterbox(image, 64)
    assert np.array_equal(square, image)
    np.testing.assert_allclose(transform, [1, 0, 0])


def test_letterbox_enlarges_a_small_image():
    square, transform = letterbox(np.full((8, 16, 3), 9, np.uint8), 64)
    assert (square[16:48] == 9).all()
    assert transform[0] == 4


def test_points_project_through_the_pinhole():
    pixels = project(np.array([[0, 0, 1.0], [0.2, -0.1, 2.0]]), Camera(100, 80, MATRIX))
    np.testing.assert_allclose(pixels, [[50, 40], [60, 35]])


def test_distortion_is_applied():
    camera = Camera(100, 80, MATRIX, np.array([0.5, 0, 0, 0, 0]))
    # x = 0.2, r^2 = 0.04, so x' = 0.2 * (1 + 0.5 * 0.04) = 0.204.
    np.testing.assert_allclose(project(np.array([[0.2, 0, 1.0]]), camera), [[70.4, 40]])


def test_the_fisheye_model_is_applied():
    camera = Camera(300, 80, MATRIX, np.zeros(4), 'equidistant')
    # theta = atan(1) = pi / 4 becomes the distance from the centre.
    np.testing.assert_allclose(project(np.array([[1.0, 0, 1.0]]), camera),
                               [[50 + 100 * np.pi / 4, 40]])


@pytest.mark.parametrize('point', [
    [0, 0, 0], [0, 0, -1], [0.51, 0, 1], [-0.51, 0, 1], [0, 0.41, 1], [np.nan, 0, 1],
    [0, 0, np.inf]])
def test_what_the_camera_cannot_see_is_nan(point):
    pixels = project(np.array([point, [0, 0, 1.0]], float), Camera(100, 80, MATRIX))
    assert np.isnan(pixels[0]).all()
    np.testing.assert_allclose(pixels[1], [50, 40])


def test_a_point_that_the_polynomial_folds_back_into_the_image_is_nan():
    matrix = np.array([[600.0, 0, 640], [0, 600, 360], [0, 0, 1]])
    camera = Camera(1280, 720, matrix, np.array([-0.3, 0, 0, 0, 0]))
    pixels = project(np.array([[1.5, 0, 1.0], [0.9, 0, 1.0]]), camera)
    assert np.isnan(pixels[0]).all()  # beyond 1.05, where 1 - 0.9 x^2 is 0, it turns back
    np.testing.assert_allclose(pixels[1], [640 + 600 * 0.9 * (1 - 0.3 * 0.81), 360])


def test_an_unknown_distortion_model_is_refused():
    with pytest.raises(ConfigError, match="'bent'"):
        project(np.array([[0, 0, 1.0]]), Camera(100, 80, MATRIX, np.zeros(5), 'bent'))


def test_a_camera_without_focal_length_is_refused():
    with pytest.raises(ConfigError, match='focal'):
        Camera(100, 80, np.zeros((3, 3)))


def test_encoding_by_hand():
    config = GraspConfig(image_size=64, gripper_half_width_m=0.05)
    _, transform = letterbox(np.zeros((128, 128, 3), np.uint8), 64)
    grasps = encode_grasps(np.array([[63.5, 63.5], [-0.5, 127.5]]), np.array([0.5, 1.0]),
                           np.array([0.0, np.pi / 2]), 100.0, transform,
                           config.image_size, config.gripper_half_width_m)
    # A finger is 0.05 m away: 10 pixels at 0.5 m, 5 at 1 m; 64 pixels of the image are 1 unit.
    expected = [[0, 0, 0.5, 10 / 64, 0], [-1, 1, 1.0, 0, 5 / 64]]
    np.testing.assert_allclose(grasps, expected, atol=1e-6)
    assert grasps.dtype == np.float32
