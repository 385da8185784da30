"""Which score counts for an attempt, whatever order samples and attempts come in."""

from dataclasses import replace

from moss_perception.core.scores import GraspScores, SCORE_DTYPE
from moss_perception.data.outcomes import Outcome
from moss_perception.evaluation.attempts import Attempt
from moss_perception.evaluation.findings import of_attempts
from moss_perception.evaluation.matching import DEFAULT, GraspScore, Matcher, take_recorded
from moss_perception.evaluation.outputs import FrameScores
import numpy as np
import pytest

PLACE = np.array([0.1, 0.0, 0.6])
SECOND = 1_000_000_000


def attempt(number=1, start=10, decision=20, end=30, position=PLACE, success=True, executed=True):
    return Attempt(Outcome(number, start * SECOND, decision * SECOND, end * SECOND, success, '',
                           '', '', executed=executed), position)


def sample(at, score=None, of=(), default=0.5, source='executed', proposed=True):
    found = [] if score is None else [
        (x, GraspScore(score, score / 10, source, proposed)) for x in of]
    return round(at * SECOND), GraspScore(default, 0.05, DEFAULT), found


def matched(attempts, *samples):
    matcher = Matcher(attempts)
    for one in samples:
        matcher.take(*one)
    return matcher.records()


def test_the_newest_sample_at_or_before_the_decision_counts():
    one = attempt()
    (found,) = matched([one], *(sample(at, score, [one]) for at, score in (
        (9, 0.1), (19.6, 0.2), (20, 0.3), (21, 0.4), (31, 0.9))))
    assert (found.scored_ns, found.score, found.source) == (20 * SECOND, 0.3, 'executed')
    np.testing.assert_array_equal(found.scores, (0.2, 0.3, 0.4))
    np.testing.assert_allclose(found.times_s, (-0.4, 0, 1))


def test_without_the_executed_grasp_the_default_counts_but_is_no_part_of_its_curve():
    (found,) = matched([attempt()], sample(20, default=0.7))
    assert (found.score, found.source) == (0.7, 'default') and np.isnan(found.scores).all()
    (found,) = matched([attempt(position=None)], sample(20, default=0.7))
    assert (found.score, list(found.scores)) == (0.7, [0.7])


def test_scores_of_the_executed_grasp_count_before_newer_ones_without_it():
    one = attempt()
    samples = [sample(19.6, 0.2, [one]), sample(19.8, 0.6, [one], source='nearest'),
               sample(19.9)]
    assert matched([one], *samples)[0].score == 0.2
    assert matched([one], *samples[1:])[0].source == 'nearest'
    # Unless they are older than a gap.
    assert matched([one], sample(19.4, 0.2, [one]), sample(19.9))[0].source == 'default'


def test_a_grasp_that_was_not_yet_proposed_is_not_on_the_curve_before_the_decision():
    one = attempt()
    (found,) = matched([one], *(sample(at, at / 100, [one], proposed=False)
                                for at in (19.7, 19.8, 20.1)))
    assert found.score == 0.198
    np.testing.assert_array_equal(found.scores, (np.nan, np.nan, 0.201))


def test_an_attempt_without_an_executed_grasp_has_no_score_and_is_told():
    waited = attempt(executed=False, success=False, position=None)
    (found,) = matched([waited], sample(20, default=0.7))
    assert not found.executed and found.source == 'none' and np.isnan(found.score)
    assert np.isnan(found.scores).all() and found.scored_ns is None
    (line,) = of_attempts([found])
    assert line.startswith('not_executed: in 1 of 1 attempts')


def test_a_score_away_from_a_known_grasp_is_told_and_one_without_a_known_grasp_is_not():
    first, *others = attempt(1), attempt(2, position=None), attempt(3, position=-PLACE)
    found = matched([first, *others], sample(19.8, 0.1, [first]), sample(20, 0.2, [first]),
                    sample(21, 0.3, [first]))
    assert [(x.source, x.scored_elsewhere) for x in found] == [
        ('executed', False), ('default', False), ('default', True)]
    (line,) = of_attempts(found)
    assert line.startswith('1 of 3 attempts are scored at the default grasp point, although')
    assert 'executed: it is not known why (3). ' in line and not of_attempts(found[:2])


