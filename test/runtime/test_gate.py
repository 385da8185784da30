"""The gate's decisions, by sequences worked out by hand."""

from moss_perception.core.errors import ConfigError
from moss_perception.runtime.gate import Decision, Gate, GateConfig
import numpy as np
import pytest

PLACES = np.array([[0.0, 0.0, 0.5], [0.1, 0.0, 0.5]])
MS = 1_000_000
START = 1_000_000 * MS


class Stream:
    """Feeds a gate with scores, stamped in milliseconds after the start, fresh when they come."""

    def __init__(self, **settings):
        self.gate = Gate(GateConfig(**settings))

    def __call__(self, at_ms, scores, uncertainties=None, positions=PLACES, age_ms=0):
        stamp = START + at_ms * MS
        scores = np.array(scores, float)
        uncertainties = np.full(len(scores), 0.1) if uncertainties is None else uncertainties
        decision = self.gate.update(stamp, stamp + age_ms * MS, positions[:len(scores)], scores,
                                    np.array(uncertainties, float))
        return decision.state, decision.index


def test_best_candidate_is_selected_after_the_hold_time():
    see = Stream()
    assert see(0, [0.6, 0.8]) == ('candidate', 1)
    assert see(100, [0.6, 0.8]) == ('candidate', 1)
    assert see(200, [0.6, 0.8]) == ('selected', 1)


def test_the_best_of_those_held_is_selected_and_not_the_first_above_the_threshold():
    see = Stream()
    see(0, [0.6, 0.8])
    assert see(100, [0.9, 0.8]) == ('candidate', 0)
    # Both have been acceptable for the whole hold time: that 1 was better at first is no reason.
    assert see(200, [0.9, 0.8]) == ('selected', 0)


def test_a_better_candidate_that_was_not_held_as_long_is_not_selected_yet():
    see = Stream()
    see(0, [0.6, 0.1])
    see(100, [0.6, 0.9])
    assert see(200, [0.6, 0.9]) == ('selected', 0)
    assert see(300, [0.6, 0.9]) == ('selected', 1)


def test_two_candidates_that_take_turns_as_the_best_do_not_delay_the_selection():
    see = Stream()
    for at_ms in (0, 50, 100, 150):
        assert see(at_ms, [0.7, 0.8] if at_ms % 100 else [0.8, 0.7])[0] == 'candidate'
    assert see(200, [0.8, 0.7]) == ('selected', 0)


def test_a_dip_below_min_score_begins_the_hold_time_anew():
    see = Stream()
    see(0, [0.0, 0.8])
    assert see(100, [0.0, 0.49]) == ('below threshold', None)
    assert see(200, [0.0, 0.8]) == ('candidate', 1)
    assert see(400, [0.0, 0.8]) == ('selected', 1)


def test_no_hold_time_selects_at_once():
    assert Stream(hold_time_s=0.0)(0, [0.5, 0.0]) == ('selected', 0)


def test_selected_candidate_is_kept_down_to_the_release_score():
    see = Stream(hold_time_s=0.0)
    assert see(0, [0.0, 0.8]) == ('selected', 1)
    assert see(100, [0.0, 0.4]) == ('selected', 1)
    assert see(200, [0.0, 0.39]) == ('below threshold', None)
    assert see(300, [0.0, 0.45]) == ('below threshold', None)


def test_a_released_candidate_makes_room_for_the_best_of_those_held():
    see = Stream(switch_margin=1.0)
    see(0, [0.6, 0.8])
    assert see(200, [0.6, 0.8]) == ('selected', 1)
    assert see(300, [0.6, 0.39]) == ('selected', 0)


@pytest.mark.parametrize(('other', 'expected'), [(0.75, 1), (0.76, 0)])
def test_a_selected_candidate_is_replaced_only_by_one_better_by_the_margin(other, expected):
    see = Stream(switch_margin=0.25)
    see(0, [0.0, 0.5])
    see(200, [0.0, 0.5])
    for at_ms in (300, 400):
        assert see(at_ms, [other, 0.5]) == ('selected', 1)
    assert see(500, [other, 0.5]) == ('selected', expected)


def test_uncertain_candidates_are_neither_selected_nor_kept():
    see = Stream(hold_time_s=0.0)
    assert see(0, [0.9, 0.6], [0.26, 0.25]) == ('selected', 1)
    assert see(100, [0.9, 0.6], [0.26, 0.26]) == ('below threshold', None)


def test_nan_is_never_selected():
    see = Stream(hold_time_s=0.0)
    assert see(0, [np.nan, 0.6], [np.nan, 0.1]) == ('selected', 1)
    assert see(100, [np.nan, np.nan], [np.nan, np.nan]) == ('below threshold', None)
    assert see(200, [0.9, 0.1], [np.nan, 0.1]) == ('below threshold', None)


def test_the_first_of_two_equal_scores_is_taken():
    assert Stream(hold_time_s=0.0)(0, [0.7, 0.7]) == ('selected', 0)


