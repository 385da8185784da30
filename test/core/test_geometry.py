"""Letterboxing, projection and encoding, against values worked out by hand."""

from dataclasses import replace

import cv2
from moss_perception.core.errors import ConfigError
from moss_perception.core.frames import Camera
from moss_perception.core.geometry import encode_grasps, letterbox, project, unproject
from moss_perception.core.scores import ScoreReason
from moss_perception.models.moss_grasp import MossGraspConfig
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
    pixels, reasons = project(np.array([[0, 0, 1.0], [0.2, -0.1, 2.0]]), Camera(100, 80, MATRIX))
    np.testing.assert_allclose(pixels, [[50, 40], [60, 35]])
    assert reasons.tolist() == [ScoreReason.SCORED] * 2


def test_distortion_is_applied():
    camera = Camera(100, 80, MATRIX, np.array([0.5, 0, 0, 0, 0]))
    # x = 0.2, r^2 = 0.04, so x' = 0.2 * (1 + 0.5 * 0.04) = 0.204.
    np.testing.assert_allclose(project(np.array([[0.2, 0, 1.0]]), camera)[0], [[70.4, 40]])


def test_the_fisheye_model_is_applied():
    camera = Camera(300, 80, MATRIX, np.zeros(4), 'equidistant')
    # theta = atan(1) = pi / 4 becomes the distance from the centre.
    np.testing.assert_allclose(project(np.array([[1.0, 0, 1.0]]), camera)[0],
                               [[50 + 100 * np.pi / 4, 40]])


@pytest.mark.parametrize(('point', 'reason'), [
    ([0, 0, 0], 'BEHIND_CAMERA'), ([0, 0, -1], 'BEHIND_CAMERA'), ([0.51, 0, 1], 'OUTSIDE_IMAGE'),
    ([-0.51, 0, 1], 'OUTSIDE_IMAGE'), ([0, 0.41, 1], 'OUTSIDE_IMAGE'),
    ([1e308, 0, 1e-5], 'OUTSIDE_IMAGE'), ([np.nan, 0, 1], 'NOT_A_NUMBER'),
    ([0, 0, np.inf], 'NOT_A_NUMBER'), ([0, np.nan, -1], 'NOT_A_NUMBER')])
def test_what_the_camera_cannot_see_is_nan_with_the_reason(point, reason):
    pixels, reasons = project(np.array([point, [0, 0, 1.0]], float), Camera(100, 80, MATRIX))
    assert np.isnan(pixels[0]).all() and reasons[0] == ScoreReason[reason]
    np.testing.assert_allclose(pixels[1], [50, 40])
    assert reasons[1] == ScoreReason.SCORED


def test_no_points_are_no_pixels():
    for camera in CAMERAS.values():
        pixels, reasons = project(np.zeros((0, 3)), camera)
        assert pixels.shape == (0, 2) and reasons.shape == (0,)


WIDE = np.array([[600.0, 0, 640], [0, 480, 360], [0, 0, 1]])
CAMERAS = {
    'plain': Camera(1280, 720, WIDE),
    'plumb_bob': Camera(1280, 720, WIDE, np.array([-0.3, 0.1, 0.002, -0.003, 0.01])),
    'four coefficients': Camera(1280, 720, WIDE, np.array([-0.3, 0.1, 0.002, -0.003])),
    'trailing zeros': Camera(1280, 720, WIDE, np.array([-0.28, 0.07, 0, 0, 0])),
    'rational': Camera(1280, 720, WIDE, np.array(
        [0.4, -0.2, 0.0005, -0.0004, 0.02, 0.7, -0.3, 0.05]), 'rational_polynomial'),
    'rational with zeros': Camera(1280, 720, WIDE, np.array(
        [0.4, -0.2, 0, 0, 0.02, 0.7, -0.3, 0.05, 0, 0, 0, 0, 0, 0]), 'rational_polynomial'),
    'thin prism': Camera(1280, 720, WIDE, np.array(
        [0.1, -0.05, 0.001, 0.001, 0, 0.02, 0, 0, 0.003, 0.001, -0.002, 0.001]),
        'rational_polynomial'),
    'tilted': Camera(1280, 720, WIDE, np.array(
        [0.1, -0.05, 0.001, 0.001, 0, 0.02, 0, 0, 0.003, 0.001, -0.002, 0.001, 0.02, -0.01]),
        'rational_polynomial'),
    'equidistant': Camera(1280, 720, WIDE, np.array([0.03, -0.02, 0.004, -0.001]), 'equidistant'),
    'ideal fisheye': Camera(1280, 720, WIDE, np.zeros(4), 'equidistant'),
}


