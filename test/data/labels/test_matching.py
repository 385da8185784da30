"""A table in any usual shape gives the same outcomes; a foreign one says what would match."""

import builtins
import codecs
from datetime import datetime
import re

import lab_bag as lab
from moss_perception.core.errors import BagError
from moss_perception.data.bags.reader import Recording
from moss_perception.data.labels.attempts import Search
from moss_perception.data.labels.cells import read_moment, read_zone
from moss_perception.data.labels.checks import foreign
from moss_perception.data.labels.clock import Reading
from moss_perception.data.labels.matching import read_labels
import pytest

# 2023-11-14 22:13:20 UTC is the first stamp; the attempts are at 4 s to 6.5 s and 11 s to 13 s.
EXPECTED = [(4.0, 6.5, True), (11.0, 13.0, False)]
SHAPES = {
    'commas': 'start,end,success\n1700000004,1700000006.5,true\n1700000011,1700000013,false\n',
    'semicolons and decimal commas':
        'start;end;success\n1700000004,0;1700000006,5;OK\n1700000011,0;1700000013;FAIL\n',
    'tabs': 'start\tend\tsuccess\n4\t6.5\tyes\n11\t13\tno\n',
    'a byte order mark, Windows line ends, quotes':
        '\ufeff"Start";"End";"Success"\r\n"4,0";"6,5";"1"\r\n"11";"13";"0"\r\n',
    'comments and empty lines':
        '# Monday, lab 3\n\nstart,end,success\n# the first\n4,6.5,Y\n\n,,\n11,13,N\n',
    'a heading as a comment': '# begin; stop; ok\n4;6,5;x\n11;13;no\n',
    'a declared delimiter': 'sep=;\nbegin;stop;result\n4;6,5;success\n11;13;failure\n',
    'units in the heading': 'start_ms,end_ms,held\n4000,6500,1\n11000,13000,0\n',
    'units in brackets': 'Start (ms),End [ms],Outcome\n4000,6500,passed\n11000,13000,dropped\n',
    'milliseconds since 1970':
        'start,end,success\n1700000004000,1700000006500,1\n1700000011000,1700000013000,0\n',
    'nanoseconds since 1970': 'start,end,success\n1700000004000000000,1700000006500000000,1\n'
                              '1700000011000000000,1700000013000000000,0\n',
    'dates in UTC': 'start_time,end_time,success\n2023-11-14T22:13:24Z,2023-11-14T22:13:26.5Z,T\n'
                    '2023-11-14 22:13:31,2023-11-14 22:13:33 UTC,F\n',
    'dates with a zone': 'from,to,success\n2023-11-14 23:13:24+01:00,2023-11-14 23:13:26.5+0100,1'
                         '\n2023-11-15T03:43:31+05:30,2023-11-15 03:43:33+05:30,0\n',
    'dates with dots and decimal commas':
        'Beginn;Ende;Erfolg\n14.11.2023 22:13:24;14.11.2023 22:13:26,5;ja\n'
        '14.11.2023 22:13:31;14.11.2023 22:13:33;nein\n',
    'German words':
        'Beginn;Ende;Ergebnis\n4;6,5;Erfolg\n11;13;Misserfolg\n',
    'the date in a column of its own':
        'date,start,end,success\n2023-11-14,22:13:24,22:13:26.5,1\n2023/11/14,22:13:31,22:13:33,0\n',
    'thousands with marks': 'start;end;success\n1.700.000.004,0;1.700.000.006,5;1\n'
                            '1.700.000.011,0;1.700.000.013,0;0\n',
    'only the rows of this recording':
        'bag,start,end,success\nbag,4,6.5,1\nelse,1,2,1\nbag,11,13,0\n',
    'columns that nobody knows':
        'nr,start,end,success,operator\n1,4,6.5,1,Ann\n2,11,13,0,"B, C"\n',
}