@pytest.mark.parametrize(('moved_m', 'expected'), [(0.049, 'selected'), (0.051, 'candidate')])
def test_a_candidate_that_jumps_is_another_one(moved_m, expected):
    see = Stream()
    see(0, [0.9, 0.1])
    assert see(200, [0.9, 0.1], positions=PLACES + [moved_m, 0, 0]) == (expected, 0)


def test_a_candidate_may_ride_along_a_belt():
    see = Stream()
    for step in range(10):
        state, _ = see(100 * step, [0.9, 0.1], positions=PLACES + [0.04 * step, 0, 0])
    assert state == 'selected'


def test_a_list_of_another_length_holds_other_candidates():
    see = Stream()
    see(0, [0.9, 0.1])
    assert see(200, [0.9]) == ('candidate', 0)


def test_no_candidates_is_waiting_and_begins_anew():
    see = Stream()
    see(0, [0.9, 0.1])
    assert see(100, []) == ('waiting', None)
    assert see(200, [0.9, 0.1]) == ('candidate', 0)


@pytest.mark.parametrize('age_ms', [501, -501])
def test_scores_too_old_or_too_far_ahead_are_stale_and_begin_anew(age_ms):
    see = Stream()
    see(0, [0.9, 0.1])
    assert see(200, [0.9, 0.1], age_ms=age_ms) == ('stale', None)
    assert see(300, [0.9, 0.1], age_ms=500) == ('candidate', 0)


def test_stamps_that_go_backwards_begin_anew():
    see = Stream(hold_time_s=0.2)
    see(1000, [0.9, 0.1])
    assert see(1200, [0.9, 0.1]) == ('selected', 0)
    assert see(100, [0.9, 0.1]) == ('candidate', 0)
    assert see(300, [0.9, 0.1]) == ('selected', 0)


def test_a_gap_of_stamps_above_the_highest_age_begins_the_hold_time_anew():
    see = Stream()
    see(0, [0.1, 0.8])
    assert see(501, [0.1, 0.8]) == ('candidate', 1)
    assert see(701, [0.1, 0.8]) == ('selected', 1)
    # A gap that is no longer leaves the selection as it is.
    assert see(1201, [0.1, 0.8]) == ('selected', 1)
    assert see(1703, [0.1, 0.8]) == ('candidate', 1)


def test_watch_reports_when_the_scores_stopped():
    see = Stream(hold_time_s=0.0)
    assert see.gate.watch(START) is None
    see(0, [0.9, 0.1])
    assert see.gate.watch(START + 500 * MS) is None
    assert see.gate.watch(START + 501 * MS) == Decision('stale')


def test_a_gate_that_explores_tries_each_candidate_whatever_its_score_and_keeps_it():
    see, tried = Stream(explore=1.0), []
    for attempt in range(20):
        at_ms = 5000 * attempt
        assert see(at_ms, [0.9, 0.01]) == ('candidate', 0)
        state, index = see(at_ms + 200, [0.9, 0.01])
        assert state == 'selected'
        assert see(at_ms + 300, [0.01, 0.9]) == ('selected', index)
        assert see(at_ms + 400, []) == ('waiting', None)
        tried.append(index)
    assert set(tried) == {0, 1}
    again = Stream(explore=1.0)
    again(0, [0.9, 0.01])
    assert again(200, [0.9, 0.01]) == ('selected', tried[0])


def test_a_gate_explores_in_some_attempts_and_never_tries_what_has_no_score():
    see, states = Stream(explore=0.5), []
    for attempt in range(40):
        see(5000 * attempt, [np.nan, 0.1])
        states.append(see(5000 * attempt + 200, [np.nan, 0.1]))
        see(5000 * attempt + 400, [])
    assert set(states) == {('selected', 1), ('below threshold', None)}
    assert 10 < states.count(('selected', 1)) < 30
    none = Stream(explore=1.0)
    assert none(0, [np.nan, np.nan])[0] == none(300, [np.nan, np.nan])[0] == 'below threshold'


@pytest.mark.parametrize(('setting', 'value', 'expected'), [
    ('explore', 1.5, 'explore=1.5 .* expected in \\[0, 1\\]'),
    ('min_score', 1.1, 'min_score=1.1 .* expected in \\[0, 1\\]'),
    ('max_uncertainty', 0.6, 'max_uncertainty=0.6 .* expected in \\[0, 0.5\\]'),
    ('hold_time_s', -1.0, 'hold_time_s=-1.0'),
    ('max_age_s', 0.0, 'max_age_s=0.0'),
    ('release_score', 0.51, 'release_score=0.51 .* min_score=0.5'),
    ('min_score', float('nan'), 'min_score=nan'),
    ('switch_margin', -0.1, 'switch_margin=-0.1 .* expected in \\[0, 1\\]'),
])
def test_settings_that_cannot_work_are_refused(setting, value, expected):
    with pytest.raises(ConfigError, match=expected):
        GateConfig(**{setting: value})
