"""Similarities are read where the object is, as the network computes them, and drawn."""

from dataclasses import replace

import cv2
from moss_perception.core.errors import ConfigError, ShapeError
from moss_perception.data.shards import write_shard
from moss_perception.models.base import build
from moss_perception.models.checkpoint import save_checkpoint
from moss_perception.models.moss_grasp import MossGraspConfig
from moss_perception.moss import MOSS, space_time_self_similarity
import numpy as np
import pytest
from square_view import SquareView
from tiny import as_model
import torch

from study import draw_similarities as command
import study.models  # noqa: F401, registers the variants
from study.motion_probe import clips
from study.similarity_maps import read_similarities

# So large that the window is far from the image's edges, where no neighbour is what it was.
SIDE = 96
VIEW = SquareView(SIDE)
TINY = MossGraspConfig(image_size=SIDE, channels=(4, 8, 16), moss_window=(3, 5, 5),
                       moss_channels=8, orders=2, projection_channels=8, head_channels=16,
                       ensemble=1)


def scene(seed, steps=(1, 0), place=(52.0, 50.0), frames=16):
    """Make a scene whose whole image goes right and down by so many cells of 8 pixels a frame."""
    noise = np.random.default_rng(seed).integers(0, 255, (24, 24, 3)).astype(np.uint8)
    texture = cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    jpegs = []
    for n in range(1 - frames, 1):
        image = np.roll(texture, (8 * n * steps[1], 8 * n * steps[0]), axis=(0, 1))
        jpegs.append(cv2.imencode('.png', image)[1].tobytes())
    return VIEW.scene(seed, jpegs, place, np.add(place, 16 * np.array(steps)), (47, 47))


def network(temporal='moss', **changes):
    torch.manual_seed(0)
    return build(as_model(TINY, f'{temporal}_grasp', **changes))


@pytest.mark.parametrize('steps', [(1, 0), (-1, 0), (0, 1), (0, 0), (-1, 1)])
def test_the_strongest_neighbour_is_where_the_image_was(steps):
    for one in read_similarities(network(), [scene(seed, steps) for seed in range(3)]):
        assert one.lags.tolist() == [2, 1, 0] and one.values.shape == (2, 3, 5, 5)
        for lag, values in zip(one.lags, one.values[0], strict=True):
            down, right = np.subtract(np.unravel_index(np.argmax(values), (5, 5)), 2)
            assert (right, down) == (-lag * steps[0], -lag * steps[1])


def test_position_displacement_and_cell_are_those_of_the_track():
    one = read_similarities(network(), [scene(7)])[0]
    assert (one.seed, one.motion, one.stride, one.rate_hz) == (7, 'constant', 8, 10)
    np.testing.assert_allclose(one.position, (52, 50), atol=1e-3)
    np.testing.assert_allclose(one.displacement, (16, 0), atol=1e-3)
    assert one.query == (6, 6)
    np.testing.assert_array_equal(one.images, scene(7).newest(3))


def test_the_similarities_are_cosines_of_what_each_order_compares():
    one = network().eval()
    block = next(module for module in one.modules() if isinstance(module, MOSS))
    seen = []
    hooks = [layer.register_forward_hook(lambda _, __, out: seen.append(out))
             for layer in block.learning]
    found = read_similarities(one, [scene(0, (1, 1))])[0]
    for hook in hooks:
        hook.remove()
    # What order 2 compares are the maps of order 1's encodings, of the frames it needs.
    with torch.no_grad():
        maps = block.extraction[1].maps(seen[0]).movedim(-1, 1)[None]
        expected = space_time_self_similarity(maps, block.window)[0, -1, 6, 6]
    # Vectors are a little shorter than they count for, those of weak contrast most: its floor.
    np.testing.assert_allclose(found.values[1], expected, atol=0.02)
    assert (found.values[:, -1, 2, 2] > 0.9).all() and found.values.max() <= 1.0001


def test_neighbours_outside_the_map_are_no_numbers():
    corner = read_similarities(network(), [scene(0, place=(-3.0, 95.0))])[0]
    assert corner.query == (11, 0)
    known = np.isfinite(corner.values)
    assert known[..., :3, 2:].all() and known.sum() == 2 * 3 * 9


@pytest.mark.parametrize('temporal', ['moss', 'moss_flow'])
def test_the_network_is_left_as_it_was(temporal):
    one = network(temporal=temporal).eval()
    (images, grasps), *_ = next(clips(one.config, [scene(0)]))
    before = one(images, grasps)[0]
    assert len(read_similarities(one, [scene(n) for n in range(3)], batch=2)) == 3
    assert torch.equal(one(images, grasps)[0], before)
    assert not any(module._forward_pre_hooks for module in one.modules())


