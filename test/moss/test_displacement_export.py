"""A block that reads displacements leaves Python: torch.export, torch.compile and ONNX."""

from moss_perception.moss import MOSS
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

EXACT = {'rtol': 1e-5, 'atol': 1e-5}
SIZE = (6, 11)
BOTH = {'readout': 'both', 'lags': (1, 3), 'norm': 'group', 'refinement': 1}
DISPLACEMENT = {'readout': 'displacement', 'similarity': 'ssd', 'refinement': 2, 'borders': 2,
                'norm': 'layer', 'spacing': 2}


class Step(nn.Module):
    """One frame, the state and perhaps times in, the features and the state out."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, x, state, times=None):
        return self.block.step(x, state, times)


class StepApart(Step):
    """Takes a block's maps one by one, and gives the newest of each order."""

    def forward(self, x, state, times=None):
        y, state = self.block.step(x, state, times)
        return y, *(maps[-1] for maps in state)


@pytest.fixture(params=[BOTH, DISPLACEMENT], ids=['both', 'displacement'])
def block(request, randomise):
    return randomise(MOSS(6, (1, 2), (4, 3, 5), channels=8, projection=4, hidden=4, patch=3,
                          learning='mlp', **request.param))


@pytest.fixture
def clip():
    return torch.randn(2, 7, 6, *SIZE, generator=torch.Generator().manual_seed(0))


def test_an_exported_clip_equals_the_block_for_any_batch(block, clip):
    # The graph holds each frame by itself.
    clip = clip[:, :3]
    batch = torch.export.Dim('batch', min=1, max=64)
    exported = torch.export.export(block, (clip,), dynamic_shapes=({0: batch},)).module()
    with torch.no_grad():
        for given in clip, clip[:1], torch.cat([clip, clip.flip(1)])[:3]:
            torch.testing.assert_close(exported(given), block(given), **EXACT)


def test_an_exported_step_equals_the_clip_for_any_batch(block, clip):
    batch = torch.export.Dim('batch', min=1, max=64)
    state = block.initial_state(2, *SIZE)
    shapes = ({0: batch}, tuple({0: batch} for _ in state))
    exported = torch.export.export(Step(block), (clip[:, 0], state),
                                   dynamic_shapes=shapes).module()
    with torch.no_grad():
        for given in clip, clip[:1]:
            state = block.initial_state(len(given), *SIZE)
            for t in range(given.shape[1]):
                y, state = exported(given[:, t], state)
            torch.testing.assert_close(y, block(given)[:, -1], **EXACT)


def test_the_graph_is_whole_and_has_the_same_gradient(block, clip, assert_compiles_whole):
    block, clip = block.double(), clip[:, :3].double()
    assert_compiles_whole(block, clip)


def test_shapes_can_be_worked_out_without_numbers():
    with FakeTensorMode():
        block = MOSS(6, (1, 2), (3, 3, 5), **{**BOTH, 'lags': (1, 2)})
        assert block(torch.zeros(2, 4, 6, 7, 13)).shape == (2, 4, 6, 7, 13)
        y, state = block.step(torch.zeros(2, 6, 7, 13), block.initial_state(2, 7, 13))
        assert y.shape == (2, 6, 7, 13) and len(state) == 2


def test_steps_by_onnx_runtime_equal_the_clip(block, clip, tmp_path):
    runtime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    clip, path, apart = clip[:1], tmp_path / 'step.onnx', block.readout == 'both'
    state = block.initial_state(1, *SIZE, apart=apart)
    times = torch.arange(10.0)[None] * 0.5
    torch.onnx.export((StepApart if apart else Step)(block).eval(),
                      (clip[:, 0], state, times[:, :4]), dynamo=True, verbose=False).save(path)
    session = runtime.InferenceSession(path, providers=['CPUExecutionProvider'])
    names = [value.name for value in session.get_inputs()]
    queues = [[one.numpy() for one in maps] if apart else [maps.numpy()] for maps in state]
    for t, frame in enumerate(clip.unbind(1)):
        feeds = [frame.numpy(), *sum(queues, []), times[:, t:t + 4].numpy()]
        y, *newest = session.run(None, dict(zip(names, feeds, strict=True)))
        queues = [[*maps[1:], new] if apart else [new]
                  for maps, new in zip(queues, newest, strict=True)]
    with torch.no_grad():
        expected = block(clip, times[:, 3:])[:, -1]
    # ONNX Runtime orders and fuses sums in its own way.
    torch.testing.assert_close(torch.from_numpy(y), expected, rtol=0, atol=1e-4)
