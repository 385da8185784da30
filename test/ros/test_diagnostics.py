"""What the diagnostics say of a state."""

from collections import Counter

from moss_perception.ros.common.diagnostics import (
    DiagnosticsSample,
    ERROR,
    Health,
    judge,
    OK,
    Rolling,
    STALE,
    status,
    Tally,
    Throttle,
    WARN,
)
import numpy as np
import pytest

BEFORE = DiagnosticsSample(10.0, 100, 80, 3, Counter(step=1))


def say(frames=0, scored=0, dropped=0, refused=None, **health):
    now = DiagnosticsSample(
        12.0, 100 + frames, 80 + scored, 3 + dropped, Counter(step=1, **(refused or {})))
    values = {'topic': '/image', 'since_frame_s': 0.1, 'fill': 16, 'window': 16, 'enabled': True}
    return judge(Health(**{**values, **health}), BEFORE, now)


def test_running_tells_the_rate():
    assert say(frames=20, scored=20) == (OK, 'running: 10.0 scores a second')


@pytest.mark.parametrize(('given', 'level', 'words'), [
    ({'since_frame_s': None}, WARN, 'no frames yet on /image: nothing publishes it'),
    ({'since_frame_s': None, 'problem': 'set image_transport'}, WARN, 'set image_transport'),
    ({'since_frame_s': 2.5}, STALE, 'no frame on /image for 2.5 s'),
    ({'fill': 3}, OK, 'window filling: 3 of 16 samples'),
    ({'frames': 20, 'dropped': 4}, WARN, 'overloaded: dropped 4 of 20 frames'),
    ({'frames': 9, 'refused': {'encoding': 9}, 'last_refusal': 'encoding: 16UC1'}, WARN,
     'refused 9 of 9 frames, last encoding: 16UC1'),
    ({'enabled': False, 'since_frame_s': None}, OK, 'paused'),
    ({'failure': 'ValueError: x', 'enabled': False}, ERROR, 'internal error: ValueError: x'),
    ({'problem': 'best effort'}, WARN, 'best effort'),
])
def test_each_state_has_its_words(given, level, words):
    found, message = say(**given)
    assert found == level and words in message


def test_a_throttle_lets_each_kind_through_once_a_period():
    now = [0.0]
    throttle = Throttle(5.0, lambda: now[0])
    assert throttle.allows('a') and throttle.allows('b')
    now[0] = 4.9
    assert not throttle.allows('a')
    now[0] = 5.0
    assert throttle.allows('a') and not throttle.allows('a')


def test_an_endless_throttle_speaks_once():
    now = [0.0]
    throttle = Throttle(float('inf'), lambda: now[0])
    assert throttle.allows('a')
    now[0] = 1e9
    assert not throttle.allows('a')


def test_each_event_is_said_and_a_flood_is_summed_up():
    now = [0.0]
    tally = Tally(2, 5.0, lambda: now[0])
    said = [tally.line('gap'), tally.line('gap'), tally.line('gap'), tally.line('gap', 2),
            tally.line('frame_id')]
    assert said == ['gap', 'gap', '', '', 'frame_id']
    now[0] = 5.0
    assert tally.line('gap') == 'gap (4 times since the last line)'
    assert tally.line('gap') == 'gap'


def test_percentiles_look_at_the_newest_only():
    rolling = Rolling(3)
    assert np.isnan(rolling.percentile_ms(50))
    for seconds in (9.0, 0.001, 0.002, 0.003):
        rolling.add(seconds)
    assert rolling.percentile_ms(50) == pytest.approx(2.0)
    rolling.clear()
    assert np.isnan(rolling.percentile_ms(95))


def test_values_are_words():
    message = status('node', WARN, 'text', {'a': 1, 'b': 0.5, 'c': 'x'})
    assert [(v.key, v.value) for v in message.values] == [('a', '1'), ('b', '0.500'), ('c', 'x')]
    assert message.level == WARN


def test_a_lasting_shift_is_said_and_worse_comes_first():
    assert say(ood_score=2.5)[0] == WARN
    assert say(ood_score=2.5)[1].startswith('out of distribution: OOD score 2.50, expected at')
    assert 'refused 1 of 2' in say(frames=2, refused={'size': 1}, ood_score=2.5)[1]
