"""The linear probe finds motion in maps where there is some, and leaves the network as it was."""

from dataclasses import replace
import json

import cv2
from moss_perception.core.errors import ConfigError
from moss_perception.data.shards import write_shard
from moss_perception.models.base import build
from moss_perception.models.checkpoint import save_checkpoint
from moss_perception.models.moss_grasp import MossGraspConfig
from moss_perception.training.dataset import GraspClips
import numpy as np
import pytest
from square_view import SquareView
from tiny import as_model
import torch

from study import motion_probe as command
import study.models  # noqa: F401, registers the variants
from study.motion_probe import probe, read_maps

pytest.importorskip('sklearn')
VIEW = SquareView(64)
TINY = MossGraspConfig(image_size=64, channels=(4, 8, 16), moss_window=(5, 3, 3), moss_channels=8,
                   orders=2, projection_channels=8, head_channels=16, ensemble=1)


def scene(seed, moving=True):
    """Make a scene of a square that goes on as it went, or that only says so."""
    generator = np.random.default_rng(seed)
    speed, place = generator.uniform(-2.5, 2.5, 2), generator.uniform(26, 37, 2)
    jpegs = []
    for n in range(-15, 1):
        image = np.full((64, 64, 3), 60, np.uint8)
        x, y = place + max(n, -6) * speed * moving
        shifted = np.array([[1.0, 0, x - 5], [0, 1, y - 5]])
        square = cv2.warpAffine(np.full((11, 11), 190, np.uint8), shifted, (64, 64))
        jpegs.append(cv2.imencode('.png', image + square[..., None])[1].tobytes())
    return VIEW.scene(seed, jpegs, place, place + 4 * speed, place)


def network(temporal='moss', **changes):
    torch.manual_seed(0)
    return build(as_model(TINY, f'{temporal}_grasp', **changes))


def test_motion_is_found_where_there_is_some():
    one = network(orders=1)
    moving = [scene(seed) for seed in range(160)]
    still = [scene(seed, moving=False) for seed in range(160)]
    found = probe(one, moving[:120], {'moving': moving[120:]})
    assert set(found) == {'input of the head', 'MOSS, order 1'}
    seen = found['input of the head']['displacement']['moving']
    # Of random weights; 0.57 where this was written.
    assert seen['low'] <= seen['r2'] <= seen['high'] <= 1 and seen['r2'] > 0.3
    blind = probe(one, still[:120], {'still': still[120:]})
    assert all(kinds['displacement']['still']['r2'] < 0.1 for kinds in blind.values())


def test_the_displacement_is_that_of_the_track():
    scenes = [scene(seed) for seed in range(3)]
    _, motion = read_maps(network(), scenes)
    for one, way in zip(scenes, motion['displacement'], strict=True):
        metres = one.track[1, :2] - one.track[0, :2]
        np.testing.assert_allclose(way, metres / 0.6 * 96 / 32, atol=1e-4)


def test_the_network_is_left_as_it_was():
    for one in (network(), network(temporal='tsm'), network(temporal='recurrent')):
        data = GraspClips([scene(0)], one.config)
        images, grasps = (x[None] for x in data[0][:2])
        one.eval()
        before = one(images, grasps)[0]
        maps, _ = read_maps(one, [scene(0), scene(1)])
        assert 'input of the head' in maps
        assert torch.equal(one(images, grasps)[0], before)
        assert all('read' not in vars(m) and 'fuse' not in vars(m) for m in one.modules())


def test_few_scenes_are_refused():
    with pytest.raises(ConfigError, match='3 scenes in few: expected 20 or more'):
        probe(network(), [scene(n) for n in range(20)], {'few': [scene(n) for n in range(3)]})


def test_the_command_prints_a_table_and_stores_it(tmp_path, capsys):
    (tmp_path / 'scenes').mkdir()
    write_shard(tmp_path / 'scenes' / 'scenes_00000000.npz', [scene(n) for n in range(24)],
                VIEW.matrix)
    (tmp_path / 'runs').mkdir()
    save_checkpoint(tmp_path / 'runs' / 'one.safetensors', network(),
                    {'arm': 'moss_12', 'recipe': {'seed': 4}, 'seeds': [0, 23]})
    data, out = str(tmp_path / 'scenes'), tmp_path / 'probe.json'
    assert command.main(['--runs', str(tmp_path / 'runs'), '--fit', data, '--scenes',
                         f'sim={data}', '--out', str(out)]) == 0
    stored = json.loads(out.read_text())['runs'][0]
    assert (stored['variant'], stored['seed']) == ('moss_12', 4)
    r2 = stored['maps']['MOSS, order 1']['displacement']['sim']['r2']
    text = capsys.readouterr().out
    assert f'| moss_12 | 4    | MOSS, order 1     | displacement | {r2:.2f} [' in text


def test_velocity_is_probed_where_the_scenes_tell_it():
    known = [replace(scene(n), velocity=0.1 * n, acceleration=0.0) for n in range(4)]
    for scenes, expected in ((known, {'velocity', 'acceleration', 'displacement'}),
                             ([*known, scene(9)], {'displacement'})):
        motion = read_maps(network(), scenes)[1]
        assert set(motion) == expected and motion['displacement'].shape == (len(scenes), 2)
    np.testing.assert_allclose(read_maps(network(), known)[1]['velocity'][:, 0], [0, .1, .2, .3])