@pytest.fixture(scope='module')
def bag(factory, tmp_path_factory):
    return factory.write_bag(tmp_path_factory.mktemp('bags') / 'bag',
                             lab.images(side=4) + lab.executed())


def read(bag, path, **options):
    with Recording(bag) as recording:
        return read_labels(path, recording, **options)


def spans(labels):
    return [((x.outcome.start_ns - lab.START_NS) / 1e9, (x.outcome.end_ns - lab.START_NS) / 1e9,
             x.outcome.success) for x in labels.rows]


@pytest.mark.parametrize('name', SHAPES)
def test_every_shape_of_a_table_gives_the_same_outcomes(bag, tmp_path, name):
    path = tmp_path / 'table.csv'
    path.write_text(SHAPES[name], encoding='utf-8', newline='')
    labels = read(bag, path)
    assert spans(labels) == EXPECTED
    assert foreign(labels, 'bag') == ''


@pytest.mark.parametrize(('encoding', 'mark'), [
    ('utf-16-le', codecs.BOM_UTF16_LE), ('cp1252', b'')])
def test_text_as_excel_saves_it_is_decoded(bag, tmp_path, encoding, mark):
    path = tmp_path / 'table.txt'
    path.write_bytes(mark + 'start\tend\tsuccess\tobject\n4\t6,5\tOK\tTüte\n'.encode(encoding))
    labels = read(bag, path)
    assert spans(labels) == EXPECTED[:1]
    assert labels.rows[0].outcome.object == 'Tüte'
    assert ('it is not UTF-8, and is read as Windows-1252' in labels.notes) == (not mark)


def test_a_spreadsheet_is_read_with_its_dates_numbers_and_ticks(bag, tmp_path):
    openpyxl = pytest.importorskip('openpyxl')
    book = openpyxl.Workbook()
    for row in (['Outcomes of Monday'], [], ['Start', 'End', 'Success', 'Candidate', None],
                [datetime(2023, 11, 14, 22, 13, 24), datetime(2023, 11, 14, 22, 13, 26, 500000),
                 True, 3], [1700000011.0, 1700000013, False, None]):
        book.active.append(row)
    book.active['A1'] = '# Outcomes of Monday'
    book.save(tmp_path / 'table.xlsx')
    labels = read(bag, tmp_path / 'table.xlsx')
    assert spans(labels) == EXPECTED
    assert [x.outcome.candidate for x in labels.rows] == [3, None]
    book.active['C5'] = 'maybe'
    book.save(tmp_path / 'table.xlsx')
    with pytest.raises(BagError, match=r"table\.xlsx, row 5: success is 'maybe'"):
        read(bag, tmp_path / 'table.xlsx')
    (tmp_path / 'broken.xlsx').write_bytes(b'PK\3\4 no archive')
    with pytest.raises(BagError, match="can't be read as XLSX"):
        read(bag, tmp_path / 'broken.xlsx')


def test_a_spreadsheet_without_its_package_is_one_line(tmp_path, monkeypatch):
    find = builtins.__import__

    def without(name, *more, **others):
        if name == 'openpyxl':
            raise ModuleNotFoundError(name=name)
        return find(name, *more, **others)
    (tmp_path / 'table.xlsx').touch()
    monkeypatch.setattr(builtins, '__import__', without)
    with pytest.raises(BagError, match=r"needs openpyxl.*the extra 'xlsx' \(pip install openpyxl"):
        read_labels(tmp_path / 'table.xlsx')


@pytest.mark.parametrize('text', [
    'attempt,success\n1,yes\n3,no\n', 'Nr.;Success\n1;OK\n3;FAIL\n',
    'time,success\n5.2,yes\n22,no\n', 'time,result\n2023-11-14 22:13:25,ok\n'
    '2023-11-14 22:13:50,fail\n'])
def test_a_number_or_a_time_is_enough_where_the_recording_has_executed_grasps(
        bag, tmp_path, text):
    path = tmp_path / 'table.csv'
    path.write_text(text)
    labels = read(bag, path)
    assert spans(labels) == [(1.0, 8.0, True), (17.5, 24.5, False)]
    assert [(x.outcome.decision_ns - lab.START_NS) / 1e9 for x in labels.rows] == [5.0, 21.5]


