"""A single time of a row belongs to the attempt that was decided before it, or begins after it."""

import lab_bag as lab
from moss_perception.core.errors import BagError
from moss_perception.data.bags.reader import Recording
from moss_perception.data.labels.checks import (
    findings,
    lacking_rows,
    of_attempts,
    readings,
    within,
)
from moss_perception.data.labels.matching import read_labels
from moss_perception.data.labels.outcomes import outcomes_of
from moss_perception.data.outcomes import LOST, OUTSIDE
from moss_perception.evaluation.attempts import Attempt
from moss_perception.evaluation.findings import Seen, unmatched
from moss_perception.evaluation.matching import Matcher
import numpy as np
import pytest

# A picking robot: an attempt follows the other.
DECISIONS_S = [4.0 * n for n in range(1, 13)]


@pytest.fixture(scope='module')
def bag(factory, tmp_path_factory):
    return factory.write_bag(tmp_path_factory.mktemp('bags') / 'bag',
                             lab.images(65.0, 0.5, 4) + lab.executed(DECISIONS_S))


@pytest.fixture
def read(bag, tmp_path):
    def read(head, rows):
        path = tmp_path / 'table.csv'
        path.write_text('\n'.join([head, *rows]) + '\n')
        with Recording(bag) as recording:
            return read_labels(path, recording)
    return read


def decided(labels):
    return [(x.outcome.decision_ns - lab.START_NS) / 1e9 for x in labels.rows]


@pytest.mark.parametrize('column', ['time', 'end'])
@pytest.mark.parametrize('late_s', [0.05, 1.5, 3.5, 3.95])
def test_a_time_belongs_to_the_last_decision_before_it(read, column, late_s):
    labels = read(f'{column},success', [f'{x + late_s:.3f},{n % 2}' for n, x in enumerate(
        DECISIONS_S)])
    assert decided(labels) == DECISIONS_S and within(labels) == labels.rows
    assert [x.outcome.success for x in labels.rows] == [bool(n % 2) for n in range(12)]


@pytest.mark.parametrize('early_s', [0.0, 0.5, 2.0, 3.9])
def test_a_start_belongs_to_the_next_decision(read, early_s):
    labels = read('start,success', [f'{x - early_s:.3f},1' for x in DECISIONS_S])
    assert decided(labels) == DECISIONS_S


def test_whole_seconds_may_be_cut_and_belong_to_the_decision_within_them(read, tmp_path):
    # 12.0 s were 12.7 s, just after a decision that was rounded down, too.
    assert decided(read('time,success', ['12,1', '17,0', '20,1'])) == [12.0, 16.0, 20.0]
    labels = read('time,success', ['2023-11-14 22:13:23.9,1', '2023-11-14 22:13:28.1,0'])
    assert decided(labels) == [4.0, 8.0]
    assert decided(read('time,success', ['2023-11-14 22:13:23,1', '2023-11-14 22:13:28,0'])) == [
        4.0, 8.0]


@pytest.mark.parametrize(('rows', 'said'), [
    # Each is written down as the next attempt's decision is made.
    ([f'{n},{x + 4.0:.3f},1' for n, x in enumerate(DECISIONS_S[:11], start=1)],
     r'line 2: attempt is 1, but the time 8.000 is 0.000 s after the decision of attempt 2'),
    (['1,4.5,1', '2,8.5,1', '4,12.5,0'], 'line 4: attempt is 4, but the time 12.5 is 0.500 s '
     'after the decision of attempt 3, found by the executed grasps on .*: expected number and '
     'time of one attempt; correct the times, or leave the numbers out if they count')])
def test_a_number_and_a_time_of_different_attempts_are_refused(read, rows, said):
    with pytest.raises(BagError, match=said):
        read('Nr,Time,Result', rows)


@pytest.mark.parametrize('rows', [
    # A start before the decision at 12 s, and both times around it; twice both.
    ['11.5,,1', '10,14,0'], ['10,14,0', '11.5,,1'], ['9,12.5,0', '11,14,1'],
    ['12.0,,1', '12,14,0']])
def test_an_attempt_has_one_row_whatever_times_it_has(read, rows):
    with pytest.raises(BagError, match='line 3: .* has line 2 already: expected one row for each'):
        read('start,end,success', rows)


