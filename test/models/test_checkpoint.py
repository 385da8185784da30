"""Checkpoints: what was written comes back, anything else is refused by name."""

import json
import resource

from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.models.checkpoint import file_sha256, load_checkpoint, save_checkpoint
from moss_perception.models.moss_grasp import MossGraspConfig
from moss_perception.models.moss_grasp.network import MossGraspNetwork
from moss_perception.runtime.engine import load_engine
from moss_perception.runtime.predictor import Predictor
import numpy as np
import pytest
from safetensors.torch import save_file
from tiny import tiny_network
import torch


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / 'tiny.safetensors'
    save_checkpoint(path, tiny_network(), {'made': 'by a test'})
    return path


def test_what_was_saved_is_loaded(saved):
    loaded, original = load_checkpoint(saved), tiny_network()
    assert loaded.config == original.config
    assert loaded.sha256 == file_sha256(saved)
    for name, tensor in original.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    assert not loaded.training


def test_the_manifest_is_what_sha256sum_writes(saved):
    manifest = (saved.parent / 'SHA256SUMS').read_text()
    assert manifest == f'{file_sha256(saved)}  tiny.safetensors\n'


def test_a_second_checkpoint_leaves_the_first_in_the_manifest(saved):
    save_checkpoint(saved.with_name('other.safetensors'), tiny_network())
    load_checkpoint(saved)
    load_checkpoint(saved.with_name('other.safetensors'))
    assert not list(saved.parent.glob('*.partial'))


@pytest.mark.parametrize(('notes', 'lowest'), [
    ({}, 1), ({'recipe': {'full_orders': 0.6}}, 1), ({'recipe': {'full_orders': 1.0}}, 3)])
def test_a_checkpoint_that_was_trained_with_all_orders_is_run_with_all(tmp_path, notes, lowest):
    save_checkpoint(tmp_path / 'tiny.safetensors', tiny_network(), notes)
    predictor = Predictor.load(str(tmp_path / 'tiny.safetensors'), engine='torch', threads=1)
    predictor.set_level(None, 1e-9)
    assert predictor.target_level == lowest
    if lowest == 3:
        with pytest.raises(ConfigError, match="level '1,2' of the budget .* not trained for it"):
            predictor.set_level(2)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match='nowhere.safetensors is not there'):
        load_checkpoint(tmp_path / 'nowhere.safetensors')


def test_without_a_known_digest_it_is_refused(saved):
    (saved.parent / 'SHA256SUMS').unlink()
    with pytest.raises(CheckpointError, match='no known sha256'):
        load_checkpoint(saved)
    load_checkpoint(saved, file_sha256(saved))


def test_another_digest_is_refused(saved):
    with pytest.raises(CheckpointError, match=f'{file_sha256(saved)}: expected {"0" * 64}'):
        load_checkpoint(saved, '0' * 64)


def test_one_flipped_bit_anywhere_is_refused(saved):
    data = saved.read_bytes()
    for place in np.random.default_rng(4).integers(0, 8 * len(data), 40):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        saved.write_bytes(flipped)
        with pytest.raises(CheckpointError, match='has sha256 .*: expected'):
            load_checkpoint(saved)
    saved.write_bytes(data)
    load_checkpoint(saved)