def by_opencv(points, camera):
    zero = np.zeros(3)
    if camera.model == 'equidistant':
        flat, _ = cv2.fisheye.projectPoints(
            points.reshape(-1, 1, 3), zero, zero, camera.matrix, camera.distortion)
    else:
        flat, _ = cv2.projectPoints(points, zero, zero, camera.matrix, camera.distortion)
    return flat.reshape(-1, 2)


def grid_of_rays(widest, count=41):
    axis = np.linspace(-widest, widest, count)
    x, y = np.meshgrid(axis, axis)
    depths = 0.3 + 0.1 * np.arange(x.size) % 1.7
    return np.stack([x.ravel(), y.ravel(), np.ones(x.size)], axis=1) * depths[:, None]


@pytest.mark.parametrize('name', CAMERAS)
def test_projection_equals_opencv_on_a_grid_of_rays(name):
    camera, points = CAMERAS[name], grid_of_rays(0.7)
    pixels, reasons = project(points, camera)
    seen = reasons == ScoreReason.SCORED
    assert seen.sum() > 1000
    np.testing.assert_allclose(pixels[seen], by_opencv(points, camera)[seen], atol=1e-9)


def traced(camera, pixels, widest):
    """Undo a projection independently: search the nearest ray of a fine grid, then refine it."""
    rays = grid_of_rays(widest, 301)
    rays = rays / rays[:, 2:]
    # Beyond, some of the models turn back.
    rays = rays[np.hypot(rays[:, 0], rays[:, 1]) < 1.35]
    flat = by_opencv(rays, camera)
    best = np.stack([rays[np.linalg.norm(flat - p, axis=1).argmin(), :2] for p in pixels])
    step = 2 * widest / 300
    for _ in range(40):
        offsets = step * np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=2).reshape(-1, 2)
        tried = best[:, None] + offsets
        points = np.concatenate([tried, np.ones((*tried.shape[:2], 1))], axis=2)
        flat = by_opencv(points.reshape(-1, 3), camera).reshape(tried.shape)
        gaps = np.linalg.norm(flat - pixels[:, None], axis=2)
        best = tried[np.arange(len(tried)), gaps.argmin(axis=1)]
        step *= 0.6
    return best


@pytest.mark.parametrize('name', CAMERAS)
def test_unprojection_finds_the_ray_of_a_pixel(name):
    camera = CAMERAS[name]
    columns, rows = np.meshgrid(np.linspace(200, 1080, 7), np.linspace(100, 620, 5))
    pixels = np.stack([columns.ravel(), rows.ravel()], axis=1)
    rays = unproject(pixels, camera)
    assert np.isfinite(rays).all()
    np.testing.assert_allclose(rays, traced(camera, pixels, 1.5), atol=1e-6)
    again, reasons = project(np.column_stack([rays, np.ones(len(rays))]) * 0.7, camera)
    assert (reasons == ScoreReason.SCORED).all()
    np.testing.assert_allclose(again, pixels, atol=1e-6)


def test_a_skewed_camera_matrix_is_honoured_both_ways():
    camera = Camera(100, 80, np.array([[100.0, 5, 50], [0, 90, 40], [0, 0, 1]]))
    pixels, _ = project(np.array([[0.1, 0.2, 1.0]]), camera)
    np.testing.assert_allclose(pixels, [[50 + 10 + 1, 40 + 18]])
    np.testing.assert_allclose(unproject(pixels, camera), [[0.1, 0.2]])


@pytest.mark.parametrize(('camera', 'limit'), [
    # r - 0.3 r^3 turns back at 1 / sqrt(0.9).
    (Camera(1280, 720, WIDE, np.array([-0.3, 0, 0, 0, 0])), 1 / np.sqrt(0.9)),
    (Camera(1280, 720, WIDE, np.array([-0.3, 0, 0, 0])), 1 / np.sqrt(0.9)),
    # r / (1 + r^2) turns back at 1.
    (Camera(1280, 720, WIDE, np.array([0, 0, 0, 0, 0, 1.0, 0, 0]), 'rational_polynomial'), 1.0),
    # r / (1 - r^2) has a pole at 1.
    (Camera(99999, 99999, WIDE, np.array([0, 0, 0, 0, 0, -1.0, 0, 0]), 'rational_polynomial'), 1),
    # theta - 0.4 theta^3 turns back at 1 / sqrt(1.2) radians.
    (Camera(1280, 720, WIDE, np.array([-0.4, 0, 0, 0]), 'equidistant'),
     np.tan(1 / np.sqrt(1.2)))])
