"""Model variants from files: refused, decoded, trained by one process or two, compared."""

import csv
from dataclasses import replace
import json
import os
from pathlib import Path
import subprocess
import sys

from moss_perception.cli import train as train_command
from moss_perception.cli.main import build_parser
from moss_perception.cli.main import main as moss
from moss_perception.core.errors import CheckpointError, ConfigError, ShapeError
from moss_perception.models.base import build
from moss_perception.models.checkpoint import load_checkpoint, save_checkpoint
from moss_perception.models.manifest import read_header
from moss_perception.models.moss_grasp import MossGraspConfig
from moss_perception.training.dataset import decode_clips, GraspClips
from moss_perception.training.derive import start_from
from moss_perception.training.processes import Group
from moss_perception.training.settings import read_settings, Recipe
from moss_perception.training.trainer import Trainer
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import save_file
from spots import TINY, variant_file
from tiny import as_model
import torch

from study import compare as compare_command
from study.cost import measure_cost

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize('path', sorted((ROOT / 'study' / 'variants').glob('*.yaml')),
                         ids=lambda path: path.stem)
def test_a_variant_differs_from_the_others_over_time_only(path):
    settings, other = read_settings(path), read_settings(path.with_name('moss_123.yaml'))
    # Which orders a step is trained with concerns networks that have several.
    kept = {k: v for k, v in settings.training.items() if k != 'full_orders'}
    assert settings.name == path.stem
    assert kept == {k: v for k, v in other.training.items() if k != 'full_orders'}
    if settings.model == 'moss_grasp' and settings.config().orders > 1:
        assert (settings.recipe().full_orders < 1) == (path.stem == 'moss_prefixes')
    own = ('temporal_channels', 'orders', 'learning', 'moss_channels', 'moss_window',
           'projection_channels', 'stacked_flows', 'tap_frames')
    same = {k: v for k, v in settings.config().to_dict().items() if k not in own}
    assert same == {k: v for k, v in other.config().to_dict().items() if k not in own}
    assert 27 < measure_cost(build(settings.config()).eval(), 1)['mflop_a_frame'] < 36


EXPERIMENTS = sorted((ROOT / 'study' / 'experiments').glob('*.yaml'))


@pytest.mark.parametrize('path', [path for path in EXPERIMENTS if not path.stem.endswith('_long')],
                         ids=lambda path: path.stem)
def test_an_experiment_is_trained_as_the_variants_are(path):
    settings, variant = read_settings(path), read_settings(ROOT / 'study/variants/moss_123.yaml')
    assert settings.name == path.stem and settings.training == variant.training
    assert settings.model == ('moss_flow' if path.stem == 'moss_12_flow' else 'moss') + '_grasp'
    assert settings.config() != variant.config()


@pytest.mark.parametrize('path', [path for path in EXPERIMENTS if path.stem.endswith('_long')],
                         ids=lambda path: path.stem)
def test_a_longer_training_differs_from_the_variant_in_length_only(path):
    settings = read_settings(path)
    variant = read_settings(ROOT / 'study/variants' / f'{path.stem.removesuffix("_long")}.yaml')
    assert settings.name == path.stem and settings.network == variant.network
    assert settings.training == variant.training | {'epochs': 2 * variant.training['epochs']}


def test_the_shipped_network_is_what_its_configuration_trains():
    settings = read_settings(ROOT / 'config' / 'shipped' / 'grasp_moss.yaml')
    config, notes = read_header(ROOT / 'models' / 'grasp_moss.safetensors')
    assert Recipe.from_stored(notes['recipe']) == settings.recipe()
    # What the scenes and the calibration say is the training's own.
    assert config == replace(settings.config(), **{name: getattr(config, name) for name in (
        'mean', 'std', 'temperature', 'default_point', 'default_depth_m', 'default_focal')})
    first = read_settings(ROOT / 'config' / 'shipped' / 'backbone.yaml').config()
    assert (first.channels, first.image_size) == (config.channels, config.image_size)


