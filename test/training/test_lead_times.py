"""Training over lead times: what is drawn, learnt and refused."""

from dataclasses import replace
from types import SimpleNamespace

from moss_perception.cli.model_card import write_card
from moss_perception.core.errors import CheckpointError, ConfigError, DataError
from moss_perception.data.schema import Attempt
from moss_perception.models.base import build
from moss_perception.models.checkpoint import load_checkpoint, save_checkpoint
from moss_perception.training import derive
from moss_perception.training.dataset import collate, GraspClips
from moss_perception.training.derive import start_from
from moss_perception.training.feature_cache import FeatureCache
from moss_perception.training.fit import fit, Plan
from moss_perception.training.samples import measure_lead_times, with_lead_time
from moss_perception.training.selection import select
from moss_perception.training.settings import read_settings, Recipe, Settings
from moss_perception.training.trainer import label_loss, place_loss, predict, Trainer
import numpy as np
import pytest
from spots import scene, TINY
import torch

OTHERS = np.float32([0.6, 0.8, 0.9])
TIMED = replace(TINY, time_inputs=True, lead_times_s=(0.6, 0.9), default_lead_time_s=0.7)
DISPLACED = replace(TIMED, readout='displacement', map_stride=4, patch=3, orders=2)
HISTORY = replace(DISPLACED, velocity_history=True)


def moving(seed):
    """Make a scene whose last candidate succeeds at long lead times alone."""
    made = scene(seed)
    places = made.track[:1] + OTHERS[:, None] * np.float32([[0.2, 0.1, 0]])
    then = made.track[0] + np.float32([0.14, 0.07, 0])
    return replace(made, track=np.stack([made.track[0], then]), lead_time_s=0.7,
                   labels=np.array([1, 0, 0]), other_lead_times_s=OTHERS,
                   other_labels=np.float32([[1, 0, 0], [1, 0, 1], [1, 0, 1]]),
                   other_places=places.astype(np.float32))


@pytest.fixture(scope='module')
def samples():
    return [moving(seed) for seed in range(12)]


def test_a_clip_has_each_candidate_at_every_lead_time_and_what_belongs_to_it(samples):
    clips = GraspClips(samples, TIMED, augment=True, empty=6, geometric=1.0,
                       vary_lead_times=True, moving=True)
    plain = GraspClips(samples, TINY, augment=True, empty=6, geometric=1.0)
    drawn = set()
    for clips.epoch in range(8):
        plain.epoch = clips.epoch
        clip, without = clips[3], plain[3]
        times = clip.grasps[:, 5]
        assert len(clip.grasps) == 4 * 3 + len(without.grasps) - 3
        np.testing.assert_allclose(times[:12], np.repeat([0.7, *OTHERS], 3), rtol=1e-6)
        assert clip.labels.tolist() == [1, 0, 0, 1, 0, 0, 1, 0, 1, 1, 0, 1] + [0] * (
            len(times) - 12)
        assert clip.mask.all()
        # All else is drawn as without lead times.
        np.testing.assert_array_equal(clip.images, without.images)
        np.testing.assert_array_equal(clip.grasps[:12, :5], without.grasps[:3].repeat(4, 1))
        np.testing.assert_array_equal(clip.grasps[12:, :5], without.grasps[3:])
        np.testing.assert_array_equal(clip.places[:3, :2], without.places[:3, :2])
        drawn |= set(np.round(times[12:].tolist(), 3))
    assert drawn == {0.6, 0.7, 0.8, 0.9}
    again = GraspClips(samples, TIMED, augment=True, empty=6, vary_lead_times=True)
    assert torch.equal(again[3].grasps, again[3].grasps)


