"""Outcomes as status values: what is written comes back, mistakes are named."""

from types import SimpleNamespace

from moss_perception.data.outcomes import (
    NONE_SELECTED,
    Outcome,
    outcome_of,
    values_of,
)
import pytest

OUTCOME = Outcome(3, 10**9, 2 * 10**9, 3 * 10**9, False, 'sim', 'still', 'box')


def status(values, message=''):
    return SimpleNamespace(message=message, values=[
        SimpleNamespace(key=key, value=value) for key, value in values.items()])


@pytest.mark.parametrize('changes', [
    {}, {'success': True, 'candidate': 4}, {'executed': False}, {'decision_guessed': True}])
def test_what_is_written_comes_back(changes):
    outcome = Outcome(**{**vars(OUTCOME), **changes})
    assert outcome_of(status(values_of(outcome))) == outcome


@pytest.mark.parametrize('success, message, executed', [
    (False, 'slipped', True), (False, NONE_SELECTED, False), (True, NONE_SELECTED, True)])
def test_an_old_outcome_tells_by_its_message_whether_a_grasp_was_executed(
        success, message, executed):
    values = values_of(Outcome(**{**vars(OUTCOME), 'success': success}))
    del values['executed']
    found = outcome_of(status(values, message))
    assert (found.executed, found.candidate) == (executed, None)


@pytest.mark.parametrize('key, value, said', [
    ('executed', 'yes', "executed is 'yes', expected true or false"),
    ('candidate', '1.5', "candidate is '1.5', expected a whole number"),
    ('success', 'perhaps', "success is 'perhaps'")])
def test_a_wrong_value_is_named(key, value, said):
    with pytest.raises(ValueError, match=said):
        outcome_of(status(values_of(OUTCOME) | {key: value}))
