"""Which frames become samples, by hand-computed stamps; and how their images are fitted."""

import cv2
from moss_perception.core.errors import ConfigError, FrameError
from moss_perception.core.geometry import letterbox
from moss_perception.core.image_messages import CompressedImage
from moss_perception.core.images import decode
from moss_perception.runtime.sampling import check, Checked, fit, Sampler
import numpy as np
import pytest

MS = 1_000_000
START = 1_000 * MS
SIDE = 32


def admit(sampler, *stamps_ms, frame_id='camera'):
    return [sampler.admit(START + ms * MS, frame_id) for ms in stamps_ms]


def indices(admissions):
    return [admission.index for admission in admissions]


def test_a_camera_at_the_models_rate_gives_a_sample_each():
    assert indices(admit(Sampler(10), 0, 100, 200, 300)) == [0, 1, 2, 3]


def test_jitter_under_a_quarter_period_loses_nothing():
    assert indices(admit(Sampler(10), 0, 124, 176, 324, 380)) == [0, 1, 2, 3, 4]


def test_a_camera_three_times_as_fast_gives_every_third_frame():
    stamps = [round(k * 1000 / 30) for k in range(10)]
    assert indices(admit(Sampler(10), *stamps)) == [
        0, None, None, 1, None, None, 2, None, None, 3]


def test_missing_frames_leave_gaps_in_the_indices():
    assert indices(admit(Sampler(10), 0, 100, 400)) == [0, 1, 4]


def test_no_drift_over_many_samples():
    sampler = Sampler(30)
    taken = [sampler.admit(START + round(k * 1e9 / 30), 'camera').index for k in range(100_000)]
    assert taken == list(range(100_000))


def test_a_repeated_stamp_is_no_sample():
    assert indices(admit(Sampler(10), 0, 0, 100)) == [0, None, 1]


def test_stamps_going_backwards_begin_a_new_epoch():
    *_, before, after, following = admit(Sampler(10), 0, 100, 0, 100)
    assert (before.epoch, before.reset_reason) == (0, None)
    assert (after.index, after.epoch, after.reset_reason) == (0, 1, 'stamp_backwards')
    assert (following.index, following.epoch) == (1, 1)


def test_another_frame_id_begins_a_new_epoch():
    sampler = Sampler(10)
    admit(sampler, 0)
    (admission,) = admit(sampler, 100, frame_id='other')
    assert (admission.index, admission.reset_reason) == (0, 'frame_id')


def test_after_a_reset_the_next_frame_is_sample_0():
    sampler = Sampler(10)
    admit(sampler, 0, 100)
    sampler.reset()
    (admission,) = admit(sampler, 133)
    assert (admission.index, admission.epoch, admission.reset_reason) == (0, 1, None)
    assert not admission.went_back


def test_a_stamp_that_goes_back_is_noticed_across_a_reset():
    sampler = Sampler(10)
    admit(sampler, 0, 100)
    sampler.reset()
    (admission,) = admit(sampler, 50)
    assert (admission.index, admission.epoch, admission.reset_reason) == (0, 1, None)
    assert admission.went_back


@pytest.mark.parametrize('stamp', [0, -5])
def test_a_stamp_that_is_not_above_zero_is_refused_and_forgotten(stamp):
    sampler = Sampler(10)
    admit(sampler, 0)
    with pytest.raises(FrameError, match=f'got {stamp}') as caught:
        sampler.admit(stamp, 'camera')
    assert caught.value.reason == 'zero_stamp'
    assert indices(admit(sampler, 100)) == [1]


def test_a_rate_that_is_not_above_zero_is_refused():
    with pytest.raises(ConfigError, match='got 0'):
        Sampler(0)


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