def test_the_place_of_each_grasp_is_that_of_its_lead_time(samples):
    clip = GraspClips(samples, TIMED, augment=True, empty=2, vary_lead_times=True,
                      moving=True)[3]
    # The object is where it will be then: the same velocity at each, in the mirror too.
    way = (clip.places[:, 2:] - clip.places[:, :2]) / clip.grasps[:, 5:]
    reach = clip.grasps[:, 3:5].norm(dim=1, keepdim=True)
    np.testing.assert_allclose(way * reach, clip.motion[None, 2:4].expand(len(way), 2), rtol=2e-3)
    np.testing.assert_allclose(clip.motion[4:], 0, atol=2e-3)
    # Without a track no place is known, at any lead time.
    unknown = replace(samples[3], track=None)
    assert GraspClips([unknown], TIMED, vary_lead_times=True)[0].places.isnan().all()


@pytest.mark.parametrize('config', [TINY, TIMED], ids=['without time', 'time'])
def test_the_acceleration_is_that_of_the_places_at_two_lead_times(samples, config):
    centre, velocity, acceleration = samples[3].track[0], (0.1, 0.05, 0), (-0.2, 0.1, 0)

    def place(seconds):
        return np.float32(centre + np.multiply(velocity, seconds)
                          + np.multiply(acceleration, seconds ** 2 / 2))
    moved = replace(samples[3], track=np.stack([centre, place(0.7)]),
                    other_places=np.stack([place(seconds) for seconds in OTHERS]))
    steady = replace(moved, other_lead_times_s=None, other_labels=None, other_places=None)
    varied = {'moving': True, 'vary_lead_times': True, 'augment': True, 'geometric': 0.5}
    mirrored = GraspClips([moved], config, **varied)
    found = GraspClips([moved], config, moving=True)[0].motion
    # As the velocity of the same units: of the mean until the own lead time.
    mean = np.add(velocity, np.multiply(acceleration, 0.35))
    scale = (found[2:4] / torch.tensor(mean[:2])).numpy()
    assert scale == pytest.approx(scale[0], rel=2e-3)
    np.testing.assert_allclose(found[4:], scale * acceleration[:2], rtol=1e-2)
    sizes = set()
    for mirrored.epoch in range(6):
        turned = mirrored[0].motion
        # However the clip is mirrored and turned, so are both.
        sizes.add(tuple(np.sign(turned[4:].numpy())))
        cosine = torch.cosine_similarity(turned[2:4], turned[4:], dim=0)
        assert cosine == pytest.approx(
            torch.cosine_similarity(found[2:4], found[4:], dim=0).item(), abs=0.1)
    assert len(sizes) > 1
    # One lead time tells no acceleration.
    once = GraspClips([steady], config, moving=True)[0].motion
    assert torch.equal(once[:4], found[:4]) and once[4:].isnan().all()


def test_without_time_inputs_only_the_own_lead_time_has_labels(samples):
    varied = GraspClips(samples, TINY, augment=True, empty=2, vary_lead_times=True)
    plain = GraspClips(samples, TINY, augment=True, empty=2)
    for one, other in zip(varied[3][:5], plain[3][:5], strict=True):
        np.testing.assert_array_equal(one, other)
    assert varied.drawn_from == plain.drawn_from


def test_a_candidate_without_a_label_has_none_at_any_lead_time(samples):
    candidates = samples[0].candidates.copy()
    candidates[1, 0] = 5.0
    partly = replace(samples[0], candidates=candidates, mask=[True, False, False])
    clip = GraspClips([partly, samples[1]], TIMED, vary_lead_times=True)[0]
    # The one outside the image is left out at each.
    assert clip.grasps.shape == (8, 6) and clip.mask.tolist() == [1, 0] * 4
    assert clip.labels.tolist() == [1, 0] * 4
    with pytest.raises(DataError, match='candidate 1 has a label and lies outside the image'):
        GraspClips([replace(partly, mask=None)], TIMED, vary_lead_times=True)[0]


def test_a_batch_pads_clips_with_fewer_lead_times(samples):
    mixed = [samples[0], replace(samples[1], other_lead_times_s=None, other_labels=None,
                                 other_places=None)]
    batch = collate(list(GraspClips(mixed, TIMED, vary_lead_times=True)))
    assert batch.grasps.shape == (2, 12, 6)
    assert batch.mask.sum(dim=1).tolist() == [12, 3] and batch.places[1, 3:].isnan().all()


