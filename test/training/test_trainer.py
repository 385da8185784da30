"""Training: it learns, it goes on where it stopped, and prepares data as the predictor does."""


import csv
from dataclasses import replace
import json
from pathlib import Path

import cv2
from moss_perception.cli.main import build_parser
from moss_perception.cli.main import main as moss
from moss_perception.cli.train import read_arguments
from moss_perception.core.calibration import fit_temperature
from moss_perception.core.errors import CheckpointError, ConfigError, ShapeError
from moss_perception.core.resources import model_path
from moss_perception.data.scenes import load_scenes
from moss_perception.data.schema import Sample
from moss_perception.data.shards import write_shard
from moss_perception.models.base import build
from moss_perception.models.checkpoint import file_sha256, load_checkpoint
from moss_perception.models.manifest import read_header
from moss_perception.models.moss_grasp import MossGraspConfig
from moss_perception.models.moss_grasp.network import MossGraspNetwork
from moss_perception.training.dataset import Clip, collate, GraspClips
from moss_perception.training.settings import Recipe
from moss_perception.training.trainer import label_loss, place_loss, predict, Trainer
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import save_file
import torch

MATRIX = np.array([[48.0, 0, 15.5], [0, 48, 15.5], [0, 0, 1]])
TINY = MossGraspConfig(image_size=32, channels=(4, 4, 8), moss_window=(5, 3, 3), moss_channels=4,
                   projection_channels=4, head_channels=8, ensemble=2)


def bright_spot_scene(seed):
    """Make a scene in which a grasp at the bright spot succeeds, and one away from it fails."""
    generator = np.random.default_rng(seed)
    spot = generator.integers(8, 24, 2)
    image = np.full((32, 32, 3), 60, np.uint8)
    image[spot[1] - 3:spot[1] + 4, spot[0] - 3:spot[0] + 4] = 250
    data = cv2.imencode('.jpg', image)[1].tobytes()
    places = np.array([spot, (spot + 16) % 32, spot, (spot + 16) % 32])
    metres = (places - 15.5) / 48 * 0.6
    candidates = np.column_stack([metres, np.full(4, 0.6), np.zeros(4)]).astype(np.float32)
    return Sample(seed=seed, jpegs=(data,) * 16, candidates=candidates,
                 labels=np.array([True, False, True, False]), speed=0.0, motion='still',
                 shape='box', track=candidates[[0, 0], :3], matrix=MATRIX)


@pytest.fixture(scope='module')
def scenes():
    return [bright_spot_scene(seed) for seed in range(32)]


def new_trainer(folder, epochs, **changes):
    torch.manual_seed(0)
    recipe = Recipe(epochs=epochs, batch=8, learning_rate=1e-2, **changes)
    return Trainer(MossGraspNetwork(TINY), recipe, folder)


def test_a_training_that_diverges_ends_with_what_to_change(tmp_path):
    scenes = [bright_spot_scene(n) for n in range(8)]
    torch.manual_seed(0)
    trainer = Trainer(build(TINY), Recipe(epochs=2, batch=4, learning_rate=1e30), tmp_path)
    message = r'the loss is (nan|inf) in step \d of epoch 1: .* a learning_rate below 1e\+30'
    with pytest.raises(ConfigError, match=message):
        trainer.fit(GraspClips(scenes, TINY), GraspClips(scenes[:2], TINY))


def test_it_learns_what_can_be_seen(scenes, tmp_path):
    trainer = new_trainer(tmp_path, epochs=8)
    trainer.fit(GraspClips(scenes, TINY, augment=True, empty=3), GraspClips(scenes, TINY))
    logits, labels = predict(trainer.network, GraspClips(scenes, TINY))
    scores = torch.sigmoid(logits).mean(1)
    assert scores[labels > 0].mean() > scores[labels == 0].mean() + 0.3
    with (tmp_path / 'log.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert [row['epoch'] for row in rows] == [str(n) for n in range(1, 9)]


def test_an_interrupted_training_goes_on_as_if_it_had_not_stopped(scenes, tmp_path):
    data, held_out = GraspClips(scenes[:16], TINY, augment=True), GraspClips(scenes[:8], TINY)
    whole = new_trainer(tmp_path / 'whole', epochs=2)
    whole.fit(data, held_out)
    broken = new_trainer(tmp_path / 'broken', epochs=2)
    broken._train_epoch(data, 0)
    broken.epoch = 1
    broken._save()
    resumed = new_trainer(tmp_path / 'broken', epochs=2)
    assert resumed.resume()
    resumed.fit(data, held_out)
    for name, tensor in whole.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[name], tensor)


