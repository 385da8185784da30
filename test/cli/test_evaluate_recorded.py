"""The command `evaluate --scores recorded`: the node's own scores, without a predictor."""

import json

import cv2
from moss_perception.cli.main import main as moss
from moss_perception.data.bags.writer import RecordingWriter
from moss_perception.evaluation.replay import replay
from moss_perception.models.checkpoint import file_sha256
from moss_perception.runtime.predictor import Predictor
from node_outputs import OutputsWriter, rows_of
import numpy as np
import pytest

START_NS, STEP_NS = 1_700_000_000_000_000_000, 100_000_000
GRASPS = np.array([[0.1, 0.2, 0.5, 0.3], [0.3, 0.2, 0.5, 0.3]])
FRAMES, DECISION = 8, 5


@pytest.fixture
def bag(tmp_path, tiny_checkpoint):
    return write_bag(tmp_path, tiny_checkpoint, budget_level='1,2')


def write_bag(tmp_path, tiny_checkpoint, name='bag', **diagnostics):
    """Write four attempts; in the last none was executed."""
    with RecordingWriter(tmp_path / name) as writer:
        outputs = OutputsWriter(writer)
        for attempt in range(4):
            at = [START_NS + (attempt * 20 + n) * STEP_NS for n in range(FRAMES)]
            for stamp_ns in at:
                writer.candidates(stamp_ns, GRASPS)
                writer.image(stamp_ns, b'never decoded')
                scores = (0.1, 0.3 + attempt / 10)
                outputs.scores(stamp_ns, rows_of(GRASPS, scores, stamp_ns))
                outputs.processed(stamp_ns, 'scored')
            executed = attempt < 3
            if executed:
                writer.selected(at[DECISION], GRASPS[1])
            writer.outcome('over', attempt=attempt + 1, start_ns=at[0], decision_ns=at[DECISION],
                           end_ns=at[7], success=attempt in (0, 2), domain='real', motion='',
                           object='', executed=executed, candidate=1 if executed else None)
        outputs.diagnostics(at[7], **{
            'frames': '32', 'scored': '32', 'engine': 'onnxruntime', 'threads': '1',
            'model_sha256': file_sha256(tiny_checkpoint), 'topic': '/image/compressed',
            **diagnostics})
    return tmp_path / name


def test_recorded_scores_become_a_report_and_not_executed_attempts_are_counted_apart(
        bag, tmp_path, capsys):
    status = moss(['evaluate', str(bag), '--scores', 'recorded', '--report',
                   str(tmp_path / 'report'), '--require', 'attempts>=3', 'scored_share>=1'])
    out = capsys.readouterr().out
    assert status == 0, out
    assert 'real: 2 of 3 attempts succeeded, 3 scored, not_executed: 1 more' in out
    assert 'note: not_executed: in 1 of 4 attempts no grasp was executed' in out
    values, = json.loads((tmp_path / 'report' / 'report.json').read_text())['checkpoints']
    assert values['domains']['real']['not_executed'] == 1
    assert (values['engine'], values['model'][:11]) == ('onnxruntime', 'checkpoint ')
    page = (tmp_path / 'report' / 'report.html').read_text()
    assert 'no grasp was executed' in page


@pytest.mark.parametrize(('diagnostics', 'words'), [
    ({'model': 'moss_grasp', 'budget_level': '1,2'}, 'model type moss_grasp, budget level 1,2'),
    ({'model': 'flow_grasp', 'budget_level': 'all'}, 'model type flow_grasp, budget level all'),
    ({'model': 'moss_grasp', 'orders': '1,2', 'orders_wanted': '1,2'},
     'model type moss_grasp, budget level 1,2')])
def test_the_model_and_its_budget_level_are_told_by_name_of_old_recordings_too(
        tmp_path, tiny_checkpoint, capsys, diagnostics, words):
    bag = write_bag(tmp_path, tiny_checkpoint, **diagnostics)
    assert moss(['evaluate', str(bag), '--scores', 'recorded', '--report', str(tmp_path)]) == 0
    assert words in capsys.readouterr().out
    assert f'one thread, {words}.' in (tmp_path / 'report.html').read_text()


