"""Samples are held out one by one, or in whole groups."""

from dataclasses import replace

from moss_perception.core.errors import ConfigError
from moss_perception.training.holding_out import held_out
import numpy as np
import pytest
from spots import scene


def samples(days, success=lambda number: number % 2):
    one = scene(0)
    return [replace(one, seed=n, groups={'day': day, 'bag': 'one'} if day else {},
                    labels=np.array([success(n), 0, 0]), mask=np.array([True, False, False]))
            for n, day in enumerate(days)]


def test_without_a_group_every_tenth_is_held_out():
    assert np.flatnonzero(held_out(samples([''] * 25))).tolist() == [0, 10, 20]


def test_whole_groups_are_held_out_about_a_tenth():
    days = [f'day {n // 6}' for n in range(120)]
    mask = held_out(samples(days), 'day')
    held = {day for day, chosen in zip(days, mask, strict=True) if chosen}
    assert mask.sum() == 12 and len(held) == 2
    assert not held & {day for day, chosen in zip(days, mask, strict=True) if not chosen}
    assert np.array_equal(mask, held_out(samples(days), 'day'))


def test_at_least_one_group_is_held_out_and_one_is_trained_on():
    mask = held_out(samples(['monday'] * 10 + ['tuesday'] * 15), 'day')
    assert mask.sum() == 10 and mask[:10].all()


def test_samples_without_the_group_are_trained_on():
    mask = held_out(samples(['monday'] * 4 + ['tuesday'] * 4 + [''] * 30), 'day')
    assert mask.sum() == 4 and not mask[8:].any()


def test_a_group_with_both_outcomes_is_preferred(caplog):
    days = ['bad'] * 6 + ['mixed'] * 8 + ['good'] * 6
    found = held_out(samples(days, lambda n: n >= 10), 'day')
    assert {day for day, chosen in zip(days, found, strict=True) if chosen} == {'mixed'}
    held_out(samples(['bad'] * 6 + ['good'] * 6, lambda n: n >= 6), 'day')
    assert 'the held-out groups have only successes or only failures' in caplog.text


def test_what_is_left_to_train_on_has_both_outcomes_if_it_can(caplog):
    # The only group with both outcomes is also the only one with successes.
    days = ['bad'] * 10 + ['mixed'] * 10
    found = held_out(samples(days, lambda n: n >= 15), 'day')
    assert {day for day, chosen in zip(days, found, strict=True) if chosen} == {'bad'}
    assert 'the held-out groups have only successes or only failures' in caplog.text
    # Successes of two small groups: one of them stays.
    days = ['bad'] * 60 + ['first'] * 4 + ['second'] * 4
    found = held_out(samples(days, lambda n: n >= 62 and n % 2), 'day')
    assert found.sum() == 4 and found[60:].any() and not found[60:].all()


def test_groups_of_one_sample_are_reported(caplog):
    assert held_out(samples([f'day {n}' for n in range(20)]), 'day').sum() == 2
    assert '20 of 20 groups by day have one sample only: holding them out tells no more' \
        in caplog.text


@pytest.mark.parametrize(('days', 'group', 'message'), [
    (['monday'] * 12, 'day', "all samples with the group 'day' have 'monday': expected at least"),
    (['monday'] * 12, 'object', "no sample has the group 'object': expected .* one of bag, day"),
    ([''] * 12, 'day', "no sample has the group 'day': expected --hold-out-by left out")])
def test_a_group_that_cannot_be_held_out_is_refused(days, group, message):
    with pytest.raises(ConfigError, match=message):
        held_out(samples(days), group)
