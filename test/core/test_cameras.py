"""From CameraInfo and a topic's name to a camera: rectified, distorted, binned."""

from types import SimpleNamespace

from calibrations import write_calibration
from moss_perception.core.cameras import CameraSetup, names_rectified, to_camera
from moss_perception.core.errors import ConfigError
from moss_perception.core.frames import Camera
from moss_perception.core.geometry import project
import numpy as np
import pytest

K = [600.0, 0, 320, 0, 590, 240, 0, 0, 1]
P = [550.0, 0, 310, 0, 0, 550, 235, 0, 0, 0, 1, 0]
PLAIN_P = [600.0, 0, 320, 0, 0, 590, 240, 0, 0, 0, 1, 0]
BENT = [-0.3, 0.1, 0.001, 0.002, 0.0]
R = [0.9998, 0.0, 0.02, 0.0, 1.0, 0.0, -0.02, 0.0, 0.9998]


def info(k=K, p=P, d=BENT, r=(1, 0, 0, 0, 1, 0, 0, 0, 1), model='plumb_bob', binning=(0, 0),
         roi=(0, 0, 0, 0)):
    x, y, width, height = roi
    return SimpleNamespace(
        width=640, height=480, k=k, p=p, d=d, r=r, distortion_model=model, binning_x=binning[0],
        binning_y=binning[1], roi=SimpleNamespace(x_offset=x, y_offset=y, width=width,
                                                  height=height))


@pytest.mark.parametrize(('topic', 'expected'), [
    ('/camera/image_rect', True), ('/camera/image_rect_color', True),
    ('/camera/image_rect_color/compressed', True), ('/camera/infra1/image_rect_raw', True),
    ('/zed/rgb/rect/image', True), ('/camera/image_rectified', True), ('image_rect', True),
    ('/camera/image_raw', False), ('/camera/color/image_raw/compressed', False), ('image', False),
    ('', False), ('/camera/direct', False), ('/rect/camera/image', False),
    ('/camera/image_rectangle', False)])
def test_the_name_of_a_topic_says_whether_its_images_are_rectified(topic, expected):
    assert names_rectified(topic) is expected


@pytest.mark.parametrize(('topic', 'rectified', 'uses_p'), [
    ('/camera/image_rect', 'auto', True), ('/camera/image_raw', 'auto', False),
    ('/camera/image_rect', 'false', False), ('/camera/image_raw', 'true', True)])
def test_rectified_images_have_p_and_no_distortion(topic, rectified, uses_p):
    camera = to_camera(info(), topic, rectified)
    if uses_p:
        assert camera == Camera(640, 480, np.array([[550.0, 0, 310], [0, 550, 235], [0, 0, 1]]),
                                np.zeros(0), '')
    else:
        assert camera == Camera(640, 480, np.reshape(K, (3, 3)), np.array(BENT))


def test_a_calibration_in_a_file_is_read_as_the_messages_are(tmp_path):
    path = write_calibration(
        tmp_path / 'cal.yaml', (640, 480), 600.0, BENT, camera_matrix={'data': K},
        rectification_matrix={'data': [1, 0, 0, 0, 1, 0, 0, 0, 1]}, projection_matrix={'data': P})
    for topic, rectified in (('/camera/image_raw', 'auto'), ('/camera/image_rect', 'auto'),
                             ('/camera/image_raw', 'true'), ('/camera/image_rect', 'false')):
        setup = CameraSetup.of(rectified, calibration=path)
        assert setup.camera(topic) == to_camera(info(), topic, rectified)
    assert CameraSetup().camera('/camera/image_raw') is None
    bare = write_calibration(tmp_path / 'bare.yaml', (640, 480), 600.0, BENT)
    with pytest.raises(ConfigError, match='no projection of rectified images'):
        CameraSetup.of(calibration=bare).camera('/camera/image_rect')


def test_a_point_of_a_rectified_image_is_found_by_p():
    point = np.array([[0.2, -0.1, 1.0]])
    pixels, _ = project(point, to_camera(info(), '/camera/image_rect'))
    np.testing.assert_allclose(pixels, [[550 * 0.2 + 310, -550 * 0.1 + 235]])
    assert np.abs(project(point, to_camera(info()))[0] - pixels).max() > 5


def test_rectified_images_can_be_of_a_lens_that_has_no_model_here_or_no_k():
    for message in (info(model='strange', d=[9.0] * 7), info(k=[0.0] * 9)):
        assert to_camera(message, rectified='true').matrix[0, 0] == 550


@pytest.mark.parametrize('p', [PLAIN_P, [0.0] * 12, [*PLAIN_P[:3], -30.0, *PLAIN_P[4:]]])
def test_where_the_calibration_makes_no_difference_the_name_does_not_matter(p):
    for d, r in ((BENT[4:] * 5, (0,) * 9), ([], (1, 0, 0, 0, 1, 0, 0, 0, 1))):
        camera = to_camera(info(p=p, d=d, r=r), '/camera/image_rect_raw')
        np.testing.assert_array_equal(camera.matrix.ravel(), K)


