"""attach and detach: what they refuse, which outputs they take, what survives; on stand-ins."""

from collections import namedtuple, OrderedDict
import copy
import inspect
import io

from moss_perception.core.errors import ConfigError, ShapeError
from moss_perception.moss import attach, detach, MOSS
from moss_perception.moss.layouts import find_layout, LAYOUTS
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import remove_parametrizations

LIGHT = {'orders': (1,), 'window': (2, 3, 3), 'channels': 4, 'projection': 4, 'hidden': 4}


def moss(channels=6, **options):
    torch.manual_seed(3)
    block = MOSS(channels, **{**LIGHT, **options})
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    return block


def cnn():
    """Return a stand-in: a CNN on frames, with a module under two names."""
    torch.manual_seed(0)
    stem, stage = nn.Conv2d(3, 6, 3), nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.ReLU())
    return nn.Sequential(OrderedDict(stem=stem, stage=stage, again=stage)).eval()


def frames(count=4):
    torch.manual_seed(1)
    return torch.randn(count, 3, 8, 9)


Pair = namedtuple('Pair', 'size features')


class Output(OrderedDict):
    """A stand-in for the outputs of transformers: items that are attributes too."""

    def __getattr__(self, name):
        return self[name]


@pytest.mark.parametrize(('wrap', 'key'), [
    (lambda x: (x, 5), 0), (lambda x: [None, x, x], 1), (lambda x: Pair(7, x), 1),
    (lambda x: {'loss': None, 'map': x, 'other': x}, 'map'),
    (lambda x: Output(loss=None, map=x), 'map')])
def test_the_first_tensor_of_an_output_is_replaced_and_the_rest_kept(wrap, key):
    class Host(nn.Module):
        def forward(self, x):
            self.given = wrap(x)
            return self.given

    host, block, clip = Host(), moss(), torch.randn(2, 6, 4, 5, 5)
    output = attach(host, {'': block}, 'NCTHW')(clip)
    assert type(output) is type(host.given) and len(output) == len(host.given)
    torch.testing.assert_close(output[key], block(clip.transpose(1, 2)).transpose(1, 2))
    keys = output if isinstance(output, dict) else range(len(output))
    assert all(output[other] is host.given[other] for other in keys if other != key)
    assert host.given[key] is clip


@pytest.mark.parametrize('output', [(), 3, None, (1, 'a'), {'a': None}])
def test_an_output_without_a_tensor_is_refused(output):
    class Host(nn.Module):
        def forward(self, x):
            return output

    host = attach(nn.Sequential(Host()), {'0': moss()}, 'NCTHW')
    with pytest.raises(ConfigError, match=f"'0': expected a tensor.*{type(output).__name__}"):
        host(torch.randn(1, 6, 2, 3, 3))


def test_arguments_pass_through_to_the_host_and_its_signature_stays():
    class Host(nn.Module):
        def forward(self, x, scale, *, shift=0.0):
            """Scale and shift."""
            return x * scale + shift

    host, clip = attach(Host(), {'': MOSS(6, **LIGHT)}, 'NCTHW'), torch.randn(1, 6, 2, 3, 3)
    assert torch.equal(host(clip, 2.0, shift=1.0), clip * 2 + 1)
    assert list(inspect.signature(host.forward).parameters) == ['x', 'scale', 'shift']
    assert host.forward.__doc__ == 'Scale and shift.'
    assert type(host).__qualname__ == Host.__qualname__


