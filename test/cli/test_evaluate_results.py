"""The command `evaluate --records`: checkpoints that met attempts of their own, ranked."""

import json
from pathlib import Path

from moss_perception.cli.main import main as moss
from moss_perception.evaluation.record_files import read_evaluation, write_evaluation
from moss_perception.evaluation.records import AttemptRecord, BagRecord, Evaluation
import numpy as np
import pytest

# Of ten attempts in sim and in shifted: how many held, and in how many nothing was executed.
RUNS = {'a': ((8, 0), (6, 0)), 'b': ((6, 0), (7, 0)), 'c': ((4, 0), (2, 5))}


def run(domain, held, unexecuted, seed):
    scores = np.random.default_rng(seed).random(10)
    attempts = tuple(AttemptRecord(
        n, n * 10**10, n * 10**10 + 10**9, n * 10**10 + 2 * 10**9, n < held,
        score=float(scores[n]) if n < 10 - unexecuted else float('nan'), source='executed',
        executed=n < 10 - unexecuted) for n in range(10))
    return BagRecord('live', domain, '/image', 100.0, 1000, {'scored': 1000}, {}, 0, {}, 100.0,
                     np.zeros(0), np.zeros(0), attempts, pace='live', closed_loop=True)


@pytest.fixture
def records(tmp_path):
    """Keep the runs of three checkpoints, each domain by itself."""
    paths = []
    for number, (name, runs) in enumerate(RUNS.items()):
        for domain, (held, unexecuted) in zip(('sim', 'shifted'), runs, strict=True):
            paths.append(tmp_path / f'{name}_{domain}.json')
            write_evaluation(paths[-1], Evaluation(
                f'{name}.safetensors', name * 64, 1.0, 'onnxruntime', 1, 'moss_grasp',
                '1,2,3', (run(domain, held, unexecuted, number),)))
    return [str(path) for path in paths]


def test_success_of_several_checkpoints_is_ranked_in_both_domains(records, tmp_path, capsys):
    folder = tmp_path / 'report'
    assert moss(['evaluate', '--records', *records, '--report', str(folder)]) == 0
    out = capsys.readouterr().out
    assert 'b.safetensors' in out and 'shifted: 7 of 10 attempts succeeded' in out
    values = json.loads((folder / 'report.json').read_text())
    assert [one['model'] for one in values['checkpoints']] == [f'{x}.safetensors' for x in 'abc']
    found = {one['measure']: one for one in values['rankings']}
    # Of c, two of the five that were executed: in order, they are 0.6, 0.7 and 0.4.
    assert found['success']['simulated'] == pytest.approx([0.8, 0.6, 0.4])
    assert found['success']['real'] == pytest.approx([0.6, 0.7, 0.4])
    whole = found['task_success']
    assert whole['real'] == pytest.approx([0.6, 0.7, 0.2])
    # Deviations 0.2, 0, -0.2 and 0.1, 0.2, -0.3; a and b are swapped, which costs each 0.1.
    assert whole['agreement']['pearson'] == pytest.approx(0.08 / (0.08 * 0.14) ** 0.5)
    assert whole['agreement']['mmrv'] == pytest.approx(0.2 / 3)
    other = values['checkpoints'][1]['domains']['sim']
    assert other['success_less_first']['value'] == pytest.approx(-0.2)
    page = (folder / 'report.html').read_text()
    assert 'Outcomes of their own grasps' in page and 'success of all attempts' in page


def test_what_not_all_have_is_not_ranked_and_said(records, tmp_path, caplog):
    assert moss(['evaluate', '--records', *records[:-1], '--report', str(tmp_path / 'new')]) == 0
    assert 'c.safetensors (cccccccccccc) has the domains sim, the first' in caplog.text
    assert json.loads((tmp_path / 'new' / 'report.json').read_text())['rankings'] == []


def test_a_requirement_is_of_the_first_checkpoint(records):
    assert moss(['evaluate', '--records', *records, '--require', 'success@sim>=0.8']) == 0
    assert moss(['evaluate', '--records', *records[::-1], '--require', 'success@sim>=0.8']) == 3


def test_another_threshold_and_what_success_is_reach_the_report(records, tmp_path, caplog):
    more = ['--success-definition', 'held for five seconds']
    for name, words in (('usual', []), ('dear', ['--threshold', '0.9', *more])):
        assert moss(['evaluate', '--records', *records[:2], '--report', str(tmp_path / name),
                              *words]) == 0
    usual, dear = (json.loads((tmp_path / name / 'report.json').read_text())
                   for name in ('usual', 'dear'))
    assert (usual['threshold'], dear['threshold']) == (0.5, 0.9)
    passed = [x['checkpoints'][0]['domains']['sim']['counts']['passed'] for x in (usual, dear)]
    assert passed[0] > passed[1]
    page = (tmp_path / 'dear' / 'report.html').read_text()
    assert 'held for five seconds' in page and 'A score of 0.9 or more' in page
    # Requirements without a report are of the same threshold.
    need = ['--records', *records[:2], '--require', f'accuracy@sim>={_accuracy(usual)}']
    assert moss(['evaluate', *need]) == 0
    assert (moss(['evaluate', *need, '--threshold', '0.9']) == 0) == (
        _accuracy(dear) >= _accuracy(usual))
    for wrong in ('1.5', 'high', 'nan'):
        caplog.clear()
        assert moss(['evaluate', '--records', *records[:2], '--threshold', wrong]) == 1
        assert f'threshold={wrong} is not allowed: expected a number in [0, 1]' in caplog.text


def _accuracy(values):
    return values['checkpoints'][0]['domains']['sim']['measures']['accuracy']['value']


def test_records_that_cannot_be_used_are_one_line(records, tmp_path, caplog):
    for names, said in (([records[0]] * 2, 'names a file twice'),
                        ([str(tmp_path / 'none.json')], 'none.json is not a readable evaluation')):
        caplog.clear()
        assert moss(['evaluate', '--records', *names, '--report', str(tmp_path / 'new')]) == 1
        assert said in caplog.text and caplog.text.count('\n') == 1
    assert not (tmp_path / 'new').exists()


@pytest.mark.parametrize('more', [['bag'], ['--model', 'm'], ['--scenes', 'x'],
                                  ['--record', 'x'], ['--image-topic', '/x']])
def test_what_was_found_already_takes_no_more_arguments(more):
    with pytest.raises(SystemExit) as info:
        moss(['evaluate', *more, '--records', 'x.json'])
    assert info.value.code == 2


def test_a_record_is_of_one_checkpoint(records, tmp_path, caplog, monkeypatch):
    out = tmp_path / 'record.json'
    # Before anything is read.
    assert moss(['evaluate', 'no_bag', '--model', 'a', 'b', '--record', str(out)]) == 1
    assert ('saves the results of one checkpoint, and there are 2: expected one --model, and a '
            'file for each') in caplog.text
    evaluations = [read_evaluation(Path(path)) for path in records[::2]]
    monkeypatch.setattr('moss_perception.evaluation.runs.merge_runs', lambda *_: evaluations)
    caplog.clear()
    assert moss(['evaluate', '--merge', 'store', '--record', str(out)]) == 1
    assert 'and there are 3: expected one --model' in caplog.text and not out.exists()
    del evaluations[1:]
    assert moss(['evaluate', '--merge', 'store', '--record', str(out)]) == 0
    assert read_evaluation(out).model == 'a.safetensors'
