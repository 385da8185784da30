"""Outcomes as status values and as a table: what is written comes back, mistakes are named."""

from types import SimpleNamespace

from moss_perception.core.errors import BagError
from moss_perception.data.outcomes import (
    NONE_SELECTED,
    Outcome,
    outcome_of,
    read_attempts,
    values_of,
)
import pytest

OUTCOME = Outcome(3, 10**9, 2 * 10**9, 3 * 10**9, False, 'sim', 'still', 'box')


def status(values, message=''):
    return SimpleNamespace(message=message, values=[
        SimpleNamespace(key=key, value=value) for key, value in values.items()])


@pytest.mark.parametrize('changes', [
    {}, {'success': True, 'candidate': 4}, {'executed': False}, {'decision_guessed': True},
    {'lead_time_s': 0.4125}])
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
    ('lead_time', 'soon', "lead_time is 'soon', expected a number of seconds"),
    ('lead_time', '-0.1', 'lead_time is -0.1: expected a finite number of seconds, 0 or more'),
    ('lead_time', 'nan', 'lead_time is nan: expected a finite number'),
    ('success', 'perhaps', "success is 'perhaps'")])
def test_a_wrong_value_is_named(key, value, said):
    with pytest.raises(ValueError, match=said):
        outcome_of(status(values_of(OUTCOME) | {key: value}))


def write(tmp_path, text):
    path = tmp_path / 'outcomes.csv'
    path.write_text(text)
    return path


def test_three_columns_are_enough(tmp_path):
    path = write(tmp_path, 'start,end,success\n1.5,2.000000001,true\n3,4,0\n')
    assert read_attempts(path) == [
        Outcome(1, 1_500_000_000, 1_500_000_000, 2_000_000_001, True, '', '', ''),
        Outcome(2, 3_000_000_000, 3_000_000_000, 4_000_000_000, False, '', '', '')]


def test_every_column_is_read_in_any_order(tmp_path):
    path = write(tmp_path, '\ufeffsuccess, attempt,end,decision,start,object,motion,domain\n'
                 'No,7,9,8.25,8,box,still,real\n')
    assert read_attempts(path) == [
        Outcome(7, 8 * 10**9, 8_250_000_000, 9 * 10**9, False, 'real', 'still', 'box')]


def test_an_attempt_may_say_that_nothing_was_executed_and_which_candidate_was(tmp_path):
    path = write(tmp_path, 'start,end,success,executed,candidate\n1,2,no,no,\n3,4,no,,5\n')
    waited, failed = read_attempts(path)
    assert (waited.executed, waited.candidate) == (False, None)
    assert (failed.executed, failed.candidate) == (True, 5)


def test_a_table_may_have_measured_lead_times(tmp_path):
    path = write(tmp_path, 'start,end,success,lead_time\n1,2,no,0.35\n3,4,no,\n')
    assert [x.lead_time_s for x in read_attempts(path)] == [0.35, None]


@pytest.mark.parametrize(('text', 'said'), [
    ('start,end\n1,2\n', 'lacks the column success'),
    ('start,end,success,sucess\n1,2,1,1\n', "has a column 'sucess'"),
    ('start,end,success\n', 'holds no attempt'),
    ('', 'lacks the column start, end, success'),
    ('start,end,success\n1,2,maybe\n', "line 2: success is 'maybe'"),
    ('start,end,success\n1,2,1\nsoon,2,1\n', "line 3: expected decimal seconds, got 'soon'"),
    ('start,end,success\n3,2,1\n', 'line 2: start 3, decision 3 and end 2'),
    ('start,end,success,decision\n1,2,1,5\n', 'decision 5 and end 2'),
    ('start,end,success,attempt\n1,2,1,a\n', "attempt is 'a'"),
    ('start,end,success,executed\n1,2,0,perhaps\n', "executed is 'perhaps'"),
    ('start,end,success,executed\n1,2,1,0\n', 'expected a success to be of an executed grasp'),
    ('start,end,success,candidate\n1,2,1,-1\n', "candidate is '-1'"),
    ('start,end,success\n1,2,1,1\n', 'more values than columns'),
    ('start,end,success\n1,2\n', "success is ''")])
def test_a_mistake_is_named(tmp_path, text, said):
    path = write(tmp_path, text)
    with pytest.raises(BagError) as info:
        read_attempts(path)
    assert said in str(info.value) and str(path) in str(info.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BagError, match='No such file'):
        read_attempts(tmp_path / 'none.csv')