@pytest.mark.parametrize('name', LAYOUTS)
def test_a_clip_goes_to_every_layout_and_back(name):
    torch.manual_seed(0)
    clip = torch.randn(2, 3, 7, 4, 5)
    layout = find_layout(name)
    rows = {'NCTHW': 'nctyx', 'NTHWC': 'ntyxc', '(NT)CHW': 'ntcyx', '(NT)HWC': 'ntyxc',
            '(NT)LC': 'ntyxc', 'N(THW)C': 'ntyxc', 'N(HWT)C': 'nyxtc'}[name.partition('+')[0]]
    shapes = {'NCTHW': (2, 7, 3, 4, 5), 'NTHWC': (2, 3, 4, 5, 7), '(NT)CHW': (6, 7, 4, 5),
              '(NT)HWC': (6, 4, 5, 7), '(NT)LC': (6, 20, 7), 'N(THW)C': (2, 60, 7),
              'N(HWT)C': (2, 60, 7)}
    tensor = torch.einsum(f'ntcyx->{rows}', clip).reshape(shapes[name.partition('+')[0]])
    if layout.extra:
        tensor = torch.cat([torch.randn(tensor.shape[0], 1, 7), tensor], dim=1)
    sizes = layout.sizes(tuple(tensor.shape), 3, (3, 4, 5), None)
    assert torch.equal(layout.to_clip(tensor, sizes), clip)
    changed = layout.from_clip(clip + 1, tensor)
    assert torch.equal(changed[:, :layout.extra], tensor[:, :layout.extra])
    assert torch.equal(changed[:, layout.extra:], tensor[:, layout.extra:] + 1)


@pytest.mark.parametrize(('modules', 'message'), [
    ({'stagee': moss()}, r"no module 'stagee': nearest are 'stage'"),
    ({'stage.7': moss()}, r"no module 'stage.7': nearest are 'stage.1', 'stage.0'"),
    ({'xyz': moss()}, r"no module 'xyz': it has 'stem', 'stage'"),
    ({'stage': nn.Linear(6, 6)}, "'stage': expected a MOSS, got Linear"),
    ({'stage': moss(), 'again': moss()}, 'expected each module once'),
    ({}, 'at least one name with a MOSS, got none')])
def test_names_and_blocks_that_make_no_sense_are_refused(modules, message):
    host = cnn()
    before = list(host.state_dict())
    with pytest.raises(ConfigError, match=message):
        attach(host, {'stem': moss(), **modules} if modules else modules, '(NT)CHW', frames=2)
    assert list(host.state_dict()) == before and type(host.stem) is nn.Conv2d


def test_one_block_in_two_places_is_refused():
    host, block = cnn(), moss()
    with pytest.raises(ConfigError, match=r"given for \['stem', 'stage'\]"):
        attach(host, {'stem': block, 'stage': block}, '(NT)CHW', frames=2)
    attach(host, {'stem': block}, '(NT)CHW', frames=2)
    with pytest.raises(ConfigError, match=r"given for \['stage', 'stem.moss'\]"):
        attach(host, {'stage': block}, '(NT)CHW', frames=2)
    with pytest.raises(ConfigError, match="'stem' has a MOSS already: detach it first"):
        attach(host, {'stem': moss()}, '(NT)CHW', frames=2)


def test_modules_that_a_block_would_be_lost_in_are_refused():
    host = nn.Module()
    host.blocks = nn.ModuleList([nn.Conv2d(6, 6, 1)])
    host.own = nn.Linear(6, 6)
    host.own.moss = nn.Identity()
    host.patched = nn.Linear(6, 6)
    host.patched.forward = lambda x: x
    host.scripted = torch.jit.script(nn.Linear(6, 6))
    for name, message in (('blocks', 'ModuleList, a container that is not called itself'),
                          ('own', "has an attribute 'moss' of its own"),
                          ('patched', 'a forward put over'), ('scripted', 'in eager mode')):
        with pytest.raises(ConfigError, match=message):
            attach(host, {name: moss()}, 'NCTHW')