def test_beyond_the_turn_of_its_polynomial_a_lens_model_does_not_hold(camera, limit):
    factors = np.array([0.98, 1.02, 1.5, 3.0, 30.0])
    points = np.column_stack([factors * limit, np.zeros(5), np.ones(5)])
    _, reasons = project(points, camera)
    assert reasons[0] in (ScoreReason.SCORED, ScoreReason.OUTSIDE_IMAGE)
    assert reasons[1:].tolist() == [ScoreReason.BEYOND_LENS_MODEL] * 4


def test_a_fisheye_that_folds_back_does_not_put_a_point_86_degrees_off_axis_into_the_image():
    camera = Camera(1280, 720, WIDE, np.array([-0.4, 0, 0, 0]), 'equidistant')
    point = np.array([[np.sin(np.radians(86)), 0, np.cos(np.radians(86))]])
    inside = by_opencv(point, camera)[0]
    assert 0 < inside[0] < 1280 and 0 < inside[1] < 720
    pixels, reasons = project(point, camera)
    assert np.isnan(pixels).all() and reasons.tolist() == [ScoreReason.BEYOND_LENS_MODEL]


def test_strong_tangential_distortion_that_mirrors_the_image_is_beyond_the_model():
    camera = Camera(99999, 99999, WIDE, np.array([0, 0, 0.3, 0, 0]))
    # y' = y + p1 (r^2 + 2 y^2): along y its slope is 1 + 6 p1 y, 0 at y = -0.56.
    _, reasons = project(np.array([[0, -0.5, 1.0], [0, -0.6, 1.0]]), camera)
    assert reasons[1] == ScoreReason.BEYOND_LENS_MODEL != reasons[0]


def test_a_pixel_that_no_ray_reaches_has_no_ray():
    camera = Camera(1280, 720, WIDE, np.array([-0.3, 0, 0, 0, 0]))
    # The model reaches 600 * 0.703 = 422 pixels from the centre.
    rays = unproject(np.array([[640 + 400.0, 360], [640 + 440.0, 360]]), camera)
    assert np.isfinite(rays[0]).all() and np.isnan(rays[1]).all()


def test_an_unknown_distortion_model_is_refused():
    with pytest.raises(ConfigError, match="'bent'"):
        project(np.array([[0, 0, 1.0]]), Camera(100, 80, MATRIX, np.zeros(5), 'bent'))


FULL = Camera(200, 160, np.array([[200.0, 0, 100.5], [0, 180, 80.5], [0, 0, 1]]))


def test_a_binned_image_has_the_calibration_of_the_whole_sensor():
    camera = replace(FULL, binning=(2, 2)).at_size(100, 80)
    # Column 100.5 is the edge between columns 100 and 101, the centre of column 50 of the binned.
    np.testing.assert_allclose(camera.matrix, [[100, 0, 50], [0, 90, 40], [0, 0, 1]])
    assert (camera.width, camera.height) == (100, 80)


def test_a_region_of_interest_shifts_the_centre():
    camera = replace(FULL, region=(20, 30, 100, 60)).at_size(100, 60)
    np.testing.assert_allclose(camera.matrix, [[200, 0, 80.5], [0, 180, 50.5], [0, 0, 1]])


def test_a_binned_region_of_interest_projects_as_the_sensor_does():
    camera = replace(FULL, region=(20, 30, 100, 60), binning=(2, 3)).at_size(50, 20)
    points = np.array([[0.02, -0.03, 0.5], [-0.1, 0.01, 0.7]])
    whole, binned = project(points, FULL)[0], project(points, camera)[0]
    np.testing.assert_allclose((whole - (20, 30) + 0.5) / (2, 3) - 0.5, binned)


def test_a_calibration_of_the_binned_image_itself_is_used_as_it_is():
    camera = replace(FULL, binning=(2, 2))
    assert camera.at_size(200, 160) is camera
    assert camera.at_size(101, 80) is None and FULL.at_size(100, 80) is None


def test_a_camera_without_focal_length_is_refused():
    with pytest.raises(ConfigError, match='focal'):
        Camera(100, 80, np.zeros((3, 3)))


def test_encoding_by_hand():
    config = MossGraspConfig(image_size=64, gripper_half_width_m=0.05)
    _, transform = letterbox(np.zeros((128, 128, 3), np.uint8), 64)
    grasps = encode_grasps(np.array([[63.5, 63.5], [-0.5, 127.5]]), np.array([0.5, 1.0]),
                           np.array([0.0, np.pi / 2]), (100.0, 60.0), transform,
                           config.image_size, config.gripper_half_width_m)
    # A finger is 0.05 m away: 10 pixels along x at 0.5 m, 3 along y at 1 m; 64 pixels are 1 unit.
    expected = [[0, 0, 0.5, 10 / 64, 0], [-1, 1, 1.0, 0, 3 / 64]]
    np.testing.assert_allclose(grasps, expected, atol=1e-6)
    assert grasps.dtype == np.float32