@pytest.mark.parametrize(('changes', 'rectified', 'words'), [
    ({'p': [0.0] * 12}, 'true', r'P\[0\] is 0 and P\[5\] is 0, expected focal lengths above 0, or '
     'rectified: false if K and D describe the images on /left/image_rect'),
    ({'p': [0.0] * 12}, 'auto', 'no projection of rectified images'),
    ({'p': [*P[:3], -55.0, *P[4:]]}, 'true', r'second camera of a stereo pair: P\[3\] is -55 and '
     r'P\[7\] is 0, expected 0; use the first'),
    ({'p': [*P[:3], -55.0, *P[4:]], 'd': [0.0] * 5, 'r': R}, 'auto', 'second camera'),
    ({'k': [0.0] * 9}, 'false', 'not calibrated')])
def test_a_calibration_that_does_not_fit_is_refused_with_the_remedy(changes, rectified, words):
    with pytest.raises(ConfigError, match=words):
        to_camera(info(**changes), '/left/image_rect', rectified)


def test_binning_and_region_hold_for_rectified_images_too():
    camera = to_camera(info(binning=(2, 2), roi=(100, 40, 400, 200)), rectified='true')
    assert camera.image_size == (200, 100)
    np.testing.assert_allclose(camera.at_size(200, 100).matrix, [
        [275, 0, (310 + 0.5 - 100) / 2 - 0.5], [0, 275, (235 + 0.5 - 40) / 2 - 0.5], [0, 0, 1]])


@pytest.mark.parametrize(('model', 'd', 'expected'), [
    ('plumb_bob', [*BENT, 0.0, 0.0, 0.0], BENT[:4]),
    ('plumb_bob', [*BENT, *[0.0] * 9], BENT[:4]),
    ('plumb_bob', [-0.3, 0.1, 0.001, 0.002, 0.05, 0, 0, 0, 0], [-0.3, 0.1, 0.001, 0.002, 0.05]),
    ('plumb_bob', [0.0] * 8, []), ('plumb_bob', [0.0], []), ('', [0.0] * 5, []),
    ('rational_polynomial', [0.1] * 8 + [0.0] * 8, [0.1] * 8),
    ('rational_polynomial', BENT, BENT), ('rational_polynomial', [0.1] * 9, [0.1] * 9 + [0] * 3),
    ('fisheye', [0.1, 0.0, 0.0, 0.0], [0.1, 0, 0, 0]),
    ('equidistant', [0.1, 0.2, 0.3, 0.4, 0.0], [0.1, 0.2, 0.3, 0.4])])
def test_zeros_behind_the_coefficients_change_nothing(model, d, expected):
    camera = to_camera(info(d=d, model=model))
    assert camera.distortion.tolist() == expected or (
        np.trim_zeros(camera.distortion, 'b').tolist() == np.trim_zeros(expected, 'b'))
    point = np.array([[0.2, -0.1, 1.0]])
    same = Camera(640, 480, camera.matrix, np.array(expected, float), model)
    np.testing.assert_array_equal(project(point, camera)[0], project(point, same)[0])
    assert np.isfinite(project(point, camera)[0]).all()


@pytest.mark.parametrize(('model', 'd'), [
    ('plumb_bob', [*BENT, 0.1]), ('plumb_bob', [0.1, 0.2]), ('equidistant', [0.0] * 5),
    ('equidistant', []), ('', [0.1]), ('rational_polynomial', [0.1] * 15),
    ('plumb_bob', [*BENT, float('nan')])])
def test_coefficients_of_another_model_are_refused(model, d):
    with pytest.raises(ConfigError, match='finite coefficients for .*, and only zeros behind'):
        to_camera(info(d=d, model=model))


def test_a_setup_reads_what_parameters_and_options_give():
    setup = CameraSetup.of(True, 'base_link', '0.1 0 0.5 1 0 0 0')
    assert (setup.rectified, setup.candidates_frame) == ('true', 'base_link')
    assert setup.candidates_transform.position.tolist() == [0.1, 0, 0.5]
    again = CameraSetup.of(**setup.values)
    assert again.values == setup.values
    assert CameraSetup.of().values == {'rectified': 'auto'}


@pytest.mark.parametrize(('given', 'words'), [
    ({'rectified': 'perhaps'}, "rectified='perhaps' is not allowed: expected one of auto, true"),
    ({'candidates_frame': 'base'}, "'base' is not allowed without candidates_transform")])
def test_a_setup_that_says_nothing_of_use_is_refused(given, words):
    with pytest.raises(ConfigError, match=words):
        CameraSetup.of(**given)
