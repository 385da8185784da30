"""A table of another clock is refused where some of its rows lie in the recording, too."""

from datetime import datetime, timezone

import lab_bag as lab
from moss_perception.core.errors import BagError
from moss_perception.data.bags.reader import Recording
from moss_perception.data.labels.checks import another_clock, foreign, within
from moss_perception.data.labels.clock import Reading
from moss_perception.data.labels.matching import read_labels
from moss_perception.data.labels.outcomes import outcomes_of
import numpy as np
import pytest

HOUR_S, STEP_S = 3600, 36
# Two hours of attempts in equal steps, of which a clock that is an hour off matches every second.
EVEN_S = [20 + STEP_S * n for n in range(200)]
# A day as people work: no two breaks between attempts are alike.
UNEVEN_S = list(20 + np.cumsum(np.random.default_rng(2).uniform(15, 57, 190)))


@pytest.fixture(scope='module')
def recordings(factory, tmp_path_factory):
    """Return a function that writes two hours of attempts, some of them with executed grasps."""
    made = {}

    def make(decisions=EVEN_S, executed=True):
        name = f'{len(decisions)}_{executed}'
        if name not in made:
            entries = lab.images(7300, 10.0, 4) + lab.executed(decisions) * executed
            made[name] = factory.write_bag(tmp_path_factory.mktemp('bags') / name, entries)
        return made[name]
    return make


@pytest.fixture
def table(tmp_path):
    def write(rows, head='time,success'):
        path = tmp_path / 'table.csv'
        path.write_text('\n'.join([head, *rows]) + '\n')
        return path
    return write


def dated(seconds):
    return datetime.fromtimestamp(lab.START_NS / 1e9 + seconds, timezone.utc).isoformat(
        ' ', 'milliseconds')[:-6]


def rows_of(decisions, late_s):
    """Return a row for each attempt, noted so many seconds after its decision."""
    return [f'{dated(x + late_s)},{"yes" if n % 3 else "no"}' for n, x in enumerate(decisions)]


def spans_of(decisions, late_s):
    return [f'{dated(x + late_s - 2)},{dated(x + late_s + 2)},yes' for x in decisions]


def read(bag, path, reading=None):
    with Recording(bag) as recording:
        return read_labels(path, recording, reading=reading)


def outcomes(bag, path):
    with Recording(bag) as recording:
        return outcomes_of(recording, path, image_topic=lab.IMAGES)


@pytest.mark.parametrize('decisions', [EVEN_S, UNEVEN_S])
@pytest.mark.parametrize('hours', [1, -1, 2])
def test_rows_that_overlap_with_the_recording_by_chance_are_refused_with_the_offset(
        recordings, table, decisions, hours):
    bag = recordings(decisions)
    path = table(spans_of(decisions, hours * HOUR_S), 'start,end,success')
    labels = read(bag, path)
    assert 0 < len(within(labels)) < len(labels.rows)
    right = f'--offset {-hours * HOUR_S}'
    assert right in another_clock(labels, 'bag') and foreign(labels, 'bag') == ''
    with pytest.raises(BagError, match=f'{len(decisions)} of {len(decisions)} rows would match '
                       f'with a clock .*: {right}; write the table again: moss label .* {right} '
                       '--out table_stamps.csv; if the times are right, .* column bag'):
        outcomes(bag, path)
    moved = read(bag, path, Reading(offset_ns=-hours * HOUR_S * 10**9))
    assert another_clock(moved, 'bag') == '' and len(within(moved)) == len(decisions)


def test_times_alone_of_another_clock_are_refused_and_numbers_beside_them_name_it(
        recordings, table):
    path = table(rows_of(EVEN_S, HOUR_S + 5))
    assert len(within(read(recordings(), path))) == 100
    with pytest.raises(BagError, match='100 of 200 rows match .*, and 100 attempts found by '
                       'the executed grasps .* have no row: 200 of 200 rows would match with a '
                       'clock that is 1 hour behind: --offset -3600'):
        outcomes(recordings(), path)
    numbered = table([f'{n},{x}' for n, x in enumerate(rows_of(EVEN_S, HOUR_S + 5), start=1)],
                     'Nr,Time,Result')
    with pytest.raises(BagError, match='line 2: attempt is 1, but the time .* is 5.000 s after '
                       'the decision of attempt 101, found .*--offset -3600'):
        read(recordings(), numbered)


def test_without_known_attempts_the_rows_within_the_recording_tell(recordings, table):
    bag = recordings(executed=False)
    path = table(spans_of(EVEN_S, HOUR_S), 'start,end,success')
    assert '--offset -3600' in another_clock(read(bag, path), 'bag')
    # Two recordings share a table: no offset brings all rows into this one.
    path = table(spans_of([*EVEN_S[:90], *(x + 4 * HOUR_S for x in EVEN_S)], 0),
                 'start,end,success')
    assert another_clock(read(bag, path), 'bag') == ''


def test_rows_of_the_next_recording_do_not_take_the_places_of_those_that_match(
        recordings, table):
    # A cell in equal steps, whose recordings follow one another; in the first of them one attempt
    # of ten was not noted.
    every = [*EVEN_S, *(x + 2 * HOUR_S for x in EVEN_S)]
    rows = [x for n, x in enumerate(rows_of(every, 5)) if n >= 200 or n % 10]
    labels = read(recordings(), table(rows))
    assert len(within(labels)) == 180 and len(labels.outside) > 170
    assert another_clock(labels, 'bag') == '' and labels.hint is None


@pytest.mark.parametrize('name', ['all rows', 'every second attempt', 'two days', 'one typo'])
def test_a_right_clock_is_not_refused(recordings, table, name):
    bag = recordings(UNEVEN_S)
    rows = {'all rows': rows_of(UNEVEN_S, 3), 'every second attempt': rows_of(UNEVEN_S[::2], 3),
            # Rows of this recording's second half, and of another one that began an hour later.
            'two days': rows_of(UNEVEN_S[90:], 3) + rows_of(
                [x + 2 * HOUR_S + 1000 for x in UNEVEN_S[:180]], 3),
            'one typo': rows_of(UNEVEN_S[1:], 3) + rows_of([3 * HOUR_S], 0)}[name]
    labels = read(bag, table(rows))
    assert another_clock(labels, 'bag') == ''
    inside = {'two days': len(UNEVEN_S) - 90, 'one typo': len(UNEVEN_S) - 1}
    assert len(outcomes(bag, labels.table.path)) == len(rows)
    assert len(within(labels)) == inside.get(name, len(rows))
