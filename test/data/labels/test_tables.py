"""Tables of outcomes in the shapes in which people write them, and their mistakes."""

from label_tables import read_attempts
from moss_perception.core.errors import BagError
from moss_perception.data.labels.writing import table_of
from moss_perception.data.outcomes import Outcome
import pytest


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


@pytest.mark.parametrize(('heading', 'cell'), [
    ('lead_time', '0.25'), ('lead_time_ms', '250'), ('Lead time (s)', '"0,25"')])
def test_the_measured_lead_time_is_read_in_its_unit_and_written(tmp_path, heading, cell):
    table = write(tmp_path, f'start,end,success,{heading}\n1,2,no,{cell}\n3,4,yes,\n')
    found = read_attempts(table)
    assert [x.lead_time_s for x in found] == [0.25, None]
    assert table_of(found).startswith('attempt,start,decision,end,success,lead_time\n')
    assert read_attempts(write(tmp_path, table_of(found))) == found
    assert 'lead_time' not in table_of(found[1:])


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
    ('start,end,success,lead_time\n1,2,1,-0.1\n', "lead_time is '-0.1', expected a number of"),
    ('start,end,success,lead_time\n1,2,1,soon\n', "lead_time is 'soon', expected a number of"),
    ('start,end,success\n1,2,1,1\n', 'more values than columns'),
    ('start,end,success\n1,2\n', "success is ''"),
    ('start,end,success\n1,2,\n', 'ok or fail): fill it in, or delete the row'),
    ('object,success\ncup,1\n', 'lacks the column start, end: expected success and the times '
     'start and end, or in their place one time, or attempt, the number of an attempt'),
    ('object,success\ncup,1\n', 'and, if wanted, decision, executed, candidate, lead_time,')])
def test_a_mistake_is_named(tmp_path, text, said):
    path = write(tmp_path, text)
    with pytest.raises(BagError) as info:
        read_attempts(path)
    assert said in str(info.value) and str(path) in str(info.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BagError, match='No such file'):
        read_attempts(tmp_path / 'none.csv')
