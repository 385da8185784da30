"""``moss import`` of several recordings: whose attempt a row is, and what is counted."""

import json
import logging

from moss_perception.cli.outcome_tables import examine_tables
from moss_perception.data.bags.reader import Recording
from moss_perception.data.scenes import load_scenes
import pytest
from rewritten import rewrite
from robot_bag import Robot, START_NS

HEAD = 'start,decision,end,success'


def rows_of(tmp_path, bag, later_s=()):
    """Return the rows of a recording's table, some of them later by many seconds."""
    rows = [x.split(',')[:4] for x in (tmp_path / f'{bag}.csv').read_text().splitlines()[1:]]
    return [','.join([*(f'{float(x) + 500 * (n in later_s):.3f}' for x in times), success])
            for n, (*times, success) in enumerate(rows)]


def write_table(path, head, rows):
    path.write_text('\n'.join([head, *rows]) + '\n')
    return ['--outcomes', path.name]


def contents_of(tmp_path, out='out'):
    found = json.loads((tmp_path / out / 'dataset.json').read_text())
    return (found['samples'], found['attempts'], found['successes'],
            [(x['recording'], x['attempt'], x['reason']) for x in found['left_out']])


@pytest.fixture
def two(robot):
    """Write the recordings of two days, with other outcomes."""
    return [robot('monday', successes=(True, True, False)),
            robot('tuesday', successes=(False, True, True))]


@pytest.mark.parametrize(('head', 'rows'), [
    ('attempt,success', ['1,yes', '2,yes', '3,no']),
    (HEAD, ['2,2.1,3,yes', '6,6.1,7,no'])])
def test_rows_that_would_be_of_every_recording_are_refused(imports, two, tmp_path, head, rows):
    words = write_table(tmp_path / 'numbers.csv', head, rows)
    said = imports(*two, table=False, words=words, status=1)
    assert '2 recordings share the table: expected a column bag' in said
    # The same table named twice is shared, too.
    assert 'share the table' in imports(*two, table=False, words=words * 2, status=1)


def test_rows_with_the_name_of_their_recording_are_all_counted(imports, two, tmp_path):
    words = write_table(tmp_path / 'both.csv', f'bag,{HEAD}', [
        f'{bag},{row}' for bag, later in zip(two, ((), (2,)), strict=True)
        for row in rows_of(tmp_path, bag, later)])
    imports(*two, table=False, words=words)
    assert contents_of(tmp_path) == (5, 6, 3, [('tuesday', 3, 'no images')])
    assert [(x.name, float(x.labels[3])) for x in load_scenes(tmp_path / 'out')] == [
        ('monday, attempt 1', 1), ('monday, attempt 2', 1), ('monday, attempt 3', 0),
        ('tuesday, attempt 1', 0), ('tuesday, attempt 2', 1)]


def test_rows_of_a_named_recording_are_strange_whatever_another_one_has(two, tmp_path):
    path = tmp_path / 'both.csv'
    write_table(path, f'bag,{HEAD}', [
        f'{bag},{row}' for bag, later in zip(two, ((), (0, 1, 2)), strict=True)
        for row in rows_of(tmp_path, bag, later)])
    found = examine_tables([(str(tmp_path / x), str(path), {}) for x in two],
                           logging.getLogger('test'))
    line, = found.foreign
    assert 'none of 3 rows is within' in line and 'tuesday' in line


def test_rows_that_stamps_match_are_counted_once(imports, robot, tmp_path):
    robot('source', successes=(False, True))

    def later(topic, kind, ns, message):
        if hasattr(message, 'header'):
            message.header.stamp.sec += 100
        yield topic, kind, ns + 100 * 10**9, message
    rewrite(tmp_path / 'source', tmp_path / 'tuesday', later)
    robot('monday', successes=(True, False))
    rows = [*rows_of(tmp_path, 'monday'), *(
        ','.join([*(f'{float(x) + 100:.3f}' for x in row.split(',')[:3]), row.split(',')[3]])
        for row in rows_of(tmp_path, 'source'))]
    # One has images nowhere, and one that is not executed is of one recording only.
    rows = [f'{row},yes' for row in [*rows, rows_of(tmp_path, 'monday', (0,))[0]]]
    rows[1] = rows[1].replace(',yes', ',no')
    words = write_table(tmp_path / 'both.csv', f'{HEAD},executed', rows)
    imports('monday', 'tuesday', table=False, words=words)
    assert contents_of(tmp_path) == (3, 5, 2, [('monday', 2, 'not executed'),
                                               ('monday', 5, 'no images')])
    # Numbers that start again change nothing but themselves.
    numbered = [f'{row},{n}' for row, n in zip(rows, (1, 2, 1, 2, 2), strict=True)]
    words = write_table(tmp_path / 'both.csv', f'{HEAD},executed,attempt', numbered)
    imports('monday', 'tuesday', table=False, words=words, out='numbered')
    assert contents_of(tmp_path, 'numbered') == (3, 5, 2, [('monday', 2, 'not executed'),
                                                           ('monday', 2, 'no images')])


