"""The study's variants as readers of clips: all frames reach the answers, from equal starts."""

from moss_perception.core.errors import ConfigError
from moss_perception.models.checkpoint import save_checkpoint
from moss_perception.models.manifest import read_header
import pytest
import torch

pytest.importorskip('scipy')
from study.video.goals import GOAL_VARIANT
from study.video.models import (
    BACKBONE,
    ClipClassifier,
    ClipReader,
    COMPARED,
    FINE_BACKBONE,
    INITIAL,
    initial_of,
    parameters_of,
)


@pytest.mark.parametrize('variant', COMPARED)
def test_every_frame_reaches_the_answer_of_every_variant(variant):
    torch.manual_seed(0)
    reader = ClipReader(variant).eval()
    images = torch.randint(0, 255, (64, 64, 3), dtype=torch.uint8).expand(17, 16, -1, -1, -1)
    images = images.clone()
    for frame in range(16):  # a frame of each clip but the last is another one
        images[frame, frame] = torch.randint(0, 255, (64, 64, 3))
    with torch.no_grad():
        _, context = reader.maps(images)
        _, maps = reader.frame_maps(images)
    changed = (context[:-1] - context[-1]).abs().amax((1, 2, 3))
    assert context.shape[1] == 32 and (changed > 1e-4).all()
    # What moves between the first two frames counts too, where there is a layer over time.
    assert maps.shape[1] == 16
    assert torch.equal(maps[0, 1], maps[-1, 1]) == (variant in (BACKBONE, FINE_BACKBONE))


@pytest.mark.parametrize('variant', [BACKBONE, FINE_BACKBONE, 'moss_1', 'moss_12', 'moss_123',
                                     'displacement_12', 'displacement_123', 'both_12'])
def test_what_each_frame_looks_like_reaches_moss_as_it_reaches_the_backbone_alone(variant):
    torch.manual_seed(0)
    reader = ClipReader(variant).eval()
    for share in getattr(reader.network, 'shares', ()):
        torch.nn.init.zeros_(share.weight)  # what MOSS adds to the map of a frame
    images = torch.randint(0, 255, (1, 16, 64, 64, 3), dtype=torch.uint8).repeat(17, 1, 1, 1, 1)
    for frame in range(16):
        images[frame, frame] = torch.randint(0, 255, (64, 64, 3))
    with torch.no_grad():
        _, maps = reader.frame_maps(images)
    changed = (maps[:-1] - maps[-1]).abs().amax((2, 3, 4)) > 1e-4
    assert torch.equal(changed, torch.eye(16, dtype=torch.bool))


@pytest.mark.parametrize('variant', ['moss_12', 'displacement_123', 'both_12'])
def test_the_maps_of_moss_are_those_that_its_grasp_network_reads(variant, monkeypatch):
    torch.manual_seed(0)
    reader = ClipReader(variant).eval()
    images = torch.randint(0, 255, (1, 16, 64, 64, 3), dtype=torch.uint8)
    taps = []
    monkeypatch.setattr(reader.network, 'score', lambda fine, recent, *_: taps.extend(recent))
    with torch.no_grad():
        reader.network(images, torch.zeros(1, 1, 5))
        _, maps = reader.frame_maps(images)
    config = reader.network.config
    places = [16 - config.head_receptive_field + tap for tap in config.temporal_taps]
    assert len(taps) == len(places) >= 2
    for place, tap in zip(places, taps, strict=True):
        torch.testing.assert_close(maps[:, place].flatten(0, -2), tap)


@pytest.mark.parametrize('variant', [BACKBONE, GOAL_VARIANT])
def test_images_are_normalised_as_those_that_the_backbone_was_trained_with(variant):
    config, _ = read_header(INITIAL)
    network = ClipReader(variant).network
    assert network.config.mean == config.mean and network.config.std == config.std
    torch.testing.assert_close(network.std.flatten(), torch.tensor(config.std))


def test_each_variant_may_start_from_its_own_weights(tmp_path):
    torch.manual_seed(1)
    own = ClipReader(GOAL_VARIANT, '').network
    for path in (tmp_path / f'{GOAL_VARIANT}_seed_0/{GOAL_VARIANT}.safetensors',
                 tmp_path / f'{BACKBONE}.safetensors'):
        path.parent.mkdir(exist_ok=True)
        save_checkpoint(path, own, {})
        assert initial_of(tmp_path, path.stem) == str(path)
    begun = ClipReader(GOAL_VARIANT, initial_of(tmp_path, GOAL_VARIANT)).network
    assert all(torch.equal(one, begun.state_dict()[name])
               for name, one in own.state_dict().items())
    assert initial_of(INITIAL, 'flow') == str(INITIAL) and initial_of('', 'flow') == ''
    with pytest.raises(ConfigError, match='has no checkpoint of flow: expected flow.safetensors'):
        initial_of(tmp_path, 'flow')


@pytest.mark.parametrize('variant', COMPARED)
def test_every_variant_answers_and_learns_from_clips(variant):
    torch.manual_seed(0)
    model = ClipClassifier(variant, 3)
    images = torch.randint(0, 255, (2, 16, 64, 64, 3), dtype=torch.uint8)
    logits = model(images)
    assert logits.shape == (2, 3)
    logits.square().sum().backward()
    # All that are counted are trained, and no others.
    trained = [one for one in model.parameters() if one.grad is not None]
    assert {id(one) for one in trained} == {
        id(one) for one in model.parameters() if one.requires_grad}
    head = [*model.normal.parameters(), *model.answer.parameters()]
    assert sum(one.numel() for one in trained) == parameters_of(variant) + sum(
        one.numel() for one in head)
    layers = {name.split('.')[1] for name, one in model.named_parameters() if one.grad is not None}
    assert 'backbone' in layers and ('temporal' in layers or 'moss' in layers)


def test_a_variant_that_does_not_exist_or_needs_times_is_refused():
    with pytest.raises(ConfigError, match="'nothing' is no variant: expected one of"):
        ClipClassifier('nothing', 2)
    with pytest.raises(ConfigError, match='needs the times of the frames'):
        ClipClassifier('displacement_12_time', 2)
