"""Half precision stays within a few roundings of float32; so does autocast."""

import copy

from moss_perception.moss import MOSS
import pytest
import torch

ROUNDING = {torch.float16: 2 ** -10, torch.bfloat16: 2 ** -7}
# Errors are in roundings of the type, of values as large as the result's standard deviation. The
# block rounds some ten times on the way of a value, mostly in parts that are summed, which makes
# 0.3 to 0.5 as a root mean square; of thousands of values the worst was 3.2 for the block's
# output and 8.2 for its motion map, over sizes, fusions and seeds. Twice that is allowed. With
# mlp, whose maps end in a ReLU, a position may be nearly blank, and what rounding leaves of it is
# enlarged when the next order normalises it: 1.2, 14 and 56 were seen.
TYPICAL = {'mlp': 2.5}
WORST = {'output': 8.0, 'motion': 16.0, 'mlp output': 30.0, 'mlp motion': 120.0}


def errors(found, expected, dtype):
    """Return the root mean square and the largest error, in roundings."""
    error = (found.float() - expected) / expected.std() / ROUNDING[dtype]
    return error.square().mean().sqrt().item(), error.abs().max().item()


def check(found, expected, dtype, what='output', learning='conv'):
    typical, worst = errors(found, expected, dtype)
    assert typical < TYPICAL.get(learning, 1.0)
    assert worst < WORST[f'mlp {what}' if learning == 'mlp' else what]


def in_both(block, clip, dtype):
    """Return block and clip in a half type, and the same values in float32."""
    half = copy.deepcopy(block).to(dtype)
    return half, clip.to(dtype), copy.deepcopy(half).float(), clip.to(dtype).float()


@pytest.mark.parametrize('dtype', ROUNDING, ids=str)
@pytest.mark.parametrize('size, learning, fusion', [
    ((2, 9, 6, 7, 5), 'conv', 'sum'), ((2, 9, 6, 7, 5), 'shared', 'concat'),
    ((1, 8, 32, 14, 14), 'depthwise', 'concat'), ((1, 8, 32, 14, 14), 'mlp', 'sum')], ids=str)
def test_half_precision_stays_near_float32(size, learning, fusion, dtype, randomise, stream):
    torch.manual_seed(0)
    block = randomise(MOSS(size[2], (1, 2, 3), (3, 5, 5), channels=16, projection=8, hidden=8,
                           learning=learning, fusion=fusion))
    half, half_clip, whole, clip = in_both(block, torch.randn(size), dtype)
    with torch.no_grad():
        expected = whole(clip)
        found, streamed = half(half_clip), stream(half, half_clip)
        assert found.dtype == streamed.dtype == dtype
        check(found, expected, dtype, 'output', learning)
        check(streamed, expected, dtype, 'output', learning)
        check(half.motion(half_clip), whole.motion(clip), dtype, 'motion', learning)


@pytest.mark.parametrize('dtype', ROUNDING, ids=str)
def test_large_maps_stay_near_float32_as_well(dtype, randomise):
    torch.manual_seed(1)
    block = randomise(MOSS(6, (1, 2), (2, 5, 5), channels=8, projection=8, hidden=8))
    half, half_clip, whole, clip = in_both(block, torch.randn(1, 3, 6, 64, 48), dtype)
    with torch.no_grad():
        check(half(half_clip), whole(clip), dtype)


def test_the_state_has_the_type_of_the_weights(randomise):
    block = randomise(MOSS(6, (1,), (3, 3, 3))).half()
    state = block.initial_state(1, 4, 4)
    assert {cache.dtype for cache in state} == {torch.float16}
    with torch.no_grad():
        _, state = block.step(torch.randn(1, 6, 4, 4).half(), state)
    assert {cache.dtype for cache in state} == {torch.float16}


def test_autocast_stays_near_float32(randomise, stream):
    torch.manual_seed(2)
    block = randomise(MOSS(16, (1, 2, 3), (3, 5, 5), channels=16, projection=8, hidden=8))
    clip = torch.randn(1, 8, 16, 9, 7)
    with torch.no_grad():
        expected = block(clip)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            found, streamed = block(clip), stream(block, clip)
    assert found.dtype == streamed.dtype == clip.dtype
    check(found, expected, torch.bfloat16)
    check(streamed, expected, torch.bfloat16)


def test_autocast_trains(randomise):
    torch.manual_seed(3)
    block = randomise(MOSS(6, (1, 2), (3, 3, 3), channels=8, projection=8, hidden=8))
    clip, towards = torch.randn(2, 2, 5, 6, 6, 6).unbind()
    weights = tuple(block.parameters())
    expected = torch.autograd.grad((block(clip) * towards).sum(), weights)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = (block(clip) * towards).sum()
    for one, other in zip(torch.autograd.grad(loss, weights), expected, strict=True):
        # Training follows the direction. A unit near 0 may fall to the other side of its ReLU, so
        # the angle is larger than rounding alone makes it: up to 16 degrees were seen.
        assert one.dtype == other.dtype
        assert torch.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.9


def test_autocast_takes_the_half_features_of_a_host(randomise, stream):
    torch.manual_seed(4)
    block = randomise(MOSS(8, (1, 2), (3, 3, 3), channels=8, projection=8, hidden=8))
    layer = torch.nn.Conv2d(3, 8, 3)
    images = torch.randn(6, 3, 9, 9)
    with torch.no_grad(), torch.autocast('cpu', dtype=torch.bfloat16):
        features = layer(images)[None]
        assert features.dtype == torch.bfloat16
        found, streamed = block(features), stream(block, features)
    with torch.no_grad():
        expected = block(features.float())
    check(found, expected, torch.bfloat16)
    check(streamed, expected, torch.bfloat16)
