"""What every command says of a table: a wrong clock, attempts of others, the topic of grasps."""

import csv
import json

import lab_bag as lab
from moss_perception.cli.main import main as moss
from moss_perception.data.scenes import load_scenes
import pytest

# An hour is a hundred of these steps: half of the rows meet another attempt.
STEP_S, COUNT, HOUR_S = 36, 200, 3600


@pytest.fixture
def words(tiny_checkpoint, tmp_path):
    """Return the words of each command that reads a table."""
    return {
        'evaluate': ['evaluate', 'bag', '--model', str(tiny_checkpoint)],
        'import': ['import', 'bag', '--out', 'samples'],
        'adapt': ['adapt', '--bag', 'bag', '--model', str(tiny_checkpoint), '--out',
                  'new.safetensors', '--no-graphs']}


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(head, rows):
        (tmp_path / 'table.csv').write_text('\n'.join([head, *rows]) + '\n')
    return write


def stamps(decisions, late_s):
    return [f'{lab.START_NS / 1e9 + x + late_s:.1f}' for x in decisions]


@pytest.mark.parametrize('command', ['evaluate', 'import', 'adapt'])
def test_a_clock_that_matches_by_chance_is_refused_with_the_command_that_corrects_it(
        make_bag, write, words, tmp_path, caplog, capsys, command):
    decisions = [20 + STEP_S * n for n in range(COUNT)]
    make_bag(lab.images(7300, 10.0, 4) + lab.executed(decisions))
    write('time,success', [f'{x},{n % 2}' for n, x in enumerate(stamps(decisions, HOUR_S + 5))])
    assert moss([*words[command], '--outcomes', 'table.csv']) == 1
    assert caplog.messages[-1].startswith('outcomes table.csv: 100 of 200 rows match bag, from ')
    assert ('200 of 200 rows would match with a clock that is 1 hour behind: --offset -3600; '
            'write the table again: moss label bag --outcomes table.csv --offset -3600 --out '
            'table_stamps.csv') in caplog.messages[-1]
    assert not (tmp_path / 'samples').exists()
    # moss label says it first of all, so that it can be corrected there.
    caplog.clear()
    assert moss(['label', 'bag', '--outcomes', 'table.csv']) == 0
    assert '--offset -3600' in caplog.messages[0]
    assert '100 of 200 rows are attempts' in capsys.readouterr().out
    assert moss(['label', 'bag', '--outcomes', 'table.csv', '--offset', '-3600', '--out',
                 'table_stamps.csv', '--sheet', '']) == 0
    rows = list(csv.DictReader((tmp_path / 'table_stamps.csv').read_text().splitlines()))
    assert [x['success'] for x in rows] == ['false', 'true'] * (COUNT // 2)


def test_an_import_of_another_clock_names_the_offset(make_bag, write, words, caplog):
    make_bag(lab.images(side=4) + lab.executed())
    write('start,end,success', [f'{a},{b},1' for a, b in zip(
        stamps(lab.DECISIONS_S, HOUR_S - 1), stamps(lab.DECISIONS_S, HOUR_S + 1), strict=True)])
    assert moss([*words['import'], '--outcomes', 'table.csv']) == 1
    line, = caplog.messages
    assert 'no attempt has images: ' in line and line.endswith(
        '3 of 3 rows would match with a clock that is 1 hour behind: --offset -3600; write the '
        'table again: moss label bag --outcomes table.csv --offset -3600 --out table_stamps.csv')


@pytest.mark.parametrize('command', ['evaluate', 'import', 'adapt'])
def test_what_may_be_wrong_with_the_attempts_of_rows_is_said_by_every_command(
        make_bag, write, words, caplog, command):
    caplog.set_level('INFO')
    make_bag(lab.images(40.0, 0.1, 40) + lab.executed((5.0, 12.0, 21.5, 30.0)))
    write('start,end,success', ['4,6,1', '11,13,0', '13.1,14,1'])
    moss([*words[command], '--outcomes', 'table.csv'])
    for line in ('2 rows have no decision: it is taken from the attempts found by the executed',
                 '1 rows have no decision, and not exactly one was found within them (line 4): '
                 'their start',
                 '2 attempts found by the executed grasps on /planner/executed_grasp have no row: '
                 '3, 4'):
        assert f'table.csv: {line}' in caplog.text


def test_a_table_without_decisions_takes_those_of_the_executed_grasps_in_every_command(
        make_bag, write, words, tmp_path):
    make_bag(lab.images(40.0, 0.1, 40) + lab.executed())
    write('start,end,success', [f'{x - 2},{x + 1},{n % 2}' for n, x in enumerate(
        lab.DECISIONS_S)])
    assert moss([*words['evaluate'], '--outcomes', 'table.csv', '--record', 'record.json']) == 0
    record = json.loads((tmp_path / 'record.json').read_text())['bags'][0]
    decisions = [lab.at(x) for x in lab.DECISIONS_S]
    assert [x['decision_ns'] for x in record['attempts']] == decisions
    assert [x['scored_ns'] for x in record['attempts']] == decisions
    assert moss([*words['import'], '--outcomes', 'table.csv']) == 0
    assert [x.stamps_ns[-1] for x in load_scenes(tmp_path / 'samples')] == decisions


@pytest.mark.parametrize('command', ['evaluate', 'import', 'adapt'])
@pytest.mark.parametrize('topic', ['/planner/pregrasp_pose', '/selected_grasp'])
def test_the_topic_of_the_executed_grasps_is_named_unless_it_is_the_usual_one(
        make_bag, write, words, caplog, capsys, command, topic):
    caplog.set_level('INFO')
    make_bag(lab.images(40.0, 0.1, 40) + lab.executed(topic=topic))
    write('attempt,success', ['1,1', '2,0', '3,1'])
    moss([*words[command], '--outcomes', 'table.csv'])
    said = caplog.text + capsys.readouterr().out
    assert (f'are read from {topic}' in said) == (topic != '/selected_grasp')