def test_unless_it_is_asked_for_the_own_lead_time_is_taken(samples):
    clips = GraspClips(samples, TIMED, augment=True)
    assert all((clip.grasps[:, 5] == np.float32(0.7)).all() and clip.labels.tolist() == [
        1, 0, 0] for clip in clips)
    assert GraspClips(samples, TINY)[0].grasps.shape[1] == 5
    assert GraspClips(samples, TINY)[0].gaps is None


def test_lost_frames_leave_their_time_to_the_next(samples):
    stamps = np.cumsum([0, *[90_000_000, 110_000_000] * 9])[:18]
    late = replace(samples[0], stamps_ns=stamps)
    clip = GraspClips([late], TIMED)[0]
    np.testing.assert_allclose(clip.gaps[1:], np.diff(stamps[-16:]) / 1e9, rtol=1e-5)
    assert clip.gaps[0] == 0
    clips = GraspClips([late], TIMED, augment=True, missing=0.8)
    for clips.epoch in range(5):
        gaps, images = clips[0].gaps.numpy(), clips[0].images.float()
        repeated = np.flatnonzero(gaps[1:] < 1e-3) + 1
        # Noise differs from image to image, unless it is the same image; vary() adds none here.
        assert all((images[k] == images[k - 1]).all() for k in repeated)
        assert len(repeated) or clips.epoch
        np.testing.assert_allclose(gaps.sum(), (stamps[-1] - stamps[-16]) / 1e9, atol=2e-3)


def test_a_grasp_under_way_has_the_time_that_is_left(samples):
    first = samples[0]
    stamps = first.times_ns[-1] + np.array([1, 5, 9]) * 100_000_000
    filmed = replace(first, attempt=Attempt(0, True, first.jpegs[:3], stamps))
    config = replace(TIMED, lead_times_s=(0.0, 0.9))
    clips, left = GraspClips([filmed], config, monitor=1.0, vary_lead_times=True), set()
    for clips.epoch in range(12):
        assert clips[0].grasps.shape == (12, 6) and clips[1].grasps.shape == (1, 6)
        left.add(round(clips[1].grasps[0, 5].item(), 3))
    assert left == {0.6, 0.2, 0.0}
    assert measure_lead_times([filmed], watched=True)['lead_times_s'] == (
        0.0, pytest.approx(0.9))


def test_the_mean_of_equal_lead_times_is_one_of_them():
    equal = [replace(scene(0), lead_time_s=0.7)] * 23
    assert np.mean([x.lead_time_s for x in equal]) != 0.7
    assert measure_lead_times(equal) == {'lead_times_s': (0.7, 0.7), 'default_lead_time_s': 0.7}


def test_a_sample_without_a_lead_time_needs_the_option(tmp_path, samples):
    unknown = [scene(0), scene(1), *samples]
    with pytest.raises(DataError, match='scene 0 has no lead time, which a network with time'):
        GraspClips(unknown, TIMED)[0]
    known = with_lead_time(unknown, 0.75)
    assert [one.lead_time_s for one in known[:3]] == [0.75, 0.75, 0.7]
    settings = Settings('timed', {'time_inputs': True})
    with pytest.raises(ConfigError, match='2 of 14 samples have no lead time, .* by moss import '
                                          '--lead-time SECONDS, lead_time: SECONDS in the section '
                                          'training of --config, or an --initial checkpoint'):
        fit(Plan(settings, tmp_path / 'run', tmp_path / 'a.safetensors'), unknown)
    for option, words in (({'motion_weight': 1.0}, "both the object's track and its lead time"),
                          ({'vary_lead_times': True}, 'no sample has any')):
        with pytest.raises(ConfigError, match=words):
            fit(Plan(Settings('a', {}, option), tmp_path / 'run', tmp_path / 'a.safetensors'),
                [scene(n) for n in range(3)])


