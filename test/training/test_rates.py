"""Clips of cameras of other rates: which frames they show, and what time lies between these."""

from dataclasses import replace

from moss_perception.core.errors import ConfigError
from moss_perception.models.base import model_type
from moss_perception.training.augmentation import frames_at
from moss_perception.training.dataset import GraspClips
from moss_perception.training.decoding import decode_clips
from moss_perception.training.settings import Recipe
import numpy as np
import pytest
from spots import scene, TINY

TIMED = replace(TINY, time_inputs=True, lead_times_s=(0.5, 0.9), default_lead_time_s=0.7)


def test_a_slower_camera_shows_the_frames_nearest_to_its_ticks():
    stamps = np.arange(11) * 100_000_000
    np.testing.assert_array_equal(frames_at(stamps, 10.0), np.arange(11))
    np.testing.assert_array_equal(frames_at(stamps, 5.0), [0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10])
    # Its ticks are 0, 143, 286, 429, 571, 714 and 857 ms before the newest.
    np.testing.assert_array_equal(frames_at(stamps, 7.0), [0, 1, 1, 3, 4, 4, 6, 7, 7, 9, 10])


@pytest.mark.parametrize('decode', [False, True])
def test_a_clip_repeats_frames_and_its_gaps_tell_it(decode):
    samples = [replace(scene(seed), lead_time_s=0.7) for seed in range(3)]
    decoded = decode_clips(samples, TIMED) if decode else None
    plain = GraspClips(samples, TIMED, decoded)
    slow = GraspClips(samples, TIMED, decoded, rates=(5.0, 5.0))
    window = samples[0].times_ns[samples[0].window(TIMED.window_frames, TIMED.frame_rate_hz)]
    shown = frames_at(window, 5.0)
    assert len(np.unique(shown)) < len(shown)
    for one, other in zip(slow, plain, strict=True):
        np.testing.assert_array_equal(one.images, other.images[shown])
        np.testing.assert_array_equal(one.images[-1], other.images[-1])
        np.testing.assert_array_equal(one.grasps, other.grasps)
        assert one.gaps.sum().item() == pytest.approx(other.gaps.sum().item(), abs=1e-2)
        assert one.gaps.max().item() == pytest.approx(0.2, abs=1e-3)


def test_rates_are_drawn_by_epoch_and_index():
    samples = [replace(scene(seed), lead_time_s=0.7) for seed in range(4)]
    clips = GraspClips(samples, TIMED, rates=(3.0, 10.0), seed=3)
    drawn = {}
    for clips.epoch in (0, 1):
        for index in range(4):
            drawn[clips.epoch, index] = clips._rate(index)
            assert clips[index].gaps.equal(clips[index].gaps)
    assert len(set(drawn.values())) == 8 and all(3 <= rate <= 10 for rate in drawn.values())


@pytest.mark.parametrize('config, rates', [(TINY, (5.0, 10.0)), (TIMED, (5.0, 40.0))])
def test_rates_need_time_inputs_and_the_networks_rate(config, rates):
    with pytest.raises(ConfigError, match='expected a network with time inputs, and rates up to'):
        GraspClips([scene(0)], config, rates=rates)


def test_rates_need_a_network_that_sees_its_whole_window():
    config = model_type('last_grasp').Config(
        image_size=32, time_inputs=True, lead_times_s=(0.5, 0.9), default_lead_time_s=0.7)
    with pytest.raises(ConfigError, match=r"rates=\[5.0, 10.0\] is not allowed with the model "
                                          "'last_grasp', which sees 1 of the 16 frames"):
        GraspClips([scene(0)], config, rates=(5.0, 10.0))


@pytest.mark.parametrize('rates', [(10.0, 5.0), (0.0, 5.0), (-1.0, 5.0)])
def test_rates_that_do_not_ascend_are_refused(rates):
    with pytest.raises(ConfigError, match='expected two ascending rates above 0 Hz'):
        Recipe(rates=rates)
    assert Recipe.from_stored({'rates': [5, 10]}).rates == (5, 10)