@pytest.mark.parametrize(('text', 'message'), [
    ('arm: 3', "unknown key 'arm' in the file: expected one of"),
    ('network: {depth: 3}', "unknown key 'depth' in network: expected one of .*'orders'"),
    ('network: {mean: [0, 0, 0]}', "unknown key 'mean' in network"),
    ('training: {lr: 3}', "unknown key 'lr' in training: expected one of .*'learning_rate'"),
    ('training: {epochs: ten}', "training.epochs='ten' is not allowed: expected a int"),
    ('training: {epochs: 0}', 'epochs=0 is not allowed: expected 1 or more'),
    ('network: {channels: [8, 8]}', 'expected a list of 3'),
    ('network: {temporal: lstm}', "unknown key 'temporal' in network: expected one of"),
    ('model: lstm_grasp', "'lstm_grasp' is not registered: expected one of .*'moss_grasp'"),
    ('network: 3', 'expected network to be keys and values, got 3'),
    ('name: Two Words', "name='Two Words' is not allowed"), ('{', 'is not YAML')])
def test_a_configuration_says_what_is_wrong_with_it(tmp_path, text, message):
    (tmp_path / 'variant.yaml').write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_settings(tmp_path / 'variant.yaml')


def test_the_command_line_counts_more_than_the_file(tmp_path):
    path = variant_file(tmp_path, 'mine', 'tsm')
    arguments = build_parser('train').parse_args(
        ['train', '--data', 'x', '--config', str(path), '--epochs', '5', '--seed', '3'])
    plan = train_command.read_arguments(arguments)
    settings, run, out = plan.settings, plan.run, plan.out
    assert (settings.recipe().epochs, settings.recipe().batch, settings.recipe().seed) == (5, 4, 3)
    assert run == Path('runs/variants/mine_seed_3') and out == run / 'mine.safetensors'


@pytest.mark.parametrize('limit', [1 << 30, 1])
def test_decoded_scenes_train_as_recorded_ones(scenes, tmp_path, limit):
    decoded = decode_clips(scenes, TINY, file=tmp_path / 'frames.npy', limit=limit)
    assert (tmp_path / 'frames.npy').exists() == (limit == 1)
    for one, other in zip(GraspClips(scenes, TINY), GraspClips(scenes, TINY, decoded),
                          strict=True):
        assert (one[0] == other[0]).all()
        for kept, expected in zip(other[1:], one[1:], strict=True):
            # The candidates are projected into the fitted image, not fitted after.
            np.testing.assert_allclose(kept, expected, atol=1e-5)
    assert (decoded.cameras[3].width, decoded.cameras[3].height) == (32, 32)


def test_what_cannot_be_decoded_is_refused(scenes):
    with pytest.raises(ConfigError, match='expected at most 10, or a file'):
        decode_clips(scenes, TINY, limit=10)
    with pytest.raises(ShapeError):
        decode_clips(scenes, MossGraspConfig(window_frames=24))


def test_each_process_takes_its_share():
    groups = [Group(rank=rank, size=3) for rank in range(3)]
    assert [group.share([5, 6, 7, 8]) for group in groups] == [[5, 8], [6], [7]]
    assert groups[2].share([4]) == [4]
    with pytest.raises(ConfigError, match='batch=2 is not allowed with 3 processes'):
        Trainer(build(TINY), Recipe(batch=2), 'unused', group=groups[0])


