"""Configurations of models, and the names that they are registered by."""

from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.models.base import build, model_type, register
from moss_perception.models.checkpoint import load_checkpoint, save_checkpoint
import pytest
from tiny import DISPLACEMENT, MODELS, TIME, tiny_config, tiny_network


@pytest.mark.parametrize(('changes', 'words'), [
    ({'lags': (2, 1)}, 'ascending numbers'),
    ({'lags': (1, 2)}, 'ascending numbers from 1 or more that end with 4'),
    ({'refinement': -1}, 'refinement=-1 is not allowed: expected 0 or more'),
    ({'borders': -1}, 'borders=-1 is not allowed: expected 0 or more'),
    ({'readout': 'flow'}, "readout='flow' is not allowed"), ({'patch': 4}, 'an odd number'),
    ({'readout': 'displacement', 'patch': 7}, 'at most 4, the side of the maps'),
    ({'similarity': 'ssd'}, 'cosine without displacements or lags'),
    ({'map_stride': 3}, 'expected 2 or 4 or 8'),
    ({'time_inputs': True, 'lead_times_s': (0.9, 0.6)}, 'two times in ascending order'),
    ({'time_inputs': True, 'lead_times_s': (0.6, 0.9)}, 'default_lead_time_s=0.0')])
def test_a_configuration_that_cannot_work_is_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        tiny_config('moss_grasp', **changes)


def test_an_unknown_model_is_refused_with_those_that_there_are(tmp_path):
    with pytest.raises(ConfigError, match=r"'lstm_grasp' is not registered: expected one of .*"
                                          "'recurrent_grasp'.*import the module that registers"):
        model_type('lstm_grasp')
    path = tmp_path / 'a.safetensors'
    save_checkpoint(path, tiny_network())
    config = tiny_config()
    object.__setattr__(config, 'model', 'lstm_grasp')
    network = tiny_network()
    network.config = config
    save_checkpoint(path, network)
    with pytest.raises(CheckpointError, match="'lstm_grasp' is not registered"):
        load_checkpoint(path)


def test_a_name_is_registered_once():
    with pytest.raises(ConfigError, match="'moss_grasp' is registered by .* already"):
        @register('moss_grasp')
        class Other(model_type('recurrent_grasp')):
            pass


def test_a_registered_model_has_a_configuration_of_its_own():
    shipped = model_type('moss_grasp')
    with pytest.raises(ConfigError, match=r"'my_grasp' has the configuration MossGraspConfig of "
                       r"'moss_grasp': expected a Config of its own, such as class MyConfig\("):
        @register('my_grasp')
        class Mine(shipped):
            pass
    assert tiny_config('moss_grasp').model == 'moss_grasp'
    with pytest.raises(ConfigError, match="'my_grasp' is not registered"):
        model_type('my_grasp')


def test_a_configuration_survives_plain_values():
    for model in MODELS:
        config = tiny_config(model)
        assert model_type(model).Config.from_dict(config.to_dict()) == config
        assert build(config).config is config
    with pytest.raises(ConfigError, match=r"unknown configuration \['orders'\] of model 'flow"):
        model_type('flow_grasp').Config.from_dict({'orders': 2})


@pytest.mark.parametrize(('kind', 'changes'), [
    ('moss_grasp', TIME), ('moss_grasp', DISPLACEMENT), ('flow_grasp', TIME), ('tsm_grasp', TIME)])
def test_a_history_of_velocities_needs_a_head_that_reads_them(kind, changes):
    with pytest.raises(ConfigError, match='velocity_history=True is not allowed: expected false '
                                          'where the head reads no velocities'):
        tiny_config(kind, velocity_history=True, **changes)
