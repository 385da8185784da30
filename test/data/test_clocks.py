"""Clocks of cameras that drift, jump or differ are found, and slow recorders are not."""

import re

from bag_factory import image, START_NS, write_bag
from moss_perception.data.bags.clocks import ClockCheck, other_cameras
from moss_perception.data.bags.reader import Recording
import numpy as np
import pytest

S = 10**9


def told(stamps_s, recorded_s=None):
    """Take images whose stamps and times of recording are given in seconds."""
    check = ClockCheck()
    recorded_s = np.asarray(stamps_s) + 0.02 if recorded_s is None else recorded_s
    for stamp_s, at_s in zip(stamps_s, recorded_s, strict=True):
        check.image(START_NS + round(stamp_s * S), START_NS + round(at_s * S))
    return check.lines()


def times(seconds=120.0, rate_hz=10.0):
    return np.arange(0, seconds, 1 / rate_hz)


def test_a_clock_like_the_recorders_is_right_whatever_is_lost_or_late():
    at_s = times()
    rng = np.random.default_rng(1)
    assert told(at_s) == []
    assert told(at_s, at_s + rng.exponential(0.02, len(at_s))) == []
    # A second without images, and a recorder that stops for two seconds to write.
    assert told(at_s[(at_s < 50) | (at_s > 51)]) == []
    assert told(at_s, np.where((at_s > 50) & (at_s < 52), 52.0, at_s) + 0.01) == []
    assert told(at_s[:3]) == told([]) == []


@pytest.mark.parametrize(('ahead_s', 'words'), [
    (1.2, 'jumps once .* by 1.200 s ahead, 60.0 s after'),
    (-0.5, 'jumps once .* by 0.500 s back, 60.0 s after')])
def test_a_jump_is_told_with_its_size_and_time(ahead_s, words):
    at_s = times()
    (line,) = told(at_s + ahead_s * (at_s >= 60), at_s + 0.02)
    assert re.search(words, line) and 'outcomes and candidates' in line


def test_several_jumps_are_counted_with_the_largest():
    at_s = times()
    (line,) = told(at_s + 0.3 * (at_s >= 40) - 2.0 * (at_s >= 80), at_s)
    assert 'jumps 2 times' in line and 'by up to 2.000 s back, 80.0 s after' in line


@pytest.mark.parametrize(('rate', 'word'), [(1e-3, 'faster'), (-1e-3, 'slower')])
def test_a_drift_is_told_a_minute_and_over_the_recording(rate, word):
    at_s = times()
    late_s = np.random.default_rng(2).exponential(0.01, len(at_s))
    (line,) = told(at_s * (1 + rate), at_s + late_s)
    a_minute, total = re.search(r'by ([\d.]+) ms a minute and ([\d.]+) s', line).groups()
    assert f'runs {word} than' in line and 55 < float(a_minute) < 65 and 0.11 < float(total) < 0.13


def test_simulated_time_at_another_pace_is_not_judged():
    at_s = times()
    assert told(at_s * 0.4, at_s) == told(at_s * 3, at_s) == []


def test_small_drifts_and_short_recordings_are_not_told():
    at_s = times()
    assert told(at_s * (1 + 1e-4), at_s) == []
    assert told(times(30) * 1.001, times(30)) == []


def test_cameras_of_two_clocks_are_named_with_the_offset(tmp_path):
    def camera(topic, off_s=0.0):
        return [image(START_NS + n * S // 10 + round(off_s * S), topic) for n in range(30)]

    def recorded(entries):
        # The factory records each message at its stamp: take the time without the offset.
        return [entry.__class__(entry.topic, entry.type, START_NS + n % 30 * S // 10, entry.raw)
                for n, entry in enumerate(entries)]

    alike, apart = camera('/left') + camera('/right', -0.05), camera('/left') + camera(
        '/right', -1.5)
    for name, entries in (('alike', alike), ('apart', apart)):
        write_bag(tmp_path / name, sorted(recorded(entries), key=lambda x: x.stamp_ns))
    with Recording(tmp_path / 'alike') as recording:
        assert other_cameras(recording, '/left') == []
    with Recording(tmp_path / 'apart') as recording:
        (line,) = other_cameras(recording, '/left')
        assert line.startswith('the stamps on /right are 1.500 s behind those on /left')
        (line,) = other_cameras(recording, '/right')
        assert line.startswith('the stamps on /left are 1.500 s ahead of those on /right')
