"""Samples are held out one by one, or in whole groups."""

from dataclasses import replace

from moss_perception.core.errors import ConfigError
from moss_perception.training.holding_out import check_apart, held_out, scene_numbers
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


def in_two_domains(sim, randomised):
    one = scene(0)
    return [replace(one, seed=seed, domain=domain) for domain, seeds in (
        ('sim', sim), ('randomised', randomised)) for seed in seeds]


def test_a_scene_is_held_out_in_every_domain():
    # Some scenes of one domain were skipped, so its seeds are not in step with the other's.
    both = in_two_domains([n for n in range(100) if n not in (7, 31)], range(100))
    mask = held_out(both)
    held = {one.seed for one, out in zip(both, mask, strict=True) if out}
    assert not held & {one.seed for one, out in zip(both, mask, strict=True) if not out}
    assert len(held) == 10 and mask.sum() == 20
    # The same seed of another cell or split, and samples without one, are other scenes.
    others = [replace(one, cell='table' if n % 2 else '', split='held_out' if n % 4 > 1 else '')
              for n, one in enumerate(both[:4])]
    alike = [replace(one, seed=5) for one in others]
    assert scene_numbers([*alike, *alike, *(replace(one, seed=None) for one in alike)]).tolist() \
        == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7]


def test_groups_hold_out_the_same_scene_elsewhere():
    days = [f'day {n // 5}' for n in range(50)]
    mask = held_out([*samples(days), *samples([''] * 50)], 'day')
    assert mask.sum() == 10 and np.array_equal(mask[:50], mask[50:])


def test_a_set_to_hold_out_has_other_seeds_than_those_to_train_on():
    twins = in_two_domains(range(4), range(3, 6))
    # Another domain looks different.
    twins[4:] = [replace(one, jpegs=(b'look', *one.jpegs[:-1], b'look')) for one in twins[4:]]
    with pytest.raises(ConfigError, match='1 scenes of --hold-out have the seed of one in --data, '
                                          'such as scene 3: expected other seeds'):
        check_apart(twins, [False] * 4 + [True] * 3)
    check_apart([replace(one, seed=None) for one in twins], [False] * 4 + [True] * 3)
    check_apart(twins[:3] + twins[4:], [False] * 3 + [True] * 3)
