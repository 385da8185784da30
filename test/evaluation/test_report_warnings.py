"""What may make figures wrong is said first: nothing scored, scored elsewhere, unfamiliar."""

from dataclasses import replace

from moss_perception.evaluation.records import UnmatchedOutcome
from moss_perception.evaluation.report.recordings import pool
from moss_perception.evaluation.report.warnings import warnings
import numpy as np
import pytest


def told(made_up, bag):
    return warnings(pool(made_up.make_evaluation(bag), 'sim'))


def changed(bag, some=slice(None), **values):
    attempts = list(bag.attempts)
    attempts[some] = [replace(x, **values) for x in attempts[some]]
    return replace(bag, attempts=tuple(attempts))


def test_what_is_as_it_should_be_gives_no_warning(made_up):
    assert told(made_up, changed(made_up.make_bag('sim', 30), ood_score=0.6)) == []
    # One in twenty is a false alarm.
    some = changed(changed(made_up.make_bag('sim', 40), ood_score=0.6), slice(0, 3),
                   ood_score=1.2)
    assert told(made_up, some) == []


def test_images_that_are_unfamiliar_are_told_with_their_number(made_up):
    some = changed(changed(made_up.make_bag('sim', 20), ood_score=0.6), slice(0, 12),
                   ood_score=1.4)
    (line,) = told(made_up, some)
    assert line.startswith('sim: out of distribution: the images of 12 of 20 decisions')


def test_executed_grasps_that_are_not_scored_are_told_with_the_causes(made_up):
    bag = changed(made_up.make_bag('sim', 12), ood_score=0.5)
    bag = changed(bag, slice(0, 7), expected=True, source='default', why='there is no calibration')
    bag = changed(bag, slice(7, 9), source='executed', score=np.nan, why='it is outside')
    first, second = told(made_up, bag)
    assert '7 of 12 attempts are not scored at the grasp that was executed' in first
    assert 'there is no calibration (0, 1, 2, 3, 4 and 2 more)' in first
    assert second == 'sim: 2 of 12 attempts have no score: it is outside (7, 8)'
    shares = pool(made_up.make_evaluation(bag), 'sim')[0].shares
    assert shares == pytest.approx({'executed_share': 3 / 12, 'default_share': 7 / 12,
                                    'scored_share': 3 / 12})


def test_outcomes_that_match_no_image_are_told_and_count_as_not_scored(made_up):
    bag = changed(made_up.make_bag('sim', 12), ood_score=0.5)
    lost = [UnmatchedOutcome(n, 'it ends before', executed=n < 43) for n in range(40, 44)]
    bag = replace(changed(bag, slice(0, 3), source='executed', score=np.nan, why='it is outside'),
                  unmatched=tuple(lost))
    first, second = told(made_up, bag)
    assert first == (
        'sim: 4 of 16 outcomes match no image, so the figures are of the others alone: attempt '
        '40: it ends before; attempt 41: it ends before; attempt 42: it ends before; and 1 more')
    assert second.startswith('sim: 3 of 12 attempts have no score')
    one, = pool(made_up.make_evaluation(bag), 'sim')
    assert one.unmatched == 3
    assert one.shares == pytest.approx({'executed_share': 9 / 15, 'default_share': 0.0,
                                        'scored_share': 9 / 15})
    without = replace(bag, attempts=())
    assert pool(made_up.make_evaluation(without), 'sim')[0].shares['scored_share'] == 0


def test_pictures_that_may_show_nothing_are_told_with_their_number(made_up):
    bag = changed(made_up.make_bag('sim', 30, doubtful={'dark': 7, 'depth': 2}), ood_score=0.6)
    first, second = told(made_up, bag)
    assert first.startswith(f'{bag.path}: 7 decoded pictures are almost black: expected')
    assert '2 decoded pictures are grey with sharp holes of 0, like depth: expected' in second


def test_a_recording_of_which_nothing_was_scored_says_why(made_up):
    bag = made_up.make_bag('real', 0, frames=30, duration_s=3.0, by_status={
        'scored': 0, 'stored': 18, 'skipped': 0, 'refused': 12}, refused={'compressed': 12},
        resets={'stamp_backwards': 4}, unmatched=(UnmatchedOutcome(3, 'it ends before'),),
        warnings=('the candidates are stamped 10.000 s ahead of the images',))
    first, second, third = told(made_up, bag)
    assert first == ('real: there is no attempt with an outcome, so no figure can be measured; 1 '
                     'outcomes match no image')
    assert second.endswith('none of 30 images was scored (18 stored; 12 refused; refused: '
                           'compressed 12; resets of the window: stamp_backwards 4): expected '
                           'enough samples without a gap to fill the window')
    assert third.endswith('the candidates are stamped 10.000 s ahead of the images')
