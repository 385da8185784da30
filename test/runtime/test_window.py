"""Which frames become samples, by hand-computed stamps."""

from moss_perception.core.errors import ConfigError, FrameError
from moss_perception.runtime.window import Sampler
import pytest

MS = 1_000_000
START = 1_000 * MS


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