def test_another_recipe_is_not_resumed(tmp_path):
    trainer = new_trainer(tmp_path, epochs=2)
    trainer._save()
    with pytest.raises(CheckpointError, match='another recipe'):
        new_trainer(tmp_path, epochs=3).resume()


def test_mirrored_clips_keep_grasps_on_their_place(scenes):
    data = GraspClips(scenes, TINY, augment=True, seed=5)
    for index in range(16):
        images, grasps, outcomes, _, places, *_ = data[index]
        x, y = ((grasps[:, :2] + 1) * 16 - 0.5).round().int().clamp(0, 31).unbind(1)
        bright = images[-1, y, x].float().mean(1) > 160
        assert bright.tolist() == outcomes.bool().tolist()
        np.testing.assert_allclose(places[0], 0, atol=1e-6)
        object_at = grasps[1, :2] + places[1, :2] * grasps[1, 3:].norm()
        np.testing.assert_allclose(object_at, grasps[0, :2], atol=1e-5)


def test_empty_places_fail_and_lie_away_from_the_candidates(scenes):
    found = 0
    for _, grasps, outcomes, *_ in (GraspClips(scenes, TINY, empty=3)[k] for k in range(32)):
        metres = grasps[:, :2] * 16 / 48 * 0.6
        assert not outcomes[4:].any()
        assert all((metres[:4] - place).norm(dim=1).min() > 0.12 for place in metres[4:])
        found += len(outcomes) - 4
    assert 64 < found <= 96


def test_padding_is_marked():
    batch = collate([Clip(torch.zeros(2), torch.ones(k, 5), torch.ones(k), torch.ones(k),
                          torch.ones(k, 4)) for k in (1, 3)])
    assert batch.mask.tolist() == [[1, 0, 0], [1, 1, 1]]
    assert batch.places.isnan().all(-1).tolist() == [[False, True, True], [False] * 3]
    assert batch.grasps.shape == (2, 3, 5)


def test_the_temperature_of_known_logits_is_found():
    generator = torch.Generator().manual_seed(0)
    true_logits = torch.randn(20_000, generator=generator) * 2
    outcomes = (torch.rand(20_000, generator=generator) < torch.sigmoid(true_logits)).float()
    # 20 000 draws tell the temperature to about 2 %.
    assert fit_temperature(3 * true_logits[:, None], outcomes) == pytest.approx(3, rel=0.06)
    with pytest.raises(ShapeError, match='outcomes'):
        fit_temperature(true_logits, outcomes)


def test_scenes_with_candidates_outside_the_image_are_left_out(scenes, tmp_path):
    outside = bright_spot_scene(99)
    outside.candidates[0, 0] = 5.0
    write_shard(tmp_path / 'scenes_00000000.npz', [*scenes[:3], outside], MATRIX)
    assert [scene.seed for scene in load_scenes(tmp_path)] == [0, 1, 2]