def test_attempts_that_overlap_share_samples():
    attempts = [attempt(2, 15, 25, 40), attempt(1), attempt(3, 100, 110, 120)]
    matcher = Matcher(attempts)
    for at in (19.5, 24.5):
        matcher.take(*sample(at, at / 100, attempts))
    assert [(x.attempt, x.score) for x in matcher.records()] == [(2, 0.245), (1, 0.195)]
    assert matcher.overlaps() == [(1, 2)]
    assert [x.outcome.attempt for x in matcher.unmet()] == [3]
    assert [x.outcome.attempt for x in matcher.during(35 * SECOND)] == [2]


def test_who_notes_only_the_beginning_is_scored_by_what_was_just_before():
    one = attempt(start=20, decision=20)
    (found,) = matched([one], *(sample(at, score, [one]) for at, score in (
        (18.5, 0.1), (19.5, 0.2), (20.5, 0.3))))
    assert (found.score, list(found.times_s)) == (0.2, [-0.5, 0.5])


def test_a_score_older_than_the_predictors_gap_does_not_count_and_is_told():
    given = [attempt(position=None), attempt(2, position=None)]
    samples = [sample(at, default=0.7) for at in (11, 19.4)]
    found = matched(given, *samples)
    assert [(x.scored_ns, x.source) for x in found] == [(None, 'none')] * 2
    assert all(np.isnan((x.score, x.uncertainty)).all() for x in found)
    (line,) = of_attempts(found)
    assert line.startswith('2 attempts have no score') and '1 (0.600 s), 2 (0.600 s)' in line
    matcher = Matcher(given, round(0.7 * SECOND))
    matcher.take(*samples[-1])
    assert [x.score for x in matcher.records()] == [0.7, 0.7]
    assert not of_attempts(matcher.records())
    (fresh, _) = matched(given, *samples, sample(19.5, default=0.6))
    assert fresh.score == 0.6


def test_an_attempt_of_which_no_image_was_scored_has_no_score():
    matcher = Matcher([attempt()])
    matcher.see(15 * SECOND)
    (found,) = matcher.records()
    assert found.source == 'none' and np.isnan(found.score) and found.scored_ns is None


def published(*grasps):
    """Return a frame's scores at 20 s of candidates, each a position and a score."""
    rows = np.zeros(len(grasps), SCORE_DTYPE)
    for number, (row, (place, score)) in enumerate(zip(rows, grasps, strict=True)):
        row['x'], row['y'], row['z'] = place
        row['qw'], row['candidate'], row['score'] = 1, number, score
    rows['candidates_sec'] = 20
    default = np.zeros(1, SCORE_DTYPE)[0]
    default['candidate'], default['score'] = -1, 0.5
    return FrameScores(20 * SECOND, 'camera', 20 * SECOND, GraspScores(rows, default))


@pytest.mark.parametrize(('index', 'values', 'score', 'source'), [
    (1, {}, 0.9, 'executed'),
    # The index is of another set, of the same stamp or not, but the pose is known.
    (0, {}, 0.9, 'nearest'),
    (0, {'position': 3 * PLACE}, 0.5, 'default'),
    # A pose that is not known, or no pose, contradicts nothing.
    (0, {'position': None}, 0.1, 'executed'),
    (0, {'yaw': np.nan}, 0.1, 'executed'),
    (0, {'frame_id': 'base_link'}, 0.1, 'executed'),
    (0, {'named': True}, 0.1, 'executed')])
def test_the_row_that_an_outcome_names_counts_unless_the_executed_pose_is_another(
        index, values, score, source):
    one = attempt()
    one = replace(one, outcome=replace(one.outcome, candidate=index), **{
        'frame_id': 'camera', 'stamp_ns': 20 * SECOND, **values})
    matcher = Matcher([one])
    take_recorded(matcher, [published((-PLACE, 0.1), (PLACE, 0.9))], {})
    found, = matcher.records()
    assert (pytest.approx(found.score), found.source) == (score, source)