def test_networks_without_such_similarities_are_refused():
    for temporal in ('tsm', 'last'):
        with pytest.raises(ConfigError, match=f"'{temporal}_grasp' has no similarities"):
            read_similarities(network(temporal=temporal), [scene(0)])
    with pytest.raises(ConfigError, match='compares no earlier sample'):
        read_similarities(network(moss_window=(1, 5, 5)), [scene(0)])


def test_a_scene_that_is_shorter_than_the_window_is_refused():
    with pytest.raises(ShapeError, match='scene 4 make 12 samples at 10.0 Hz: expected at least '
                                         '16'):
        read_similarities(network(), [scene(4, frames=12)])


@pytest.fixture
def stored(tmp_path):
    """Write a checkpoint and two sets of scenes: ``(checkpoint, sim, shifted)``, as words."""
    save_checkpoint(tmp_path / 'one.safetensors', network(), {'arm': 'moss_12', 'seeds': [0, 1]})
    for name, first in (('sim', 10), ('shifted', 20)):
        (tmp_path / name).mkdir()
        scenes = [scene(first), replace(scene(first + 1, (-1, 0)), motion='oscillating'),
                  scene(first + 2)]
        write_shard(tmp_path / name / f'scenes_{first:08d}.npz', scenes, VIEW.matrix)
    return [str(tmp_path / name) for name in ('one.safetensors', 'sim', 'shifted')]


def run(stored, *words):
    model, sim, shifted = stored
    return command.main(['--model', model, '--scenes', f'sim={sim}', f'shifted={shifted}', *words])


def test_the_command_draws_a_picture_and_prints_a_table(stored, tmp_path, capsys):
    out = tmp_path / 'pictures' / 'one.png'
    assert run(stored, '--seed', 'sim=12', '--out', str(out), '--summary') == 0
    height, width = cv2.imread(str(out)).shape[:2]
    assert height > width > 500 and 20_000 < out.stat().st_size < 500_000
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in lines if '|' in line]
    assert [row[:3] for row in rows[2:]] == [
        ['sim', '3', '1'], ['sim', '3', '2'], ['shifted', '3', '1'], ['shifted', '3', '2']]
    # Samples are 1 and 2 cells back.
    assert rows[2][rows[0].index('distance')] == '1.50 [1.50, 1.50]'
    assert float(rows[2][rows[0].index('correlation')].split()[0]) > 0.7


def test_scenes_are_chosen_by_seed_or_motion(stored):
    _, sim, _ = stored
    choose = command.choose_scenes
    assert [one.seed for one in choose(sim)] == [10]
    assert [one.seed for one in choose(sim, limit=2)] == [10, 11]
    assert [one.seed for one in choose(sim, 'oscillating')] == [11]
    assert [one.seed for one in choose(sim, seed=12)] == [12]
    assert command.named_seeds(['7'], ['sim']) == {'sim': 7}
    assert command.named_seeds(['b=7', 'a=1'], ['a', 'b']) == {'a': 1, 'b': 7}


@pytest.mark.parametrize(('words', 'message'), [
    (['--seed', 'sim=13', '--out', 'x.png'],
     'has no scene with seed 13 in view: expected a seed of 10 to 12, and a motion of'),
    (['--motion', 'waltz', '--out', 'x.png'],
     "has no scene with motion 'waltz' in view: expected a seed of 10 to 12, and a motion of "
     "['constant', 'oscillating']"),
    (['--seed', 'real=10', '--out', 'x.png'],
     "--seed real=10 is not allowed: expected NAME=SEED, each name once and one of "
     "['sim', 'shifted']"),
    (['--seed', '10', '--out', 'x.png'], '--seed 10 is not allowed'),
    (['--seed', 'sim=one', '--out', 'x.png'], '--seed sim=one is not allowed'),
    ([], 'there is nothing to do: expected --out FILE.png, --summary or both'),
    (['--summary', '1'], '--summary 1 is not allowed: expected 2 scenes or more'),
    (['--out', '/proc/none/x.png'], "/proc/none/x.png can't be written")])
def test_what_is_asked_wrongly_is_refused(stored, tmp_path, monkeypatch, caplog, words, message):
    monkeypatch.chdir(tmp_path)
    assert run(stored, *words) == 1
    assert message in caplog.text and not (tmp_path / 'x.png').exists()


def test_a_model_without_similarities_is_refused(stored, tmp_path, caplog):
    save_checkpoint(tmp_path / 'tsm.safetensors', network(temporal='tsm'), {})
    assert run([str(tmp_path / 'tsm.safetensors'), *stored[1:]], '--summary') == 1
    assert "model 'tsm_grasp' has no similarities with earlier samples" in caplog.text
