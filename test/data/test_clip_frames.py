"""The images of clips: read with their times, moved and dropped."""

from moss_perception.core.errors import ClipError, ConfigError
from moss_perception.data.clips import frames as reading
from moss_perception.data.clips.frames import ClipFrame, Disturbance, read_frames
import numpy as np
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


PERIOD_NS = 100_000_000


def frames(count=400):
    return [ClipFrame(i * PERIOD_NS, b'%d' % i, (4, 4), (4, 4)) for i in range(count)]


def applied(name='a.mp4', count=400, **settings):
    return list(Disturbance(**settings).apply(frames(count), name))


def errors_s(pairs):
    return np.array([time_ns - frame.time_ns for time_ns, frame in pairs]) / 1e9


def test_nothing_asked_for_changes_nothing():
    assert applied() == [(frame.time_ns, frame) for frame in frames()]


def test_jitter_moves_stamps_as_far_as_asked_and_keeps_their_order():
    pairs = applied(jitter_s=0.01, seed=1)
    assert len(pairs) == 400
    # Of 400 draws the deviation is known to 3.5 % of itself, here four times that.
    assert errors_s(pairs).std() == pytest.approx(0.01, rel=0.15)
    wild = applied(jitter_s=1.0, seed=1)
    assert (np.diff([time for time, _ in wild]) >= 0.2 * PERIOD_NS - 1).all()
    assert np.abs(errors_s(wild)).max() == pytest.approx(0.04)


def test_drops_lose_the_share_asked_for_and_never_the_first_or_the_last():
    kept = [frame.jpeg for _, frame in applied(drops=0.3, seed=1)]
    # Four standard deviations of 400 draws.
    assert 400 - len(kept) == pytest.approx(120, abs=4 * (400 * 0.3 * 0.7) ** 0.5)
    for seed in range(20):
        kept = [frame.jpeg for _, frame in applied(count=3, drops=0.99, seed=seed)]
        assert kept[0] == b'0' and kept[-1] == b'2'


def test_more_drops_lose_the_same_images_and_others_and_jitter_loses_none():
    few, more = (
        {frame.jpeg for _, frame in applied(drops=drops, seed=5)} for drops in (0.1, 0.3))
    assert more < few
    assert {frame.jpeg for _, frame in applied(drops=0.1, jitter_s=0.01, seed=5)} == few


def test_the_seed_and_the_clips_name_decide():
    settings = {'drops': 0.2, 'jitter_s': 0.01}
    assert applied(seed=1, **settings) == applied(seed=1, **settings)
    assert applied(seed=1, **settings) != applied(seed=2, **settings)
    assert applied('b.mp4', seed=1, **settings) != applied('a.mp4', seed=1, **settings)


@pytest.mark.parametrize('count', [0, 1, 2])
def test_clips_of_few_images_stay_as_they_are(count):
    pairs = applied(count=count, drops=0.9, jitter_s=1.0)
    assert pairs == [(frame.time_ns, frame) for frame in frames(count)]


def test_the_label_says_what_was_done():
    assert Disturbance(0.02, 0.05).label('real') == 'real.jitter_0.02.drops_0.05'
    assert Disturbance(drops=0.05).label('lab') == 'lab.drops_0.05'
    assert Disturbance(seed=3).label('lab') == 'lab'


@pytest.mark.parametrize(('settings', 'expected'), [
    ({'jitter_s': -0.1}, 'jitter of -0.1 s'), ({'jitter_s': float('nan')}, 'jitter of nan s'),
    ({'drops': 1.0}, 'drops of 1.0'), ({'seed': -1}, 'seed -1')])
def test_what_can_not_be_done_is_refused(settings, expected):
    with pytest.raises(ConfigError, match=expected):
        Disturbance(**settings)


def test_pictures_of_too_many_pixels_are_refused_undecoded(tmp_path, clip_factory, monkeypatch):
    path = clip_factory.write_clip(tmp_path / 'a.avi', 5)
    monkeypatch.setattr(reading, 'MOST_PIXELS', 64 * 48)
    assert len(list(read_frames(path))) == 5
    monkeypatch.setattr(reading, 'MOST_PIXELS', 64 * 48 - 1)
    monkeypatch.setattr(reading, '_pictures', lambda *_: pytest.fail('it is decoded'))
    with pytest.raises(ClipError, match='pictures of 64 x 48 pixels: expected at most 3071'):
        list(read_frames(path))
