"""The level, message and values of the predictor's diagnostics, also out of distribution."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

from moss_perception.core.scores import Prediction
from moss_perception.ros.common.conversions import ERROR, OK, STALE, WARN
from moss_perception.ros.predictor.judge import Health, judge
from moss_perception.ros.predictor.monitor import Monitor, Rolling
from moss_perception.runtime.predictor import Counters
import numpy as np
import pytest

IN_DISTRIBUTION, OOD = 0.5, 2.5
BEFORE = Counters(frames=100, scored=80, dropped=3, refused=Counter(step=1))


def prediction(ood_score, candidates=0):
    return Prediction(
        stamp_ns=1, frame_id='camera', score=0.75, uncertainty=0.1, default_point=np.zeros(3),
        default_orientation=np.zeros(4), candidates_stamp_ns=1, points=np.zeros((candidates, 3)),
        orientations=np.zeros((candidates, 4)), pixels=np.zeros((candidates, 2)),
        reasons=np.arange(candidates, dtype=np.uint8) % 3,
        scores=np.linspace(0.2, 0.9, candidates), uncertainties=np.zeros(candidates),
        motion_features=np.zeros((1, 1, 1), np.float32), size=(1, 1), source=None,
        decode_s=0.002, inference_s=0.004, ood_score=ood_score)


@pytest.fixture
def monitor():
    return Monitor()


def see(monitor, ood_score, times, candidates=0):
    for _ in range(times):
        monitor.frame()
        monitor.prediction(prediction(ood_score, candidates), 0.03)


def say(monitor):
    predictor = SimpleNamespace(counters=Counters(), fill=16,
                                config=SimpleNamespace(window_frames=16))
    return monitor.report(predictor, '/image', True, '', 0.5)


def test_a_window_that_is_reset_and_never_scored_is_a_warning():
    health = Health('/image', 0.1, 3, 16, True)
    now = Counters(frames=110, scored=80, dropped=3, refused=Counter(step=1),
                   resets=Counter(stamp_backwards=2, gap=1))
    level, message = judge(health, BEFORE, now, 1.0)
    assert level == WARN and 'reset 3 times (gap 1, stamp_backwards 2)' in message
    now.scored = 81
    assert judge(health, BEFORE, now, 1.0)[0] == OK
    now = Counters(frames=110, scored=80, dropped=3, refused=Counter(step=1),
                   resets=Counter(requested=1))
    assert judge(health, BEFORE, now, 1.0)[0] == OK


def test_doubtful_pictures_are_counted_by_their_look(monitor):
    predictor = SimpleNamespace(counters=Counters(doubtful=Counter(dark=3, depth=1)), fill=16,
                                config=SimpleNamespace(window_frames=16))
    values = monitor.report(predictor, '/image', True, '', 0.5)[2]
    assert (values['doubtful/dark'], values['doubtful/depth']) == (3, 1)
    assert not [name for name in say(monitor)[2] if name.startswith('doubtful/')]


def test_a_lasting_shift_is_reported_until_it_is_over(monitor):
    see(monitor, IN_DISTRIBUTION, 20)
    level, message, values = say(monitor)
    assert level == OK and message.startswith('running')
    assert (values['out_of_distribution'], values['ood_score']) == ('no', IN_DISTRIBUTION)
    # Half of the newest 20 samples begin it.
    see(monitor, OOD, 9)
    assert say(monitor)[0] == OK and say(monitor)[2]['out_of_distribution'] == 'no'
    see(monitor, OOD, 4)
    level, message, values = say(monitor)
    assert level == WARN
    assert message.startswith('out of distribution: OOD score 2.50, expected at most 1')
    assert (values['out_of_distribution'], values['ood_score']) == ('yes', OOD)
    # It ends where a fifth of them are left.
    see(monitor, IN_DISTRIBUTION, 15)
    assert say(monitor)[0] == WARN and say(monitor)[2]['out_of_distribution'] == 'yes'
    see(monitor, IN_DISTRIBUTION, 1)
    level, message, values = say(monitor)
    assert level == OK and message.startswith('running')
    assert (values['out_of_distribution'], values['ood_score']) == ('no', IN_DISTRIBUTION)


def test_single_ood_samples_are_not_a_shift(monitor):
    for _ in range(10):
        see(monitor, OOD, 1)
        see(monitor, IN_DISTRIBUTION, 3)
        assert say(monitor)[0] == OK and say(monitor)[2]['out_of_distribution'] == 'no'


def test_where_a_planner_gives_candidates_only_what_it_chooses_from_counts(monitor):
    see(monitor, IN_DISTRIBUTION, 1, candidates=2)
    see(monitor, OOD, 30)
    _, _, values = say(monitor)
    assert (values['out_of_distribution'], values['ood_score']) == ('no', OOD)
    see(monitor, OOD, 20, candidates=2)
    assert say(monitor)[0] == WARN
    assert say(monitor)[2]['good_grasps'] == 1


def test_without_an_ood_score_nothing_is_ood_and_a_restart_forgets(monitor):
    see(monitor, float('nan'), 30)
    assert say(monitor)[2]['out_of_distribution'] == 'no'
    see(monitor, OOD, 20)
    assert say(monitor)[2]['out_of_distribution'] == 'yes'
    monitor.restart()
    see(monitor, IN_DISTRIBUTION, 1)
    assert say(monitor)[0] == OK and say(monitor)[2]['out_of_distribution'] == 'no'


def test_durations_are_told_in_milliseconds(monitor):
    assert np.isnan(say(monitor)[2]['age_p50_ms']) and 'ood_score' not in say(monitor)[2]
    see(monitor, IN_DISTRIBUTION, 3)
    values = say(monitor)[2]
    assert [values[f'{name}_p{p}_ms'] for name in ('decode', 'inference', 'age')
            for p in (50, 95)] == pytest.approx([2, 2, 4, 4, 30, 30])


def judged(frames=0, scored=0, dropped=0, refused=None, missing=0, **health):
    now = Counters(frames=100 + frames, scored=80 + scored, dropped=3 + dropped,
                   missing=missing, refused=Counter(step=1, **(refused or {})))
    values = {'topic': '/image', 'since_frame_s': 0.1, 'fill': 16, 'window': 16, 'enabled': True}
    return judge(Health(**{**values, **health}), BEFORE, now, 2.0)


def test_running_tells_the_rate():
    assert judged(frames=20, scored=20) == (OK, 'running: 10.0 scores a second')


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
    ({'problem': '/x is published instead'}, WARN, '/x is published instead [MOSS003]'),
    ({'frames': 10, 'scored': 10, 'missing': 10}, WARN,
     '10 of 20 samples repeat the one before, since no image came in time: expected a camera'),
    ({'frames': 15, 'scored': 15, 'missing': 5}, OK, 'running'),
])
def test_each_state_has_its_words(given, level, words):
    found, message = judged(**given)
    assert found == level and words in message


@pytest.mark.parametrize(('age_s', 'count', 'level'), [(29, 2, OK), (31, 2, WARN), (31, 0, OK)])
def test_candidates_much_older_than_the_image_are_a_warning(monitor, age_s, count, level):
    monitor.frame()
    monitor.prediction(replace(prediction(IN_DISTRIBUTION, count),
                               stamp_ns=1 + age_s * 10**9), 0.03)
    found, message, _ = say(monitor)
    assert found == level
    assert message.startswith('the candidates are 31 s older than the image') == (level == WARN)


def counters(**counts):
    return Counters(**{name: Counter(x) if isinstance(x, dict) else x
                       for name, x in counts.items()})


def test_resets_that_repeat_and_leave_few_scores_are_a_warning():
    # As with a camera that stamps a frame seconds ahead now and then.
    lately = counters(frames=100, scored=10, stored=20)
    before = counters(frames=180, scored=14, stored=80, resets={'gap': 4, 'stamp_backwards': 4})
    now = counters(frames=200, scored=15, stored=94, resets={'gap': 5, 'stamp_backwards': 6})
    health = Health('/image', 0.1, 3, 16, True, lately=lately)
    level, message = judge(health, before, now, 1.0)
    assert level == WARN and message.startswith(
        'the window was reset 11 times (gap 5, stamp_backwards 6) and only 5 of 79 samples were '
        'scored: expected images of one camera') and '[MOSS004]' in message
    # One reset, or enough scores, is no warning.
    enough = counters(frames=200, scored=90, stored=94, resets=now.resets)
    once = counters(frames=200, scored=15, stored=94, resets={'gap': 1})
    asked = counters(frames=200, scored=15, stored=94, resets={'requested': 9})
    for other in (enough, once, asked):
        assert judge(health, before, other, 1.0)[0] == OK


@pytest.mark.parametrize('look, code', [('dark', 'MOSS060'), ('depth', 'MOSS062'),
                                        ('alternating', 'MOSS063')])
def test_doubtful_pictures_that_go_on_are_a_warning(look, code):
    lately, before = counters(frames=10), counters(frames=60, scored=50, doubtful={look: 20})
    health = Health('/image', 0.1, 16, 16, True, lately=lately)
    now = counters(frames=75, scored=65, doubtful={look: 25})
    level, message = judge(health, before, now, 1.0)
    assert level == WARN and message.startswith('25 of 65 pictures are ') and code in message
    over = counters(frames=75, scored=65, doubtful={look: 20})
    few = counters(frames=75, scored=65, doubtful={look: 2})
    assert judge(health, before, over, 1.0)[0] == OK
    assert judge(health, counters(), few, 1.0)[0] == OK


def test_candidates_of_which_none_is_scored_are_a_warning_with_the_reasons(monitor):
    one = replace(prediction(IN_DISTRIBUTION, 3), reasons=np.array([2, 2, 1], np.uint8),
                  scores=np.full(3, np.nan))
    monitor.frame()
    monitor.prediction(one, 0.03)
    level, message, _ = say(monitor)
    assert (level, message) == (
        WARN, '3 candidates, none scored: 2 no calibration, 1 outside image [MOSS082]')
    # Within the second, one of them was scored.
    see(monitor, IN_DISTRIBUTION, 1, candidates=3)
    monitor.prediction(one, 0.03)
    assert say(monitor)[0] == OK
    monitor.prediction(one, 0.03)
    assert say(monitor)[0] == WARN
    see(monitor, IN_DISTRIBUTION, 1)
    assert say(monitor)[0] == OK


def test_percentiles_look_at_the_newest_only():
    rolling = Rolling(3)
    assert np.isnan(rolling.percentile_ms(50))
    for seconds in (9.0, 0.001, 0.002, 0.003):
        rolling.add(seconds)
    assert rolling.percentile_ms(50) == pytest.approx(2.0)
    rolling.clear()
    assert np.isnan(rolling.percentile_ms(95))


def test_a_lasting_shift_is_said_and_worse_comes_first():
    assert judged(ood_score=2.5)[0] == WARN
    assert judged(ood_score=2.5)[1].startswith('out of distribution: OOD score 2.50, expected at')
    assert 'refused 1 of 2' in judged(frames=2, refused={'size': 1}, ood_score=2.5)[1]
