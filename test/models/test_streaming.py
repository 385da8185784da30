"""Every model: frame by frame it gives what its clip gives, in torch and as exported."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import cv2
from moss_perception.core.errors import ConfigError, ShapeError
from moss_perception.models.checkpoint import load_checkpoint, save_checkpoint
from moss_perception.models.clock import gaps_of
from moss_perception.models.export import export_graphs
from moss_perception.models.layers.head import Travel
from moss_perception.models.layers.reading import ensemble_probability
from moss_perception.models.manifest import read_header
from moss_perception.runtime.engine import load_engine
from moss_perception.runtime.torch_engine import TorchEngine
import numpy as np
import pytest
from tiny import DISPLACEMENT, MODELS, TIME, tiny_network
import torch

FINE = {'readout': 'displacement', 'moss_window': (4, 7, 7), 'map_stride': 2, 'patch': 5,
        'orders': 1, 'similarity': 'ssd', 'refinement': 1, 'borders': 1, 'spacing': 2}
VARIANTS = [(model, {}) for model in MODELS] + [
    ('moss_grasp', DISPLACEMENT), ('moss_grasp', {**DISPLACEMENT, 'orders': 1}),
    ('moss_grasp', {**DISPLACEMENT, 'readout': 'both', 'orders': 2}), ('moss_grasp', FINE)]
"""What the node runs: each with and without time inputs."""
HISTORY = ('moss_grasp', {**DISPLACEMENT, 'orders': 2, 'velocity_history': True})
"""What the node runs with time inputs only."""
# Sizes at which the window's first frames count differently: taps, flows and orders of all kinds.
SIZES = [
    ('moss_grasp', {}), ('moss_grasp', {'map_stride': 4, 'moss_window': (3, 3, 3)}),
    ('moss_grasp', {'lags': (1, 4), 'orders': 2}), ('moss_grasp', DISPLACEMENT),
    ('moss_grasp', {**DISPLACEMENT, 'readout': 'both', 'orders': 2}), ('moss_grasp', FINE),
    ('moss_grasp', {**FINE, 'orders': 2, 'lags': (1, 3), 'readout': 'both'}),
    ('moss_grasp', {**FINE, 'compares': 'pixels', 'orders': 2}),
    ('moss_grasp', {**FINE, 'compares': 'pixels', 'projection_channels': 0, 'orders': 2}),
    ('moss_grasp', {**DISPLACEMENT, 'compares': 'both', 'orders': 1}),
    ('recurrent_grasp', {}), ('recurrent_grasp', {'map_stride': 4, 'window_frames': 18}),
    ('tsm_grasp', {}), ('tsm_grasp', {'map_stride': 4, 'tap_frames': 2, 'window_frames': 20}),
    ('flow_grasp', {}), ('flow_grasp', {'stacked_flows': 4}), ('flow_grasp', {'stacked_flows': 1}),
    ('flow_grasp', {'stacked_flows': 5, 'window_frames': 20, 'map_stride': 4}),
    ('moss_flow_grasp', {}), ('moss_flow_grasp', {'orders': 3, 'moss_window': (4, 3, 3)}),
    ('moss_flow_grasp', {'orders': 1, 'moss_window': (3, 3, 3), 'map_stride': 4})]
GRASPS = np.float32([[0.1, 0.2, 0.6, 0.2, 0.1, 0.7], [-0.4, 0.3, 0.5, 0.0, 0.3, 0.85]])
# Only with time inputs.
TIMED = [('flow_grasp', {'read_flow': True, 'map_stride': stride, 'stacked_flows': count,
                         'velocity_history': history} | TIME)
         for stride, count, history in ((8, 2, False), (4, 5, False), (8, 3, True))] + [
    ('moss_grasp', {**changes, 'velocity_history': True} | TIME) for changes in (
        HISTORY[1], {**DISPLACEMENT, 'readout': 'both', 'orders': 1},
        {**FINE, 'compares': 'pixels', 'projection_channels': 0, 'lags': (2, 3)})]
PERIOD_S = 0.1
# float32, summed in another order through about twenty layers.
CLOSE = {'rtol': 0, 'atol': 2e-5}


def moving(frames, seed=0):
    """Draw frames in which a smooth texture moves, so that there is a flow to be found."""
    generator = np.random.default_rng(seed)
    canvas = generator.integers(0, 256, (24, 24, 3)).astype(np.float32)
    canvas = cv2.resize(canvas, (96, 96), interpolation=cv2.INTER_CUBIC).clip(0, 255)
    places = np.cumsum(generator.integers(0, 4, (frames, 2)), axis=0) % 60
    return [canvas[y:y + 32, x:x + 32].astype(np.uint8) for y, x in places]


@contextmanager
def frame_by_frame(network):
    """
    Compute the backbone's maps one by one, as a stream does.

    Several at a time are rounded otherwise, and rounding decides between maxima that are equal.
    """
    backbone = network.backbone
    whole = backbone.first, backbone.second
    backbone.first, backbone.second = (
        lambda maps, stage=stage: torch.cat([stage(one) for one in maps.split(1)])
        for stage in whole)
    yield
    backbone.first, backbone.second = whole


def grasps_of(config):
    return GRASPS[:, :config.grasp_values]


def times(frames, seed=0):
    """Draw seconds between frames that are early and late."""
    return np.random.default_rng(seed).uniform(0.05, 0.17, frames).astype(np.float32)


@torch.no_grad()
def scaled(model, **changes):
    """Return a tiny network whose logits are about 1: scores near 0 or 1 hide differences."""
    network = tiny_network(model, **changes)
    images = torch.from_numpy(np.stack(moving(network.config.window_frames, seed=7)))
    logits, _ = network(images[None], torch.from_numpy(grasps_of(network.config))[None])
    temperature = network.config.temperature * float(logits.abs().max())
    network.config = replace(network.config, temperature=temperature)
    return network


@torch.inference_mode()
def clip_scores(network, images, intervals=None, used=None):
    """Score the end of a clip; seconds between its frames are nominal unless they are given."""
    intervals = None if intervals is None else torch.from_numpy(np.float32(intervals))[None]
    timed = (intervals,) if network.config.time_inputs else ()
    with frame_by_frame(network):
        logits, _ = network(torch.from_numpy(np.stack(images))[None],
                            torch.from_numpy(grasps_of(network.config))[None], used, *timed)
    return [x.numpy() for x in ensemble_probability(logits[0])]


def stream(engine, images, intervals=None, level=None):
    """Step some frames, ``None`` for a repeat, and return what the last gives."""
    state, config = engine.initial_state(), engine.config
    for k, image in enumerate(images):
        interval = PERIOD_S if intervals is None else intervals[k]
        observation = None if image is None else engine.model.observation(image, interval)
        scores, state = engine.step(observation, grasps_of(config), state,
                                    level or len(config.levels))
    return scores


@pytest.mark.parametrize(('model', 'changes'), [
    *SIZES, *((model, changes | TIME) for model, changes in SIZES), *TIMED])
def test_a_stream_equals_the_clip_of_its_window_at_every_frame(model, changes):
    network = scaled(model, **changes)
    engine, window = TorchEngine(network, threads=1), network.config.window_frames
    images, intervals, state = moving(window + 9), times(window + 9), engine.initial_state()
    found = []
    for k, image in enumerate(images):
        scores, state = engine.step(engine.model.observation(image, intervals[k]),
                                    grasps_of(network.config), state, len(engine.config.levels))
        if k + 1 < window:
            continue
        shown = slice(k + 1 - window, k + 1)
        expected, spread = clip_scores(network, images[shown], intervals[shown])
        np.testing.assert_allclose(scores.scores, expected, **CLOSE)
        np.testing.assert_allclose(scores.uncertainties, spread, **CLOSE)
        found.append(scores.scores)
    assert np.ptp(found, axis=0).min() > 1e-3


@pytest.mark.parametrize('model', MODELS)
def test_streams_can_be_stepped_on_one_engine_at_the_same_time(model):
    engine = TorchEngine(scaled(model), threads=1)
    clips = [moving(40, seed) for seed in (0, 1)]

    def every_score(images):
        state, found = engine.initial_state(), []
        for image in images:
            scores, state = engine.step(engine.model.observation(image, PERIOD_S),
                                        grasps_of(engine.config), state, len(engine.config.levels))
            found.append(scores.scores)
        return np.array(found)
    alone = [every_score(images) for images in clips]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(3):
            np.testing.assert_array_equal(list(pool.map(every_score, clips)), alone)


def test_the_head_reads_the_velocity_and_acceleration_of_flow():
    network = tiny_network('flow_grasp', read_flow=True, stacked_flows=3, **TIME)
    config, size = network.config, network.config.image_size
    # Flow is in units of 4 pixels a period, and the image is 2 wide.
    flows = torch.zeros(1, 3, 2, size, size)
    flows[:, :, 0] = torch.tensor([0.2, 0.3, 0.4])[:, None, None]
    found = network.temporal.read_motion(flows)
    assert found.shape == (1, 4, config.map_size, config.map_size)
    velocity = 0.3 * 4 * 2 / size / PERIOD_S
    np.testing.assert_allclose(found[0, :, 2, 2], [velocity, 0, velocity / 3 / PERIOD_S, 0],
                               rtol=1e-5)
    images = torch.from_numpy(np.stack(moving(config.window_frames)))[None]
    found = network.temporal.motion(network.temporal.observed(images, None), None)
    assert found[0].abs().max() > 0
    for wrong in ({'read_flow': True}, {'read_flow': True, 'stacked_flows': 1} | TIME):
        with pytest.raises(ConfigError, match='read_flow=True is not allowed'):
            tiny_network('flow_grasp', **wrong)


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


@pytest.mark.parametrize(('model', 'changes'), [*VARIANTS, HISTORY])
def test_a_repeated_sample_leaves_its_time_to_the_one_after_it(model, changes):
    network = scaled(model, **changes, **TIME)
    images, intervals = moving(20), np.full(20, PERIOD_S)
    intervals[[11, 18]] = 0.12, 0.07
    stamps = np.round(np.cumsum(intervals) * 1e9).astype(np.int64)
    for k in (9, 10, 17):
        images[k], stamps[k] = None, stamps[k - 1]
    filled = list(images)
    for k, image in enumerate(filled):
        filled[k] = filled[k - 1] if image is None else image
    found = stream(TorchEngine(network, threads=1), images, intervals)
    gaps = gaps_of(stamps[4:])
    np.testing.assert_allclose(gaps[[5, 6, 7, 13, 14]], [1e-4, 1e-4, 0.32, 1e-4, 0.17], rtol=1e-5)
    expected = clip_scores(network, filled[4:], gaps)[0]
    np.testing.assert_allclose(found.scores, expected, **CLOSE)


@pytest.mark.parametrize(('model', 'changes'), [*VARIANTS, HISTORY])
def test_the_time_between_samples_and_the_lead_time_change_a_score(model, changes):
    network = scaled(model, **changes, **TIME)
    images = torch.from_numpy(np.stack(moving(network.config.window_frames)))[None]
    grasps = torch.from_numpy(GRASPS)[None].requires_grad_()
    intervals = torch.from_numpy(times(network.config.window_frames))[None].requires_grad_()
    logits, located = network(images, grasps, None, intervals)
    logits.sum().backward()
    assert (grasps.grad[..., 5].abs() > 1e-4).all()
    assert (intervals.grad[0, 1:].abs() > 0).all()
    # Where the object will be is told for the lead time; where it is does not depend on it.
    later = torch.from_numpy(GRASPS + np.float32([0, 0, 0, 0, 0, 0.1]))[None]
    change = network(images, later, None, intervals)[1] - located
    assert (change[..., :2] == 0).all() and (change[..., 2:].abs() > 1e-4).all()


@pytest.mark.parametrize('more', [{}, {'velocity_history': True}], ids=['', 'history'])
@pytest.mark.parametrize('level', [1, 2])
def test_a_prefix_of_the_orders_equals_the_clip_with_these_alone(level, more):
    network = scaled('moss_grasp', **DISPLACEMENT, **TIME, **more)
    engine, images, intervals = TorchEngine(network, threads=1), moving(20), times(20)
    found = stream(engine, images, intervals, level)
    expected = clip_scores(network, images[4:], intervals[4:], level)[0]
    np.testing.assert_allclose(found.scores, expected, **CLOSE)
    # An order that returns counts once it is warm.
    state, config = engine.initial_state(), engine.config
    for k, image in enumerate((*images, *images)):
        wanted = level if k < 3 else 3
        scores, state = engine.step(engine.model.observation(image, PERIOD_S),
                                    grasps_of(config), state, wanted)
    assert scores.level == 3
    expected = clip_scores(network, images[4:])[0]
    np.testing.assert_allclose(scores.scores, expected, **CLOSE)


@pytest.mark.parametrize(('model', 'changes'), [*VARIANTS, HISTORY])
def test_a_score_depends_on_each_sample_of_the_window_and_on_no_other(model, changes):
    for time in ({}, TIME)[(model, changes) == HISTORY:]:
        engine = TorchEngine(scaled(model, **changes, **time), threads=1)
        images, other = moving(20), moving(20, seed=1)
        intervals = np.full(20, PERIOD_S)
        before = stream(engine, images, intervals).scores
        for k in range(20):
            changed = stream(engine, [*images[:k], other[k], *images[k + 1:]]).scores
            # Some samples are at no lag.
            if k < 4 or 'lags' not in changes or k == 19:
                assert np.array_equal(changed, before) == (k < 4), k
            if time and k in (4, 5, 19):
                late = np.where(np.arange(20) == k, 0.15, intervals)
                # When the window's first frame came does not matter.
                changed = stream(engine, images, late).scores
                assert np.array_equal(changed, before) == (k < 5), k


EXPORTED = [(model, time) for model in MODELS for time in ({}, TIME)] + [
    ('moss_grasp', {**DISPLACEMENT, 'orders': 2}),
    ('moss_grasp', {**DISPLACEMENT, **TIME, 'orders': 2}),
    ('moss_grasp', {**DISPLACEMENT, **TIME, 'orders': 2, 'readout': 'both'}),
    ('moss_grasp', {**FINE, **TIME}),
    ('moss_grasp', {**FINE, **TIME, 'compares': 'pixels', 'projection_channels': 0, 'orders': 2,
                    'velocity_history': True}),
    ('flow_grasp', {**TIME, 'read_flow': True, 'stacked_flows': 3, 'velocity_history': True})]


@pytest.fixture(scope='module', params=EXPORTED, ids=range(len(EXPORTED)))
def exported(request, tmp_path_factory):
    """Return an exported checkpoint of each variant."""
    model, changes = request.param
    path = tmp_path_factory.mktemp(model) / 'tiny.safetensors'
    save_checkpoint(path, scaled(model, **changes))
    export_graphs(path)
    return path


def test_an_exported_model_gives_what_torch_gives(exported):
    engines = [load_engine(str(exported), engine=name, threads=1)
               for name in ('onnxruntime', 'torch')]
    images, intervals = moving(24), times(24)
    images[6] = images[20] = None
    config, states = engines[0].config, [engine.initial_state() for engine in engines]
    differences = []
    for k, image in enumerate(images):
        steps = [engine.step(None if image is None else
                             engine.model.observation(image, intervals[k]), grasps_of(config),
                             state, len(config.levels))
                 for engine, state in zip(engines, states, strict=True)]
        (found, expected), states = zip(*steps, strict=True)
        scale = np.abs(expected.motion_features).max() * 10
        differences.append([np.abs(found.scores - expected.scores).max(),
                            np.abs(found.uncertainties - expected.uncertainties).max(),
                            np.abs(found.motion_features - expected.motion_features).mean()
                            / scale])
    # Rounding decides between maxima that are nearly equal, and seldom otherwise in a stream.
    most = np.median if config.decides else np.max
    assert (most(differences, axis=0) < 1e-4).all() and np.max(differences) < 0.05
    assert found.appearance.shape == expected.appearance.shape == (config.appearance_values,)
    assert np.allclose(found.appearance, expected.appearance, atol=1e-4)
    assert found.finite and len(engines[0].costs) == len(config.levels)


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
        engine.step(None, GRASPS[:, :5],
                    engine.initial_state(), 1)
    with pytest.raises(ShapeError, match=r"rgb is missing in an observation of \['depth'\]"):
        engine.step({'depth': np.zeros((32, 32))}, GRASPS[:, :5],
                    engine.initial_state(), 1)
    with pytest.raises(ShapeError, match=r'rgb: expected uint8 \(32, 32, 3\), got float32'):
        engine.step({'rgb': np.zeros((32, 32, 3), np.float32)}, GRASPS[:, :5],
                    engine.initial_state(), 1)


@pytest.mark.parametrize('model', MODELS)
def test_time_that_does_not_fit_is_refused(model):
    engine, image = TorchEngine(tiny_network(model, **TIME), threads=1), moving(1)[0]
    with pytest.raises(ShapeError, match='interval is missing in an observation of'):
        engine.step({'rgb': image}, GRASPS, engine.initial_state(), 1)
    for interval in (-0.1, float('nan')):
        with pytest.raises(ShapeError, match=f'interval={interval:.1f}.* is not allowed'):
            engine.step(engine.model.observation(image, interval), GRASPS,
                        engine.initial_state(), 1)
    with pytest.raises(ShapeError, match=r'grasps of shape \(2, 5\): expected \(K, 6\)'):
        engine.step(engine.model.observation(image, 0.0), GRASPS[:, :5],
                    engine.initial_state(), 1)


def test_the_history_of_velocities_tells_how_far_what_moves_will_move():
    torch.manual_seed(0)
    travel = Travel(15)
    history = torch.randn(2, 15, 3)
    times = torch.tensor([[[0.4], [0.8]], [[0.0], [0.5]]])
    found = travel(history, times)
    assert found.shape == (2, 2, 2) and (found[1, 0] == 0).all()
    # The opposite way, twice as far, and the axes alike.
    turned = history * torch.tensor([-2.0, -2.0, 1.0])
    torch.testing.assert_close(travel(turned, times), -2 * found, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(travel(history[..., [1, 0, 2]], times), found[..., [1, 0]])
    still = history * torch.tensor([0.0, 0.0, 1.0])
    assert (travel(still, times) == 0).all()
