"""Jitter and drops: from a seed, within their limits, and in the label."""

from moss_perception.core.errors import ConfigError
from moss_perception.data.clips.disturbance import Disturbance
from moss_perception.data.clips.video import ClipFrame
import numpy as np
import pytest

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
