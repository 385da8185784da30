"""MOSS in genuine hosts: nothing changes at insertion, the axes are right, streams equal clips."""

import copy
import importlib.util
from pathlib import Path
import sys

from moss_perception.core.errors import ShapeError
from moss_perception.moss import attach, detach, MOSS, streaming
from moss_perception.moss.layouts import LAYOUTS
import pytest
import torch

# Tests run without sys.path entries of their own (importmode=importlib).
_spec = importlib.util.spec_from_file_location('hosts', Path(__file__).with_name('hosts.py'))
hosts = sys.modules['hosts'] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(hosts)

HOSTS = hosts.HOSTS
every_host = pytest.mark.parametrize('host', HOSTS, ids=[host.name for host in HOSTS])


def attached(host, random=True, model=None):
    return attach(model or host.model(), {host.at: host.moss(random)}, host.layout,
                  **host.sizes())


def named(name):
    return next(host for host in HOSTS if host.name == name)


def importable(host) -> bool:
    try:
        host.model()
    except pytest.skip.Exception:
        return False
    return True


def test_four_genuine_hosts_at_least_are_installed():
    found = [host.name for host in HOSTS if importable(host)]
    assert len(found) >= 4, f'only {found}: install scripts/requirements/test.txt'


def test_every_layout_has_a_genuine_host():
    assert set(LAYOUTS) <= {host.layout for host in HOSTS if importable(host)}


@every_host
@torch.no_grad()
def test_insertion_changes_no_bit_of_the_output_and_only_adds_keys(host):
    model, clip = host.model(), host.clip()
    before, keys = host(model, clip), list(model.state_dict())
    kind, text = type(model.get_submodule(host.at)), repr(model)
    assert attached(host, random=False, model=model) is model
    assert torch.equal(host(model, clip), before)
    added = [key for key in model.state_dict() if key not in keys]
    assert [key for key in model.state_dict() if key in keys] == keys
    assert added and all(key.startswith(f'{host.at}.moss.') for key in added)
    module = model.get_submodule(host.at)
    assert isinstance(module, kind) and not module._forward_hooks and not module._forward_pre_hooks
    hosts.randomise(module.moss)
    assert not torch.equal(host(model, clip), before)
    assert list(detach(model)) == [host.at]
    assert torch.equal(host(model, clip), before)
    assert type(module) is kind and list(model.state_dict()) == keys and repr(model) == text


class Tap(MOSS):
    """Keeps the clip that it was given."""

    def forward(self, features):
        self.seen = features
        return super().forward(features)


@torch.no_grad()
def find_change(host, layout, place):
    """Change the input behind one position; return where the clip that MOSS gets changed most."""
    model, tap = host.model(), Tap(host.channels, (1,), (1, 1, 1), channels=4, projection=4)
    attach(model, {host.at: tap}, layout, **host.sizes())
    clip = host.clip()
    host(model, clip)
    before = tap.seen
    n, *corner = place
    t, y, x = (slice(p * size, (p + 1) * size)
               for p, size in zip(corner, host.patch, strict=True))
    clip[n, t, :, y, x] += 3.0
    host(model, clip)
    assert tap.seen.shape == (2, host.grid[0], host.channels, *host.grid[1:])
    change = (tap.seen - before).square().sum(dim=2)
    return tuple(int(i) for i in torch.unravel_index(change.argmax(), change.shape))


@every_host
@pytest.mark.parametrize('place', [(1, 3, 0, 2), (0, 1, 2, 1)])
def test_the_clip_is_in_the_order_of_the_hosts_input(host, place):
    found = find_change(host, host.layout, place)
    assert ([i for i, axis in zip(found, 'NTHW', strict=True) if axis in host.sure]
            == [i for i, axis in zip(place, 'NTHW', strict=True) if axis in host.sure])


def test_the_order_of_tokens_matters():
    host = named('transformers TimeSformer')
    assert find_change(host, 'N(THW)C+cls', (1, 3, 0, 2)) != (1, 3, 0, 2)


@every_host
@torch.no_grad()
def test_copies_and_saved_weights_give_the_same_output(host):
    model, clip = attached(host), host.clip()
    output = host(model, clip)
    assert torch.equal(host(copy.deepcopy(model), clip), output)
    second = attached(host, random=False)
    assert not torch.equal(host(second, clip), output)
    second.load_state_dict(model.state_dict())
    assert torch.equal(host(second, clip), output)