@pytest.mark.parametrize('first', [1, 3])
def test_numbers_may_start_again_in_each_recording(read, first):
    begin_s = lab.START_NS / 1e9
    labels = read('nr,time,success', [
        *(f'{n},{begin_s - 900 + n:.1f},1' for n in range(1, 8)),
        *(f'{n},{begin_s + x + 1:.1f},0' for n, x in enumerate(DECISIONS_S, 1) if n >= first)])
    assert [x.found for x in within(labels)] == list(range(first, 13))


@pytest.mark.parametrize('more', [0, 7, 20])
def test_a_number_that_does_not_go_with_the_others_is_named(read, more):
    rows = [f'{n + more},{x + 1:.1f},0' for n, x in enumerate(DECISIONS_S, 1)]
    assert len(read('nr,time,success', rows).rows) == 12
    rows[0] = f'{3 + more},5.0,0'
    with pytest.raises(BagError, match=f'line 2: attempt is {3 + more}, but the time 5.0 is'):
        read('nr,time,success', rows)


def test_numbers_do_not_hide_a_clock_that_is_wrong_by_attempts(make_bag, tmp_path):
    # The clock is 40 s behind: the first two rows are at no attempt, the others two too early.
    decisions_s = range(60, 241, 20)
    path = tmp_path / 'table.csv'
    path.write_text('nr,time,success\n' + ''.join(
        f'{n},{x + 3 - 40},1\n' for n, x in enumerate(decisions_s, 1)))
    entries = lab.images(260.0, 1.0, 4) + lab.executed(decisions_s)
    with Recording(make_bag(entries)) as recording, pytest.raises(
            BagError, match='line 4: attempt is 3, but the time 63 is 3.000 s after the decision '
            'of attempt 1'):
        read_labels(path, recording)


def test_numbers_may_go_on_from_those_of_another_recording(read):
    begin_s = lab.START_NS / 1e9
    labels = read('nr,time,success', [
        *(f'{n},{begin_s - 900 + n:.1f},1' for n in range(1, 8)),
        *(f'{7 + n},{begin_s + x + 1:.1f},0' for n, x in enumerate(DECISIONS_S, 1))])
    assert [x.outcome.attempt for x in within(labels)] == list(range(8, 20))
    assert len(labels.outside) == 7
    assert 'its numbers count 7 attempts before those of this recording' in readings(labels)


def test_times_at_which_attempts_begin_are_told_from_those_after_them(read):
    with pytest.raises(BagError, match='line 3: attempt 1 has line 2 already: .*; if the column '
                       'has the times at which attempts begin, name it start'):
        read('time,success', ['2.5,1', '6.5,0', '10.5,1'])


@pytest.mark.parametrize(('times', 'said'), [
    (['2023-11-14 22:13'] * 2, 'the times are written to the minute, in which two attempts may '
                               'lie: write seconds$'),
    (['2023-11-14 22:13:25'] * 2, 'if the column has the times at which attempts begin')])
def test_times_to_the_minute_are_no_starts(read, times, said):
    with pytest.raises(BagError, match=f'line 3: attempt .* has line 2 already: .*; {said}'):
        read('time,success', [f'{x},1' for x in times])


def test_a_decision_at_the_end_of_an_attempt_lacks_a_row(make_bag, tmp_path):
    path = tmp_path / 'table.csv'
    path.write_text('time,success\n10.5,1\n')
    with Recording(make_bag(lab.images(side=4) + lab.executed((10.0, 12.0, 14.0)))) as recording:
        assert lacking_rows(read_labels(path, recording)) == [2, 3]


def test_doubts_about_decisions_are_told_where_a_row_took_one(make_bag, factory, tmp_path):
    path = tmp_path / 'table.csv'
    path.write_text('start,end,success\n2,29,1\n')
    entries = lab.images(side=4) + [factory.candidates(lab.at(x / 3), lab.GRASPS)
                                    for x in range(75)]
    with Recording(make_bag(entries)) as recording:
        said = of_attempts(read_labels(path, recording))
    assert 'come without a pause of 1 s' in said[0]


def test_a_row_without_a_decision_takes_the_only_one_within_it(read):
    labels = read('start,end,success', ['2.1,5,1', '6.5,13,0', '13.5,15,1'])
    assert decided(labels) == [4.0, 6.5, 13.5]
    line, = [x for x in findings(labels, within(labels), np.arange(0)) if 'rows have' in x]
    assert ('2 rows have no decision, and not exactly one was found within them (line 3, 4): '
            'their start') in line
    assert decided(read('start,decision,end,success', ['2.1,3,5,1'])) == [3.0]


