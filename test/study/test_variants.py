"""Model variants differ over time only, and are trained and compared."""

import json
from pathlib import Path

from moss_perception.cli.main import main as moss
from moss_perception.models.base import build
from moss_perception.models.manifest import read_header
from moss_perception.training.settings import read_settings
import pytest
from spots import variant_file

from study import compare as compare_command
from study.cost import measure_cost
from study.measuring import find_checkpoints

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize('path', sorted((ROOT / 'study' / 'variants').glob('*.yaml')),
                         ids=lambda path: path.stem)
def test_a_variant_differs_from_the_others_over_time_only(path):
    settings, other = read_settings(path), read_settings(path.with_name('moss_12.yaml'))
    timed = {'vary_lead_times': True} if path.stem.endswith('_time') else {}
    assert settings.name == path.stem and bool(timed) == settings.config().time_inputs
    # Which orders a step is trained with concerns networks that have several.
    if len(settings.config().levels) > 1:
        assert settings.recipe().full_orders == 1
    assert {k: v for k, v in settings.training.items() if k != 'full_orders'} == timed | {
        k: v for k, v in other.training.items() if k != 'full_orders'}
    own = ('temporal_channels', 'orders', 'learning', 'moss_channels', 'moss_window',
           'projection_channels', 'stacked_flows', 'tap_frames', 'readout', 'lags', 'map_stride',
           'patch', 'norm', 'similarity', 'refinement', 'borders', 'spacing', 'compares',
           'read_flow', 'velocity_history', 'time_inputs')
    same = {k: v for k, v in settings.config().to_dict().items() if k not in own}
    assert same == {k: v for k, v in other.config().to_dict().items() if k not in own}
    # Two readouts of the same similarities cost more than one.
    most = 50 if path.stem.startswith('both') else 36
    assert 27 < measure_cost(build(settings.config()).eval(), 1)['mflop_a_frame'] < most


@pytest.mark.parametrize('path', sorted((ROOT / 'study' / 'options').glob('*.yaml')),
                         ids=lambda path: path.stem)
def test_an_option_changes_the_training_of_the_best_variant_only(path):
    settings = read_settings(path)
    best = read_settings(ROOT / 'study' / 'variants' / 'displacement_12_time.yaml')
    assert settings.name == path.stem and settings.config() == best.config()
    changed = {name for name, value in settings.training.items()
               if best.training.get(name) != value}
    assert changed == {
        'frozen': {'frozen_stages'}, 'plain': {'photometric', 'geometric'},
        'annealed': {'annealing'}, 'motion_loss': {'motion_weight'},
        'mask_loss': {'mask_weight'}, 'more_monitoring': {'monitor'},
        'rates': {'rates'}}[path.stem]


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
    (path, notes), = find_checkpoints([f'longer={tmp_path / "runs" / "moss_orders"}'])
    assert (path, notes['variant']) == (checkpoint, 'longer')
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
    stored['costs']['mine'] |= {'ms_a_step': 1e6, 'ms_a_window': 1e6, 'parameters': 0}
    out.write_text(json.dumps(stored))
    assert compare_command.main(['--results', str(out), '--costs', str(run), '--out',
                                 str(out)]) == 0
    renewed = json.loads(out.read_text())
    assert renewed['costs']['mine']['parameters'] == exact['parameters']
    assert 0 < renewed['costs']['mine']['ms_a_step'] < 1e6
    assert {**renewed, 'costs': 0} == {**stored, 'costs': 0}
    stored['costs'] = {'other': exact}
    out.write_text(json.dumps(stored))
    assert compare_command.main(['--results', str(out), '--costs', str(run)]) == 1
    assert f'no checkpoint of other is in {run}' in caplog.text
    assert compare_command.main(['--runs', str(run), *test, '--costs', str(run)]) == 1
    assert '--costs needs --results' in caplog.text
