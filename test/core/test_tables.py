"""Tables of words, for a terminal and as Markdown."""

from moss_perception.core.tables import lay_out, markdown


def test_a_terminals_table_is_aligned_and_ends_without_blanks():
    assert lay_out([('in', '/a', 'x'), ('out', '/long', '')]) == 'in   /a     x\nout  /long'
    assert lay_out([('a', 1)], ('name', 'n')) == 'name  n\na     1'


def test_numbers_in_words_stay_as_they_are_written():
    assert lay_out([('0.9480', '1e-9'), ('1', '2')]) == '0.9480  1e-9\n1       2'
    assert markdown(['v'], [['0.9480'], ['-']]).splitlines() == [
        '| v      |', '|--------|', '| 0.9480 |', '| -      |']


def test_markdown_has_a_rule_below_its_head():
    head, rule, row = markdown(['a', 'long'], [['x', 'y']]).splitlines()
    assert (head.split(), row.split()) == (['|', 'a', '|', 'long', '|'], ['|', 'x', '|', 'y', '|'])
    assert set(rule) == {'|', '-'} and len(head) == len(rule) == len(row)
