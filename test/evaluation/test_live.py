"""A run over topics as a record: counts, scores, and what makes it unfit."""

from dataclasses import replace

from moss_perception.core.errors import MossError
from moss_perception.data.outcomes import Outcome
from moss_perception.evaluation.arrived import compare
from moss_perception.evaluation.live import Heard, LIVE, Played, record_of
from moss_perception.evaluation.matching import Attempt
from moss_perception.ros.evaluator.observer import Scores
import numpy as np
import pytest

S = 10**9
FIELDS = [(name, np.float32) for name in ('x', 'y', 'z', 'score', 'uncertainty')]
HERE, THERE = (0.1, 0.2, 0.5), (0.3, 0.2, 0.5)
PLAYED = Played('bag', '', '/image', 4.0, 6, '1x')


def scores(second, *rows):
    return Scores(second * S, second * S + 7_000_000, np.array(list(rows), FIELDS))


def attempt(number, start, decision, end, success, position=HERE):
    outcome = Outcome(number, start * S, decision * S, end * S, success, 'real', 'slide', 'box')
    return Attempt(outcome, None if position is None else np.array(position))


@pytest.fixture
def heard():
    """Return four frames: one stored, three scored at two candidates each."""
    return Heard(
        [scores(n, (*THERE, 0.9, 0.01), (*HERE, n / 10, 0.05)) for n in (2, 3, 4)],
        [0.52, 0.53, 0.54], [(S, 'stored'), *((n * S, 'scored') for n in (2, 3, 4))],
        {'frames': '4', 'missing': '2', 'resets/gap': '1', 'refused/step': '3', 'dropped': '0'})


def test_an_attempt_has_the_executed_grasps_score_at_its_decision(heard):
    record = record_of(heard, [attempt(1, 1, 3, 5, True)], PLAYED, 2.0)
    found, = record.attempts
    assert (found.source, found.scored_ns) == ('executed', 3 * S)
    assert found.score == np.float32(0.3)
    assert found.uncertainty == np.float32(0.05)
    np.testing.assert_array_equal(found.times_s, [-1, 0, 1])
    np.testing.assert_array_equal(found.scores, np.float32([0.2, 0.3, 0.4]))


def test_what_diagnostics_told_is_on_record_and_age_only_of_a_live_camera(heard):
    one = replace(heard, beats=[{'scored': '3', 'inference_p95_ms': '8.0', 'age_p50_ms': '20.0'}])
    record = record_of(one, [attempt(1, 1, 3, 5, True)], PLAYED, 2.0)
    assert record.told['inference_p95_ms'] == 8 and np.isnan(record.told['age_p50_ms'])
    live = replace(PLAYED, path=LIVE, frames=None)
    assert record_of(one, [attempt(1, 1, 3, 5, True)], live, 2.0).told['age_p50_ms'] == 20


def test_a_decision_that_was_guessed_is_on_record(heard):
    noted = attempt(1, 1, 3, 5, True)
    guessed = replace(noted, outcome=replace(noted.outcome, decision_guessed=True))
    assert record_of(heard, [guessed], PLAYED, 2.0).attempts[0].decision_guessed
    assert not record_of(heard, [noted], PLAYED, 2.0).attempts[0].decision_guessed


def test_an_attempt_is_as_novel_as_the_frame_that_it_was_decided_on(heard):
    one = [attempt(1, 1, 3, 5, True)]
    record = record_of(heard, one, PLAYED, 2.0, novelties={2 * S: 0.4, 3 * S: 2.5, 4 * S: 9.0})
    assert record.attempts[0].novelty == 2.5
    assert np.isnan(record_of(heard, one, PLAYED, 2.0).attempts[0].novelty)


def test_where_the_executed_grasp_is_no_candidate_the_default_is_scored(heard):
    record = record_of(heard, [attempt(1, 1, 3, 5, True, (9.0, 9, 9))], PLAYED, 2.0)
    assert (record.attempts[0].source, record.attempts[0].score) == ('default', 0.53)
    # Scores without a stamp are of no use once one of them is missing.
    short = replace(heard, defaults=heard.defaults[1:])
    record = record_of(short, [attempt(1, 1, 3, 5, True, (9.0, 9, 9))], PLAYED, 2.0)
    assert record.attempts[0].source == 'none'


def test_the_record_counts_what_came_and_what_did_not(heard):
    record = record_of(heard, [attempt(1, 1, 3, 5, True)], PLAYED, 2.0)
    assert record.frames == 6
    assert record.fates == {'scored': 3, 'stored': 1, 'skipped': 0, 'refused': 0}
    assert sum(record.fates.values()) + record.not_arrived == record.frames
    assert (record.missing, record.resets, record.refused) == (2, {'gap': 1}, {'step': 3})
    assert record.domain == 'real'
    assert 'played at 1x: 2 of 6 frames did not arrive' in record.notes