def test_samples_without_a_lead_time_get_that_of_the_initial_checkpoint_and_the_card_says_so(
        tmp_path, samples, caplog):
    torch.manual_seed(3)
    save_checkpoint(tmp_path / 'initial.safetensors', build(TIMED))
    unknown = [replace(scene(n), groups={'bag': 'one'}) for n in range(12)]
    plan = Plan(Settings('mine', {}, {'epochs': 1}), tmp_path / 'run', tmp_path / 'a.safetensors',
                str(tmp_path / 'initial.safetensors'), deploy=False)
    fit(plan, [*unknown, *samples], report=write_card)
    said = [x.getMessage() for x in caplog.records if 'lead time' in x.getMessage()]
    assert len(said) == 1 and said[0].startswith(
        '12 of 24 samples have no lead time: they get the default of the initial checkpoint, '
        '0.700 s, and the model card says so')
    assert load_checkpoint(tmp_path / 'a.safetensors').config.default_lead_time_s == (
        pytest.approx(0.7))
    assert '12 of 24 samples know none' in (tmp_path / 'a.md').read_text()
    caplog.clear()
    # Settings with a lead time, and samples that know theirs, are not guessed.
    assert select(Settings('a', {'time_inputs': True}, {'lead_time': 0.8}), unknown, (),
                  0.7).samples[0].lead_time_s == 0.8
    assert not select(Settings('a', {'time_inputs': True}), samples, (), 0.7).without_lead_time
    assert 'have no lead time' not in caplog.text


@pytest.mark.parametrize('config', [TIMED, DISPLACED, replace(DISPLACED, map_stride=2), HISTORY],
                         ids=['encoding', 'displacement', 'stride 2', 'history'])
def test_an_epoch_over_lead_times_trains_all_that_depends_on_time(tmp_path, samples, config):
    torch.manual_seed(0)
    network = build(config)
    before = {name: values.clone() for name, values in network.state_dict().items()}
    recipe = Recipe(epochs=1, batch=4, vary_lead_times=True, motion_weight=0.5, full_orders=0.5)
    trainer = Trainer(network, recipe, tmp_path)
    probe = trainer.probes.layers['probe'].weight.clone()
    clips = GraspClips(samples, config, augment=True, vary_lead_times=True, moving=True,
                       missing=0.3)
    trainer.fit(clips, GraspClips(samples[:4], config))
    assert not torch.equal(trainer.probes.layers['probe'].weight, probe)
    changed = [name for name, values in network.state_dict().items()
               if not torch.equal(values, before[name])]
    for part in ('timing.late.weight', 'head.locate.2.weight', 'backbone.stages.0.0.weight',
                 *(['velocities.weigh.0.weight'] if config.displaces else []),
                 *(['history.attend.0.weight', 'head.travel.layers.0.weight']
                   if config.velocity_history else [])):
        assert part in changed
    logits, labels = predict(network, GraspClips(samples, config))
    assert logits.isfinite().all() and len(labels) == 36
    # The checkpoint knows nothing of the auxiliary loss.
    save_checkpoint(tmp_path / 'a.safetensors', network)
    assert load_checkpoint(tmp_path / 'a.safetensors').config == config
    resumed = Trainer(build(config), recipe, tmp_path)
    assert resumed.resume() and torch.equal(resumed.probes.layers['probe'].weight,
                                            trainer.probes.layers['probe'].weight)


def test_without_options_nothing_changes(tmp_path, samples):
    plain = [replace(one, lead_time_s=float('nan'), other_lead_times_s=None, other_labels=None,
                     other_places=None) for one in samples]
    states = []
    for folder, used in (('a', samples), ('b', plain)):
        torch.manual_seed(0)
        trainer = Trainer(build(TINY), Recipe(epochs=1, batch=4), tmp_path / folder)
        trainer.fit(GraspClips(used, TINY, augment=True, empty=2, missing=0.3),
                    GraspClips(used[:3], TINY))
        states.append(trainer.network.state_dict())
    assert all(torch.equal(values, states[1][name]) for name, values in states[0].items())