def test_what_a_row_says_beyond_our_columns_is_kept(bag, tmp_path):
    path = tmp_path / 'table.csv'
    path.write_text('start,end,success,day,operator\n4,6,1,Monday,Ann\n')
    labels = read(bag, path)
    assert labels.rows[0].row.more == {'day': 'Monday', 'operator': 'Ann'}
    assert labels.notes[0] == 'columns that are not used: day, operator'


@pytest.mark.parametrize(('text', 'said'), [
    ('attempt,success\n1,1\n4,0\n', 'line 3: attempt is 4: expected 1 to 3, the attempts found'),
    ('attempt,success\n1,1\n2,1\n1,0\n', 'line 4: attempt 1 has line 2 already: expected one row'),
    ('time,success\n4,1\n5,0\n', 'line 3: attempt 1 has line 2 already'),
    ('start,end,success\n4,5,1\n4,5,0\n', 'line 3: the attempt from 1700000004'),
    ('attempt,success\n,1\n', 'line 2: no time and no number of an attempt'),
    ('start,end,success\n4,5,nan\n', "line 2: success is 'nan', expected true or false"),
    ('start,end,success\n4,nan,1\n', "line 2: expected decimal seconds, got 'nan' as end"),
    ('start,end,success\n4,5,1\n6,7,\n', "line 3: success is '', expected"),
    ('start,end,success\n4,5,x\n6,7,ok\n', "line 2: success is 'x' here and 'ok' in line 3"),
    ('start,begin,end,success\n4,4,5,1\n', "'start' and 'begin' both name start"),
    ('start_ms,end_s,success\n4,5,1\n', "'start_ms' and 'end_s' have several units"),
    ('start,end,succes\n4,5,1\n', "has a column 'succes'"),
    ('start,end,success\n4,5,6,7,1\n', 'line 2: more values than columns .*decimal comma'),
    ('time,success\n1.7E+09,1\n', 'a spreadsheet has rounded it'),
    ('time,success\n14:03:10,1\n', 'a time of day needs its date'),
    ('time,success\n05/04/2026 14:03,1\n', 'day and month cannot be told apart'),
    ('time,success\n2023-13-40 14:03,1\n', "time is '2023-13-40 14:03', which is no date"),
    ('bag,time,success\nother,4,1\n', "no row for the recording bag: the column bag has 'other'"),
    ('attempt,success\n1,' + 90_000 * 'a' + '\n', "line 2: success is 'a+…', expected true"),
    ('time,success\n' + 90_000 * '9' + ',1\n', "expected decimal seconds, got '9+…' as time"),
    ('\0\1\2', 'it is no text, expected UTF-8')])
def test_a_mistake_is_one_line_with_file_line_and_value(bag, tmp_path, text, said):
    path = tmp_path / 'table.csv'
    path.write_text(text)
    with pytest.raises(BagError, match=said) as info:
        read(bag, path)
    assert str(path) in str(info.value) and '\n' not in str(info.value)
    assert len(str(info.value)) < 1000


@pytest.mark.parametrize('name', ['old.xls', 'calc.ods', 'folder.csv'])
def test_what_is_no_table_is_refused(tmp_path, name):
    path = tmp_path / name
    path.mkdir() if name == 'folder.csv' else path.touch()
    with pytest.raises(BagError, match='expected a file, CSV or XLSX|save the table as .xlsx'):
        read_labels(path)