@pytest.mark.timeout(300)
def test_the_commands_train_and_measure(scenes, tmp_path, capsys, caplog):
    write_shard(tmp_path / 'data' / 'scenes_00000000.npz', scenes[:12], MATRIX)
    model = tmp_path / 'model.safetensors'
    assert moss(['train', '--data', str(tmp_path / 'data'), '--out', str(model), '--run',
                               str(tmp_path / 'run'), '--epochs', '1', '--orders', '1',
                               '--batch', '4', '--image-size', '32']) == 0
    assert load_checkpoint(model).config.orders == 1
    assert moss(['evaluate', '--scenes', str(tmp_path / 'data'), '--model', str(model)]) == 1
    assert 'expected scenes that it was not trained on' in caplog.text
    write_shard(tmp_path / 'new' / 'scenes_00000000.npz', scenes[12:20], MATRIX)
    arguments = ['--scenes', str(tmp_path / 'new'), '--model', str(model)]
    capsys.readouterr()
    assert moss(['evaluate', *arguments, '--out', str(tmp_path / 'result.json')]) == 0
    result = json.loads((tmp_path / 'result.json').read_text())
    assert result == json.loads(capsys.readouterr().out)
    assert (result['attempts'], result['seeds']) == (32, [12, 19])
    chosen = result['chosen_success']
    assert chosen['low'] <= chosen['model'] <= chosen['high'] and chosen['oracle'] == 1
    # These scenes do not say where their candidates lie.
    assert 'constant_velocity' not in chosen and chosen['random'] == pytest.approx(
        result['success_rate'])
    assert result['engine'] == 'onnxruntime' and 'stream_against_clip' not in result
    assert moss(['evaluate', *arguments, '--engine', 'torch']) == 0
    eager = json.loads(capsys.readouterr().out)
    # Streamed through the predictor or as a clip: the sums are rounded in another order.
    assert eager['stream_against_clip'] < 1e-4
    assert set(eager['variants']) == set(result['variants'])
    assert set(result['variants']) == {'orders 1', 'orders 1, frozen clip'}
    assert eager['brier'] == pytest.approx(result['brier'], abs=1e-4)
    assert moss(['evaluate', *arguments, '--require', 'attempts>=33', 'auroc<=1']) == 3
    assert 'SHORT' in capsys.readouterr().err
    assert moss(['evaluate', *arguments, '--require', 'scored_share>=1']) == 1
    assert "has the metric 'scored_share': expected one of auroc" in caplog.text


@pytest.mark.parametrize('option', ['--out', '--run'])
@pytest.mark.parametrize('spelling', ['models/grasp_moss.safetensors', 'models/new/../mine'])
def test_shipped_models_are_never_replaced(monkeypatch, caplog, option, spelling):
    shipped = model_path()
    before = file_sha256(shipped)
    monkeypatch.chdir(shipped.parents[1])
    assert moss(['train', '--data', 'none', option, spelling]) == 1
    assert f'lies in {shipped.parent}, whose files come with the package' in caplog.text
    assert file_sha256(shipped) == before and not (shipped.parent / 'mine').exists()


def test_a_training_is_written_into_its_own_run_unless_told_otherwise():
    arguments = build_parser('train').parse_args(
        ['train', '--data', 'x', '--run', 'runs/mine'])
    assert read_arguments(arguments).out == Path('runs/mine/grasp.safetensors')


def test_commands_say_what_is_wrong_in_one_line(tmp_path, caplog):
    assert moss(['train', '--data', str(tmp_path / 'none')]) == 1
    assert f'no scenes in {tmp_path / "none"}' in caplog.text
    assert moss(['evaluate', '--scenes', str(tmp_path), '--model', 'missing.st']) == 1
    assert 'missing.st is not there' in caplog.text


def test_several_folders_are_one_training(scenes, tmp_path, caplog):
    far = [replace(scene, seed=scene.seed + 2_000_000, domain='randomised')
           for scene in scenes[4:8]]
    write_shard(tmp_path / 'one' / 'scenes_00000000.npz', scenes[:6], MATRIX)
    write_shard(tmp_path / 'two' / 'scenes_02000000.npz', far, MATRIX)
    both = [str(tmp_path / 'one'), str(tmp_path / 'two')]
    model = tmp_path / 'model.safetensors'
    assert moss(['train', '--data', *both, '--out', str(model), '--run', str(tmp_path / 'run'),
                 '--epochs', '1', '--orders', '1', '--batch', '4', '--image-size', '32']) == 0
    notes = read_header(model)[1]
    assert notes['scenes'] == 10
    assert notes['seeds'] == [[0, 5], [2_000_004, 2_000_007]]
    write_shard(tmp_path / 'new' / 'scenes_00000000.npz', scenes[12:14] + far[:1], MATRIX)
    assert moss(['evaluate', '--scenes', str(tmp_path / 'new'), '--model', str(model)]) == 1
    assert ('trained on scenes 0 to 5 and 2000004 to 2000007, and 1 of these scenes are among '
            'them, such as 2000004') in caplog.text
    fitted = ['ood', 'fit', '--model', str(model), '--out', str(tmp_path / 'fitted.safetensors')]
    assert moss([*fitted, '--scenes', both[0]]) == 1
    assert '6 of the 6 scenes are those that the checkpoint was trained on: expected 10' \
        in caplog.text
    assert moss([*fitted, '--scenes', *both, '--domain', 'moon']) == 1
    assert ('--domain moon is not allowed: the training scenes are of the domains randomised'
            ) in caplog.text
    assert moss(['train', '--data', both[0], both[0]]) == 1
    assert 'expected each folder once' in caplog.text


