"""Levels of the budget at run time: what is allowed, and what is chosen."""

from moss_perception.core.errors import ConfigError
from moss_perception.runtime.budget import Budget, LevelSelector, parse_level
import numpy as np
import pytest

COSTS = (1.0, 2.0, 3.0)
NAMES = ('1', '1,2', '1,2,3')


class Machine:
    """
    Steps that take what their order costs, times how busy the machine is.

    :param costs: seconds of a step, by order.
    :param jitter: relative, seeded.
    """

    def __init__(self, costs=(0.003, 0.006, 0.009), jitter=0.0):
        self.costs = costs
        self.load = 1.0
        self._jitter = jitter
        self._random = np.random.default_rng(0)

    def run(self, selector, steps):
        """Return the order that was run at each step."""
        ran = []
        for _ in range(steps):
            ran.append(selector.level)
            noise = 1 + self._jitter * self._random.standard_exponential()
            selector.update(self.costs[selector.level - 1] * self.load * noise)
        return ran


@pytest.mark.parametrize('text, expected', [
    ('auto', None), ('1', 1), ('1,2', 2), ('[1, 2, 3]', 3), (' 1 , 2 ', 2)])
def test_a_level_is_read(text, expected):
    assert parse_level('budget', text, NAMES) == expected


@pytest.mark.parametrize('text', ['', '2', '1,3', '1,2,3,4', 'all', '1;2'])
def test_anything_but_a_level_is_refused(text):
    with pytest.raises(ConfigError, match="budget '.*' .* expected 'auto', '1', '1,2', '1,2,3'"):
        parse_level('budget', text, NAMES)


def test_levels_that_were_not_trained_are_refused():
    assert parse_level('budget', '1,2', NAMES[:2], 2) == 2
    assert parse_level('budget', 'auto', NAMES[:2], 2) is None
    with pytest.raises(ConfigError, match="'1' is not allowed: expected 'auto', '1,2'$"):
        parse_level('budget', '1', NAMES[:2], 2)


def test_orders_go_down_over_budget_as_far_as_is_needed_and_not_below_one():
    # With order 2 a step is expected to take 2/3 of 0.02 s, and with order 1 a third.
    one_down = LevelSelector(COSTS, 0.015, 3, history=5)
    assert [one_down.update(0.02) for _ in range(5)] == [3] * 4 + [2]
    two_down = LevelSelector(COSTS, 0.01, 3, history=5)
    assert [two_down.update(0.02) for _ in range(16)] == [3] * 4 + [1] * 12


def test_an_order_comes_back_where_the_time_it_is_expected_to_take_fits():
    # Twice 0.0041 s is above 80 % of the budget, twice 0.0039 s below.
    assert set(Machine((0.0041, 0.0082)).run(LevelSelector((1, 2), 0.01, 1, 5), 50)) == {1}
    assert Machine((0.0039, 0.0078)).run(LevelSelector((1, 2), 0.01, 1, 5), 50) == [
        1] * 5 + [2] * 45


@pytest.mark.parametrize('budget_s, order', [
    (0.1, 3), (0.0115, 3), (0.0095, 2), (0.0055, 1), (0.001, 1)])
def test_the_highest_order_that_keeps_within_the_budget_is_found(budget_s, order):
    for first in (1, 2, 3):
        selector = LevelSelector((0.003, 0.006, 0.009), budget_s, first)
        Machine(jitter=0.02).run(selector, 300)
        # From below, 20 % of the budget must be spare: there a higher one may go untried.
        assert selector.level in ((order,) if first >= order else (order, order - 1))


def test_orders_follow_the_load_down_and_up():
    machine, selector = Machine(jitter=0.02), LevelSelector(COSTS, 0.02, 3)
    assert set(machine.run(selector, 200)) == {3}
    machine.load = 4.0
    assert set(machine.run(selector, 200)[80:]) == {1}
    machine.load = 1.0
    assert machine.run(selector, 400)[-1] == 3


def test_an_order_that_never_fits_is_tried_more_and_more_seldom():
    # The costs say that order 2 takes as long as order 1: a promise that it does not keep.
    machine, selector = Machine((0.004, 0.02)), LevelSelector((1.0, 1.0), 0.01, 1, history=10)
    ran = np.array(machine.run(selector, 5000))
    begun = np.flatnonzero(np.diff(ran) > 0)
    pauses = np.diff(begun)
    assert (np.diff(pauses) >= 0).all() and pauses[-1] > 20 * pauses[0]
    assert (ran == 2).mean() < 0.03
    longest = LevelSelector.LONGEST_PAUSE * 10
    assert pauses.max() <= longest + 20


def test_an_order_that_was_kept_for_long_is_tried_again_at_once():
    machine, selector = Machine((0.004, 0.007)), LevelSelector((4.0, 7.0), 0.01, 1, history=10)
    machine.run(selector, 10)
    for _ in range(5):
        machine.load = 1.0
        assert set(machine.run(selector, 300)[40:]) == {2}
        machine.load = 2.0
        assert machine.run(selector, 20)[-1] == 1


def test_one_slow_step_in_forty_changes_nothing():
    selector = LevelSelector(COSTS, 0.01, 3)
    assert {selector.update(0.05 if k % 40 == 20 else 0.009) for k in range(400)} == {3}


def test_no_budget_takes_levels_from_a_checkpoint_that_was_trained_for_the_highest():
    budget = Budget(NAMES, (0.01, 0.02, 0.03), lowest=3)
    budget.set_level(None, 0.001)
    for _ in range(100):
        budget.update(0.5)
    assert budget.target == 3
    budget.set_level(3, 0.001)
    with pytest.raises(ConfigError, match="level '1,2' .* not trained for it: expected '1,2,3'"):
        budget.set_level(2, 0.001)
    assert budget.target == 3


def test_no_level_below_the_lowest_is_chosen():
    budget = Budget(NAMES, (0.01, 0.02, 0.03), lowest=2)
    budget.set_level(None, 0.001)
    assert budget.target == 2
    for _ in range(100):
        budget.update(0.5)
    assert budget.target == 2


def test_the_target_follows_the_time_that_steps_take():
    budget = Budget(NAMES)
    budget.set_level(None, 0.04)
    for _ in range(40):
        budget.update(0.05)
    assert budget.target == 2


@pytest.mark.parametrize('budget_s, level', [(0.02, 3), (0.007, 2), (0.001, 1)])
def test_auto_begins_with_what_the_measured_costs_allow(budget_s, level):
    budget = Budget(NAMES, (0.003, 0.006, 0.009))
    budget.set_level(None, budget_s)
    assert budget.target == level


def test_a_model_with_one_level_has_no_choice():
    budget = Budget(('all',), (0.5,))
    budget.set_level(None, 0.001)
    budget.update(0.5)
    assert budget.target == 1
