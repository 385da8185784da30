"""The CSV of clips, which clip a row is of, and calibrations as ROS's tools write them."""

import logging

from moss_perception.core.errors import BagError, ClipError
from moss_perception.data.clips.inputs import (
    check_shape,
    ClipRow,
    match_clips,
    read_calibration,
    read_rows,
)
import numpy as np
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


def test_semicolons_and_decimal_commas_are_read_as_in_tables_of_recordings(table):
    assert read_rows(table('Clip;Success;End', '1.mp4;OK;2,5')) == [
        ClipRow('1.mp4', True, end_ns=2_500_000_000)]


def test_a_time_in_another_unit_is_not_taken_for_seconds(table, caplog):
    assert read_rows(table('clip,success,end_ms', '1.mp4,1,2500')) == [ClipRow('1.mp4', True)]
    assert 'not used: end_ms' in caplog.text


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
    (('clip,success,ok', 'a,1,1'), 'several columns name success'),
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


TEXT = """image_width: 640
image_height: 480
camera_name: eye
camera_matrix: {rows: 3, cols: 3, data: [500, 0, 319.5, 0, 510, 239.5, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -0.2, 0, 0, 0]}
"""


@pytest.fixture
def written(tmp_path):
    def write(text=TEXT):
        (tmp_path / 'eye.yaml').write_text(text)
        return tmp_path / 'eye.yaml'
    return write


def test_values_are_read(written):
    calibration = read_calibration(written())
    assert (calibration.width, calibration.height, calibration.model) == (640, 480, 'plumb_bob')
    assert calibration.matrix[1].tolist() == [0, 510, 239.5]
    assert calibration.distortion.tolist() == [0.1, -0.2, 0, 0, 0]


def test_a_smaller_image_keeps_its_centre_in_the_centre(written):
    # The centre of 640 x 480 is at 319.5, 239.5; of 320 x 240 at 159.5, 119.5.
    np.testing.assert_allclose(read_calibration(written()).scaled(320, 240).matrix, [
        [250, 0, 159.5], [0, 255, 119.5], [0, 0, 1]])


def test_a_clip_of_another_shape_is_refused(written):
    calibration = read_calibration(written())
    check_shape(calibration, 320, 240)
    with pytest.raises(ClipError, match='images of 320 x 180 pixels: .* 640 x 480'):
        check_shape(calibration, 320, 180)


@pytest.mark.parametrize(('old', 'new', 'expected'), [
    ('image_width: 640\n', '', "'image_width'"), ('[500,', '[-500,', 'focal lengths above 0'),
    ('[500,', '[x,', 'garbles'), ('[500, 0,', '[500,', 'garbles'),
    ('plumb_bob', 'rare', "model 'rare'"), ('[0.1, -0.2,', '[.nan, -0.2,', 'finite coefficients'),
    (', 0, 0, 0]', ']', 'coefficients for plumb_bob'), ('camera_matrix: {', '{{', "can't be read"),
    ('image_height: 480', 'image_height: 0', '640 x 0 pixels'), (TEXT, 'text', 'garbles')])
def test_what_can_not_be_used_is_refused_by_name(written, old, new, expected):
    assert old in TEXT
    with pytest.raises(BagError, match=r'eye\.yaml .*' + expected):
        read_calibration(written(TEXT.replace(old, new)))
