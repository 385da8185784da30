"""A checkpoint is fitted to a few attempts, and cross-validation tells whether that helps."""

import json
from pathlib import Path

from calibrations import write_calibration
import cv2
from moss_perception.cli.main import main as moss
from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.data.bags.writer import RecordingWriter
from moss_perception.evaluation.batch import EvaluationInput
from moss_perception.evaluation.comparison import compare_adaptation, log_losses
from moss_perception.evaluation.evidence import collect
from moss_perception.evaluation.replay import replay
from moss_perception.models.checkpoint import file_sha256, load_checkpoint, save_checkpoint
from moss_perception.models.manifest import read_header
from moss_perception.models.moss_grasp import MossGraspConfig
from moss_perception.models.moss_grasp.network import MossGraspNetwork
from moss_perception.models.readout import Evidence, Readout, with_head
from moss_perception.runtime.predictor import Predictor
from moss_perception.training.adapt import cross_validate, fit_calibration, fit_head
from moss_perception.training.derive import refuse_existing
import numpy as np
import pytest
from robot_bag import EXECUTED, Robot
import torch

SAMPLE = Path(__file__).resolve().parents[2] / 'samples' / 'sim_20'
MEMBERS, WIDTH = 3, 6


def readout(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Readout(torch.randn(MEMBERS, WIDTH, generator=generator, dtype=torch.float64),
                   torch.randn(MEMBERS, generator=generator, dtype=torch.float64))


def attempts(count, truth, seed=1, width=WIDTH):
    """Draw attempts whose outcomes follow a readout's own probabilities."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(count, MEMBERS, width, generator=generator, dtype=torch.float64).abs()
    scores = torch.from_numpy(truth.scores(Evidence(hidden, torch.zeros(count))))
    drawn = torch.rand(count, generator=generator, dtype=torch.float64) < scores
    return Evidence(hidden, drawn.double())


def judge(fit, start, evidence):
    return compare_adaptation(start.scores(evidence), cross_validate(fit, start, evidence),
                              evidence.outcomes.numpy() > 0.5)


def test_overconfident_logits_that_are_off_are_mended():
    truth = readout()
    wrong = truth.changed(3.0, 2.0)
    evidence = attempts(400, truth)
    mended = fit_calibration(wrong, evidence)
    # The prior and chance leave something.
    assert torch.allclose(mended.weight, truth.weight, rtol=0.3)
    assert np.abs(mended.scores(evidence) - truth.scores(evidence)).mean() < 0.05
    order = np.argsort(wrong.scores(evidence))
    assert (np.diff(mended.logits(evidence)[order, 0]) >= -10).all()


def test_few_attempts_change_little():
    truth = readout()
    two = fit_calibration(truth, attempts(2, truth))
    assert np.abs(two.scores(attempts(50, truth)) - truth.scores(attempts(50, truth))).max() < 0.35


def test_cross_validation_tells_that_mending_helps():
    truth = readout()
    found = judge(fit_calibration, truth.changed(4.0, 3.0), attempts(80, truth))
    assert found['verdict'] == 'helps' and found['high'] < 0
    assert found['after']['log_loss'] < found['before']['log_loss'] - 0.05
    assert found['attempts'] == 80


def test_cross_validation_does_not_claim_help_where_nothing_is_wrong():
    truth = readout()
    found = judge(fit_calibration, truth, attempts(40, truth))
    assert found['verdict'] != 'helps' and found['low'] <= 0.05


def test_the_head_learns_what_no_calibration_can():
    generator = torch.Generator().manual_seed(1)
    # Members see the same in their own ways, as those of a network do.
    hidden = torch.randn(160, 1, WIDTH, generator=generator, dtype=torch.float64).abs()
    hidden = hidden.repeat(1, MEMBERS, 1)
    weight = torch.tensor([3.0, -3, 2, -2, 1, -1], dtype=torch.float64).repeat(MEMBERS, 1)
    truth = Readout(weight, torch.zeros(MEMBERS, dtype=torch.float64))
    outcomes = torch.from_numpy(truth.scores(Evidence(hidden, torch.zeros(160))) > 0.5).double()
    evidence, other = Evidence(hidden, outcomes), Readout(weight.flip(1), truth.bias)
    seen, unseen = evidence.some(np.arange(80)), evidence.some(np.arange(80, 160))
    losses = [log_losses(fit(other, seen).scores(unseen), unseen.outcomes.numpy() > 0.5).mean()
              for fit in (fit_calibration, fit_head)]
    assert losses[1] < losses[0] - 0.1


@pytest.mark.parametrize('outcomes', [[1] * 20, [0] * 17 + [1] * 3])
def test_one_outcome_alone_is_refused(outcomes):
    hidden = torch.ones(20, MEMBERS, WIDTH, dtype=torch.float64)
    with pytest.raises(ConfigError, match='at least 4 of each'):
        cross_validate(fit_calibration, readout(),
                       Evidence(hidden, torch.tensor(outcomes).double()))


# ---- in a network


def small_network():
    torch.manual_seed(0)
    return MossGraspNetwork(MossGraspConfig(
        image_size=32, channels=(4, 4, 8), moss_window=(5, 3, 3), moss_channels=4,
        projection_channels=4, head_channels=4, ensemble=MEMBERS, temperature=1.5)).eval()


def hidden_and_scores(network):
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(9, network.head.members.first.in_features, generator=generator)
    with torch.no_grad():
        logits = network.head.members(inputs) / network.config.temperature
        hidden = network.head.members.hidden(inputs).unflatten(-1, (MEMBERS, -1)).double()
    return Evidence(hidden, torch.zeros(9)), logits.double()


def test_a_readout_gives_the_networks_own_logits():
    evidence, logits = hidden_and_scores(small_network())
    # float32 against float64
    assert torch.allclose(Readout.of(small_network()).logits(evidence), logits, atol=1e-5)


def test_calibration_goes_into_temperature_and_bias_and_leaves_the_weights():
    network = small_network()
    evidence, logits = hidden_and_scores(network)
    made = Readout.of(network).changed(0.5, 0.25).put_into(network)
    assert made.config.temperature == pytest.approx(3.0)
    assert torch.equal(made.head.members.others[-1].weight, network.head.members.others[-1].weight)
    assert torch.allclose(hidden_and_scores(made)[1], 0.5 * logits + 0.25, atol=1e-5)
    assert network.config.temperature == 1.5


def test_another_head_goes_into_the_last_layer_alone():
    network = small_network()
    before = Readout.of(network)
    other = Readout(torch.randn(before.weight.shape, dtype=torch.float64), before.bias + 1)
    made = other.put_into(network)
    evidence, logits = hidden_and_scores(made)
    assert torch.allclose(other.logits(evidence), logits, atol=1e-5)
    changed = [name for name, values in made.state_dict().items()
               if not torch.equal(values, network.state_dict()[name])]
    assert changed == ['head.members.others.1.weight', 'head.members.others.1.bias']


# ---- the command, on the shipped recording


def test_the_command_writes_a_checkpoint_with_its_lineage(tiny_checkpoint, tmp_path, capsys):
    out = tmp_path / 'mine.safetensors'
    arguments = ['--bag', str(SAMPLE), '--model', str(tiny_checkpoint), '--out', str(out),
                 '--threads', '1', '--no-graphs', '--force']
    before = file_sha256(tiny_checkpoint)
    assert moss(['adapt', *arguments]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told['attempts'], told['successes'], told['model_sha256']) == (20, 9, before)
    made, notes = load_checkpoint(out), read_header(out)[1]
    assert made.config.temperature != read_header(tiny_checkpoint)[0].temperature
    assert notes['seeds'] == [0, 99]
    step = notes['lineage'][0]
    assert (step['from'], step['by']) == (before, 'adapt')
    assert step['bags'] == [{'name': 'sim_20', 'attempts': 20}]
    assert step['cross_validation']['verdict'] == told['verdict']
    assert sorted(x.name for x in tmp_path.iterdir()) == ['SHA256SUMS', 'mine.safetensors']
    # A second time it refuses, and leaves all as it was.
    digest = file_sha256(out)
    assert moss(['adapt', *arguments]) == 1
    assert file_sha256(out) == digest and file_sha256(tiny_checkpoint) == before


def test_all_topics_can_be_named(tiny_checkpoint, tmp_path, caplog):
    arguments = ['--bag', str(SAMPLE), '--out', str(tmp_path / 'x.safetensors'), '--model',
                 str(tiny_checkpoint)]
    for name in ('image', 'camera-info', 'candidates', 'outcome', 'executed'):
        assert moss(['adapt', *arguments, f'--{name}-topic', f'/no_{name}']) == 1
        assert f' on /no_{name}; expected one of ' in caplog.text
    assert moss(['adapt', *arguments, '--candidates-frame', 'base_link']) == 1
    assert "'base_link' is not allowed without candidates_transform" in caplog.text


# ---- the command, on few and short attempts


@pytest.fixture(scope='module')
def model(tiny_network, tmp_path_factory):
    """Keep a checkpoint of a single order: exporting it takes a third of the time."""
    path = tmp_path_factory.mktemp('model') / 'small.safetensors'
    save_checkpoint(path, tiny_network(orders=1), {'seeds': [0, 99]})
    return path


@pytest.fixture(scope='module')
def few_attempts(tmp_path_factory):
    """Record eight attempts of a second and a half, half of them successes."""
    path = tmp_path_factory.mktemp('attempts') / 'bag'
    rng = np.random.default_rng(4)
    with RecordingWriter(path, topics=('/image/compressed', '/grasp_outcome')) as writer:
        for number in range(8):
            start_ns = (1_700_000_000 + 5 * number) * 10**9
            for n in range(17):
                image = cv2.imencode('.jpg', rng.integers(0, 256, (32, 32, 3), np.uint8))[1]
                writer.image(start_ns + n * 100_000_000, image.tobytes())
            end_ns = start_ns + 1_600_000_000
            writer.outcome('over', attempt=number, start_ns=start_ns, decision_ns=end_ns,
                           end_ns=end_ns, success=number % 2 == 0, domain='real', motion='',
                           object='')
    return path


@pytest.fixture
def run(few_attempts, model, monkeypatch):
    """Return a function that runs the command as if cross-validation had told of a change."""
    def run(out, change, *more):
        # Cross-validation is a minute's work with a head, and has tests of its own.
        measures = {'log_loss': 0.7, 'brier': 0.25, 'ece': 0.1, 'auroc': 0.5}
        monkeypatch.setattr('moss_perception.training.adapt.cross_validate', lambda *_, **__: [])
        monkeypatch.setattr(
            'moss_perception.evaluation.comparison.compare_adaptation', lambda *_, **__: {
                'attempts': 8, 'successes': 4, 'before': measures, 'after': measures,
                'change': change, 'low': change, 'high': change,
                'verdict': 'helps' if change < 0 else 'harms'})
        return moss(['adapt', '--bag', str(few_attempts), '--model', str(model), '--out',
                                   str(out), '--threads', '1', *more])
    return run


def test_the_head_is_refitted_and_its_graph_scores_as_torch_does(
        run, few_attempts, model, tmp_path):
    out = tmp_path / 'mine.safetensors'
    assert run(out, -0.1, '--head') == 0
    assert sorted(x.name for x in tmp_path.iterdir()) == [
        'SHA256SUMS', 'mine.orders_1.onnx', 'mine.safetensors']
    before, after = load_checkpoint(model).state_dict(), load_checkpoint(out).state_dict()
    assert {name for name, values in after.items() if not torch.equal(values, before[name])} == {
        'head.members.others.1.weight', 'head.members.others.1.bias'}
    assert read_header(out)[1]['lineage'][0]['refitted'] == 'calibration and head'
    onnx, eager, old = (
        np.array([x.score for x in replay(few_attempts, Predictor.load(
            str(path), '', engine, threads=1)).attempts])
        for path, engine in ((out, 'onnxruntime'), (out, 'torch'), (model, 'torch')))
    # float32, summed in another order
    np.testing.assert_allclose(onnx, eager, atol=1e-5)
    assert np.abs(eager - old).max() > 1e-3


@pytest.mark.parametrize('change', [0.0, 0.2])
def test_what_would_not_have_helped_is_not_written(run, tmp_path, capsys, caplog, change):
    assert run(tmp_path / 'mine.safetensors', change) == 3
    assert json.loads(capsys.readouterr().out)['change'] == change
    assert 'nothing was written' in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_each_recording_has_its_own_topics_outcomes_and_calibration(
        run, few_attempts, tmp_path, capsys, caplog):
    caplog.set_level('INFO')
    Robot(calibrated=False, successes=(True, False) * 2).write(tmp_path / 'robot')
    path = write_calibration(tmp_path / 'cal.yaml')
    # The last --bag of a command line counts.
    bags = ['--bag', str(few_attempts), f'real:{tmp_path / "robot"}']
    table = f'executed:={EXECUTED},outcomes:={tmp_path / "robot.csv"}'
    assert run(tmp_path / 'a.safetensors', -0.1, *bags, '--topics', f'real={table}') == 0
    assert '8 of 12 attempts have a score at their decision' in caplog.text
    assert 'there is no camera calibration' in caplog.text
    caplog.clear()
    assert run(tmp_path / 'b.safetensors', -0.1, *bags, '--topics',
               f'real={table},calibration:={path}') == 0
    assert '12 of 12 attempts have a score at their decision' in caplog.text
    assert [x['name'] for x in read_header(tmp_path / 'b.safetensors')[1]['lineage'][0]['bags']
            ] == ['bag', 'robot']
    caplog.clear()
    assert run(tmp_path / 'c.safetensors', -0.1, *bags, '--outcomes', '', '--outcomes',
               str(tmp_path / 'robot.csv'), '--executed-topic', '') == 0
    assert run(tmp_path / 'd.safetensors', -0.1, *bags, *['--outcomes', 'x'] * 3) == 1
    assert '--outcomes names 3 files for 2 recordings: expected one for all' in caplog.text


def test_attempts_without_a_lead_time_are_said_or_get_the_one_that_is_given(
        run, few_attempts, model, tiny_network, tmp_path, caplog):
    network = tiny_network(orders=1, time_inputs=True, lead_times_s=(0.5, 0.9),
                           default_lead_time_s=0.7)
    timed = tmp_path / 'timed' / 'timed.safetensors'
    save_checkpoint(timed, network, {'seeds': [0, 99]})
    assert run(tmp_path / 'mine.safetensors', 0.2, '--model', str(timed)) == 3
    assert ('8 of 8 attempts have no lead time: they get the default of the checkpoint, 0.700 s; '
            'if your robot needs another time from the decision until the fingers close, use '
            '--lead-time') in caplog.text
    caplog.clear()
    assert run(tmp_path / 'mine.safetensors', 0.2, '--model', str(timed), '--lead-time', '0.9'
               ) == 3
    assert 'lead time' not in caplog.text
    usual, same, other = (collect(with_head(network), [EvaluationInput(str(few_attempts))], 1,
                                  lead_time_s)[0]
                          for lead_time_s in (None, 0.7, 0.9))
    assert torch.equal(usual.hidden, same.hidden)
    assert not torch.allclose(usual.hidden, other.hidden)
    # A checkpoint that takes no time has nothing to say, and takes none.
    assert run(tmp_path / 'mine.safetensors', 0.2) == 3 and 'lead time' not in caplog.text
    assert run(tmp_path / 'mine.safetensors', 0.2, '--lead-time', '0.9') == 1
    assert 'has no time inputs' in caplog.text


def test_what_lies_there_is_never_overwritten(tmp_path):
    with pytest.raises(CheckpointError, match=r'expected <name>\.safetensors'):
        refuse_existing(tmp_path / 'model.onnx')
    (tmp_path / 'a.orders_1.onnx').touch()
    with pytest.raises(CheckpointError, match='never overwritten'):
        refuse_existing(tmp_path / 'a.safetensors')
    refuse_existing(tmp_path / 'b.safetensors')
