"""The auxiliary losses on the object's motion and mask: what is told, learnt and refused."""

from dataclasses import replace

from moss_perception.core.errors import ConfigError, DataError
from moss_perception.data.schema import Attempt
from moss_perception.models.base import build
from moss_perception.models.checkpoint import load_checkpoint, save_checkpoint
from moss_perception.training.auxiliary import mask_loss, motion_loss, Probes
from moss_perception.training.dataset import collate, GraspClips
from moss_perception.training.decoding import decode_clips
from moss_perception.training.feature_cache import FeatureCache
from moss_perception.training.fit import fit, Plan
from moss_perception.training.settings import Recipe, Settings
from moss_perception.training.trainer import Trainer
import numpy as np
import pytest
from spots import scene, TINY
from timed import timed_toy
from tiny import as_model
import torch

BOTH = {'motion_weight': 0.5, 'mask_weight': 0.5}
TOLD = {'moving': True, 'covering': True}


def masked(seed, width=48):
    """Make a scene that knows the spot's pixels in its newest image, and its lead time."""
    made, mask = scene(seed, width), np.zeros((32, width), bool)
    mask[10:16, 25:31] = True
    then = made.track[0] + np.float32([0.14, 0.07, 0])
    return replace(made, object_mask=mask, lead_time_s=0.7,
                   track=np.stack([made.track[0], then]))


@pytest.fixture(scope='module')
def samples():
    return [masked(seed) for seed in range(12)]


def test_the_cover_is_the_share_of_each_cell_that_the_object_fills():
    # Its image has the network's size. The spot fills rows 10 to 15 and columns 25 to 30.
    cover = GraspClips([masked(0, width=32)], TINY, covering=True)[0].cover
    rows, columns = np.array([0.5, 1]), np.array([0.75, 0.75])
    expected = np.zeros((8, 8), np.float32)
    expected[2:4, 6:8] = np.outer(rows, columns)
    np.testing.assert_allclose(cover, expected)
    assert GraspClips([masked(0)], TINY)[0].cover is None


@pytest.mark.parametrize('decode', [False, True])
def test_the_mask_moves_with_the_image(samples, decode):
    given = decode_clips(samples, TINY) if decode else None
    clips = GraspClips(samples, TINY, given, augment=True, geometric=1.0, missing=0.3, **TOLD)
    plain = GraspClips(samples, TINY, given, augment=True, geometric=1.0, missing=0.3)
    centres, seen = (2 * np.arange(8) + 1) / 8 - 1, set()
    for clips.epoch in range(8):
        plain.epoch = clips.epoch
        for index in range(3):
            clip, without = clips[index], plain[index]
            # The images are those without the option.
            np.testing.assert_array_equal(clip.images, without.images)
            np.testing.assert_array_equal(clip.grasps, without.grasps)
            cover = clip.cover.numpy()
            assert cover.dtype == np.float32 and cover.min() == 0
            # The spot's centre of mass is the track's first point, which moves with the grasps.
            found = [(cover.sum(axis) * centres).sum() / cover.sum() for axis in (0, 1)]
            np.testing.assert_allclose(found, clip.motion[:2], atol=0.06)
            seen.add(tuple(np.sign(found)))
            # Of 32 x 32 pixels the spot has 16, and a little more or less after the move.
            assert cover.sum() * 16 == pytest.approx(16, rel=0.45)
    assert len(seen) == 4


def test_neither_the_border_nor_a_warp_adds_to_a_mask(samples):
    nothing = [replace(samples[0], object_mask=np.zeros((32, 48), bool))]
    clips = GraspClips(nothing, TINY, augment=True, geometric=1.0, covering=True)
    for clips.epoch in range(4):
        assert (clips[0].cover == 0).all()


def test_an_unknown_mask_counts_nothing(samples):
    first = samples[0]
    stamps = first.times_ns[-1] + np.array([1, 5]) * 100_000_000
    filmed = replace(first, attempt=Attempt(0, True, first.jpegs[:2], stamps))
    unknown = replace(samples[1], object_mask=None)
    batch = collate(list(GraspClips([filmed, unknown], TINY, monitor=1.0, covering=True)))
    # The second sample has none, and the third clip is of a grasp under way.
    assert batch.cover.isnan().all(dim=2).all(dim=1).tolist() == [False, True, True]
    found = torch.zeros(3, 8, 8, requires_grad=True)
    loss = mask_loss(found, batch.cover)
    loss.backward()
    assert loss.item() == pytest.approx(np.log(2)) and (found.grad[1:] == 0).all()
    assert (found.grad[0] != 0).all()
    assert mask_loss(found[1:], batch.cover[1:]) == 0


def test_the_loss_on_motion_counts_what_is_known_and_in_view():
    nan = float('nan')
    motion = torch.tensor([[0, 0, 1.0, 0, 1, 1], [nan] * 6, [1.5, 0, 9, 9, 9, 9],
                           [0.5, 0, 0, 0.5, nan, nan]])
    found = torch.tensor([[3.0, 0, 1, 3], [7, 7, 7, 7], [7, 7, 7, 7], [0, 0.5, 7, 7]],
                         requires_grad=True)
    loss = motion_loss(found, motion)
    loss.backward()
    # Two scenes tell a velocity, one an acceleration.
    assert loss.item() == pytest.approx(1.5 / 2 + 1.5) and (found.grad[1:3] == 0).all()
    assert (found.grad[3, 2:] == 0).all() and (found.grad[0, 3] != 0)
    assert motion_loss(found[1:2], motion[1:2]) == 0


