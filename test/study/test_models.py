"""Model variants as clips: what each may see, and that they share backbone and head."""

from moss_perception.core.errors import ConfigError
from moss_perception.models.base import build, model_types
from moss_perception.models.checkpoint import load_checkpoint, save_checkpoint
from moss_perception.models.export import export_graphs
from moss_perception.models.layers.motion import clip_flow
from moss_perception.models.layers.temporal import ClipNetwork
from moss_perception.models.manifest import read_checkpoint
from moss_perception.models.moss_grasp import MossGraspConfig
from moss_perception.runtime.torch_engine import TorchEngine
import numpy as np
import pytest
from tiny import as_model
import torch

import study.models  # noqa: F401, registers the variants

TINY = MossGraspConfig(image_size=32, channels=(8, 8, 8), moss_window=(3, 3, 3), moss_channels=4,
                       projection_channels=4, head_channels=8, ensemble=2)
VARIANTS = ['last', 'pool', 'tsm', 'recurrent', 'flow', 'moss', 'moss_flow']


def config(variant, **changes):
    if not variant.startswith('moss') or variant == 'moss_flow':
        changes = {'temporal_channels': 8, **changes}
    return as_model(TINY, f'{variant}_grasp', **changes)


def network(variant, **changes):
    torch.manual_seed(0)
    made = build(config(variant, **changes)).eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if 'contrast' not in name:
                parameter.copy_(torch.randn(parameter.shape) / max(
                    1, parameter[0].numel() if parameter.dim() > 1 else 4) ** 0.5)
    return made


def clip(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (2, 16, 32, 32, 3), generator=generator, dtype=torch.uint8)


GRASPS = torch.tensor([[0.1, 0.2, 0.6, 0.2, 0.1], [-0.4, 0.3, 0.5, 0.0, 0.3]]).repeat(2, 1, 1)


@torch.no_grad()
def scores(made, images, used=None):
    return made(images, GRASPS, used)[0]


@pytest.mark.parametrize('temporal', VARIANTS)
@pytest.mark.parametrize('stride', [8, 4])
def test_a_variant_scores_every_grasp_and_learns(temporal, stride):
    made = network(temporal, map_stride=stride)
    logits, located = made(clip(), GRASPS)
    assert logits.shape == (2, 2, 2) and located.shape == (2, 2, 4)
    (logits.sum() + located.sum()).backward()
    # The block's own way back into a host is not used by the head.
    silent = [name for name, p in made.named_parameters()
              if (p.grad is None or not p.grad.abs().sum()) and 'moss.out.' not in name]
    assert not silent


@pytest.mark.parametrize('temporal', VARIANTS)
def test_only_the_last_frame_is_blind_to_the_past(temporal):
    made, images = network(temporal), clip()
    other = images.clone()
    other[:, 6:9] = clip(1)[:, 6:9]
    same = torch.equal(scores(made, images), scores(made, other))
    assert same == (temporal == 'last')


@pytest.mark.parametrize('temporal', VARIANTS)
def test_the_order_of_frames_matters_to_all_but_pooling(temporal):
    made, images = network(temporal), clip()
    turned = torch.cat([images[:, :-1].flip(1), images[:, -1:]], dim=1)
    gap = (scores(made, images) - scores(made, turned)).abs().max()
    # Sums in another order differ by rounding, about 1e-7 of logits this small.
    assert (gap < 1e-6) == (temporal in ('last', 'pool'))


@torch.no_grad()
def test_moss_on_flow_compares_the_flow_alone():
    temporal = network('moss_flow').temporal
    features = torch.randn(2, 2, 16, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    flows = [temporal.observed(clip(n), None) for n in range(2)]
    one, other = (temporal.maps(x, flows[0]) for x in features)
    assert not torch.equal(one, other)
    temporal.look.weight.zero_()
    one, other = (temporal.maps(x, flows[0]) for x in features)
    assert torch.equal(one, other)
    assert not torch.equal(one, temporal.maps(features[0], flows[1]))


@torch.no_grad()
def test_the_shift_takes_an_eighth_from_the_frame_before():
    made = network('tsm')
    x = torch.arange(1.0, 4.0).view(1, 3, 1, 1, 1).expand(1, 3, 8, 4, 4)
    found = made.temporal.mixed(x)[0, :, :, 0, 0]
    assert found[:, :1].tolist() == [[0], [1], [2]]
    assert torch.equal(found[:, 1:], x[0, :, 1:, 0, 0])


def test_flow_points_where_the_picture_goes():
    generator = np.random.default_rng(0)
    picture = np.repeat(np.repeat(generator.integers(0, 256, (24, 24, 3)), 4, 0), 4, 1)
    frames = np.stack([picture[10:74, 20 - 2 * n:84 - 2 * n] for n in range(3)])
    flow = clip_flow(torch.from_numpy(frames.astype(np.uint8))[None])
    assert flow.shape == (1, 3, 2, 64, 64) and not flow[0, 0].any()
    # Two pixels to the right, of a unit of four; the border has nothing to match.
    middle = flow[0, 1:, :, 16:48, 16:48].median(-1)[0].median(-1)[0]
    np.testing.assert_allclose(middle, [[0.5, 0], [0.5, 0]], atol=0.1)


def test_a_checkpoint_of_a_variant_loads_and_cannot_be_stepped(tmp_path):
    made = network('last')
    save_checkpoint(tmp_path / 'last.safetensors', made)
    loaded = load_checkpoint(tmp_path / 'last.safetensors')
    assert isinstance(loaded, ClipNetwork)
    assert torch.equal(scores(loaded, clip()), scores(made, clip()))
    with pytest.raises(ConfigError, match="'last_grasp' sees whole clips only and cannot run on"):
        TorchEngine.of(read_checkpoint(tmp_path / 'last.safetensors'))
    with pytest.raises(ConfigError, match="'last_grasp' is not exported: expected the engine"):
        export_graphs(tmp_path / 'last.safetensors')


def test_the_study_adds_its_variants_to_the_models():
    assert {f'{name}_grasp' for name in (*VARIANTS, 'moss')} <= set(model_types())


def test_the_shipped_kind_keeps_its_weights_names():
    names = {name.split('.')[0] for name in network('moss').state_dict()}
    assert names == {'backbone', 'moss', 'look', 'shares', 'over_time', 'lateral', 'smooth',
                     'head'}


@pytest.mark.parametrize(('variant', 'changes', 'message'), [
    ('tsm', {'map_stride': 2}, 'map_stride=2 is not allowed: expected 4 or 8'),
    ('tsm', {'temporal_channels': 4}, 'temporal_channels=4 is not allowed: expected 8 or more'),
    ('recurrent', {'temporal_channels': 4}, 'temporal_channels=4 is not allowed'),
    ('flow', {'stacked_flows': 16}, 'stacked_flows=16 is not allowed: expected 1 to'),
    ('tsm', {'tap_frames': 0}, 'tap_frames=0 is not allowed: expected 1 or more')])
def test_a_wrong_choice_is_refused(variant, changes, message):
    with pytest.raises(ConfigError, match=message):
        config(variant, **changes)
