"""Every model: frame by frame it gives what its clip gives, in torch and as exported."""

from dataclasses import replace

from moss_perception.core.errors import CheckpointError, ConfigError, ShapeError
from moss_perception.models.base import build, model_type, register
from moss_perception.models.checkpoint import load_checkpoint, save_checkpoint
from moss_perception.models.export import export_graphs
from moss_perception.models.layers.reading import ensemble_probability
from moss_perception.models.manifest import read_header
from moss_perception.runtime.engine import load_engine
from moss_perception.runtime.torch_engine import TorchEngine
import numpy as np
import pytest
from tiny import tiny_config, tiny_network
import torch

MODELS = ['moss_grasp', 'recurrent_grasp', 'flow_grasp', 'moss_flow_grasp']
# Sizes at which the window's first frames count differently: taps, flows and orders of all kinds.
SIZES = [
    ('moss_grasp', {}), ('moss_grasp', {'map_stride': 4, 'moss_window': (3, 3, 3)}),
    ('recurrent_grasp', {}), ('recurrent_grasp', {'map_stride': 4, 'window_frames': 18}),
    ('flow_grasp', {}), ('flow_grasp', {'stacked_flows': 4}), ('flow_grasp', {'stacked_flows': 1}),
    ('flow_grasp', {'stacked_flows': 5, 'window_frames': 20, 'map_stride': 4}),
    ('moss_flow_grasp', {}), ('moss_flow_grasp', {'orders': 3, 'moss_window': (4, 3, 3)}),
    ('moss_flow_grasp', {'orders': 1, 'moss_window': (3, 3, 3), 'map_stride': 4})]
GRASPS = np.float32([[0.1, 0.2, 0.6, 0.2, 0.1], [-0.4, 0.3, 0.5, 0.0, 0.3]])
# float32, summed in another order through about twenty layers.
CLOSE = {'rtol': 0, 'atol': 2e-5}


def moving(frames, seed=0):
    """Draw frames in which a smooth texture moves, so that there is a flow to be found."""
    generator = np.random.default_rng(seed)
    canvas = generator.integers(0, 256, (12, 12, 3)).astype(np.float32)
    canvas = np.kron(canvas, np.ones((8, 8, 1)))
    places = np.cumsum(generator.integers(0, 4, (frames, 2)), axis=0) % 60
    return [canvas[y:y + 32, x:x + 32].astype(np.uint8) for y, x in places]


@torch.inference_mode()
def scaled(model, **changes):
    """Return a tiny network whose logits are about 1: scores near 0 or 1 hide differences."""
    network = tiny_network(model, **changes)
    images = torch.from_numpy(np.stack(moving(network.config.window_frames, seed=7)))
    logits, _ = network(images[None], torch.from_numpy(GRASPS)[None])
    temperature = network.config.temperature * float(logits.abs().max())
    network.config = replace(network.config, temperature=temperature)
    return network


@torch.inference_mode()
def clip_scores(network, images):
    logits, _ = network(torch.from_numpy(np.stack(images))[None], torch.from_numpy(GRASPS)[None])
    return [x.numpy() for x in ensemble_probability(logits[0])]


def stream(engine, images):
    """Step some frames, ``None`` for a repeat, and return what the last gives."""
    state = engine.initial_state()
    for image in images:
        observation = None if image is None else {'rgb': image}
        scores, state = engine.step(observation, GRASPS, state, len(engine.config.levels))
    return scores


@pytest.mark.parametrize(('model', 'changes'), SIZES)
def test_a_stream_equals_the_clip_of_its_window_at_every_frame(model, changes):
    network = scaled(model, **changes)
    engine, window = TorchEngine(network, threads=1), network.config.window_frames
    images, state = moving(window + 9), engine.initial_state()
    found = []
    for k, image in enumerate(images):
        scores, state = engine.step({'rgb': image}, GRASPS, state, len(engine.config.levels))
        if k + 1 < window:
            continue
        expected, spread = clip_scores(network, images[k + 1 - window:k + 1])
        np.testing.assert_allclose(scores.scores, expected, **CLOSE)
        np.testing.assert_allclose(scores.uncertainties, spread, **CLOSE)
        found.append(scores.scores)
    assert np.ptp(found, axis=0).min() > 1e-3


