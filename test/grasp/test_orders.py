"""Orders at run time: what is allowed, what is chosen, and when it counts."""

from moss_perception.errors import ConfigError
from moss_perception.grasp.orders import OrderPlan, OrderSelector, parse_orders
import pytest


@pytest.mark.parametrize('text, expected', [
    ('auto', None), ('1', 1), ('1,2', 2), ('[1, 2, 3]', 3), (' 1 , 2 ', 2)])
def test_orders_are_read(text, expected):
    assert parse_orders(text, 3) == expected


@pytest.mark.parametrize('text', ['', '2', '1,3', '1,2,3,4', 'all', '1;2'])
def test_anything_but_a_prefix_is_refused(text):
    with pytest.raises(ConfigError, match="expected 'auto', '1', '1,2', '1,2,3'"):
        parse_orders(text, 3)


def test_orders_go_down_over_budget_and_not_below_one():
    selector = OrderSelector(3, budget_s=0.01, history=5)
    assert [selector.update(0.02) for _ in range(16)] == [3] * 4 + [2] * 5 + [1] * 7


def test_orders_come_back_only_well_below_the_budget():
    selector = OrderSelector(2, budget_s=0.01, history=5)
    for _ in range(5):
        selector.update(0.02)
    assert [selector.update(0.008) for _ in range(20)] == [1] * 20
    assert [selector.update(0.001) for _ in range(9)][-1] == 2


def test_one_slow_step_in_forty_changes_nothing():
    selector = OrderSelector(3, budget_s=0.01)
    assert {selector.update(0.05 if k % 40 == 20 else 0.009) for k in range(400)} == {3}


def test_an_order_that_returns_is_run_at_once_and_counts_later():
    plan = OrderPlan(3, length=5, span=4)
    plan.want(2, 1.0)
    plan.update(0.0)
    assert (plan.computed, plan.used) == (2, 2)
    plan.want(3, 1.0)
    plan.update(0.0)
    used = []
    for _ in range(9):
        plan.stepped()
        used.append((plan.computed, plan.used))
    # Four samples for the caches, three more for the head's own span.
    assert used == [(3, 2)] * 6 + [(3, 3)] * 3


def test_a_new_window_begins_with_all_that_is_wanted():
    plan = OrderPlan(3, length=5, span=4)
    plan.want(1, 1.0)
    plan.update(0.0)
    plan.want(3, 1.0)
    plan.restart()
    assert (plan.computed, plan.used) == (3, 3)


def test_orders_follow_the_budget_through_the_plan():
    plan = OrderPlan(3, length=5, span=4)
    plan.want(None, 0.01)
    for _ in range(40):
        plan.update(0.05)
    assert (plan.computed, plan.used) == (2, 2)
