"""The block leaves Python: torch.export, torch.compile, and ONNX with the state in and out."""

from pathlib import Path
import shutil
import sysconfig

from moss_perception.moss import MOSS
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

KINDS = ('conv', 'shared', 'depthwise', 'mlp')
EXACT = {'rtol': 1e-5, 'atol': 1e-5}
# No other test uses this size, so what is cached for it is first made while a graph is traced.
SIZE = (6, 11)


class Step(nn.Module):
    """What is exported: one frame and the state in, the features and the state out."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, x, state):
        return self.block.step(x, state)


class Steps(nn.Module):
    """A step of several blocks in one graph, since each export takes seconds."""

    def __init__(self, blocks):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x, states):
        pairs = [block.step(x, state) for block, state in zip(self.blocks, states, strict=True)]
        return tuple(y for y, _ in pairs), tuple(state for _, state in pairs)


def small(randomise, learning='conv', orders=(1, 2), **options):
    return randomise(MOSS(6, orders, (3, 3, 5), channels=8, projection=4, hidden=4,
                          learning=learning, **options))


def has_compiler():
    found = any(shutil.which(name) for name in ('g++', 'clang++', 'c++'))
    return found and (Path(sysconfig.get_path('include')) / 'Python.h').exists()


@pytest.fixture
def clip():
    return torch.randn(2, 7, 6, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('causal', [True, False])
def test_an_exported_clip_equals_the_block_for_any_batch(causal, randomise, clip):
    block = small(randomise, causal=causal)
    batch = torch.export.Dim('batch', min=1, max=64)
    exported = torch.export.export(block, (clip,), dynamic_shapes=({0: batch},)).module()
    with torch.no_grad():
        for given in clip, clip[:1], torch.cat([clip, clip.flip(1)])[:3]:
            torch.testing.assert_close(exported(given), block(given), **EXACT)


@pytest.mark.parametrize('learning', KINDS)
def test_an_exported_step_equals_the_clip_for_any_batch(learning, randomise, clip):
    block = small(randomise, learning)
    batch = torch.export.Dim('batch', min=1, max=64)
    state = block.initial_state(2, *SIZE)
    shapes = ({0: batch}, tuple({0: batch} for _ in state))
    exported = torch.export.export(Step(block), (clip[:, 0], state),
                                   dynamic_shapes=shapes).module()
    with torch.no_grad():
        for given in clip, clip[:1], torch.cat([clip, clip.flip(1)])[:3]:
            state = block.initial_state(len(given), *SIZE)
            for t in range(given.shape[1]):
                y, state = exported(given[:, t], state)
            torch.testing.assert_close(y, block(given)[:, -1], **EXACT)


def test_an_export_without_gradients_is_the_same(randomise, clip):
    block = small(randomise)
    with torch.no_grad():
        exported = torch.export.export(block, (clip,)).module()
        torch.testing.assert_close(exported(clip), block(clip), **EXACT)


def test_shapes_can_be_worked_out_without_numbers():
    with FakeTensorMode():
        block = MOSS(6, (1, 2), (3, 3, 5))
        assert block(torch.zeros(2, 4, 6, 7, 13)).shape == (2, 4, 6, 7, 13)
        y, state = block.step(torch.zeros(2, 6, 7, 13), block.initial_state(2, 7, 13))
        assert y.shape == (2, 6, 7, 13) and len(state) == 2


def test_the_graph_is_whole_and_has_the_same_gradient_on_large_maps(
        randomise, assert_compiles_whole):
    torch.manual_seed(1)
    block = small(randomise, 'mlp', orders=(1,)).double()
    clip = torch.randn(2, 3, 6, 64, 48, dtype=torch.float64)
    assert_compiles_whole(block, clip)


@pytest.fixture
def frugal_compiler(tmp_path, monkeypatch):
    """Compile few and small files, in this process: the cores may be busy."""
    inductor = pytest.importorskip('torch._inductor.config')
    monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', str(tmp_path))
    with inductor.patch({'compile_threads': 1, 'cpp_cache_precompile_headers': False,
                         'cpp.vec_isa_ok': False}):
        yield


@pytest.mark.skipif(not has_compiler(), reason='torch.compile needs a C++ compiler and Python.h')
def test_a_compiled_step_equals_the_clip(frugal_compiler, randomise, clip):
    block = small(randomise, 'mlp', orders=(1,))
    step = torch.compile(block.step, fullgraph=True)
    with torch.no_grad():
        # The first frame's state has other strides, and would be compiled for itself.
        _, state = block.step(clip[:, 0], block.initial_state(2, *SIZE))
        for t in range(1, clip.shape[1]):
            y, state = step(clip[:, t], state)
        torch.testing.assert_close(y, block(clip)[:, -1], **EXACT)


@pytest.fixture(scope='module')
def onnx_steps(randomise, tmp_path_factory):
    """Export a step of each kind, in one graph, and return it with its blocks."""
    runtime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    blocks = [small(randomise, kind, orders=(1, 2) if kind == 'conv' else (1,)) for kind in KINDS]
    states = tuple(block.initial_state(1, *SIZE) for block in blocks)
    path = tmp_path_factory.mktemp('onnx') / 'step.onnx'
    program = torch.onnx.export(Steps(blocks).eval(), (torch.zeros(1, 6, *SIZE), states),
                                dynamo=True, verbose=False)
    program.save(path)
    return blocks, runtime.InferenceSession(path, providers=['CPUExecutionProvider'])


def test_steps_by_onnx_runtime_equal_the_clip(onnx_steps, clip):
    blocks, session = onnx_steps
    names = [value.name for value in session.get_inputs()]
    state = [cache.numpy() for block in blocks for cache in block.initial_state(1, *SIZE)]
    outputs = []
    for frame in clip[:1].unbind(1):
        given = dict(zip(names, [frame.numpy(), *state], strict=True))
        found = session.run(None, given)
        outputs.append([torch.from_numpy(y) for y in found[:len(blocks)]])
        state = found[len(blocks):]
    for n, block in enumerate(blocks):
        with torch.no_grad():
            expected = block(clip[:1])
        found = torch.stack([step[n] for step in outputs], dim=1)
        # ONNX Runtime orders and fuses sums in its own way.
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4, msg=lambda text, n=n:
                                   f'{KINDS[n]}: {text}')


def test_the_exported_state_keeps_its_shapes(onnx_steps):
    blocks, session = onnx_steps
    shapes = [list(cache.shape) for block in blocks
              for cache in block.initial_state(1, *SIZE)]
    assert [value.shape for value in session.get_inputs()[1:]] == shapes
    assert [value.shape for value in session.get_outputs()[len(blocks):]] == shapes


class StepApart(torch.nn.Module):
    """Takes a block's maps one by one, and gives the newest of each order."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, frame, state):
        y, state = self.block.step(frame, state)
        return y, *(maps[-1] for maps in state)


@pytest.mark.parametrize('learning', KINDS)
def test_a_graph_that_is_given_maps_one_by_one_equals_the_clip(learning, randomise, clip,
                                                               tmp_path):
    runtime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    block = small(randomise, learning)
    state = block.initial_state(1, *SIZE, apart=True)
    path = tmp_path / 'step.onnx'
    torch.onnx.export(StepApart(block).eval(), (clip[:1, 0], state), dynamo=True,
                      verbose=False).save(path)
    session = runtime.InferenceSession(path, providers=['CPUExecutionProvider'])
    names = [value.name for value in session.get_inputs()]
    queues = [[frame.numpy() for frame in maps] for maps in state]
    for frame in clip[:1].unbind(1):
        given = dict(zip(names, [frame.numpy(), *sum(queues, [])], strict=True))
        y, *newest = session.run(None, given)
        queues = [[*maps[1:], new] for maps, new in zip(queues, newest, strict=True)]
    with torch.no_grad():
        expected = block(clip[:1])[:, -1]
    # ONNX Runtime orders and fuses sums in its own way.
    torch.testing.assert_close(torch.from_numpy(y), expected, rtol=0, atol=1e-4)