@pytest.mark.parametrize('model', MODELS)
def test_a_missing_sample_repeats_the_one_before(model):
    network = scaled(model)
    images = moving(20)
    images[9] = images[10] = images[17] = None
    filled = list(images)
    for k, image in enumerate(filled):
        filled[k] = filled[k - 1] if image is None else image
    found = stream(TorchEngine(network, threads=1), images)
    np.testing.assert_allclose(found.scores, clip_scores(network, filled[4:])[0], **CLOSE)


@pytest.mark.parametrize('model', MODELS)
def test_a_score_depends_on_each_sample_of_the_window_and_on_no_other(model):
    engine, images = TorchEngine(scaled(model), threads=1), moving(20)
    before, other = stream(engine, images).scores, moving(20, seed=1)
    for k in range(20):
        changed = stream(engine, [*images[:k], other[k], *images[k + 1:]]).scores
        assert np.array_equal(changed, before) == (k < 4), k


@pytest.fixture(scope='module', params=MODELS)
def exported(request, tmp_path_factory):
    """Return an exported checkpoint of each model."""
    path = tmp_path_factory.mktemp(request.param) / 'tiny.safetensors'
    save_checkpoint(path, scaled(request.param))
    export_graphs(path)
    return path


def test_an_exported_model_gives_what_torch_gives(exported):
    ours, theirs = (load_engine(str(exported), engine=name, threads=1)
                    for name in ('onnxruntime', 'torch'))
    images = moving(24)
    images[6] = images[20] = None
    found, expected = stream(ours, images), stream(theirs, images)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found.uncertainties, expected.uncertainties, rtol=0, atol=1e-4)
    scale = np.abs(expected.motion_features).max()
    np.testing.assert_allclose(found.motion_features, expected.motion_features, rtol=0,
                               atol=1e-3 * scale)
    assert found.maps[0].shape == expected.maps[0].shape == (4, 4, 4)
    assert found.finite and len(ours.costs) == len(ours.config.levels)


@pytest.mark.parametrize('model', MODELS)
def test_a_checkpoint_says_its_model(model, tmp_path):
    path, network = tmp_path / 'a.safetensors', tiny_network(model)
    save_checkpoint(path, network, {'made': 'by a test'})
    assert read_header(path) == (network.config, {'made': 'by a test'})
    loaded = load_checkpoint(path)
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


@pytest.mark.parametrize('model', MODELS)
def test_what_cannot_be_stepped_is_refused(model):
    engine = TorchEngine(tiny_network(model), threads=1)
    with pytest.raises(ShapeError, match='needs an observation, such as an image, got a repeat'):
        engine.step(None, GRASPS, engine.initial_state(), 1)
    with pytest.raises(ShapeError, match=r"rgb is missing in an observation of \['depth'\]"):
        engine.step({'depth': np.zeros((32, 32))}, GRASPS, engine.initial_state(), 1)
    with pytest.raises(ShapeError, match=r'rgb: expected uint8 \(32, 32, 3\), got float32'):
        engine.step({'rgb': np.zeros((32, 32, 3), np.float32)}, GRASPS, engine.initial_state(), 1)


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


def test_a_configuration_survives_plain_values():
    for model in MODELS:
        config = tiny_config(model)
        assert model_type(model).Config.from_dict(config.to_dict()) == config
        assert build(config).config is config
    with pytest.raises(ConfigError, match=r"unknown configuration \['orders'\] of model 'flow"):
        model_type('flow_grasp').Config.from_dict({'orders': 2})
