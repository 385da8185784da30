"""Training on samples as a robot gives them: few labels, and nothing a simulator knows."""

from dataclasses import replace

from moss_perception.core.errors import CheckpointError, ConfigError, DataError
from moss_perception.data.schema import Attempt, Sample
from moss_perception.evaluation.scene_scores import score_scenes
from moss_perception.models.base import build
from moss_perception.models.checkpoint import load_checkpoint, save_checkpoint
from moss_perception.models.manifest import graphs_beside, is_sealed, read_header, verify
from moss_perception.runtime.predictor import Predictor
from moss_perception.runtime.torch_engine import TorchEngine
from moss_perception.training.dataset import collate, GraspClips
from moss_perception.training.fit import fit, Plan
from moss_perception.training.results import score_before
from moss_perception.training.settings import Recipe, Settings
from moss_perception.training.trainer import predict, Trainer
import numpy as np
import pytest
from spots import MATRIX, scene, TINY
import torch

NETWORK = {name: getattr(TINY, name) for name in (
    'image_size', 'channels', 'moss_window', 'moss_channels', 'projection_channels',
    'head_channels', 'ensemble')}


def robot_sample(number, **changes):
    """Make a sample with three candidates, of which only the executed one has a label."""
    made = scene(number)
    executed = number % 2
    mask = np.zeros(3, bool)
    mask[executed] = True
    values = {'jpegs': made.jpegs, 'candidates': made.candidates, 'matrix': MATRIX,
              'labels': np.where(mask, made.labels, np.nan), 'mask': mask,
              'attempt': Attempt(executed, bool(made.labels[executed])), 'domain': 'real',
              'name': f'attempt {number}'}
    return Sample(**values | changes)


@pytest.fixture(scope='module')
def samples():
    return [robot_sample(number) for number in range(22)]


def plan(tmp_path, **training):
    settings = Settings('mine', NETWORK, {'epochs': 1, 'batch': 4} | training)
    return Plan(settings, tmp_path / 'run', tmp_path / 'mine.safetensors', deploy=False)


def test_one_labelled_candidate_each_is_enough_to_train(samples, tmp_path, caplog):
    digest = fit(plan(tmp_path), samples)
    network = load_checkpoint(tmp_path / 'mine.safetensors', digest)
    logits, labels = predict(network, GraspClips(samples, network.config))
    assert len(labels) == 22 and logits.isfinite().all()
    assert labels.tolist() == [float(s.attempt.success) for s in samples]
    assert "no sample has the object's track: training without the auxiliary loss" in caplog.text
    notes = read_header(tmp_path / 'mine.safetensors')[1]
    assert notes['recipe']['place_weight'] == 0
    assert notes['scenes'] == 22 and 'seeds' not in notes


@pytest.mark.parametrize(('asked', 'message'), [
    ({'place_weight': 0.5}, "place_weight=0.5 asks for a loss on the object's track, and no"),
    ({'monitor': 0.25}, 'monitor=0.25 asks for images of grasps under way, and no sample has')])
def test_what_the_samples_lack_is_refused_if_asked_for_by_name(samples, tmp_path, asked, message):
    with pytest.raises(ConfigError, match=message):
        fit(plan(tmp_path, **asked), samples)


def test_samples_without_a_label_are_left_out(samples, tmp_path, caplog):
    bare = [replace(sample, mask=np.zeros(3, bool)) for sample in samples]
    with pytest.raises(ConfigError, match='1 samples with a label are too few to train on'):
        fit(plan(tmp_path), [*bare[:5], samples[0]])
    assert '5 of 6 samples have no labelled candidate and are left out' in caplog.text


@pytest.mark.parametrize(('succeeds', 'days', 'group', 'message'), [
    (lambda n: n >= 11, 'aaaaaaaaaaabbbbbbbbbbb', 'day',
     'all 11 labelled candidates that are left to train on are successes: expected both.* hold '),
    (lambda n: n % 2, 'aaaaaaaaaaabbbbbbbccccc', 'bag', None),
    (lambda n: n % 2, 'aaaaaaaabbbbbbbb', 'day',
     '--hold-out-by day leaves 8 samples to train on: expected 10 or more; hold out by a group'),
    (lambda n: n == 10, 'a' * 22, '', 'all 19 labelled .* left to train on are failures')])
def test_what_holding_out_leaves_must_be_enough_to_train_on(
        samples, tmp_path, succeeds, days, group, message):
    given = [replace(sample, labels=np.full(3, float(succeeds(n))),
                     groups={'day': day, 'bag': day})
             for n, (sample, day) in enumerate(zip(samples, days, strict=False))]
    one = replace(plan(tmp_path), hold_out_by=group)
    if message is None:
        assert fit(one, given)
        return
    with pytest.raises(ConfigError, match=message):
        fit(one, given)
    assert not (tmp_path / 'mine.safetensors').exists()