def test_the_checkpoint_that_was_running_is_named_or_another_one_refused(
        bag, tiny_checkpoint, tmp_path, capsys, caplog):
    arguments = ['evaluate', str(bag), '--scores', 'recorded', '--model']
    assert moss([*arguments, str(tiny_checkpoint)]) == 0
    assert tiny_checkpoint.name in capsys.readouterr().out
    from moss_perception.core.resources import model_path
    assert moss([*arguments, str(model_path(''))]) == 1
    assert 'the predictor ran the checkpoint' in caplog.text


def test_recordings_of_two_checkpoints_are_evaluated_apart(
        bag, tiny_checkpoint, tmp_path, capsys):
    other = write_bag(tmp_path, tiny_checkpoint, 'other', model_sha256='f' * 64)
    table = tmp_path / 'table.csv'
    table.write_text('start,end,success\n' + ''.join(
        f'{START_NS // 10**9 + x},{START_NS // 10**9 + x + 0.6},1\n' for x in (0, 500)))
    assert moss(['evaluate', str(bag), str(other), '--scores', 'recorded', '--outcomes',
                 str(table), '--report', str(tmp_path / 'report')]) == 0
    found = json.loads((tmp_path / 'report' / 'report.json').read_text())['checkpoints']
    assert [one['sha256'][:4] for one in found] == [file_sha256(tiny_checkpoint)[:4], 'ffff']
    # The row that none of them matches is counted once.
    assert capsys.readouterr().out.count('1 of 2 outcomes match no image') == 1


def test_a_recording_without_scores_says_what_was_expected(tmp_path, caplog):
    with RecordingWriter(tmp_path / 'bag') as writer:
        writer.image(START_NS, b'')
    assert moss(['evaluate', str(tmp_path / 'bag'), '--scores', 'recorded']) == 1
    assert 'no recorded scores: expected a topic of grasp_predictor' in caplog.text


def test_an_executed_grasp_without_a_recorded_score_is_scored_from_the_images(
        tmp_path, tiny_checkpoint, capsys, caplog):
    rng, frames, decision = np.random.default_rng(3), 24, 20
    at = [START_NS + n * STEP_NS for n in range(frames)]
    executed = np.array([0.0, 0.0, 0.6, 0.4])
    with RecordingWriter(tmp_path / 'bag') as writer:
        outputs = OutputsWriter(writer)
        for index, stamp_ns in enumerate(at):
            writer.camera_info(stamp_ns, 40, 40, np.array([[40., 0, 20], [0, 40., 20], [0, 0, 1]]))
            writer.image(stamp_ns, cv2.imencode(
                '.jpg', rng.integers(0, 256, (40, 40, 3), np.uint8))[1].tobytes())
            if index > 15:
                outputs.scores(stamp_ns, rows_of(GRASPS, (0.1, 0.9), at[0]))
            outputs.processed(stamp_ns, 'scored' if index > 15 else 'stored')
        # The planner went on, and none of the scored candidates was executed.
        writer.selected(at[decision], executed)
        writer.outcome('over', attempt=1, start_ns=at[0], decision_ns=at[decision],
                       end_ns=at[-1], success=True, domain='real', motion='', object='')
        outputs.diagnostics(
            at[-1], frames=str(frames), scored='8', engine='onnxruntime', threads='1',
            model_sha256=file_sha256(tiny_checkpoint), budget_level='1,2,3', model='moss_grasp',
            topic='/image/compressed')
    arguments = ['evaluate', str(tmp_path / 'bag'), '--scores', 'recorded', '--record',
                 str(tmp_path / 'found.json')]
    assert moss([*arguments, '--require', 'executed_share>=1']) == 3
    assert '1 executed grasps have no recorded score, and scoring them needs the checkpoint' in (
        caplog.text)
    assert 'it is not among the scored candidates (1)' in capsys.readouterr().out
    assert moss([*arguments, '--model', str(tiny_checkpoint), '--require',
                 'executed_share>=1']) == 0
    (attempt,) = json.loads((tmp_path / 'found.json').read_text())['bags'][0]['attempts']
    found = replay(tmp_path / 'bag', Predictor.load(str(tiny_checkpoint), threads=1))
    assert (attempt['source'], attempt['score']) == ('executed', found.attempts[0].score)