def test_a_state_of_an_older_version_is_resumed(tmp_path):
    Trainer(build(TINY), Recipe(), tmp_path)._save()
    path = tmp_path / 'state.safetensors'
    with safe_open(path, framework='pt') as file:
        metadata, tensors = file.metadata(), {n: file.get_tensor(n) for n in list(file.keys())}
    config, recipe = json.loads(metadata['config']), json.loads(metadata['recipe'])
    # Of the format before: a field named the model, and fields that came later are not there.
    config['temporal_channels'] = 32
    del config['map_stride']
    del recipe['monitor']
    recipe['kept_stages'] = recipe.pop('frozen_stages')
    save_file(tensors, path, {'epoch': '1', 'config': json.dumps(config),
                              'recipe': json.dumps(recipe)})
    assert Trainer(build(TINY), Recipe(), tmp_path).resume()


def test_variants_are_trained_and_compared(data, tmp_path, capsys):
    for name, temporal in (('shifted_channels', 'tsm'), ('moss_orders', 'moss')):
        path = variant_file(tmp_path, name, temporal)
        assert moss(['train',
            '--data', str(data / 'train'), '--config', str(path), '--epochs', '1',
            '--run', str(tmp_path / 'runs' / name)]) == 0
    checkpoint = tmp_path / 'runs' / 'moss_orders' / 'moss_orders.safetensors'
    assert read_header(checkpoint)[1]['variant'] == 'moss_orders'
    assert not list(checkpoint.parent.glob('*.onnx'))
    capsys.readouterr()
    out = tmp_path / 'variants.json'
    assert compare_command.main(['--runs', str(tmp_path / 'runs'), '--scenes',
                                 f'new={data / "test"}', '--out', str(out)]) == 0
    text = capsys.readouterr().out
    assert compare_command.main(['--results', str(out)]) == 0
    assert capsys.readouterr().out == text
    result = json.loads(out.read_text())
    assert list(result['variants']) == ['moss_orders orders 1', 'moss_orders orders 1,2',
                                        'moss_orders', 'shifted_channels']
    assert result['sets']['new']['baselines']['oracle']['all'] == 1
    assert set(result['costs']) == {'moss_orders', 'shifted_channels'}
    assert compare_command.main(['--runs', str(tmp_path / 'runs'), '--scenes',
                                 f'old={data / "train"}']) == 1


def test_costs_are_measured_anew_in_one_run(data, tmp_path, caplog):
    path = variant_file(tmp_path, 'mine', 'tsm')
    run = tmp_path / 'mine'
    assert moss(['train', '--data', str(data / 'train'), '--config', str(path), '--epochs',
                               '1', '--run', str(run)]) == 0
    out = tmp_path / 'variants.json'
    test = ['--scenes', f'new={data / "test"}']
    assert compare_command.main(['--runs', str(run), *test, '--out', str(out)]) == 0
    stored = json.loads(out.read_text())
    exact = stored['costs']['mine'].copy()
    stored['costs']['mine'] |= {'ms_a_frame': 1e6, 'ms_a_window': 1e6, 'parameters': 0}
    out.write_text(json.dumps(stored))
    assert compare_command.main(['--results', str(out), '--costs', str(run), '--out',
                                 str(out)]) == 0
    renewed = json.loads(out.read_text())
    assert renewed['costs']['mine']['parameters'] == exact['parameters']
    assert 0 < renewed['costs']['mine']['ms_a_frame'] < 1e6
    assert {**renewed, 'costs': 0} == {**stored, 'costs': 0}
    stored['costs'] = {'other': exact}
    out.write_text(json.dumps(stored))
    assert compare_command.main(['--results', str(out), '--costs', str(run)]) == 1
    assert f'no checkpoint of other is in {run}' in caplog.text
    assert compare_command.main(['--runs', str(run), *test, '--costs', str(run)]) == 1
    assert '--costs needs --results' in caplog.text