def frames_of(host, model, clip):
    """Return the host's output for a clip, shape (N, T, …)."""
    output = host(model, clip)
    return output.transpose(1, 2) if host.feed == 'NCTHW' else output.unflatten(0, clip.shape[:2])


@pytest.mark.parametrize('host', [host for host in HOSTS if host.frame_wise],
                         ids=[host.name for host in HOSTS if host.frame_wise])
@torch.no_grad()
def test_a_stream_equals_the_clip(host):
    model, clip = attached(host), host.clip()
    whole = frames_of(host, model, clip)
    for chunks in ([1, 1, 1, 1], [1, 2, 1], [4]):
        with streaming(model, batch=2):
            parts = [frames_of(host, model, part) for part in clip.split(chunks, dim=1)]
        # Batches of another size are multiplied in another order.
        torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-5, atol=1e-5)
    with streaming(model, batch=8):
        alone = frames_of(host, model, clip.flatten(0, 1)[:, None]).view_as(whole)
    assert not torch.allclose(alone, whole, atol=1e-3), 'the frames before change nothing'


@pytest.mark.parametrize('name', ['transformers ViT', 'transformers VideoMAE', 'timm ResNet'])
@torch.no_grad()
def test_a_host_that_exports_still_exports(name):
    host = named(name)
    model = attached(host)
    clip = host.clip(batch=1)
    example = clip.flatten(0, 1) if host.feed == '(NT)CHW' else clip
    exported = torch.export.export(model, (example,)).module()
    torch.testing.assert_close(host(exported, clip), host(model, clip), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_dynamo_traces_an_attached_host_without_a_break():
    host = named('timm ResNet')
    model, clip = attached(host), host.clip()
    traced = torch.compile(model, backend='eager', fullgraph=True)
    torch.testing.assert_close(host(traced, clip), host(model, clip), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('name', ['transformers ViT', 'transformers ResNet'])
@pytest.mark.parametrize('readout', ['displacement', 'both'])
@torch.no_grad()
def test_displacements_are_read_in_a_genuine_host(name, readout):
    host = named(name)
    block = hosts.randomise(MOSS(
        host.channels, (1, 2), (3, 3, 3), channels=8, projection=8, hidden=4, learning='mlp',
        readout=readout, patch=3))
    model, clip = host.model(), host.clip()
    before = host(model, clip)
    attach(model, {host.at: block}, host.layout, **host.sizes())
    whole = frames_of(host, model, clip)
    assert not torch.allclose(whole, before.unflatten(0, clip.shape[:2]), atol=1e-3)
    with streaming(model, batch=2):
        parts = [frames_of(host, model, part) for part in clip.split(1, dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-5, atol=1e-5)
    detach(model)
    torch.testing.assert_close(host(model, clip), before)


def test_gradient_checkpoints_of_the_host_give_the_same_gradients():
    host = named('transformers ViT')
    gradients = []
    for checkpoints in (False, True):
        model = attached(host)
        if checkpoints:
            model.gradient_checkpointing_enable()
            model.train()
        host(model, host.clip()).square().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.layers[0].parameters()]))
    assert gradients[0].abs().sum() > 0
    torch.testing.assert_close(gradients[1], gradients[0])


def test_a_wrong_number_of_channels_names_both():
    host = named('transformers ViT')
    model = attach(host.model(), {host.at: MOSS(48)}, host.layout, **host.sizes())
    with pytest.raises(ShapeError, match=r"'layers.0': expected 48 channels.*MOSS\(48\), got 24"):
        host(model, host.clip())


@torch.no_grad()
def test_a_single_block_of_a_video_swin_streams():
    """Windows of one frame make the block work frame by frame; it is the host itself here."""
    host = named('monai Swin')
    block = host.model().layers1[0].blocks[0]
    block.window_size = (1, 2, 2)
    torch.manual_seed(0)
    clip = torch.randn(2, 4, 6, 10, 12)
    # The bias table belongs to windows of two frames; positions of one frame are a part of it.
    attach(block, {'': host.moss()}, 'NTHWC')
    whole = block(clip, None)
    with streaming(block, batch=2):
        parts = [block(part, None) for part in clip.split(1, dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-5, atol=1e-5)