HINTS = {
    'an hour off': ('start,end,success\n1700003604,1700003606,1\n1700003611,1700003613,0\n',
                    {}, '2 of 2 rows would match .*1 hour behind: --offset -3600'),
    'another zone': ('time,success\n2023-11-15 03:43:25,1\n2023-11-15 03:43:32,0\n',
                     {}, '5.5 hours behind: --offset -19800'),
    'milliseconds from the start': (
        'start,end,success\n4000,6000,1\n11000,13000,0\n', {},
        'milliseconds from the start of the recording: --times start --unit ms'),
    'from the start': ('start,end,success\n4,6,1\n11,13,0\n', {'numbers': 'stamps'},
                       '2 of 2 .* seconds from the start of the recording: --times start'),
    'a clock of its own': (
        'start,end,success\n1600000003,1600000006,1\n1600000010,1600000013,0\n'
        '1600000019.5,1600000022.5,0\n', {},
        r'3 rows would match with an offset of \+100000000\.\d+ s: --offset 10000000'),
    'nothing': ('start,end,success\n1600000003,1600000006,1\n', {},
                'no offset of hours and no other unit'),
}


@pytest.mark.parametrize('name', HINTS)
def test_a_table_of_another_clock_shows_what_would_match(bag, tmp_path, name):
    text, reading, said = HINTS[name]
    path = tmp_path / 'table.csv'
    path.write_text(text)
    line = foreign(read(bag, path, reading=Reading(**reading)), 'bag')
    assert re.search(said, line), line
    assert 'from 1700000000.000000000 (2023-11-14 22:13:20.000 UTC)' in line
    assert f'{path}: none of' in line and 'line 2 is at ' in line and '\n' not in line


def test_an_offset_and_a_zone_are_applied(bag, tmp_path):
    path = tmp_path / 'table.csv'
    path.write_text('start,end,success\n2023-11-14 23:13:24,2023-11-14 23:13:26.5,1\n')
    assert spans(read(bag, path, reading=Reading(read_zone('Europe/Berlin')))) == EXPECTED[:1]
    assert spans(read(bag, path, reading=Reading(offset_ns=-3600 * 10**9))) == EXPECTED[:1]


def test_times_stay_exact_to_the_nanosecond():
    assert read_moment('start', '2023-11-14T22:13:20.123456789Z').stamp_ns == (
        1_700_000_000_123_456_789)
    assert str(read_moment('start', '1700000000,123456789').number) == '1700000000.123456789'


def test_rounded_times_guessed_units_and_missing_zones_are_told(bag, tmp_path):
    path = tmp_path / 'table.csv'
    path.write_text('start,decision,end,success\n' + ''.join(
        f'170000000{n},170000000{n + 1},170000000{n + 2},1\n' for n in range(3)))
    assert 'all times are whole seconds' in read(bag, path).notes[0]
    path.write_text(SHAPES['milliseconds since 1970'])
    assert read(bag, path).notes == ['the times are read as ms, by their size']
    path.write_text('start,end,success\n4,5,1\n')
    assert 'as from the start of the recording, 1700000000.0' in read(bag, path).notes[0]
    path.write_text('time,success\n2023-11-14 22:13:25,ok\n')
    assert read(bag, path).notes == ['dates without a zone are read as UTC']


def test_a_table_of_simulated_time_has_header_stamps(make_bag, factory, tmp_path):
    bag = make_bag([factory.image(n * 10**8, side=4) for n in range(1, 60)])
    path = tmp_path / 'table.csv'
    path.write_text('start,end,success\n4,5,1\n')
    with Recording(bag) as recording:
        assert read_labels(path, recording).rows[0].outcome.start_ns == 4 * 10**9
        started = read_labels(path, recording, reading=Reading(numbers='start'))
    assert started.rows[0].outcome.start_ns == 4 * 10**9 + 10**8


def test_attempts_of_a_table_use_the_topics_that_you_name(make_bag, tmp_path):
    bag = make_bag(lab.images(side=4) + lab.executed() + lab.executed((9.0,), '/b/chosen'))
    (tmp_path / 'table.csv').write_text('attempt,success\n1,1\n')
    labels = read(bag, tmp_path / 'table.csv', search=Search(executed_topic='/b/chosen'))
    assert labels.rows[0].outcome.decision_ns == lab.at(9.0)
