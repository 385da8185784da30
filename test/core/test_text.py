"""Texts of strangers reach terminals, logs, reports and spreadsheets without harm."""

from moss_perception.core.tables import lay_out, markdown
from moss_perception.core.text import cell, clean, LINE, NAME, one_line, uncell
import pytest

HOSTILE = 'belt\x1b]0;x\x07\r\nWARNING: forged\u202e\x9b31m\ud800'


def test_no_control_character_or_line_end_is_left():
    shown = clean(HOSTILE)
    assert shown == 'belt?]0;x?  WARNING: forged??31m?'
    assert shown.isprintable() and shown.encode()


def test_ordinary_texts_stay_as_they_are():
    for text in ('a banana, 7 $', 'Schälchen', '日本', "it's = 1", ''):
        assert clean(text) == one_line(text) == text


@pytest.mark.parametrize('make, longest', [(clean, NAME), (one_line, LINE)])
def test_a_text_of_a_megabyte_is_cut(make, longest):
    shown = make('x' * 2**20)
    assert len(shown) == longest and shown.endswith('x…')
    assert make('x' * longest) == 'x' * longest


@pytest.mark.parametrize('text', ['=1+1', '+A1', '-A1', '@SUM(A1)', ' =1', '\t=1', '-'])
def test_a_cell_that_a_spreadsheet_would_run_is_text(text):
    assert cell(text) == "'" + text
    assert uncell(cell(text)) == text


@pytest.mark.parametrize('value', ['-1.5', '+3', '1e-9', '-inf', 'box', '', -1.5, 0, None])
def test_numbers_and_names_are_cells_as_they_are(value):
    assert cell(value) == value


def test_an_apostrophe_of_the_name_itself_is_read_as_it_is():
    assert [uncell(x) for x in ("'box'", "'", '', "it's")] == ["'box'", "'", '', "it's"]


def test_a_name_with_a_line_end_makes_no_row_of_a_table():
    assert lay_out([('a\nb\x1b[2J', 1)], ('name', 'n')).splitlines() == [
        'name     n', 'a b?[2J  1']
    assert len(markdown(('name',), [('a\nb',)]).splitlines()) == 3
