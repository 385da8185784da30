"""Frame by frame equals the clip, and both equal the definition; which frames matter."""

import contextlib
import itertools

from moss_perception.moss import correlate, MOSS, space_time_self_similarity
from moss_perception.moss.kernels import prefers_tiles
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
import torch.nn.functional as F

# A step multiplies smaller matrices than a clip, so float32 sums round in another order.
EXACT = {'rtol': 1e-5, 'atol': 1e-5}
KINDS = list(itertools.product(['conv', 'shared', 'depthwise', 'mlp'], ['sum', 'concat']))
SMALL, LARGE = (4, 5), (64, 48)  # the first takes the kernel of whole maps, the other of tiles


def shifted(maps, dt, dy, dx):
    """Return ``maps[t + dt, :, h + dy, w + dx]`` at ``[t, :, h, w]``, 0 outside."""
    out = torch.zeros_like(maps)
    frames, rows, columns = maps.shape[1], maps.shape[3], maps.shape[4]
    here, there = [slice(None)] * 5, [slice(None)] * 5
    for axis, offset, size in ((1, dt, frames), (3, dy, rows), (4, dx, columns)):
        if abs(offset) >= size:
            return out
        here[axis] = slice(max(0, -offset), size - max(0, offset))
        there[axis] = slice(max(0, offset), size - max(0, -offset))
    out[tuple(here)] = maps[tuple(there)]
    return out