@pytest.mark.parametrize(('layout', 'sizes', 'message'), [
    ('NTCHW', {}, "layout='NTCHW' is not known: expected one of NCTHW, NTHWC, "),
    ('NCTHW+cls', {}, 'is not known'), ('(NT)LC+', {}, 'is not known'),
    ('(NT)LC+0', {}, 'is not known'), (None, {}, 'is not known'),
    ({'other': 'NCTHW'}, {}, r"layout has no entry for 'stem': it has \['other'\]"),
    ('(NT)CHW', {}, 'needs frames=T'), ('N(THW)C', {'frames': 3}, r'needs grid=\(T, H, W\)'),
    ('(NT)CHW', {'frames': 0}, 'frames must be a whole number above 0, got 0'),
    ('(NT)LC', {'grid': (2, 3)}, r'grid must be three whole numbers.*got \(2, 3\)'),
    ('(NT)LC', {'grid': (2, 3, 0)}, r'got \(2, 3, 0\)'),
    ('(NT)LC', {'grid': (2, 3, 3), 'frames': 4}, r'frames=4 and grid=\(2, 3, 3\) differ')])
def test_layouts_and_sizes_that_make_no_sense_are_refused(layout, sizes, message):
    with pytest.raises(ConfigError, match=message):
        attach(cnn(), {'stem': moss()}, layout, **sizes)


@pytest.mark.parametrize(('layout', 'sizes', 'shape', 'message'), [
    ('(NT)CHW', {'frames': 3}, (4, 6, 5, 5), r"'0': expected whole clips of 3 rows.*got 4"),
    ('(NT)CHW', {'frames': 2}, (4, 7, 5, 5), r'expected 6 channels.*got 7 on axis 1 of \(4, 7'),
    ('(NT)CHW', {'frames': 2}, (4, 6, 5), r'expects 4 axes, got \(4, 6, 5\)'),
    ('(NT)LC', {'frames': 2}, (4, 12, 6), r'square number, or grid=\(T, H, W\), got 12 tokens'),
    ('(NT)LC+cls', {'frames': 2}, (4, 9, 6), 'got 8 tokens of the map besides the 1 extra'),
    ('(NT)LC', {'grid': (2, 3, 4)}, (4, 16, 6), r'H x W = 3 x 4 = 12 from grid.*got 16'),
    ('N(THW)C', {'grid': (2, 3, 4)}, (1, 25, 6), r'2 x 3 x 4 = 24 tokens.*got 25'),
    ('NTHWC', {}, (1, 2, 3, 4, 5), r'expected 6 channels.*got 5 on axis 4')])
def test_features_that_do_not_fit_are_refused_with_both_sizes(layout, sizes, shape, message):
    host = attach(nn.Sequential(nn.Identity()), {'0': moss()}, layout, **sizes)
    with pytest.raises(ShapeError, match=message):
        host(torch.randn(shape))


def test_mixed_dtypes_and_devices_are_refused():
    host = attach(nn.Sequential(nn.Identity()), {'0': moss()}, 'NCTHW')
    with pytest.raises(ConfigError, match='dtype torch.float32, got torch.float64'):
        host(torch.randn(1, 6, 2, 3, 3, dtype=torch.float64))
    with pytest.raises(ConfigError, match='device cpu, got meta'):
        host(torch.randn(1, 6, 2, 3, 3, device='meta'))


def test_dtype_and_mode_follow_the_host():
    host = attach(cnn(), {'stage': moss()}, '(NT)CHW', frames=2)
    assert not host.stage.moss.training
    host.train()
    assert host.stage.moss.training
    assert host.to(torch.float64)(frames().double()).dtype == torch.float64
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        assert host.float()(frames()).dtype == torch.bfloat16


def test_layout_and_sizes_may_differ_by_name():
    host = nn.Sequential(OrderedDict(a=nn.Identity(), b=nn.Flatten(2), c=nn.Identity()))
    blocks = {'a': moss(6), 'c': moss(20)}
    attach(host, blocks, {'a': '(NT)CHW', 'c': '(NT)LC'}, frames={'a': 2, 'c': 3},
           grid={'c': (3, 2, 3)})
    torch.manual_seed(0)
    features = torch.randn(6, 6, 4, 5)
    expected = blocks['a'](features.unflatten(0, (3, 2))).flatten(0, 1).flatten(2)
    tokens = expected.view(2, 3, 2, 3, 20).movedim(-1, 2)
    expected = blocks['c'](tokens).movedim(2, -1).reshape(6, 6, 20)
    torch.testing.assert_close(host(features), expected)