def test_a_variant_begins_with_backbone_and_head_of_another(tmp_path):
    torch.manual_seed(1)
    other = build(as_model(TINY, 'last_grasp', ensemble=2))
    digest = save_checkpoint(tmp_path / 'backbone.safetensors', other, {})
    torch.manual_seed(2)
    network = build(TINY)
    before = {name: values.clone() for name, values in network.state_dict().items()}
    assert start_from(network, tmp_path / 'backbone.safetensors') == digest
    shared = [name for name in before if name.split('.')[0] in (
        'backbone', 'lateral', 'smooth', 'head')]
    assert len(shared) > 20 and len(shared) < len(before)
    for name, values in network.state_dict().items():
        expected = other.state_dict()[name] if name in shared else before[name]
        assert torch.equal(values, expected), name
    wider = build(replace(TINY, channels=(4, 8, 8)))
    with pytest.raises(CheckpointError, match='has another backbone: expected backbone'):
        start_from(wider, tmp_path / 'backbone.safetensors')


def test_frozen_stages_stay_to_the_bit_and_the_others_learn(scenes, tmp_path):
    torch.manual_seed(0)
    network = build(TINY)
    before = {name: values.clone() for name, values in network.state_dict().items()}
    trainer = Trainer(network, Recipe(epochs=1, batch=4, frozen_stages=2), tmp_path)
    trainer.fit(GraspClips(scenes, TINY, augment=True), GraspClips(scenes[:3], TINY))
    changed = {name for name, values in network.state_dict().items()
               if not torch.equal(values, before[name])}
    kept = ('backbone.stages.0.', 'backbone.stages.1.')
    assert not [name for name in changed if name.startswith(kept)]
    assert {'backbone.stages.2.0.weight', 'backbone.stages.2.1.running_mean'} <= changed


def test_stages_that_were_never_trained_are_not_frozen(data, tmp_path, caplog):
    path = variant_file(tmp_path, 'mine', 'tsm')
    path.write_text(path.read_text().replace('batch: 4', 'batch: 4, frozen_stages: 2'))
    assert moss(['train', '--data', str(data / 'train'), '--config', str(path),
                               '--run', str(tmp_path / 'run')]) == 1
    assert 'frozen_stages=2 needs --initial' in caplog.text


def test_the_checkpoint_says_what_it_began_with(data, tmp_path):
    for name, temporal, more in (('first', 'last', []), ('second', 'tsm', ['--initial'])):
        run = tmp_path / name
        command = ['--data', str(data / 'train'), '--config', str(variant_file(
            tmp_path, name, temporal)), '--epochs', '1', '--run', str(run)]
        more = [*more, str(tmp_path / 'first' / 'first.safetensors')] if more else []
        assert moss(['train', *command, *more]) == 0
    first = load_checkpoint(tmp_path / 'first' / 'first.safetensors')
    notes = read_header(tmp_path / 'second' / 'second.safetensors')[1]
    assert notes['initial'] == first.sha256
    assert 'initial' not in read_header(tmp_path / 'first' / 'first.safetensors')[1]


def test_what_sees_one_frame_is_given_one(scenes):
    for decoded in (None, decode_clips(scenes, TINY)):
        one = GraspClips(scenes, as_model(TINY, 'last_grasp'), decoded)[3][0]
        window = GraspClips(scenes, TINY, decoded)[3][0]
        assert len(window) == TINY.window_frames
        np.testing.assert_array_equal(one, window[-1:])


def test_two_processes_train_one_network(data, tmp_path):
    path = variant_file(tmp_path, 'both', 'moss')
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone',
               '--nproc-per-node', '2', '-m', 'moss_perception', 'train', '--data',
               str(data / 'train'), '--config', str(path), '--folder', str(tmp_path / 'run'),
               '--threads', '1']
    done = subprocess.run(command, cwd=ROOT, timeout=110, capture_output=True, text=True,
                          env=dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1'))
    assert done.returncode == 0, done.stderr
    with (tmp_path / 'run' / 'log.csv').open() as file:
        assert [row['epoch'] for row in csv.DictReader(file)] == ['1', '2']
    assert done.stderr.count('wrote ') == 1
    assert (tmp_path / 'run' / 'both.safetensors').exists()
