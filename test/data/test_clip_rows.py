"""The CSV of clips, and which clip a row is of."""

import logging

from moss_perception.core.errors import BagError
from moss_perception.data.clips.rows import ClipRow, match_clips, read_rows
import pytest


@pytest.fixture
def table(tmp_path):
    def write(*lines, name='clips.csv'):
        path = tmp_path / name
        path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
        return path
    return write


def test_rows_keep_every_value(table):
    path = table('\ufeffclip,success,start,decision,end,domain,object',
                 'a/1.mp4,True,0.5,1.25,3,lab,cup', './2.mp4,0,,,,,')
    assert read_rows(path) == [
        ClipRow('a/1.mp4', True, 500_000_000, 1_250_000_000, 3_000_000_000, 'lab', 'cup'),
        ClipRow('2.mp4', False)]


def test_tabs_separate_a_tsv(table):
    assert read_rows(table('clip\tsuccess', '1.mp4\tyes', name='a.tsv')) == [
        ClipRow('1.mp4', True)]


def test_columns_that_are_not_used_are_told(table, caplog):
    with caplog.at_level(logging.WARNING):
        read_rows(table('clip,success,decison', '1.mp4,1,2'))
    assert 'not used: decison' in caplog.text


@pytest.mark.parametrize(('lines', 'expected'), [
    (('clip,start', 'a,0'), 'no column success'),
    (('clip,success', 'a,maybe'), "line 2: success is 'maybe', expected true or false"),
    (('clip,success', 'a,1', ',1'), 'line 3: no clip'),
    (('clip,success,end', 'a,1,-2'), "line 2: end is '-2', expected decimal seconds"),
    (('clip,success,end', 'a,1,nan'), "line 2: end is 'nan'"),
    (('clip,success,start,end', 'a,1,3,2'), 'line 2: start 3 s is after end 2 s'),
    (('clip,success,decision,end', 'a,1,3,2'), 'line 2: decision 3 s is after end 2 s'),
    (('clip,success', 'a,1,2'), 'line 2: more or fewer values'),
    (('clip,success', 'a,1', 'b,1', 'a,0'), 'found more of a'),
    ((), 'no column clip or success')])
def test_what_a_row_lacks_is_named_with_its_line(table, lines, expected):
    with pytest.raises(BagError, match=expected):
        read_rows(table(*lines))


def test_a_csv_that_is_not_there_or_no_text_is_refused(tmp_path):
    with pytest.raises(BagError, match='No such file'):
        read_rows(tmp_path / 'none.csv')
    (tmp_path / 'a.csv').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(BagError, match=r"a\.csv can't be read as a CSV"):
        read_rows(tmp_path / 'a.csv')


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / 'clips'
    for name in ('b.mp4', 'a.MP4', 'deep/c.avi', 'notes.txt'):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).touch()
    return place


def rows(*names):
    return [ClipRow(name, True) for name in names]


def test_clips_come_in_the_order_of_the_rows(folder):
    clips = match_clips(folder, rows('deep/c.avi', 'a.MP4', 'b.mp4'))
    assert [(x.name, x.path, x.row.clip) for x in clips] == [
        (name, folder / name, name) for name in ('deep/c.avi', 'a.MP4', 'b.mp4')]


def test_a_row_without_a_clip_is_named(folder):
    for unlabelled in (False, True):
        with pytest.raises(BagError, match=r'1 of 4 rows have no clip: x\.mp4;'):
            match_clips(folder, rows('deep/c.avi', 'a.MP4', 'b.mp4', 'x.mp4'), unlabelled)


def test_a_clip_without_a_row_is_named_or_taken_last(folder):
    with pytest.raises(BagError, match=r'2 of 3 clips have no row: a\.MP4, deep/c\.avi;'):
        match_clips(folder, rows('b.mp4'))
    clips = match_clips(folder, rows('b.mp4'), unlabelled=True)
    assert [(x.name, x.row is None) for x in clips] == [
        ('b.mp4', False), ('a.MP4', True), ('deep/c.avi', True)]


def test_of_many_names_the_first_are_told_and_the_others_counted(folder):
    with pytest.raises(BagError, match=r'x9\.mp4 and 15 more;'):
        match_clips(folder, rows(*(f'x{i}.mp4' for i in range(25))))


def test_a_folder_without_clips_is_refused(tmp_path):
    with pytest.raises(BagError, match='no clips, expected files that end with'):
        match_clips(tmp_path, [])
    with pytest.raises(BagError, match='none is no folder'):
        match_clips(tmp_path / 'none', [])