def test_a_full_disk_leaves_the_checkpoint_that_was_there(saved):
    before = {x.name: x.read_bytes() for x in saved.parent.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As a full disk: the system refuses to write a byte more; Python ignores its signal.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(CheckpointError, match="can't be written: .*File too large"):
            save_checkpoint(saved, tiny_network(ensemble=3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {x.name: x.read_bytes() for x in saved.parent.iterdir()} == before
    load_checkpoint(saved)


def test_a_truncated_file_is_refused(saved):
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match='sha256'):
        load_checkpoint(saved)
    with pytest.raises(CheckpointError, match='not a safetensors file'):
        load_checkpoint(saved, file_sha256(saved))


def test_a_foreign_safetensors_file_is_refused(tmp_path):
    path = tmp_path / 'foreign.safetensors'
    save_file({'weight': torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match='format None: expected'):
        load_checkpoint(path, file_sha256(path))


def test_a_pickle_is_refused(tmp_path):
    path = tmp_path / 'model.pt'
    torch.save({'weight': torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match='not a safetensors file'):
        load_checkpoint(path, file_sha256(path))


def test_a_damaged_manifest_is_refused(saved):
    (saved.parent / 'SHA256SUMS').write_text('abc\n')
    with pytest.raises(CheckpointError, match="got 'abc'"):
        load_checkpoint(saved)


def test_a_manifest_that_is_no_text_is_refused(saved):
    (saved.parent / 'SHA256SUMS').write_bytes(bytes([0xff, 0xfe, 0x00]))
    with pytest.raises(CheckpointError, match='not a readable list of digests'):
        load_checkpoint(saved)


def test_a_configuration_of_the_wrong_types_is_refused(saved, tmp_path):
    path = tmp_path / 'odd.safetensors'
    config = {**tiny_network().config.to_dict(), 'moss_window': 5}
    save_file({'weight': torch.zeros(2)}, path,
              {'format': 'moss_perception.grasp/2', 'config': json.dumps(config)})
    with pytest.raises(CheckpointError, match="doesn't fit its configuration"):
        load_checkpoint(path, file_sha256(path))


def test_the_default_network_is_within_its_parameters():
    network = MossGraspNetwork(MossGraspConfig())
    assert sum(p.numel() for p in network.parameters()) <= 1_200_000


@pytest.mark.parametrize('changes, message', [
    ({'window_frames': 15}, 'window_frames=15.*16 to 32'),
    ({'window_frames': 33}, 'window_frames=33'),
    ({'orders': 4, 'moss_window': (5, 7, 7)}, 'at least 17'),
    ({'image_size': 100}, 'image_size=100'),
    ({'temperature': 0.0}, 'temperature=0.0')])
def test_configurations_that_cannot_work_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        MossGraspConfig(**changes)


def test_a_configuration_survives_json():
    config = MossGraspConfig(window_frames=20, orders=2)
    assert MossGraspConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ConfigError, match='frames_per_window'):
        MossGraspConfig.from_dict({'frames_per_window': 3})


def test_an_unknown_engine_or_device_is_refused(saved):
    with pytest.raises(ConfigError, match="'tensorrt'.*torch"):
        load_engine(saved, engine='tensorrt')
    with pytest.raises(ConfigError, match="'abacus'"):
        load_engine(saved, device='abacus')


# ---- checkpoints of before, in which a field of the configuration told the models apart

OLD = {'image_size': 32, 'channels': [4, 4, 8], 'orders': 2, 'moss_window': [5, 3, 3],
       'moss_channels': 4, 'projection_channels': 4, 'learning': 'mlp', 'head_channels': 4,
       'ensemble': 2, 'temporal_channels': 8, 'map_stride': 8, 'window_frames': 16}


def save_old(path, network, temporal):
    config = {**OLD, 'temporal': temporal}
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, path,
              {'format': 'moss_perception.grasp/2', 'config': json.dumps(config)})


@pytest.mark.parametrize(('temporal', 'own'), [
    ('moss', {'orders': 2}), ('recurrent', {}), ('flow', {'stacked_flows': 5}),
    ('moss_flow', {'orders': 2})])
def test_a_checkpoint_of_before_loads_as_the_model_that_it_was(tmp_path, temporal, own):
    network = tiny_network(f'{temporal}_grasp', temperature=1.0, **own)
    path = tmp_path / 'old.safetensors'
    save_old(path, network, temporal)
    loaded = load_checkpoint(path, file_sha256(path))
    assert loaded.config == network.config
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_a_checkpoint_of_before_without_a_known_model_says_what_to_import(tmp_path):
    path = tmp_path / 'old.safetensors'
    save_old(path, tiny_network(), 'lstm')
    with pytest.raises(CheckpointError, match="'lstm_grasp' is not registered.*; import the"):
        load_checkpoint(path, file_sha256(path))
