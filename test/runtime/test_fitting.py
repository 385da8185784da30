"""Images become what the network takes, ahead of time or in time, whole or reduced."""

import cv2
from moss_perception.core.errors import FrameError
from moss_perception.core.geometry import letterbox
from moss_perception.core.image_messages import CompressedImage
from moss_perception.core.images import decode
from moss_perception.runtime.fitting import check, Checked, fit
import numpy as np
import pytest

SIDE = 32


@pytest.fixture
def message():
    """Wrap a smooth picture of 160 x 120 pixels, five times the side, with one bright spot."""
    rows, columns = np.mgrid[:120, :160]
    image = np.stack([rows, columns, 40 + rows // 2], axis=2).astype(np.uint8)
    cv2.circle(image, (100, 40), 8, (255, 255, 255), -1)
    return CompressedImage(cv2.imencode('.jpg', image[:, :, ::-1])[1].tobytes())


def test_a_reduced_image_is_fitted_as_the_whole_one_is(message):
    found = fit(message, SIDE)
    square, transform = letterbox(decode(message), SIDE)
    np.testing.assert_array_equal(found.transform, transform)
    assert (found.size, found.source) == ((120, 160), message)
    # Both average the same pixels: reduced in two steps, they are rounded twice, and a JPEG's
    # blocks are reduced by their frequencies.
    assert np.abs(found.square.astype(int) - square).mean() < 1


def test_a_point_is_found_where_the_transform_takes_it(message):
    found = fit(message, SIDE)
    scale, right, down = found.transform
    weights = np.clip(found.square[4:28].min(axis=2).astype(float) - 120, 0, None)
    rows, columns = np.mgrid[4:28, :SIDE]
    assert (weights * columns).sum() / weights.sum() == pytest.approx(100 * scale + right, abs=0.3)
    assert (weights * rows).sum() / weights.sum() == pytest.approx(40 * scale + down, abs=0.3)


def test_what_is_fitted_already_stays_as_it_is(message):
    fitted = fit(message, SIDE)
    assert fit(fitted, SIDE) is fitted


@pytest.mark.parametrize('array', [
    np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)])
def test_an_array_that_is_no_image_is_refused(array):
    with pytest.raises(FrameError, match='uint8 RGB'):
        fit(array, SIDE)


def test_only_what_nobody_has_looked_at_is_checked(message):
    for image in (fit(message, SIDE), Checked(), check(message)):
        assert check(image) is image
    with pytest.raises(FrameError):
        check(CompressedImage(message.data[:50]))