def products_by_definition(maps, window, causal):
    """Multiply each position with its neighbours, one offset at a time: (B, T, H, W, L, U, V)."""
    length, height, width = window
    first = -(length - 1) if causal else -(length // 2)
    products = [(maps * shifted(maps, first + i, u - height // 2, v - width // 2)).sum(2)
                for i in range(length) for u in range(height) for v in range(width)]
    return torch.stack(products, dim=-1).unflatten(-1, window)


def compared_maps(weights, features):
    """Normalise, project and centre ``(B, T, C, H, W)``; vectors of mean square 1."""
    features = features.movedim(2, -1)
    centred = features - features.mean(-1, keepdim=True)
    normal = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    projected = normal @ weights['project.weight'].T
    projected = projected - projected.mean((2, 3), keepdim=True)
    projected = projected - projected.mean(-1, keepdim=True)
    # A position whose mean square is far below 1e-3 counts as blank.
    maps = projected / (projected.square().mean(-1, keepdim=True) + 1e-3).sqrt()
    if 'compress.weight' in weights:
        maps = maps @ weights['compress.weight'].T
    return maps.movedim(-1, 2)


def part(weights, prefix):
    return {key[len(prefix):]: value for key, value in weights.items() if key.startswith(prefix)}


def apply(weights, prefix, x, groups=1):
    """Apply a convolution, or a linear layer to the channels, of ``(N, C, H, W)``."""
    layer = part(weights, prefix)
    weight = layer['weight']
    if weight.dim() == 2:
        weight = weight[..., None, None]
    return F.conv2d(x, weight, layer['bias'], padding=weight.shape[-1] // 2, groups=groups)


def learn(weights, encoded, kind):
    """Make one map of the offsets' encodings ``(N, L, D, H, W)``, as the kind says."""
    offsets, stacked = encoded.shape[1], encoded.flatten(1, 2)
    if kind == 'mlp':
        return apply(weights, 'over.', stacked).relu()
    if kind == 'depthwise':
        mixed = apply(weights, 'over.', stacked).relu()
        return apply(weights, 'around.', mixed, mixed.shape[1])
    refined = []
    for i in range(offsets):
        own = weights
        if kind == 'conv':
            own = {key: value.chunk(offsets)[i] for key, value in weights.items()
                   if key.startswith('offsets.')}
        one = apply(own, 'offsets.0.', encoded[:, i]).relu()
        refined.append(apply(own, 'offsets.2.', one).relu())
    return apply(weights, 'over.', torch.cat(refined, 1))


def by_definition(block, clip, kind):
    """Compute the block as its description says, in float64 and without its code."""
    weights = {key: value.double() for key, value in block.state_dict().items()}
    current, orders = clip.double(), []
    for n in range(block.orders[-1]):
        extraction = part(weights, f'extraction.{n}.')
        products = products_by_definition(compared_maps(extraction, current), block.window,
                                          block.causal).flatten(-2)
        similar = products / extraction['project.weight'].shape[0]
        encoded = (extraction['contrast'] * similar) @ extraction['encode.weight'].T
        encoded = (encoded + extraction['encode.bias']).relu().permute(0, 1, 4, 5, 2, 3)
        learned = learn(part(weights, f'learning.{n}.'), encoded.flatten(0, 1), kind)
        current = learned.unflatten(0, clip.shape[:2])
        orders.append(current)
    wanted = [orders[n - 1] for n in block.orders]
    fused = torch.cat(wanted, 2) if block.fusion == 'concat' else sum(wanted)
    added = fused.movedim(2, -1) @ weights['out.weight'].T + weights['out.bias']
    return clip + added.movedim(-1, 2)


def tiny(orders=(1, 2), window=(3, 3, 3), **options):
    sizes = {'channels': 4, 'projection': 5, 'hidden': 3} | options
    return MOSS(6, orders, window, **sizes)


@pytest.mark.parametrize('size', [(6, 6), (5, 8), (1, 1), (2, 3), (1, 9)])
@pytest.mark.parametrize('orders', [(1,), (1, 2), (1, 2, 3), (1, 2, 3, 4),
                                    (2,), (4,), (1, 3), (2, 4)])
def test_steps_equal_the_clip_for_every_choice_of_orders(orders, size, randomise, stream):
    torch.manual_seed(0)
    block = randomise(tiny(orders, (3, 5, 3), channels=8))
    clip = torch.randn(2, 11, 6, *size)
    with torch.no_grad():
        torch.testing.assert_close(stream(block, clip), block(clip), **EXACT)


@pytest.mark.parametrize('window', [(1, 1, 1), (1, 3, 3), (2, 1, 3), (3, 7, 1), (4, 3, 5),
                                    (5, 9, 9), (6, 3, 3), (12, 3, 3)], ids=str)
@pytest.mark.parametrize('size', [(4, 7), (13, 13)], ids=str)
def test_steps_equal_the_clip_for_every_window(window, size, randomise, stream):
    torch.manual_seed(1)
    block = randomise(tiny((1, 2, 3), window))
    clip = torch.randn(1, 9, 6, *size)
    with torch.no_grad():
        torch.testing.assert_close(stream(block, clip), block(clip), **EXACT)


@pytest.mark.parametrize('learning, fusion', KINDS)
def test_steps_equal_the_clip_for_every_kind_of_four_orders(learning, fusion, randomise, stream):
    torch.manual_seed(2)
    block = randomise(tiny((1, 2, 3, 4), learning=learning, fusion=fusion))
    clip = torch.randn(3, 10, 6, 5, 7)
    with torch.no_grad():
        torch.testing.assert_close(stream(block, clip), block(clip), **EXACT)


def test_steps_equal_the_clip_on_maps_that_need_the_other_kernel(randomise, stream):
    torch.manual_seed(3)
    block = randomise(tiny((1, 2), (3, 5, 7)))
    clip = torch.randn(2, 5, 6, *LARGE)
    with torch.no_grad():
        torch.testing.assert_close(stream(block, clip), block(clip), **EXACT)


def test_streams_of_a_batch_do_not_touch_one_another(randomise, stream):
    torch.manual_seed(4)
    block = randomise(tiny((1, 2)))
    clip = torch.randn(3, 6, 6, 5, 4)
    with torch.no_grad():
        alone = torch.cat([stream(block, clip[n:n + 1]) for n in range(3)])
        torch.testing.assert_close(stream(block, clip), alone, **EXACT)


def test_the_sizes_of_these_tests_take_both_kernels():
    assert prefers_tiles(*LARGE, 5, 7) and not prefers_tiles(*SMALL, 3, 3)


@pytest.mark.parametrize('size', [SMALL, LARGE], ids=['maps', 'tiles'])
@pytest.mark.parametrize('window, causal', [
    ((3, 3, 5), True), ((4, 5, 1), True), ((3, 5, 3), False), ((5, 1, 3), False)])
def test_kernels_equal_the_definition(size, window, causal):
    torch.manual_seed(5)
    features = torch.randn(2, 4, 3, *size, dtype=torch.float64)
    torch.testing.assert_close(
        space_time_self_similarity(features, window, causal),
        products_by_definition(F.normalize(features, dim=2), window, causal))


@pytest.mark.parametrize('size', [SMALL, (2, 2), (64, 33)], ids=str)
@pytest.mark.parametrize('orders, window, causal', [
    ((1,), (3, 5, 3), True), ((1, 2), (2, 3, 3), True), ((1, 2, 3, 4), (2, 3, 3), True),
    ((2,), (3, 3, 5), False), ((1, 3), (3, 3, 3), False)])
def test_higher_orders_equal_the_definition(orders, window, causal, size, randomise):
    torch.manual_seed(6)
    block = randomise(tiny(orders, window, causal=causal, fusion='concat')).double()
    clip = torch.randn(2, 6, 6, *size, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(block(clip), by_definition(block, clip, 'conv'))


@pytest.mark.parametrize('learning, fusion', KINDS)
@pytest.mark.parametrize('rank', [None, 2])
def test_every_kind_equals_the_definition(learning, fusion, rank, randomise):
    torch.manual_seed(12)
    block = randomise(tiny((1, 2), (3, 3, 5), learning=learning, fusion=fusion, rank=rank))
    block = block.double()
    clip = torch.randn(2, 5, 6, 4, 5, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(block(clip), by_definition(block, clip, learning))


def test_a_blank_frame_is_not_blown_up_to_noise(randomise):
    block = randomise(tiny((1,)))
    clip = torch.ones(1, 4, 6, 5, 5)
    with torch.no_grad():
        added = block(clip) - clip
        # Nothing stands out from a blank frame, so every similarity is 0 but for rounding.
        torch.testing.assert_close(added, (block(0 * clip)).expand_as(added), **EXACT)


@pytest.mark.parametrize('orders, window, causal, field, delay', [
    ((1,), (1, 3, 3), True, 1, 0), ((1, 2), (4, 3, 3), True, 7, 0),
    ((3,), (2, 3, 3), True, 4, 0), ((1,), (5, 3, 3), False, 5, 2),
    ((1, 2), (3, 3, 3), False, 5, 2), ((2, 3), (3, 3, 3), False, 7, 3)])
def test_exactly_the_frames_of_the_receptive_field_matter(orders, window, causal, field, delay,
                                                          randomise):
    torch.manual_seed(7)
    # Wide enough that no ReLU hides a frame.
    block = randomise(tiny(orders, window, causal=causal, channels=16, hidden=16))
    clip = torch.randn(1, 14, 6, 4, 4)
    with torch.no_grad():
        before = block(clip)
        for frame in range(14):
            other = clip.clone()
            other[:, frame] = torch.randn(6, 4, 4)
            changed = (block(other) != before).flatten(2).any(2)[0].nonzero().flatten().tolist()
            first, last = frame - delay, frame + field - 1 - delay
            assert changed == [t for t in range(14) if first <= t <= last]
    assert (block.receptive_field, block.delay) == (field, delay)


@pytest.mark.parametrize('last', [1, 3, 8])
def test_the_last_frames_of_a_centred_clip_equal_those_of_the_whole(last, randomise):
    torch.manual_seed(13)
    block = randomise(tiny((1, 2), causal=False))
    clip = torch.randn(2, 8, 6, 5, 4)
    with torch.no_grad():
        torch.testing.assert_close(block.motion(clip, last=last), block.motion(clip)[:, -last:],
                                   **EXACT)


def test_a_stream_can_go_back_to_an_older_state(randomise):
    torch.manual_seed(14)
    block = randomise(tiny((1, 2)))
    first, one, other = torch.randn(3, 2, 6, 5, 4)
    with torch.no_grad():
        _, state = block.step(first, block.initial_state(2, 5, 4))
        kept = [cache.clone() for cache in state]
        block.step(one, state)
        assert all(torch.equal(a, b) for a, b in zip(state, kept, strict=True))
        torch.testing.assert_close(block.step(other, state)[0],
                                   block(torch.stack([first, other], 1))[:, -1], **EXACT)


@pytest.mark.parametrize('window', [(1, 3, 3), (2, 3, 3), (4, 5, 3)], ids=str)
@pytest.mark.parametrize('size', [(5, 4), LARGE], ids=['maps', 'tiles'])
def test_maps_that_are_kept_one_by_one_give_the_same_to_the_bit(window, size, randomise):
    torch.manual_seed(16)
    block = randomise(MOSS(6, (1, 2), window, channels=4, projection=4, hidden=4))
    together, apart = (block.initial_state(2, *size, apart=apart) for apart in (False, True))
    with torch.no_grad():
        for frame in torch.randn(6, 2, 6, *size):
            expected, together = block.step(frame, together)
            before = apart
            found, apart = block.step(frame, apart)
            assert torch.equal(found, expected)
            # Nothing is copied: what stays is handed on.
            assert all(one is other for old, new in zip(before, apart, strict=True)
                       for one, other in zip(old[1:], new, strict=False))


@contextlib.contextmanager
def fake_tensors():
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


@pytest.mark.parametrize('mode, size', [
    (torch.inference_mode, (3, 11)), (lambda: torch.device('meta'), (3, 13)),
    (fake_tensors, (3, 17))], ids=['inference', 'default_device', 'fake_tensors'])
def test_a_run_in_another_mode_leaves_nothing_behind(mode, size):
    # No other test uses these sizes, so what is cached for them is first made in that mode.
    torch.manual_seed(15)
    features = torch.randn(1, 3, 4, *size, requires_grad=True)
    with mode():
        query = torch.randn(1, 4, *size, device='cpu')
        correlate(query, query[:, None], 3, 5)
    found = space_time_self_similarity(features, (2, 3, 5))
    torch.testing.assert_close(
        found, products_by_definition(F.normalize(features, dim=2), (2, 3, 5), True))
    found.square().sum().backward()
    assert features.grad.isfinite().all()


@pytest.mark.parametrize('causal', [True, False])
@pytest.mark.parametrize('size', [(2, 3), (64, 33)], ids=['maps', 'tiles'])
def test_gradient_of_the_similarity(size, causal):
    torch.manual_seed(8)
    features = torch.randn(1, 2, 2, *size, dtype=torch.float64, requires_grad=True)
    # Every entry of the Jacobian where that is affordable, else a random product with it.
    assert torch.autograd.gradcheck(
        lambda x: space_time_self_similarity(x, (3, 3, 3), causal), features,
        fast_mode=size == (64, 33))


def test_gradient_of_the_kernel_for_large_maps():
    torch.manual_seed(9)
    query = torch.randn(2, 2, *LARGE, dtype=torch.float64, requires_grad=True)
    keys = torch.randn(2, 2, 2, *LARGE, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda q, k: correlate(q, k, 3, 5), (query, keys),
                                    fast_mode=True)


@pytest.mark.parametrize('learning, fusion', KINDS)
def test_gradient_of_the_block(learning, fusion, randomise):
    torch.manual_seed(10)
    block = MOSS(3, (1, 2), (2, 3, 3), channels=2, projection=2, hidden=2,
                 learning=learning, fusion=fusion)
    block = randomise(block).double()
    names, weights = zip(*block.named_parameters(), strict=True)
    clip = torch.randn(1, 3, 3, 2, 3, dtype=torch.float64, requires_grad=True)

    def run(clip, *weights):
        given = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(block, given, (clip,))

    assert torch.autograd.gradcheck(run, (clip, *weights), fast_mode=True)


def test_gradient_through_the_steps_equals_that_through_the_clip(randomise, stream):
    torch.manual_seed(11)
    block = randomise(tiny((1, 2, 3))).double()
    clip = torch.randn(2, 7, 6, 4, 5, dtype=torch.float64, requires_grad=True)
    towards = torch.randn_like(clip)
    inputs = (clip, *block.parameters())
    by_clip = torch.autograd.grad((block(clip) * towards).sum(), inputs)
    by_steps = torch.autograd.grad((stream(block, clip) * towards).sum(), inputs)
    for one, other in zip(by_clip, by_steps, strict=True):
        torch.testing.assert_close(one, other)
