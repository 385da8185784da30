"""Clips, image by image: times, sizes, and what can't be read."""

from moss_perception.core.errors import ClipError
from moss_perception.data.clips.video import read_frames
import pytest


def times_ms(frames):
    return [round(frame.time_ns / 1e6) for frame in frames]


def test_images_come_in_order_with_the_times_of_the_clip(tmp_path, clip_factory):
    path = clip_factory.write_clip(tmp_path / 'a.avi', 5, hz=25)
    frames = list(read_frames(path))
    assert times_ms(frames) == [0, 40, 80, 120, 160]
    assert clip_factory.shades([x.jpeg for x in frames]) == pytest.approx(
        [clip_factory.shade_of(i) for i in range(5)], abs=2)
    assert {x.size for x in frames} == {x.filmed for x in frames} == {(64, 48)}


def test_a_lower_rate_takes_the_first_image_that_is_due_with_its_own_time(tmp_path, clip_factory):
    path = clip_factory.write_clip(tmp_path / 'a.avi', 30, hz=30)
    frames = list(read_frames(path, rate_hz=10))
    assert times_ms(frames) == [100 * i for i in range(10)]
    assert clip_factory.shades([x.jpeg for x in frames])[:3] == pytest.approx(
        [clip_factory.shade_of(i) for i in (0, 3, 6)], abs=2)
    # 25 images a second do not divide by 10: no image is made up or moved.
    path = clip_factory.write_clip(tmp_path / 'b.avi', 25, hz=25)
    times = times_ms(read_frames(path, rate_hz=10))
    assert len(times) == 10 and set(times) <= set(range(0, 1000, 40))
    assert max(abs(time - 100 * i) for i, time in enumerate(times)) <= 40


def test_a_rate_above_the_clips_changes_nothing(tmp_path, clip_factory):
    path = clip_factory.write_clip(tmp_path / 'a.avi', 6, hz=10)
    assert list(read_frames(path, rate_hz=60)) == list(read_frames(path))


def test_another_clock_can_be_said(tmp_path, clip_factory):
    path = clip_factory.write_clip(tmp_path / 'a.avi', 4, hz=30)
    assert times_ms(read_frames(path, clip_hz=15)) == [0, 67, 133, 200]


def test_large_images_are_scaled_to_their_longest_side(tmp_path, clip_factory):
    path = clip_factory.write_clip(tmp_path / 'a.avi', 2, size=(128, 64))
    frame = next(read_frames(path, side=32))
    assert (frame.size, frame.filmed) == ((32, 16), (128, 64))


def test_what_is_no_clip_is_refused_by_name(tmp_path):
    (tmp_path / 'a.avi').write_bytes(b'no film')
    with pytest.raises(ClipError, match=r'a\.avi has no image that can be read'):
        list(read_frames(tmp_path / 'a.avi'))
    with pytest.raises(ClipError, match=r'b\.avi is not there'):
        list(read_frames(tmp_path / 'b.avi'))


def test_a_clip_that_is_cut_off_says_how_much_there_is(tmp_path, clip_factory):
    path = clip_factory.cut(clip_factory.write_clip(tmp_path / 'a.avi', 40), 0.5)
    with pytest.raises(ClipError, match=r'a\.avi is damaged or cut off: \d+ .* expected 40'):
        list(read_frames(path))
    assert 1 < len(list(read_frames(path, whole=False))) < 38