def test_photometric_changes_fade(samples):
    fading = GraspClips(samples, TINY, augment=True, photometric=1.0, annealing=1.0, epochs=3)
    plain = GraspClips(samples, TINY, augment=True)
    for fading.epoch in range(3):
        plain.epoch = fading.epoch
        same = (fading[0].images == plain[0].images).all()
        assert same == (fading.epoch == 2)


def test_cached_features_keep_lead_times_and_motion(tmp_path, samples):
    torch.manual_seed(0)
    network = build(TIMED)
    network.freeze(2)
    clips = GraspClips(samples, TIMED, augment=True, empty=2, vary_lead_times=True, moving=True)
    cache = FeatureCache(clips, network, tmp_path)
    for cache.epoch in (0, 1):
        for one, other in zip(cache, clips, strict=True):
            for name in ('grasps', 'labels', 'mask', 'places', 'gaps', 'motion'):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert collate(list(cache)).gaps.shape == (12, 16)
    for other in (GraspClips(samples, TIMED, augment=True, empty=2, moving=True),
                  GraspClips(samples, TINY, augment=True, empty=2)):
        with pytest.raises(ConfigError, match='holds features of other samples'):
            FeatureCache(other, network, tmp_path)


@pytest.mark.parametrize('config', [DISPLACED, HISTORY], ids=['displacement', 'history'])
def test_a_network_with_time_starts_from_one_without(tmp_path, config):
    torch.manual_seed(0)
    given, timed = build(TINY), build(config)
    save_checkpoint(tmp_path / 'a.safetensors', given)
    before = timed.head.members.first.weight.clone()
    start_from(timed, tmp_path / 'a.safetensors')
    old, new = given.head.members.first.weight, timed.head.members.first.weight
    assert torch.equal(new[:, :old.shape[1]], old)
    assert torch.equal(new[:, old.shape[1]:], before[:, old.shape[1]:])
    assert torch.equal(timed.lateral.weight, given.lateral.weight)


@pytest.mark.parametrize('missing', ['backbone', 'lateral', 'head'])
def test_a_network_with_time_does_not_start_from_one_that_lacks_layers(missing, monkeypatch):
    other = build(TINY)
    weights = {name: values for name, values in other.state_dict().items()
               if not name.startswith(missing)}
    monkeypatch.setattr(derive, 'load_checkpoint', lambda path: SimpleNamespace(
        config=TINY, state_dict=lambda: weights, sha256=''))
    with pytest.raises(CheckpointError, match=f'has another {missing}: expected {missing}'):
        start_from(build(HISTORY), 'a.safetensors')


@pytest.mark.parametrize('config', [TIMED, DISPLACED, HISTORY],
                         ids=['encoding', 'displacement', 'history'])
def test_clips_with_fewer_grasps_are_filled_up_without_spoiling_a_training(samples, config):
    # What fills up a batch has fingers at no distance.
    fewer = replace(samples[1], candidates=samples[1].candidates[:1],
                    labels=samples[1].labels[:1], mask=None, offsets=None,
                    other_labels=samples[1].other_labels[:, :1])
    batch = collate(list(GraspClips([samples[0], fewer], config, vary_lead_times=True)))
    assert not batch.mask.all()
    torch.manual_seed(0)
    network = build(config).train()
    logits, located = network(batch.images, batch.grasps, None, batch.gaps)
    (label_loss(logits, batch.labels, batch.mask[..., None].expand_as(logits))
     + place_loss(located, batch.places, 4.0)).backward()
    for name, values in network.named_parameters():
        assert values.grad is None or values.grad.isfinite().all(), name


def test_settings_take_a_list_of_lags(tmp_path):
    path = tmp_path / 'a.yaml'
    path.write_text('network: {readout: displacement, moss_window: [5, 7, 7], lags: [1, 2, 4], '
                    'map_stride: 4, time_inputs: true}')
    assert read_settings(path).config().lags == (1, 2, 4)
    path.write_text('network: {lags: [1, 2.5]}')
    with pytest.raises(ConfigError, match=r'network.lags=\[1, 2.5\] .* a list of whole numbers'):
        read_settings(path)
