"""Calibrations as ROS's tools write them."""

from moss_perception.core.errors import BagError, ClipError
from moss_perception.data.clips.calibration import read_calibration
import numpy as np
import pytest

TEXT = """image_width: 640
image_height: 480
camera_name: eye
camera_matrix: {rows: 3, cols: 3, data: [500, 0, 319.5, 0, 510, 239.5, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -0.2, 0, 0, 0]}
"""


@pytest.fixture
def written(tmp_path):
    def write(text=TEXT):
        (tmp_path / 'eye.yaml').write_text(text)
        return tmp_path / 'eye.yaml'
    return write


def test_values_are_read(written):
    calibration = read_calibration(written())
    assert (calibration.width, calibration.height, calibration.model) == (640, 480, 'plumb_bob')
    assert calibration.matrix[1].tolist() == [0, 510, 239.5]
    assert calibration.distortion.tolist() == [0.1, -0.2, 0, 0, 0]


def test_a_smaller_image_keeps_its_centre_in_the_centre(written):
    # The centre of 640 x 480 is at 319.5, 239.5; of 320 x 240 at 159.5, 119.5.
    np.testing.assert_allclose(read_calibration(written()).scaled(320, 240), [
        [250, 0, 159.5], [0, 255, 119.5], [0, 0, 1]])


def test_a_clip_of_another_shape_is_refused(written):
    calibration = read_calibration(written())
    calibration.check(320, 240)
    with pytest.raises(ClipError, match='images of 320 x 180 pixels: .* 640 x 480'):
        calibration.check(320, 180)


@pytest.mark.parametrize(('old', 'new', 'expected'), [
    ('image_width: 640\n', '', "'image_width'"), ('[500,', '[-500,', 'focal lengths above 0'),
    ('[500,', '[x,', 'garbles'), ('[500, 0,', '[500,', 'garbles'),
    ('plumb_bob', 'rare', "model 'rare'"), ('[0.1, -0.2,', '[.nan, -0.2,', 'finite coefficients'),
    (', 0, 0, 0]', ']', 'coefficients for plumb_bob'), ('camera_matrix: {', '{{', "can't be read"),
    ('image_height: 480', 'image_height: 0', '640 x 0 pixels'), (TEXT, 'text', 'garbles')])
def test_what_can_not_be_used_is_refused_by_name(written, old, new, expected):
    assert old in TEXT
    with pytest.raises(BagError, match=r'eye\.yaml .*' + expected):
        read_calibration(written(TEXT.replace(old, new)))