def test_outcomes_in_the_recordings_are_not_shared(imports, tmp_path):
    bags = ['monday', 'tuesday']
    for bag, successes in zip(bags, ((True, False), (False, False, True)), strict=True):
        Robot(successes=successes).record(tmp_path / bag)
    imports(*bags, words=['--outcomes', ''])
    assert contents_of(tmp_path) == (5, 5, 2, [])


def test_folders_with_a_dot_in_their_names_have_names_of_their_own(imports, robot, tmp_path):
    bags = [robot('s.1'), robot('s.2', successes=(False,))]
    imports(*bags)
    assert {x.groups['bag'] for x in load_scenes(tmp_path / 'out')} == {'s.1', 's.2'}
    words = write_table(tmp_path / 'both.csv', f'bag,{HEAD}', [
        f'{bag},{row}' for bag in bags for row in rows_of(tmp_path, bag)])
    imports(*bags, table=False, words=words, out='named')
    assert contents_of(tmp_path, 'named') == contents_of(tmp_path) == (4, 4, 2, [])


def test_recordings_of_one_name_are_told_by_the_folders_that_rows_name(imports, robot, tmp_path):
    bags = [robot('monday/bag', successes=(True,)), robot('tuesday/bag', successes=(False,))]
    rows = {bag: rows_of(tmp_path, bag)[0] for bag in bags}
    for out, folder in (('short', ''), ('long', '/somewhere/else/')):
        words = write_table(tmp_path / 'both.csv', f'bag,{HEAD}', [
            f'{folder}{bag},{row}' for bag, row in rows.items()])
        imports(*bags, table=False, words=words, out=out)
        assert [(x.name, float(x.labels[3])) for x in load_scenes(tmp_path / out)] == [
            ('monday/bag, attempt 1', 1), ('tuesday/bag, attempt 1', 0)]
    words = write_table(tmp_path / 'both.csv', f'bag,{HEAD}', [
        f'{bag.replace("day", "")},{row}' for bag, row in rows.items()])
    said = imports(*bags, table=False, words=words, status=1)
    assert 'the column bag has bag in the folders mon, tues, and each may be' in said


def test_attempts_after_stamps_that_jump_back_have_their_images(imports, robot, tmp_path):
    robot('source', successes=(True, False, True, False))

    def jumped(topic, kind, ns, message):
        if ns >= START_NS + 8 * 10**9 and hasattr(message, 'header'):
            message.header.stamp.sec -= 100
        yield topic, kind, ns, message
    rewrite(tmp_path / 'source', tmp_path / 'bag', jumped)
    rows = [x.split(',') for x in rows_of(tmp_path, 'source')]
    write_table(tmp_path / 'bag.csv', HEAD, [','.join([
        *(f'{float(x) - 100 * (n > 1):.3f}' for x in times), success])
        for n, (*times, success) in enumerate(rows)])
    imports('source', out='without')
    for workers in ('1', '2'):
        imports('bag', out=f'jumped{workers}', words=['--workers', workers])
        for one, other in zip(load_scenes(tmp_path / f'jumped{workers}'),
                              load_scenes(tmp_path / 'without'), strict=True):
            # The window of the third begins at the jump.
            assert one.jpegs[-16:] == other.jpegs[-16:]
            assert one.attempt.jpegs == other.attempt.jpegs
            assert one.labels[3] == other.labels[3]


def test_the_attempts_that_are_left_out_have_one_order_whatever_the_workers(
        imports, robot, tmp_path):
    bag = robot(successes=[True, False] * 30, rate_hz=10.0, candidates=None)
    # One of each shard, of which the first process makes the first and the third.
    rows = [f'{row},no'.replace('true', 'false') if n in (4, 29, 54) else f'{row},yes'
            for n, row in enumerate(rows_of(tmp_path, bag))]
    write_table(tmp_path / 'bag.csv', f'{HEAD},executed', rows)
    for workers in ('1', '2'):
        imports(bag, out=workers, words=['--workers', workers])
    assert [x[1] for x in contents_of(tmp_path, '1')[3]] == [5, 30, 55]
    assert (tmp_path / '1' / 'dataset.json').read_bytes() == (
        tmp_path / '2' / 'dataset.json').read_bytes()


def test_a_named_candidate_is_of_the_set_that_an_evaluation_takes(imports, robot, tmp_path):
    # The set that is stamped at the decision comes 60 ms after its image.
    bag = robot(executed=None, successes=(True,))
    begin_s = START_NS // 10**9
    write_table(tmp_path / 'bag.csv', f'{HEAD},candidate',
                [f'{begin_s + 1.5:.3f},{begin_s + 2:.3f},{begin_s + 3:.3f},yes,3'])
    imports(bag, topics=False)
    sample, = load_scenes(tmp_path / 'out')
    with Recording(tmp_path / bag) as recording:
        sets = [recording.deserialize(raw, kind) for _, kind, _, raw in recording.messages(
            ['/planner/grasps'])]
    stamps = [x.header.stamp.sec + x.header.stamp.nanosec / 1e9 - begin_s for x in sets]
    known = sets[max(n for n, stamp in enumerate(stamps) if stamp < 1.9)].poses[3].position
    assert sample.candidates[sample.labelled][0, :3] == pytest.approx(
        (known.x, known.y, known.z), abs=1e-6)