def test_a_mask_of_another_size_is_refused(samples):
    wrong = replace(samples[0], object_mask=np.zeros((48, 32), bool))
    with pytest.raises(DataError, match=r'scene 0: object_mask of shape \(48, 32\): expected '
                                        r'that of the images, \(32, 48\)'):
        GraspClips([wrong], TINY, covering=True)[0]


@pytest.mark.parametrize('model', ['moss', 'last', 'tsm', 'recurrent', 'flow', 'moss_flow'])
@pytest.mark.parametrize('weights', [{'mask_weight': 0.5}, BOTH], ids=['mask', 'both'])
def test_the_losses_reach_the_features_of_any_variant(tmp_path, samples, model, weights):
    torch.manual_seed(0)
    network = build(as_model(TINY, f'{model}_grasp'))
    trainer = Trainer(network, Recipe(batch=4, **weights), tmp_path)
    batch = collate([GraspClips(samples, network.config, **TOLD)[n] for n in range(4)])
    network.train()
    *_, moves, cover = trainer.probes(batch.images, batch.grasps, None, None, batch.motion)
    assert cover.shape == batch.cover.shape == (4, 8, 8)
    assert (moves is None) == ('motion_weight' not in weights)
    mask_loss(cover, batch.cover).backward()
    for weight in (network.smooth[1].weight, network.backbone.stages[0][0].weight):
        assert weight.grad.abs().max() > 0


def test_the_mask_is_learnt_from_the_features(tmp_path, samples):
    torch.manual_seed(0)
    recipe = Recipe(epochs=24, batch=4, learning_rate=0.02, place_weight=0.0, mask_weight=50.0)
    trainer = Trainer(build(TINY), recipe, tmp_path)
    clips = GraspClips(samples, TINY, augment=True, covering=True)
    trainer.fit(clips, GraspClips(samples[:4], TINY))
    batch = collate(list(GraspClips(samples, TINY, covering=True)))
    trainer.network.eval()
    with torch.inference_mode():
        *_, cover = trainer.probes(batch.images, batch.grasps, None, None, None)
    found = cover.sigmoid()
    assert found[batch.cover > 0.4].mean() > found[batch.cover == 0].mean() + 0.3


def test_a_training_with_both_losses_resumes_as_if_it_had_not_stopped(tmp_path, samples):
    recipe = Recipe(epochs=2, batch=4, **BOTH)
    clips = GraspClips(samples, TINY, augment=True, **TOLD)
    held_out = GraspClips(samples[:3], TINY)

    def trainer(folder):
        torch.manual_seed(0)
        return Trainer(build(TINY), recipe, tmp_path / folder)
    whole, broken = trainer('whole'), trainer('broken')
    begun = {name: values.clone() for name, values in whole.probes.layers.state_dict().items()}
    whole.fit(clips, held_out)
    broken._train_epoch(clips, 0)
    broken.epoch = 1
    broken._save()
    torch.manual_seed(1)
    resumed = Trainer(build(TINY), recipe, tmp_path / 'broken')
    assert resumed.resume()
    resumed.fit(clips, held_out)
    mine, other = (one.probes.layers.state_dict() for one in (resumed, whole))
    assert list(mine) == ['probe.weight', 'probe.bias', 'mask_probe.weight', 'mask_probe.bias']
    for name, values in mine.items():
        torch.testing.assert_close(values, other[name])
        assert not torch.equal(values, begun[name])
    for name, values in resumed.network.state_dict().items():
        torch.testing.assert_close(values, whole.network.state_dict()[name])
    # The checkpoint knows nothing of the auxiliary losses.
    save_checkpoint(tmp_path / 'a.safetensors', whole.network)
    assert load_checkpoint(tmp_path / 'a.safetensors').config == TINY


def test_cached_features_keep_the_cover(tmp_path, samples):
    torch.manual_seed(0)
    network = build(TINY)
    network.freeze(2)
    some = [*samples[:3], replace(samples[3], object_mask=None)]
    clips = GraspClips(some, TINY, augment=True, geometric=0.5, **TOLD)
    cache = FeatureCache(clips, network, tmp_path)
    for cache.epoch in (0, 1):
        for one, other in zip(cache, clips, strict=True):
            np.testing.assert_array_equal(one.cover, other.cover)
            np.testing.assert_array_equal(one.motion, other.motion)
    blank = [replace(samples[0], object_mask=np.zeros((32, 48), bool)), *some[1:]]
    for other in (GraspClips(some, TINY, augment=True, geometric=0.5, moving=True),
                  GraspClips(blank, TINY, augment=True, geometric=0.5, **TOLD)):
        with pytest.raises(ConfigError, match='holds features of other samples'):
            FeatureCache(other, network, tmp_path)


def test_a_loss_on_masks_needs_masks_and_features(tmp_path):
    plan = Plan(Settings('a', {}, {'mask_weight': 0.5}), tmp_path / 'run',
                tmp_path / 'a.safetensors')
    with pytest.raises(ConfigError, match="mask_weight=0.5 asks for a loss on the object's mask, "
                                          'and no sample has one: expected mask_weight: 0'):
        fit(plan, [scene(n) for n in range(3)])
    with pytest.raises(ConfigError, match='mask_weight=-1.0 is not allowed: expected 0 or more'):
        Recipe(mask_weight=-1.0)
    for option in ('motion', 'mask'):
        with pytest.raises(ConfigError, match=f"{option}_weight needs a network with the features "
                                              "of this package, which model 'timed_toy' is not"):
            Probes(build(timed_toy().TimedConfig()), **{option: True})
