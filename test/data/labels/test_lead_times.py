"""Where a recording has the executed grasps and a gripper, it tells the lead times."""

import lab_bag as lab
from moss_perception.core.errors import BagError
from moss_perception.data.bags.reader import Recording
from moss_perception.data.labels import gripper as signals
from moss_perception.data.labels.outcomes import outcomes_of
import pytest

LATE_S = (0.7, 0.5, 0.9)
CLOSED_S = [x + late for x, late in zip(lab.DECISIONS_S, LATE_S, strict=True)]
HEAD = 'start,decision,end,success'
ROWS = [f'{x - 2},{x},{x + 3},{n % 2}' for n, x in enumerate(lab.DECISIONS_S)]


@pytest.fixture
def measured(make_bag, tmp_path):
    """Return a function that reads a table for a recording with a gripper."""
    def read(entries, head=HEAD, rows=ROWS):
        path = tmp_path / 'table.csv'
        path.write_text('\n'.join([head, *rows]))
        with Recording(make_bag(lab.images(side=4) + lab.executed() + entries)) as recording:
            return [x.lead_time_s for x in outcomes_of(
                recording, path, image_topic=lab.IMAGES)]
    return read


def gripper(closed_s=CLOSED_S, topic='/gripper/command'):
    return lab.signal('std_msgs/msg/Bool', topic, lab.opened_and_closed(False, True, closed_s))


@pytest.mark.parametrize(('head', 'rows'), [
    (HEAD, ROWS), ('attempt,success', ['1,1', '2,0', '3,1']),
    ('time,success', ['6,1', '13,0', '23,1'])])
def test_the_time_until_the_gripper_closes_is_measured(measured, head, rows):
    assert measured(gripper(), head, rows) == pytest.approx(LATE_S)


def test_a_lead_time_of_the_table_and_a_grasp_that_was_not_executed_stay(measured):
    rows = [f'{row},{more}' for row, more in zip(
        [ROWS[0], ROWS[2], ROWS[2]], ('0.3,1', ',1', ',0'), strict=True)]
    rows[2] = '24.7,25,26,0,,0'
    assert measured(gripper(), f'{HEAD},lead_time,executed', rows) == [0.3, pytest.approx(0.9),
                                                                       None]


def test_rows_of_another_recording_do_not_count(measured):
    rows = [f'{lab.START_NS / 1e9 + x - 2},{lab.START_NS / 1e9 + x},{lab.START_NS / 1e9 + x + 3},1'
            for x in (*lab.DECISIONS_S, *(500.0 + 10 * n for n in range(9)))]
    assert measured(gripper(), HEAD, rows)[:3] == pytest.approx(LATE_S)


@pytest.mark.parametrize('closed_s', [
    # At the decision; in one attempt of three, as a sensor of held objects; several times.
    lab.DECISIONS_S, CLOSED_S[:1], [x + y for x in lab.DECISIONS_S for y in (0.2, 2.4)]])
def test_what_may_be_another_signal_measures_nothing(measured, closed_s):
    assert measured(gripper(closed_s)) == [None] * 3


def test_a_gripper_that_is_closed_at_the_decision_measures_nothing(measured):
    # Which value is closed is told the wrong way round.
    assert measured(gripper(topic='/gripper/open')) == [None] * 3


@pytest.mark.parametrize('damaged', [True, False])
def test_joints_that_cannot_be_read_measure_nothing(measured, monkeypatch, damaged):
    def messages(recording, name):
        if damaged:
            raise BagError(f'{name} is damaged')
        return iter(())
    monkeypatch.setattr(signals, '_messages', messages)
    assert measured(lab.joints('/joint_states', [(1.0, 0.0)])) == [None] * 3
