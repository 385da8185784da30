"""Settings of a training are read from YAML and checked."""

from dataclasses import replace
from pathlib import Path

from moss_perception.cli import train as train_command
from moss_perception.cli.main import build_parser
from moss_perception.core.errors import ConfigError
from moss_perception.models.manifest import read_header
from moss_perception.training.settings import read_settings, Recipe
import pytest
from spots import variant_file

ROOT = Path(__file__).resolve().parents[2]


def test_the_shipped_network_is_what_its_configuration_trains():
    settings = read_settings(ROOT / 'config' / 'shipped' / 'grasp_moss.yaml')
    config, notes = read_header(ROOT / 'models' / 'grasp_moss.safetensors')
    assert Recipe.from_stored(notes['recipe']) == settings.recipe()
    # What the scenes and the calibration say is the training's own.
    assert config == replace(settings.config(), **{name: getattr(config, name) for name in (
        'mean', 'std', 'temperature', 'default_point', 'default_depth_m', 'default_focal',
        'lead_times_s', 'default_lead_time_s')})


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