def test_a_row_far_from_every_attempt_is_told_and_left_out(read):
    labels = read('time,success', ['4.5,1', '62.5,0', '70.5,0'])
    assert decided(labels)[0] == 4.0 and within(labels) == labels.rows[:1]
    assert len(labels.outside) == 1
    assert any('line 3: no attempt of the recording is decided shortly before 1700000062.5' in x
               for x in findings(labels, within(labels), np.arange(0)))


def test_numbers_of_attempts_that_are_hardly_found_say_what_would_find_them(
        make_bag, factory, tmp_path):
    # Candidates without a pause make one attempt of twelve.
    path = tmp_path / 'table.csv'
    path.write_text('Nr,Time,Result\n' + ''.join(
        f'{n},{x + 0.5},1\n' for n, x in enumerate(DECISIONS_S, start=1)))
    entries = lab.images(60.0, 0.5, 4) + [factory.candidates(lab.at(x / 2), lab.GRASPS)
                                          for x in range(100)]
    bag = make_bag(entries + lab.executed(DECISIONS_S, '/arm/goal'), 'continuous')
    with Recording(bag) as recording, pytest.raises(
            BagError, match='come without a pause of 1 s.*--executed-topic'):
        read_labels(path, recording)


def test_a_row_that_is_left_out_is_no_outcome(make_bag, tmp_path):
    path = tmp_path / 'table.csv'
    path.write_text('time,success\n12.5,1\n40.5,0\n102.5,1\n')
    entries = lab.images(120.0, 0.5, 4) + lab.signal(
        'std_msgs/msg/Bool', '/gripper/command', lab.opened_and_closed(False, True, (10.0, 100.0)))
    with Recording(make_bag(entries)) as recording:
        kept = outcomes_of(recording, path, image_topic=lab.IMAGES)
        assert [x.row.line for x in read_labels(path, recording).lost] == [3]
    assert [(x.attempt, (x.decision_ns - lab.START_NS) / 1e9, x.apart) for x in kept] == [
        (1, 10.0, ''), (2, 40.5, LOST), (3, 100.0, '')]
    matcher = Matcher([Attempt(x) for x in kept])
    for stamp_s in (10, 40, 100):
        matcher.see(lab.START_NS + stamp_s * lab.SECOND)
    assert [x.outcome.attempt for x in matcher.unmet()] == [2]
    row, = unmatched(matcher, Seen())
    assert (row.why, row.line) == (LOST, 3)


def test_a_row_after_the_last_image_belongs_to_none_of_them(make_bag, tmp_path):
    path = tmp_path / 'table.csv'
    path.write_text('time,success\n6,1\n13,0\n28,1\n30.4,0\n')
    entries = lab.images(30.0, 0.5, 4) + lab.signal(
        'std_msgs/msg/Bool', '/gripper/command', lab.opened_and_closed(False, True))
    with Recording(make_bag(entries)) as recording:
        kept = outcomes_of(recording, path, image_topic=lab.IMAGES)
        last_ns = recording.end_ns
    assert [x.apart for x in kept] == ['', '', '', OUTSIDE]
    matcher = Matcher([Attempt(x) for x in kept])
    matcher.see(last_ns)
    assert kept[3] in [x.outcome for x in matcher.unmet()]


LAST_S = (5.0, 12.0, 28.0)


@pytest.mark.parametrize(('rows', 'found'), [
    # The recording ends at 29.5 s. Its last attempt is noted later, and by no other row.
    (['6', '13', '33'], [1, 2, 3]), (['6', '13', '29', '33'], [1, 2, 3, None]),
    (['6', '13', '33', '37'], [1, 2, None, None]), (['6', '13', '30', '37'], [1, 2, 3, None]),
    (['-3', '6', '13'], [None, 1, 2])])
def test_rows_before_and_after_a_recording_are_of_others_unless_nothing_else_can_be_meant(
        make_bag, tmp_path, rows, found):
    path = tmp_path / 'table.csv'
    path.write_text('time,success\n' + ''.join(
        f'{lab.START_NS / 1e9 + float(x):.1f},1\n' for x in rows))
    with Recording(make_bag(lab.images(side=4) + lab.executed(LAST_S))) as recording:
        labels = read_labels(path, recording)
    assert [x.found for x in labels.rows] == found
    assert [x in labels.outside for x in labels.rows] == [x is None for x in found]
