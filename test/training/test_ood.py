"""The distribution of the training scenes is fitted, and its limit set on held-out ones."""

from dataclasses import replace
import json
from types import SimpleNamespace

import cv2
from moss_perception.cli.main import main as moss
from moss_perception.core.errors import ConfigError, ShapeError
from moss_perception.data.schema import Attempt, PERIOD_NS, Sample
from moss_perception.data.shards import write_shard
from moss_perception.models.base import build
from moss_perception.models.checkpoint import save_checkpoint
from moss_perception.models.export import export_graphs
from moss_perception.models.manifest import read_header
from moss_perception.models.moss_grasp import MossGraspConfig
from moss_perception.runtime.engine import load_engine
from moss_perception.runtime.ood import cross_fit_distribution
from moss_perception.training.holding_out import split
from moss_perception.training.ood import describe_scenes, learn_distribution
import numpy as np
import pytest

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
    model = SimpleNamespace(observation=lambda rgb, interval_s: {'rgb': rgb})

    def initial_state(self):
        return None

    def step(self, observation, grasps, state, budget):
        colours = observation['rgb'].reshape(4, 8, 4, 8, 3).mean(axis=(1, 3)) / 255
        return SimpleNamespace(appearance=colours.ravel(), motion_features=colours), state


@pytest.fixture(scope='module')
def learned():
    return learn_distribution(Eyes(), *split([scene(seed) for seed in range(220)]))


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
    with pytest.raises(ConfigError, match='expected at least 40'):
        learn_distribution(Eyes(), *split([scene(n) for n in range(39)]))
    with pytest.raises(ConfigError, match='44 samples show 4 different scenes, which are too few'):
        learn_distribution(Eyes(), *split([replace(scene(n), domain=f'domain {m}')
                                           for n in range(4) for m in range(11)]))


def test_few_held_out_scenes_are_replaced_by_cross_validation():
    found = learn_distribution(Eyes(), *split([scene(n) for n in range(60)]))
    usual, strange = (found.of_features(describe_scenes(Eyes(), scenes)) for scenes in (
        [scene(1000 + n) for n in range(40)], [scene(2000 + n, 200, 40) for n in range(10)]))
    assert np.mean(usual > 1) < 0.4 and strange.min() > 1


def test_the_command_measures_each_part_of_what_a_frame_looks_like(tmp_path, capsys):
    model = tmp_path / 'tiny.safetensors'
    save_checkpoint(model, build(TINY).eval(), {'seeds': [0, 99]})
    export_graphs(model)
    for name, first, level in (('fit', 0, 60), ('usual', 200, 60), ('strange', 300, 200)):
        (tmp_path / name).mkdir()
        write_shard(tmp_path / name / 'scenes_00000000.npz',
                    [scene(first + n, level) for n in range(60 if name == 'fit' else 10)], MATRIX)
    assert moss(['ood', 'measure', '--model', str(model), '--scenes', str(tmp_path / 'fit'),
                 '--in-distribution', str(tmp_path / 'usual'), '--shifted',
                 str(tmp_path / 'strange'), '--out', str(tmp_path / 'out.json')]) == 0
    rows = json.loads((tmp_path / 'out.json').read_text())['rows']
    assert {row['feature']: row['width'] for row in rows} == {
        'colours': 6, 'stride 2': 8, 'stride 4': 8, 'stride 8': 16, 'all of them': 38,
        'MOSS map, mean and spread': 8}
    assert min(row['found'] for row in rows if row['feature'] == 'colours') == 1


def test_the_distribution_is_that_of_one_domain_if_it_is_named(tmp_path):
    model = tmp_path / 'tiny.safetensors'
    save_checkpoint(model, build(TINY).eval(), {'seeds': [[0, 119]], 'scenes': 120})
    export_graphs(model)
    dark = [replace(scene(n), domain='sim') for n in range(60)]
    bright = [replace(scene(60 + n, 200), domain='randomised') for n in range(60)]
    for name, scenes in (('dark', dark), ('bright', bright)):
        (tmp_path / name).mkdir()
        write_shard(tmp_path / name / 'scenes_00000000.npz', scenes, MATRIX)
    flagged = {}
    for domain in ('', 'sim'):
        out = tmp_path / f'of_{domain}.safetensors'
        assert moss(['ood', 'fit', '--model', str(model), '--out', str(out), '--domain', domain,
                     '--scenes', str(tmp_path / 'dark'), str(tmp_path / 'bright')]) == 0
        engine = load_engine(str(out), threads=1)
        found = engine.distribution.of_features(describe_scenes(engine, bright))
        flagged[domain] = np.mean(found > 1)
        assert read_header(out)[1]['lineage'][0].get('domain', '') == domain
    assert flagged[''] < 0.3 and flagged['sim'] == 1


def test_cross_validation_keeps_both_samples_of_a_scene_together():
    generator = np.random.default_rng(0)
    alike = generator.standard_normal((43, 40)) @ generator.standard_normal((40, 230))
    features = np.concatenate([alike, alike + 0.3 * generator.standard_normal(alike.shape)])
    groups = np.tile(np.arange(43), 2)
    by_group = cross_fit_distribution(features, groups).limit[0]
    # A fit to the other one of each pair knows it already.
    assert by_group > 1.5 * cross_fit_distribution(features).limit[0]
    order = np.argsort(groups, kind='stable')
    assert cross_fit_distribution(features[order], groups[order]).limit[0] == pytest.approx(
        by_group, rel=1e-4)
    with pytest.raises(ShapeError, match='expected at least 5 groups of samples to cross-validate'
                                         ', got 4'):
        cross_fit_distribution(features, groups % 4)


@pytest.mark.parametrize('changes', [{}, {'seed': None}])
def test_moments_of_attempts_are_of_the_fold_of_their_scenes(monkeypatch, changes):
    told = []
    monkeypatch.setattr('moss_perception.training.ood.cross_fit_distribution',
                        lambda features, groups: told.append((len(features), groups.tolist())))
    scenes = [scene(n) for n in range(41)]
    filmed = [replace(one, attempt=Attempt(0, True, one.jpegs[:3], one.times_ns[-1] + np.arange(
        1, 4) * PERIOD_NS), **changes) for one in scenes[1:]]
    learn_distribution(Eyes(), [scenes[0], *filmed], [], watched=True)
    assert told == [(81, [*range(41), *range(1, 41)])]
