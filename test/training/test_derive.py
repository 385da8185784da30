"""Networks start from other checkpoints, and checkpoints are derived from others."""


from dataclasses import replace

from moss_perception.cli.main import main as moss
from moss_perception.core.errors import CheckpointError
from moss_perception.models.base import build
from moss_perception.models.checkpoint import load_checkpoint, save_checkpoint
from moss_perception.models.manifest import read_checkpoint, read_header, read_manifest
from moss_perception.models.moss_grasp.network import MossGraspNetwork
from moss_perception.runtime.engine import load_engine
from moss_perception.runtime.ood import fit_distribution, read_distribution
from moss_perception.runtime.torch_engine import TorchEngine
from moss_perception.training.derive import refuse_existing, start_from, write_derived
from moss_perception.training.ood import describe_scenes
import numpy as np
import pytest
from spots import TINY, variant_file
from tiny import as_model
import torch


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


def test_stages_that_were_never_trained_are_not_frozen(data, tmp_path, caplog):
    path = variant_file(tmp_path, 'mine', 'tsm')
    path.write_text(path.read_text().replace('batch: 4', 'batch: 4, frozen_stages: 2'))
    assert moss(['train', '--data', str(data / 'train'), '--config', str(path),
                               '--run', str(tmp_path / 'run')]) == 1
    assert 'frozen_stages=2 needs --initial' in caplog.text


def test_a_derived_checkpoint_has_the_distribution_and_its_graphs_run(scenes, tmp_path):
    torch.manual_seed(0)
    config, out = replace(TINY, orders=1), tmp_path / 'mine.safetensors'
    network = MossGraspNetwork(config).eval()
    features = np.random.default_rng(0).normal(size=(100, config.appearance_values))
    distribution = fit_distribution(features, features)
    # Of a checkpoint of three orders that was there before.
    (tmp_path / 'mine.orders_1_2_3.onnx').write_bytes(b'old')
    digest = write_derived(out, network, {'lineage': ['one']}, distribution)
    assert not (tmp_path / 'mine.orders_1_2_3.onnx').exists()
    assert set(read_manifest(tmp_path)) == {'mine.safetensors', 'mine.orders_1.onnx'}
    assert load_checkpoint(out, digest).config == config
    np.testing.assert_array_equal(
        read_distribution(read_checkpoint(out)).factor, distribution.factor)
    # The same by either engine, up to rounding.
    by_graph, by_torch = (describe_scenes(engine, scenes[5:6]) for engine in (
        load_engine(str(out)), TorchEngine(network)))
    np.testing.assert_allclose(by_graph, by_torch, atol=1e-4)
    with pytest.raises(CheckpointError, match='is there already, and is never overwritten'):
        refuse_existing(out)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith('.new_')]
