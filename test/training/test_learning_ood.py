"""A checkpoint learns what was usual in its training, and keeps it with its weights."""

from types import SimpleNamespace

import cv2
from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.data.schema import Sample
from moss_perception.models.checkpoint import load_checkpoint
from moss_perception.models.manifest import read_manifest
from moss_perception.models.moss_grasp import MossGraspConfig
from moss_perception.models.moss_grasp.network import MossGraspNetwork
from moss_perception.runtime.engine import load_engine
from moss_perception.runtime.ood import fit_distribution, read_distribution
from moss_perception.runtime.torch_engine import TorchEngine
from moss_perception.training.dataset import split
from moss_perception.training.derive import refuse_existing, write_derived
from moss_perception.training.ood import describe_scenes, learn_distribution
import numpy as np
import pytest
import torch

TINY = MossGraspConfig(image_size=32, channels=(4, 4, 8), moss_window=(3, 3, 3), moss_channels=4,
                   projection_channels=4, head_channels=8, ensemble=2, orders=1)
MATRIX = np.array([[48.0, 0, 15.5], [0, 48, 15.5], [0, 0, 1]])


def scene(seed, level=60, noise=8):
    generator = np.random.default_rng(seed)
    image = np.clip(generator.normal(level, noise, (32, 32, 3)), 0, 255).astype(np.uint8)
    data = cv2.imencode('.jpg', image)[1].tobytes()
    return Sample(seed=seed, jpegs=(data,) * 16, candidates=np.array([[0, 0, 0.6, 0]], np.float32),
                 labels=np.array([True]), speed=0.0, motion='still', shape='box',
                 track=np.zeros((2, 3), np.float32), matrix=MATRIX)


class Eyes:
    """Sees of each image the mean colours of its sixteenths, and nothing of time."""

    config = TINY

    def initial_state(self):
        return None

    def step(self, observation, grasps, state, budget):
        colours = observation['rgb'].reshape(4, 8, 4, 8, 3).mean(axis=(1, 3)) / 255
        return SimpleNamespace(maps=(colours,), motion_features=colours), state


@pytest.fixture(scope='module')
def learned():
    return learn_distribution(Eyes(), [scene(seed) for seed in range(220)])


def test_the_usual_is_within_1_and_another_look_beyond(learned):
    usual, strange = (learned.of_features(describe_scenes(Eyes(), scenes)) for scenes in (
        [scene(1000 + n) for n in range(40)], [scene(2000 + n, 200, 40) for n in range(10)]))
    assert np.mean(usual > 1) < 0.3 and strange.min() > 1


def test_the_limit_is_set_on_what_training_held_out():
    scenes = [scene(n) for n in range(30)]
    fitted, held_out = split(scenes)
    assert [s.seed for s in held_out] == [0, 10, 20]
    assert len(fitted) == 27 and not {s.seed for s in fitted} & {0, 10, 20}


def test_too_few_scenes_are_refused():
    with pytest.raises(ConfigError, match='expected at least 200'):
        learn_distribution(Eyes(), [scene(n) for n in range(100)])


def test_a_derived_checkpoint_keeps_it_and_its_graphs_run(tmp_path):
    torch.manual_seed(0)
    network, out = MossGraspNetwork(TINY).eval(), tmp_path / 'mine.safetensors'
    features = np.random.default_rng(0).normal(size=(100, 2 * TINY.head_channels))
    distribution = fit_distribution(features, features)
    digest = write_derived(out, network, {'lineage': ['one']}, distribution)
    assert set(read_manifest(tmp_path)) == {'mine.safetensors', 'mine.orders_1.onnx'}
    assert load_checkpoint(out, digest).config == TINY
    np.testing.assert_array_equal(
        read_distribution(out, TINY.head_channels).factor, distribution.factor)
    # The same map by either engine, up to rounding.
    by_graph, by_torch = (describe_scenes(engine, [scene(5)]) for engine in (
        load_engine(str(out)), TorchEngine(network)))
    np.testing.assert_allclose(by_graph, by_torch, atol=1e-4)
    with pytest.raises(CheckpointError, match='is there already, and is never overwritten'):
        refuse_existing(out)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith('.new_')]