def test_what_a_damaged_recording_lacks_is_said_first(heard):
    played = replace(PLAYED, lost_share=0.25, damage='the recording is cut off: 25 % are missing')
    record = record_of(heard, [attempt(1, 1, 3, 5, True)], played, 2.0, notes=['another'])
    assert record.lost_share == 0.25
    assert record.notes[:2] == (played.damage, 'another')


def test_latency_is_from_publication_to_scores(heard):
    played = replace(PLAYED, published={2 * S: 2 * S, 9 * S: 9 * S})
    record = record_of(heard, [attempt(1, 1, 3, 5, True)], played, 2.0)
    np.testing.assert_allclose(record.latency_ms, [7.0])


def test_an_attempt_without_a_frame_is_unmatched(heard):
    record = record_of(heard, [attempt(1, 1, 3, 5, True), attempt(2, 50, 51, 52, False)],
                       PLAYED, 2.0)
    assert [x.attempt for x in record.attempts] == [1]
    assert record.unmatched[0].attempt == 2


def test_attempts_that_overlap_and_outcomes_of_another_clock_are_told(heard):
    live = replace(PLAYED, frames=None)
    both = [attempt(1, 1, 3, 5, True), attempt(2, 2, 4, 5, True)]
    assert any('overlap in time' in x for x in record_of(heard, both, live, 2.0).notes)
    found = record_of(heard, [attempt(1, 50, 51, 52, False)], live, 2.0)
    assert any('expected both to be stamped by one clock' in x for x in found.notes)


def test_a_score_older_than_the_predictors_gap_does_not_count(heard):
    late = attempt(1, 1, 4, 9, True)
    late = replace(late, outcome=replace(late.outcome, decision_ns=4_600_000_000))
    found = record_of(heard, [late], PLAYED, 2.0)
    assert found.attempts[0].source == 'none' and '1 (0.600 s)' in found.notes[-1]
    patient = replace(heard, diagnostics={**heard.diagnostics, 'max_gap': '0.7'})
    assert record_of(patient, [late], PLAYED, 2.0).attempts[0].score == np.float32(0.4)


def test_what_was_not_executed_has_no_score_to_be_held_against(heard):
    attempts = [attempt(1, 1, 2, 2, True), attempt(2, 3, 4, 5, False, None)]
    record = record_of(heard, attempts, replace(PLAYED, frames=None, closed_loop=True), 2.0,
                       unexecuted={2})
    assert [x.executed for x in record.attempts] == [True, False]
    assert record.attempts[1].source == 'none' and np.isnan(record.attempts[1].score)
    assert 'in 1 of 2 attempts no grasp was selected' in record.notes


def test_a_score_that_was_not_heard_makes_the_run_unfit(heard):
    with pytest.raises(MossError, match='1 of 3 scores were not heard'):
        record_of(replace(heard, scores=heard.scores[:-1]), [], PLAYED, 2.0)


def test_of_a_camera_that_goes_on_the_last_scores_may_be_on_their_way(heard):
    live = replace(PLAYED, frames=None)
    record_of(replace(heard, scores=heard.scores[:-1]), [], live, 2.0)
    with pytest.raises(MossError, match='1 of 3 scores were not heard'):
        record_of(replace(heard, scores=heard.scores[1:]), [], live, 2.0)


def test_a_frame_of_which_nothing_was_heard_makes_the_run_unfit(heard):
    with pytest.raises(MossError, match='of 9 frames that arrived, the fate of 5'):
        record_of(replace(heard, diagnostics={'frames': '9'}), [], PLAYED, 2.0)


def replayed(heard):
    return {x.stamp_ns: (x.rows, default)
            for x, default in zip(heard.scores, heard.defaults, strict=True)}


def test_equal_scores_agree_bit_for_bit(heard):
    found = compare(heard, replayed(heard))
    assert found.agrees and found.equal == 3 and found.largest == 0.0
    assert 'bit for bit' in found.line()


def test_the_last_bit_of_one_score_is_seen(heard):
    other = replayed(heard)
    rows = other[3 * S][0].copy()
    rows['score'][1] = np.nextafter(rows['score'][1], np.float32(1))
    found = compare(heard, other | {3 * S: (rows, 0.53)})
    assert not found.agrees and found.equal == 2 and 0 < found.largest < 1e-7
    assert 'DIFFER' in found.line()


def test_a_frame_that_only_one_way_scored_is_seen(heard):
    other = replayed(heard)
    assert not compare(heard, {k: v for k, v in other.items() if k != 2 * S}).agrees
    assert not compare(heard, other | {8 * S: other[2 * S]}).agrees


def test_candidates_that_came_too_late_are_told_apart(heard):
    other = replayed(heard)
    rows = other[2 * S][0].copy()
    rows['x'] += 1
    found = compare(heard, other | {2 * S: (rows, 0.52)})
    assert found.agrees and (found.equal, found.other_candidates) == (2, 1)
    assert '1 of them scored at candidates that came earlier or later' in found.line()