@pytest.mark.parametrize('error', [KeyboardInterrupt, CheckpointError('graph x differs')])
def test_after_an_error_during_the_export_the_same_command_writes_everything(
        samples, tmp_path, monkeypatch, error):
    one, out = replace(plan(tmp_path), deploy=True), tmp_path / 'mine.safetensors'

    def report(results):
        results.out.with_suffix('.md').write_text(results.digest)

    def export(path, *_):
        assert path.exists()
        raise error
    with monkeypatch.context() as patch:
        patch.setattr('moss_perception.training.fit.export_graphs', export)
        with pytest.raises(type(error) if isinstance(error, Exception) else error) as raised:
            fit(one, samples, report=report)
    assert isinstance(error, type) or 'repeat the command with --no-graphs' in str(raised.value)
    assert [x.name for x in tmp_path.iterdir()] == ['run']
    monkeypatch.setattr(Trainer, '_train_epoch', None)  # the training is finished
    digest = fit(one, samples, report=report)
    assert (tmp_path / 'mine.md').read_text() == digest == verify(out)
    assert graphs_beside(out) and is_sealed(out, graphs_beside(out))
    assert {x.name.partition('.')[0] for x in tmp_path.iterdir()} == {'run', 'mine', 'SHA256SUMS'}


def one_step(samples, folder):
    torch.manual_seed(0)
    trainer = Trainer(build(TINY), Recipe(epochs=1, batch=4), folder)
    clips = GraspClips(samples, TINY, augment=True, empty=2)
    batch = collate([clips[n] for n in range(4)])
    loss = trainer._train_step(batch, [0, 1, 2, 3], torch.Generator().manual_seed(0))
    return loss, trainer.network.state_dict()


def test_the_label_of_an_unlabelled_candidate_changes_nothing(samples, tmp_path):
    changed = [replace(s, labels=np.where(s.mask, s.labels, 1.0)) for s in samples[:4]]
    loss, weights = one_step(samples[:4], tmp_path / 'one')
    same, others = one_step(changed, tmp_path / 'other')
    assert loss == same
    assert all(torch.equal(values, others[name]) for name, values in weights.items())
    flipped = [replace(s, labels=np.where(s.mask, 1 - s.labels, s.labels)) for s in samples[:4]]
    assert one_step(flipped, tmp_path / 'flipped')[0] != loss


def test_unlabelled_candidates_outside_the_image_are_left_out(samples):
    candidates = samples[0].candidates.copy()
    candidates[2, 0] = 5.0
    outside = replace(samples[0], candidates=candidates)
    assert outside.in_view().tolist() == [True, True, False]
    item = GraspClips([outside], TINY)[0]
    assert item.grasps.shape == (2, 5) and item.mask.tolist() == [1, 0]
    labelled = replace(outside, labels=np.ones(3), mask=np.ones(3, bool))
    with pytest.raises(DataError, match='attempt 0: candidate 2 has a label and lies outside'):
        GraspClips([labelled], TINY)[0]


def test_lens_distortion_moves_the_grasps(samples):
    bent = replace(samples[0], distortion=np.array([-0.3, 0.1, 0, 0, 0]))
    straight, curved = (GraspClips([one], TINY)[0].grasps for one in (samples[0], bent))
    assert not torch.allclose(straight[:, :2], curved[:, :2], atol=1e-3)


@pytest.mark.parametrize('monitor', [0.5, 1.0])
def test_all_clips_of_a_sample_have_the_same_bagging_weights(tmp_path, monitor):
    filmed = []
    for number in range(4):
        made = scene(number)
        filmed.append(replace(made, attempt=Attempt(
            0, True, made.jpegs[:3], made.times_ns[-1] + np.arange(1, 4) * 100_000_000)))
    clips = GraspClips(filmed, TINY, monitor=monitor)
    trainer = Trainer(build(replace(TINY, ensemble=4)), Recipe(), tmp_path)
    whole = trainer._bagging(list(range(4)))
    used = []
    for clips.epoch in range(2):
        under_way = [clips.sample_index(index) for index in range(4, len(clips))]
        assert torch.equal(trainer._bagging(under_way), whole[under_way])
        used += under_way
    assert set(used) == {0, 1, 2, 3}
    seen = []
    trainer._train_step = lambda batch, samples, _: seen.extend(samples) or 0.0
    trainer._train_epoch(clips, 0)
    assert sorted(seen) == sorted([0, 1, 2, 3, *(clips.sample_index(index)
                                                for index in range(4, len(clips)))])


def test_held_out_scores_of_a_checkpoint_are_those_of_its_engine(tmp_path):
    config = replace(TINY, temperature=2.0)
    save_checkpoint(tmp_path / 'warm.safetensors', build(config).eval(), {})
    scenes = [scene(n) for n in range(3)]
    found = score_before(str(tmp_path / 'warm.safetensors'), GraspClips(scenes, config), 2, 'cpu')
    engine = TorchEngine(load_checkpoint(tmp_path / 'warm.safetensors'), threads=1)
    expected = score_scenes(Predictor(engine), scenes)
    assert expected.std() > 1e-4
    np.testing.assert_allclose(found, expected, atol=1e-5)