def test_a_block_after_a_sequence_is_no_part_of_it():
    host = cnn()
    plain = copy.deepcopy(host)
    block = moss()
    attach(host, {'stage': block}, '(NT)CHW', frames=2)
    stage = host.stage
    assert len(stage) == 2 and [*stage] == [stage[0], stage[1]] and stage[-1] is stage[1]
    assert [type(part) for part in stage[:5]] == [nn.Conv2d, nn.ReLU]
    inside = plain.stem(frames())
    expected = block(plain.stage(inside).unflatten(0, (2, 2))).flatten(0, 1)
    torch.testing.assert_close(stage(host.stem(frames())), expected)


def test_memory_format_and_gradients_are_the_hosts():
    host = attach(nn.Sequential(nn.Identity()), {'0': moss()}, '(NT)CHW', frames=2)
    features = torch.randn(4, 6, 5, 7).to(memory_format=torch.channels_last).requires_grad_()
    output = host(features)
    assert output.stride() == features.stride()
    output.square().sum().backward()
    assert host[0].moss.out.weight.grad.abs().sum() > 0 and features.grad is not None


def test_a_whole_host_can_be_pickled_and_copied():
    host = attach(cnn(), {'stem': moss(), 'stage': moss()}, '(NT)CHW', frames=2)
    output = host(frames())
    file = io.BytesIO()
    torch.save(host, file)
    file.seek(0)
    for other in (torch.load(file, weights_only=False), copy.deepcopy(host)):
        assert torch.equal(other(frames()), output)
        assert type(other.stage) is type(host.stage)
        assert other.stage.moss is not host.stage.moss
        detach(other)
        assert not torch.allclose(other(frames()), output)
    assert torch.equal(host(frames()), output)


def test_detach_takes_the_named_ones_and_gives_them_back():
    host, blocks = cnn(), {'stem': moss(), 'stage': moss()}
    plain = host(frames())
    attach(host, blocks, '(NT)CHW', frames=2)
    both = host(frames())
    with pytest.raises(ConfigError, match=r"attached to 'stage.0': expected one of \['stem', "):
        detach(host, ['stem', 'stage.0'])
    with pytest.raises(ConfigError, match="no module 'stemm': nearest are 'stem'"):
        detach(host, ['stemm'])
    assert detach(host, ['stem']) == {'stem': blocks['stem']}
    assert detach(host, ['again']) == {'again': blocks['stage']}
    assert detach(host) == {} and torch.equal(host(frames()), plain)
    assert not torch.allclose(both, plain)
    assert torch.equal(attach(host, blocks, '(NT)CHW', frames=2)(frames()), both)


def test_a_class_that_was_changed_after_is_changed_back_first():
    host = attach(cnn(), {'stem': moss()}, '(NT)CHW', frames=2)
    output = host(frames())
    weight_norm(host.stem)
    torch.testing.assert_close(host(frames()), output)
    with pytest.raises(ConfigError, match="'stem' was changed since.* to ParametrizedConv2d"):
        detach(host)
    remove_parametrizations(host.stem, 'weight')
    detach(host)
    assert type(host.stem) is nn.Conv2d and not torch.allclose(host(frames()), output)


def test_mixed_dtypes_are_told_where_there_is_no_autocast():
    host = attach(nn.Sequential(nn.Identity()), {'0': MOSS(6)}, 'NCTHW').to('meta')
    with pytest.raises(ConfigError, match='dtype torch.float32, got torch.float16'):
        host(torch.zeros(1, 6, 2, 4, 4, dtype=torch.float16, device='meta'))