def test_orders_are_dropped_as_often_as_the_recipe_says(tmp_path):
    network = MossGraspNetwork(MossGraspConfig(image_size=32, channels=(4, 4, 8), moss_channels=4,
                                       projection_channels=4, head_channels=8, ensemble=1))
    generator = torch.Generator().manual_seed(0)
    trainer = Trainer(network, Recipe(full_orders=0.6), tmp_path)
    drawn = [trainer._draw_level(generator) for _ in range(2000)]
    assert set(drawn) == {1, 2, 3}
    # Five standard deviations of a share of 2,000 draws.
    assert abs(drawn.count(3) / 2000 - 0.6) < 0.055
    assert abs(drawn.count(1) / 2000 - 0.2) < 0.045
    trainer = Trainer(network, Recipe(full_orders=1.0), tmp_path)
    assert {trainer._draw_level(generator) for _ in range(50)} == {3}


def test_a_state_of_an_older_version_is_resumed(tmp_path):
    Trainer(build(TINY), Recipe(), tmp_path)._save()
    path = tmp_path / 'state.safetensors'
    with safe_open(path, framework='pt') as file:
        metadata, tensors = file.metadata(), {n: file.get_tensor(n) for n in list(file.keys())}
    config, recipe = json.loads(metadata['config']), json.loads(metadata['recipe'])
    # Of the format before: a field named the model, and fields that came later are not there.
    config['temporal_channels'] = 32
    del config['map_stride']
    del recipe['monitor']
    recipe['kept_stages'] = recipe.pop('frozen_stages')
    save_file(tensors, path, {'epoch': '1', 'config': json.dumps(config),
                              'recipe': json.dumps(recipe)})
    assert Trainer(build(TINY), Recipe(), tmp_path).resume()


def test_frozen_stages_stay_to_the_bit_and_the_others_learn(scenes, tmp_path):
    torch.manual_seed(0)
    network = build(TINY)
    before = {name: values.clone() for name, values in network.state_dict().items()}
    trainer = Trainer(network, Recipe(epochs=1, batch=4, frozen_stages=2), tmp_path)
    trainer.fit(GraspClips(scenes, TINY, augment=True), GraspClips(scenes[:3], TINY))
    changed = {name for name, values in network.state_dict().items()
               if not torch.equal(values, before[name])}
    kept = ('backbone.stages.0.', 'backbone.stages.1.')
    assert not [name for name in changed if name.startswith(kept)]
    assert {'backbone.stages.2.0.weight', 'backbone.stages.2.1.running_mean'} <= changed


def test_losses_count_what_is_known():
    logits = torch.tensor([[[2.0], [50.0]]])
    labels, weights = torch.tensor([[1.0, 0.0]]), torch.tensor([[[1.0], [0.0]]])
    expected = torch.nn.functional.softplus(torch.tensor(-2.0))
    torch.testing.assert_close(label_loss(logits, labels, weights), expected)
    located = torch.zeros(1, 3, 4, requires_grad=True)
    # One is near, one is too far away, and one is unknown.
    places = torch.stack([torch.full((4,), 2.0), torch.full((4,), 9.0),
                          torch.full((4,), float('nan'))])[None]
    loss = place_loss(located, places, 4.0)
    assert loss.item() == pytest.approx(4 * 1.5)
    loss.backward()
    assert located.grad.isfinite().all() and not located.grad[0, 1:].any()
    assert place_loss(located[:, 1:], places[:, 1:], 4.0) == 0
