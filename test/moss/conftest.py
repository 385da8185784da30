"""Fixtures for the module: weights that hide nothing, and streaming frame by frame."""

import pytest
import torch


def _randomise(module):
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            fan = parameter[0].numel() if parameter.dim() > 1 else 4
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / fan ** 0.5)
    return module.eval()


def _stream(block, clip):
    state = block.initial_state(clip.shape[0], *clip.shape[3:])
    outputs = []
    for t in range(clip.shape[1]):
        y, state = block.step(clip[:, t], state)
        outputs.append(y)
    return torch.stack(outputs, dim=1)


@pytest.fixture(scope='session')
def randomise():
    """Return a function that gives every weight a random value: the output layer starts at 0."""
    return _randomise


@pytest.fixture(scope='session')
def stream():
    """Return a function that feeds a clip to a block frame by frame."""
    return _stream


def _assert_compiles_whole(block, clip):
    """Compare a block with one graph of it: results, and gradients by its weights."""
    weights = tuple(block.parameters())
    whole = torch.compile(block, backend='eager', fullgraph=True)(clip)
    torch.testing.assert_close(whole, block(clip))
    found = torch.autograd.grad(whole.square().mean(), weights)
    expected = torch.autograd.grad(block(clip).square().mean(), weights)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.fixture
def assert_compiles_whole():
    return _assert_compiles_whole
