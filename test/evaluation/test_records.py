"""Evaluations as files: what comes back, and what is refused."""

from dataclasses import replace
import json

from moss_perception.core.errors import MossError
from moss_perception.evaluation.record_files import (
    by_checkpoint,
    read_evaluation,
    write_evaluation,
)
from moss_perception.evaluation.records import (
    AttemptRecord,
    BagRecord,
    Evaluation,
    UnmatchedOutcome,
)
from moss_perception.evaluation.report import write_report
import numpy as np
import pytest


@pytest.fixture
def evaluation():
    attempts = (
        AttemptRecord(1, 10, 20, 30, True, 'slide', 'box', 19, 0.1 + 0.2, 0.05, source='executed',
                      times_s=np.array([-0.1, 1 / 3]), scores=np.array([np.nan, 2 / 3])),
        AttemptRecord(2, 40, 50, 60, False, executed=False))
    bag = BagRecord('a', 'sim', '/image', 1.5, 10, {'scored': 10}, {'step': 1}, 2, {'gap': 1},
                    0.7, np.zeros(0), np.array([1.25]), attempts,
                    (UnmatchedOutcome(7, 'x'),), ('y', 'z'), 0.25, 3,
                    '1x', True, np.array([7.5]), 'same',
                    {'decode_p50_ms': 0.1})
    return Evaluation('m.safetensors', 'ab' * 32, 1.1, 'onnxruntime', 2, 'moss_grasp',
                      '1,2,3', (bag,))


def assert_same(first, second):
    assert type(first) is type(second)
    for name, value in vars(first).items():
        other = getattr(second, name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, other)
            assert other.dtype == float
        elif name in ('bags', 'attempts'):
            for a, b in zip(value, other, strict=True):
                assert_same(a, b)
        else:
            assert value == other or value != value and other != other, name


def test_an_evaluation_comes_back_bit_by_bit(evaluation, tmp_path):
    write_evaluation(tmp_path / 'new' / 'one.json', evaluation)
    assert_same(evaluation, read_evaluation(tmp_path / 'new' / 'one.json'))
    assert [x.name for x in (tmp_path / 'new').iterdir()] == ['one.json']


def test_outcomes_without_images_in_a_file_of_before_are_sentences(evaluation, tmp_path):
    write_evaluation(tmp_path / 'x.json', evaluation)
    values = json.loads((tmp_path / 'x.json').read_text())
    values['bags'][0]['unmatched'] = ['attempt 7: x']
    (tmp_path / 'x.json').write_text(json.dumps(values))
    one, = read_evaluation(tmp_path / 'x.json').bags[0].unmatched
    assert str(one) == 'attempt 7: x'


def test_a_file_with_pictures_of_before_is_read(evaluation, tmp_path):
    write_evaluation(tmp_path / 'x.json', evaluation)
    values = json.loads((tmp_path / 'x.json').read_text())
    values['bags'][0]['pictures'] = {'1000': '/9gA'}
    (tmp_path / 'x.json').write_text(json.dumps(values))
    assert_same(evaluation, read_evaluation(tmp_path / 'x.json'))


@pytest.mark.parametrize(('orders', 'level'), [(3, '1,2,3'), (1, '')])
def test_a_file_from_before_budget_levels_and_ood_scores_is_read(
        evaluation, tmp_path, orders, level):
    write_evaluation(tmp_path / 'x.json', evaluation)
    values = json.loads((tmp_path / 'x.json').read_text())
    del values['model_type'], values['budget_level']
    values['orders'] = orders
    for attempt in values['bags'][0]['attempts']:
        del attempt['ood_score']
        attempt['novelty'] = 0.5
    (tmp_path / 'x.json').write_text(json.dumps(values))
    found = read_evaluation(tmp_path / 'x.json')
    assert (found.model_type, found.budget_level) == ('', level)
    assert found.network == (f'budget level {level}' if level else '')
    assert [one.ood_score for one in found.bags[0].attempts] == [0.5, 0.5]


def test_a_file_with_the_former_names_of_frame_statuses_and_diagnostics_is_read(
        evaluation, tmp_path):
    write_evaluation(tmp_path / 'x.json', evaluation)
    values = json.loads((tmp_path / 'x.json').read_text())
    bag = values['bags'][0]
    bag['fates'], bag['told'] = bag.pop('by_status'), bag.pop('diagnostics')
    (tmp_path / 'x.json').write_text(json.dumps(values))
    assert_same(evaluation, read_evaluation(tmp_path / 'x.json'))


@pytest.mark.parametrize('text', [
    '', '[]', '{}', '{"format": "other"}', '{"format": "moss_perception.evaluation/1"}'])
def test_another_file_is_refused_by_its_name(tmp_path, text):
    (tmp_path / 'x.json').write_text(text)
    with pytest.raises(MossError, match='x.json is not a readable evaluation record'):
        read_evaluation(tmp_path / 'x.json')


def test_a_report_is_not_taken_for_an_evaluation_record(evaluation, tmp_path):
    for needed in ('scipy', 'sklearn', 'matplotlib', 'jinja2'):
        pytest.importorskip(needed)
    write_report([evaluation], tmp_path)
    write_evaluation(tmp_path / 'record.json', evaluation)
    formats = [json.loads((tmp_path / name).read_text())['format']
               for name in ('report.json', 'record.json')]
    assert len(set(formats)) == 2
    with pytest.raises(MossError, match=f"its format is '{formats[0]}', expected '{formats[1]}'"):
        read_evaluation(tmp_path / 'report.json')


def test_a_place_where_nothing_can_be_written_is_one_line(evaluation, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(MossError, match="can't be written"):
        write_evaluation(tmp_path / 'file' / 'x.json', evaluation)


def test_recordings_of_one_checkpoint_are_put_together(evaluation):
    other = replace(evaluation, bags=(replace(evaluation.bags[0], path='b'),))
    last = replace(other, sha256='cd' * 32)
    found = by_checkpoint([evaluation, last, other])
    assert [[x.path for x in one.bags] for one in found] == [['a', 'b'], ['b']]
    assert [one.sha256 for one in found] == [evaluation.sha256, last.sha256]
