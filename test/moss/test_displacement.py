"""Displacements: what they are, and that a step finds what the clip does, whatever is chosen."""

import copy
import itertools

from moss_perception.core.errors import ConfigError, ShapeError
from moss_perception.moss import attach, MOSS, streaming
from moss_perception.moss.displacement import displacements, Search
from moss_perception.moss.refinement import box_sum
import pytest
import torch
from torch import nn
import torch.nn.functional as F

EXACT = {'rtol': 1e-5, 'atol': 1e-5}
# Every choice of these with every other.
CHOICES = list(itertools.product(
    ['displacement', 'both'], ['cosine', 'ssd'], [0, 2], [None, (1,), (1, 2, 4)],
    [(1,), (1, 2), (1, 2, 3), (2,)]))


def small(readout='displacement', orders=(1, 2), window=(5, 5, 7), **options):
    sizes = {'channels': 6, 'projection': 5, 'hidden': 4, 'learning': 'mlp'} | options
    if readout != 'encoding':
        sizes.setdefault('patch', 3)
    return MOSS(6, orders, window, readout=readout, **sizes)


def texture(*shape, seed=0, blur=1.0):
    """Return a smooth pattern, float64, that repeats at its borders."""
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    y, x = (torch.fft.fftfreq(size, dtype=torch.float64) for size in shape[-2:])
    keep = torch.exp(-2 * (torch.pi * blur) ** 2 * (y[:, None] ** 2 + x ** 2))
    smooth = torch.fft.ifft2(torch.fft.fft2(noise) * keep).real
    return smooth / smooth.std()


def moved(pattern, right, down):
    """Move a pattern by any fraction, exactly, beyond its borders to the other side."""
    y, x = (torch.fft.fftfreq(size, dtype=torch.float64) for size in pattern.shape[-2:])
    turn = torch.exp(-2j * torch.pi * (y[:, None] * down + x * right))
    return torch.fft.ifft2(torch.fft.fft2(pattern) * turn).real


def found(before, now, **options):
    """Return the displacements ``(H, W, 4)`` between two maps ``(C, H, W)``."""
    search = Search(**{'height': 11, 'width': 11, 'similarity': 'ssd'} | options)
    scale = now.square().sum(0).mean() ** -0.5
    query, key = (maps.movedim(0, -1)[None] * scale for maps in (now, before))
    return displacements(query, key[:, None], search)[0, :, :, 0]


def pairs(block, clip, stream, **options):
    with torch.no_grad():
        return stream(block, clip), block(clip)


@pytest.mark.parametrize('readout, similarity, refinement, lags, orders', CHOICES)
def test_steps_equal_the_clip_whatever_is_chosen(readout, similarity, refinement, lags, orders,
                                                 randomise, stream):
    torch.manual_seed(0)
    block = randomise(small(readout, orders, similarity=similarity, refinement=refinement,
                            lags=lags))
    by_steps, by_clip = pairs(block, torch.randn(2, 8, 6, 7, 8), stream)
    torch.testing.assert_close(by_steps, by_clip, **EXACT)


@pytest.mark.parametrize('options', [
    {'borders': 2}, {'borders': 2, 'refinement': 1, 'patch': 5}, {'norm': 'layer'},
    {'norm': 'group', 'readout': 'both'}, {'norm': 'layer', 'readout': 'encoding'},
    {'norm': 'group', 'readout': 'encoding'}, {'readout': 'encoding', 'lags': (1, 3)},
    {'readout': 'encoding', 'lags': (1, 3), 'similarity': 'ssd', 'norm': 'group'},
    {'rank': 3, 'readout': 'both'}, {'rank': 3, 'similarity': 'ssd'}, {'fusion': 'concat'},
    {'learning': 'conv'}, {'learning': 'shared'}, {'learning': 'depthwise', 'readout': 'both'},
    {'spacing': 2}, {'spacing': 2, 'patch': 5, 'refinement': 1, 'borders': 2, 'similarity': 'ssd'},
    {'spacing': 2, 'readout': 'both', 'window': (4, 3, 9)},
    {'projection': 0, 'similarity': 'ssd', 'refinement': 1},
    {'patch': 1}, {'window': (8, 3, 3), 'lags': (1, 2, 4, 7)}, {'window': (2, 9, 9)},
    {'window': (3, 1, 1), 'refinement': 1}], ids=str)
def test_steps_equal_the_clip_with_every_other_option(options, randomise, stream):
    torch.manual_seed(1)
    block = randomise(small(**options))
    by_steps, by_clip = pairs(block, torch.randn(2, 12, 6, 7, 8), stream)
    torch.testing.assert_close(by_steps, by_clip, **EXACT)


@pytest.mark.parametrize('seed', range(8))
@pytest.mark.parametrize('size', [(14, 14), (40, 33)], ids=str)
def test_steps_equal_the_clip_where_many_maxima_are_nearly_equal(seed, size, randomise, stream):
    # A pattern that repeats every two and four cells has as many maxima as the window has periods.
    generator = torch.Generator().manual_seed(seed)
    tile = torch.randn(1, 6, 6, 4, 2, generator=generator)
    clip = tile.repeat(1, 1, 1, size[0] // 4 + 1, size[1] // 2 + 1)[..., :size[0], :size[1]]
    clip = clip + 1e-6 * torch.randn(clip.shape, generator=generator)
    block = randomise(small('both', similarity='ssd' if seed % 2 else 'cosine', patch=5,
                            refinement=1, borders=seed // 4))
    by_steps, by_clip = pairs(block, clip, stream)
    torch.testing.assert_close(by_steps, by_clip, **EXACT)


@pytest.mark.parametrize('similarity', ['cosine', 'ssd'])
@pytest.mark.parametrize('value', [0.0, 1.0, -37.5])
def test_a_constant_image_does_not_move(similarity, value, randomise, stream):
    block = randomise(small(similarity=similarity, refinement=1, borders=2, spacing=2))
    clip = torch.full((1, 6, 6, 8, 8), value) * torch.linspace(-1, 2, 6)[:, None, None]
    by_steps, by_clip = pairs(block, clip, stream)
    torch.testing.assert_close(by_steps, by_clip, **EXACT)
    for order in block.displacements(clip):
        assert order[:, :, :, :2].abs().max() < 1e-3


def test_frames_before_the_first_give_zeros(randomise):
    for similarity in 'cosine', 'ssd':
        block = randomise(small(lags=(1, 3), orders=(1, 2, 3), similarity=similarity,
                                refinement=1, borders=2))
        first, second, third = block.displacements(torch.randn(2, 12, 6, 7, 8))
        # The second order compares what the first found, and so on.
        for order, begins in (first, (1, 3)), (second, (2, 6)), (third, (3, 9)):
            for lag, begin in enumerate(begins):
                assert not order[:, :begin, lag].any()
                assert order[:, begin, lag].any()


@pytest.mark.parametrize('similarity, refinement, borders, most', [
    ('ssd', 0, 0, 0.1), ('ssd', 2, 0, 0.03), ('ssd', 2, 2, 0.03),
    ('cosine', 0, 0, 0.1)])
@pytest.mark.parametrize('right, down', [(0.0, 0.0), (1.3, -2.4), (-3.5, 0.7), (2.0, 3.0)])
def test_motion_is_found_to_fractions_of_a_cell(similarity, refinement, borders, most, right,
                                                down):
    before = texture(8, 32, 32)
    now = moved(before, right, down)
    if similarity == 'cosine':
        before, now = (F.normalize(maps, dim=0) for maps in (before, now))
    values = found(before, now, similarity=similarity, refinement=refinement, borders=borders)
    inner = values[8:-8, 8:-8]
    error = (inner[..., :2] - torch.tensor([right, down], dtype=torch.float64)).norm(dim=-1)
    assert error.mean() < most
    assert inner[..., 2].mean() > 0.8 and inner[..., 3].min() > 0


@pytest.mark.parametrize('window', [(9, 9), (5, 7), (3, 1), (7, 5)], ids=str)
@pytest.mark.parametrize('size', [(9, 11), (8, 8)], ids=str)
def test_looking_at_every_second_position_finds_what_looking_at_all_does_there(window, size):
    query, keys = torch.randn(1, *size, 4), torch.randn(1, 2, *size, 4)
    every, second = (displacements(query, keys, Search(*window, 1, spacing=spacing))
                     for spacing in (1, 2))
    # The others take what their neighbour found.
    assert torch.equal(second[:, ::2, ::2], every[:, ::2, ::2])
    assert torch.equal(second[:, 1::2], second[:, :-1:2])


def test_what_is_wrong_by_whole_cells_is_not_mended_but_seen_in_the_similarity():
    same = found(texture(4, 24, 24), texture(4, 24, 24))[8:-8, 8:-8]
    other = found(texture(4, 24, 24), texture(4, 24, 24, seed=1))[8:-8, 8:-8]
    assert same[..., 2].min() > 0.9 > 0.6 > other[..., 2].mean()


def test_borders_are_kept():
    still, thing = texture(3, 40, 40, seed=2), texture(3, 40, 40, seed=3)
    y, x = torch.meshgrid(torch.arange(40), torch.arange(40), indexing='ij')
    mask = ((y - 20).abs() < 8) & ((x - 20).abs() < 8)
    before = torch.where(mask.roll(-3, 1), thing.roll(-3, 2), still)
    now = torch.where(mask, thing, still)
    truth = torch.where(mask, 3.0, 0.0).double()
    seen = ~mask.roll(-3, 1) | mask  # what was hidden before can't be found
    errors = [(found(before, now, borders=borders)[..., 0] - truth)[seen].abs().mean()
              for borders in (0, 2)]
    assert errors[1] < 0.5 * errors[0]


def test_the_second_order_sees_acceleration_and_the_first_does_not(randomise):
    block = small(window=(3, 9, 9), lags=(1,), patch=5, similarity='ssd', refinement=2).double()
    pattern = texture(6, 32, 32, seed=4)
    for speeds, change in (([1.5] * 4, 0.0), ([0.5, 1.0, 1.5, 2.0], 0.5)):
        frames = [pattern]
        for speed in speeds:
            frames.append(moved(frames[-1], speed, 0))
        first, second = block.displacements(torch.stack(frames)[None])
        inner = (0, -1, 0, slice(None), slice(10, 22), slice(10, 22))
        assert first[inner][0].mean().item() == pytest.approx(speeds[-1], abs=0.03)
        assert second[inner][0].mean().item() == pytest.approx(change, abs=0.03)
        assert second[inner][1].abs().mean() < 0.03


def test_true_times_turn_displacements_into_velocities(randomise, stream):
    torch.manual_seed(2)
    block = randomise(small(window=(4, 5, 5), lags=(1, 3)))
    clip = torch.randn(2, 6, 6, 7, 8)
    times = torch.tensor([[0.0, 0.1, 0.15, 0.4, 0.5, 0.6], [7.0, 7.5, 8.0, 8.1, 8.2, 9.0]])
    plain, timed = block.displacements(clip)[0], block.displacements(clip, times)[0]
    for t, lag, back in ((5, 0, 1), (5, 1, 3), (3, 0, 1), (4, 1, 3)):
        elapsed = (times[:, t] - times[:, t - back])[:, None, None, None]
        torch.testing.assert_close(timed[:, t, lag, :2], plain[:, t, lag, :2] / elapsed)
        assert torch.equal(timed[:, t, lag, 2:], plain[:, t, lag, 2:])
    state, padded = block.initial_state(2, 7, 8), F.pad(times, (3, 0), value=float('nan'))
    with torch.no_grad():
        whole = block(clip, times)
        for t in range(6):
            y, state = block.step(clip[:, t], state, padded[:, t:t + 4])
            torch.testing.assert_close(y, whole[:, t], **EXACT)
        torch.testing.assert_close(block.motion(clip, last=2, times=times),
                                   block.motion(clip, times=times)[:, -2:], **EXACT)


def test_a_near_frame_counts_as_the_shortest_time_away(randomise):
    clip = texture(1, 4, 6, 9, 9).float()
    times = torch.tensor([[0.0, 0.1, 0.2, 0.201]])
    plain = randomise(small(orders=(1, 2), lags=(1, 2)))
    careful = small(orders=(1, 2), lags=(1, 2), shortest=0.05)
    careful.load_state_dict(plain.state_dict())
    one, other = (block.displacements(clip, times)[0][0] for block in (plain, careful))
    torch.testing.assert_close(one[:3], other[:3])
    torch.testing.assert_close(one[3, 0, :2], other[3, 0, :2] * 50, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(one[3, 1], other[3, 1])
    # What the newest frame's displacements are is told beside what is fused, as in a step.
    motion, newest, _ = careful.motion_and_values(clip, times=times)
    torch.testing.assert_close(motion, careful.motion(clip, times=times))
    for order, found in zip(careful.displacements(clip, times), newest, strict=True):
        torch.testing.assert_close(found.permute(0, 3, 4, 1, 2), order[:, -1])
    # Those of order 1 are told for more frames, of which fewer are wanted of the motion.
    for first, last, count in ((1, None, 1), (3, 1, 3), (9, 2, 4)):
        motion, _, past = careful.motion_and_values(clip, None, last, times, first)
        torch.testing.assert_close(motion, careful.motion(clip, times=times)[:, -(last or 4):])
        torch.testing.assert_close(torch.stack(past, 1).permute(0, 1, 4, 5, 2, 3),
                                   careful.displacements(clip, times)[0][:, -count:])
    with pytest.raises(ConfigError, match='shortest=-1 is not allowed: expected 0 or more'):
        small(shortest=-1)


@pytest.mark.parametrize('readout', ['displacement', 'both'])
def test_a_centred_window_looks_both_ways(readout, randomise):
    block = randomise(small(readout, (1, 2), (5, 5, 5), causal=False, lags=(1, 2)))
    clip = torch.randn(1, 9, 6, 7, 8)
    values = block.displacements(clip)[0]
    assert values.shape == (1, 9, 4, 4, 7, 8)
    # Two and one frame ahead, then one and two back.
    for lag, missing in enumerate(([7, 8], [8], [0], [0, 1])):
        empty = [t for t in range(9) if not values[0, t, lag].any()]
        assert empty == missing
    assert (block.receptive_field, block.delay) == (9, 4)
    with torch.no_grad():
        torch.testing.assert_close(block.motion(clip, last=2), block.motion(clip)[:, -2:],
                                   **EXACT)


@pytest.mark.parametrize('orders, lags, field', [((1,), (1, 2), 3), ((1, 2), (1,), 3),
                                                 ((1, 2), (1, 3), 7), ((1, 2), None, 9)])
def test_exactly_the_frames_of_the_receptive_field_matter(orders, lags, field, randomise):
    torch.manual_seed(3)
    block = randomise(small('both', orders, lags=lags, channels=16, hidden=16))
    clip = torch.randn(1, 12, 6, 7, 8)
    assert block.receptive_field == field
    with torch.no_grad():
        before = block(clip)
        other = clip.clone()
        other[:, 2] = torch.randn(6, 7, 8)
        changed = (block(other) != before).flatten(2).any(2)[0].nonzero().flatten().tolist()
    assert changed and changed[0] == 2 and changed[-1] <= 2 + field - 1


@pytest.mark.filterwarnings('ignore::moss_perception.core.errors.NotFiniteWarning')
@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_nan_stays_in_its_stream_and_is_forgotten(value, randomise, stream):
    block = randomise(small('both', refinement=1, borders=2, lags=(1, 2)))
    clean = torch.randn(2, 10, 6, 7, 8)
    bad = clean.clone()
    bad[1, 2, 3, 4, 5] = value
    with torch.no_grad():
        for run in (block, lambda x: stream(block, x)):
            good_out, bad_out = run(clean), run(bad)
            assert torch.equal(good_out[0], bad_out[0])
            assert not bad_out[1, 2].isfinite().all()
            assert torch.equal(good_out[1, 2 + block.receptive_field:],
                               bad_out[1, 2 + block.receptive_field:])


@pytest.mark.parametrize('options', [
    {'similarity': 'cosine'}, {'similarity': 'ssd'}, {'similarity': 'ssd', 'refinement': 2},
    {'similarity': 'ssd', 'refinement': 1, 'borders': 2}], ids=str)
def test_gradients_of_the_displacements(options):
    # Far from any other maximum, so that a small change does not choose another.
    before = texture(2, 9, 9, seed=5)
    now = moved(before, 0.8, -0.6)
    if options['similarity'] == 'cosine':
        before, now = (F.normalize(maps, dim=0) for maps in (before, now))
    query, key = (maps.movedim(0, -1)[None].clone().requires_grad_() for maps in (now, before))
    search = Search(5, 5, 3, **options)
    assert torch.autograd.gradcheck(lambda q, k: displacements(q, k[:, None], search),
                                    (query, key), eps=1e-7, atol=1e-4, fast_mode=True)


@pytest.mark.parametrize('readout', ['displacement', 'both'])
@pytest.mark.parametrize('options', [{}, {'similarity': 'ssd', 'refinement': 1, 'borders': 2,
                                          'norm': 'layer'}], ids=str)
def test_every_weight_takes_part_and_steps_have_the_same_gradient(readout, options, randomise,
                                                                  stream):
    torch.manual_seed(4)
    block = randomise(small(readout, channels=16, hidden=16, **options)).double()
    clip = texture(2, 5, 6, 8, 8, seed=6).requires_grad_()
    towards = torch.randn_like(clip)
    inputs = (clip, *block.parameters())
    by_clip = torch.autograd.grad((block(clip) * towards).sum(), inputs)
    by_steps = torch.autograd.grad((stream(block, clip) * towards).sum(), inputs)
    for one, other in zip(by_clip, by_steps, strict=True):
        assert one.abs().sum() > 0
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_steps_equal_the_clip_and_stay_near_float32(dtype, randomise, stream):
    block = randomise(small('both', window=(3, 9, 9), similarity='ssd', refinement=1, patch=5))
    pattern = texture(6, 24, 24, seed=7).float()
    clip = torch.stack([moved(pattern.double(), 1.3 * t, -0.7 * t) for t in range(5)])[None]
    half, clip = copy.deepcopy(block).to(dtype), clip.to(dtype)
    with torch.no_grad():
        whole, streamed = half(clip), stream(half, clip)
        assert whole.dtype == streamed.dtype == dtype
        torch.testing.assert_close(whole, streamed)
        values = half.displacements(clip)[0][0, -1, 0, :2, 8:-8, 8:-8].float()
    error = (values - torch.tensor([1.3, -0.7])[:, None, None]).norm(dim=0)
    assert error.mean() < 0.1
    full = {cache.dtype for cache in half.initial_state(1, 24, 24)}
    assert full == {dtype}


def test_autocast_finds_the_same_and_trains(randomise, stream):
    block = randomise(small('both', window=(3, 9, 9), similarity='ssd', patch=5, refinement=1))
    pattern = texture(6, 24, 24, seed=8)
    clip = torch.stack([moved(pattern, 1.3 * t, -0.7 * t) for t in range(4)])[None].float()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        by_clip, by_steps = block(clip), stream(block, clip)
        values = block.displacements(clip)[0][0, -1, 0, :2, 8:-8, 8:-8].float()
    torch.testing.assert_close(by_clip, by_steps)
    assert (values - torch.tensor([1.3, -0.7])[:, None, None]).norm(dim=0).mean() < 0.1
    by_clip.square().mean().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all()
               for weight in block.parameters())


def test_it_is_attached_and_streamed_as_any_other(randomise):
    host = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU()).eval()
    frames = torch.randn(6, 3, 8, 8)
    attach(host, {'0': randomise(small())}, layout='(NT)CHW', frames=6)
    with torch.no_grad(), streaming(host):
        outputs = torch.cat([host(frame[None]) for frame in frames])
    with torch.no_grad():
        torch.testing.assert_close(outputs, host(frames), **EXACT)


def test_maps_that_are_kept_one_by_one_give_the_same_to_the_bit(randomise):
    block = randomise(small('both', (1, 2), lags=(1, 3)))
    together, apart = (block.initial_state(2, 7, 8, apart=apart) for apart in (False, True))
    with torch.no_grad():
        for frame in torch.randn(6, 2, 6, 7, 8):
            expected, together = block.step(frame, together)
            found, apart = block.step(frame, apart)
            assert torch.equal(found, expected)


def test_there_is_no_limit_to_the_length_of_a_clip_and_nothing_gives_nothing(randomise, stream):
    block = randomise(small())
    by_steps, by_clip = pairs(block, torch.randn(1, 60, 6, 7, 8), stream)
    torch.testing.assert_close(by_steps, by_clip, **EXACT)
    for shape in (0, 3, 6, 7, 8), (2, 0, 6, 7, 8):
        assert small('both', refinement=1, borders=2)(torch.zeros(shape)).shape == shape


@pytest.mark.parametrize('side', [1, 3, 5, 7, 9, 11])
@pytest.mark.parametrize('planes', [3, 20])
def test_a_box_sum_is_the_sum_over_a_square(side, planes):
    x = torch.randn(2, planes, 13, 12, dtype=torch.float64)
    kernel = torch.ones(planes, 1, side, side, dtype=torch.float64)
    expected = F.conv2d(x, kernel, padding=side // 2, groups=planes)
    torch.testing.assert_close(box_sum(x, side), expected)
    torch.compiler.reset()
    traced = torch.compile(box_sum, backend='eager', fullgraph=True)(x, side)
    torch.testing.assert_close(traced, expected)


@pytest.mark.parametrize('options, message', [
    ({'lags': (2, 1)}, r'lags.*\(2, 1\)'), ({'lags': (0, 1)}, r'lags.*\(0, 1\)'),
    ({'lags': ()}, 'lags'), ({'lags': (1, 1.5)}, '1.5'), ({'lags': 3}, 'got 3'),
    ({'lags': (1, 9)}, r'\(1, 9\) look 9 frames away.*at most 4'),
    ({'lags': (3,), 'window': (5, 3, 3), 'causal': False}, 'at most 2'),
    ({'window': (1, 3, 3)}, 'L=1'), ({'patch': 4}, 'patch=4.*odd'), ({'patch': -1}, 'patch=-1'),
    ({'patch': 2.5}, 'patch=2.5'), ({'similarity': 'l1'}, "similarity='l1'.*ssd"),
    ({'readout': 'flow'}, "readout='flow'.*displacement"), ({'refinement': -1}, 'refinement=-1'),
    ({'refinement': True}, 'refinement=True'), ({'borders': -1}, 'borders=-1'),
    ({'spacing': 3}, 'spacing=3'), ({'norm': 'batch'}, "norm='batch'.*layer"),
    ({'projection': 0}, 'projection=0 is not allowed: expected 2 or more'),
    ({'projection': 0, 'similarity': 'ssd', 'readout': 'both'}, 'projection=0'),
    ({'projection': 0, 'similarity': 'ssd', 'rank': 2}, 'rank=2 is not allowed'),
    ({'readout': 'encoding', 'similarity': 'ssd'}, "similarity='ssd' needs")], ids=str)
def test_settings_that_make_no_sense_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        small(**options)


def test_a_patch_larger_than_the_map_is_refused():
    block = small(patch=9)
    message = r'patch of 9 x 9 is larger than the map: .* at most 7, the map is 7 x 12'
    with pytest.raises(ShapeError, match=message):
        block(torch.randn(1, 2, 6, 7, 12))
    with pytest.raises(ShapeError, match=message):
        block.step(torch.randn(1, 6, 7, 12), block.initial_state(1, 7, 12))


def test_times_that_do_not_fit_are_refused():
    block, clip = small(window=(3, 5, 5)), torch.randn(1, 3, 6, 7, 8)
    for times in ([[0.0, 0.2, 0.2]], [[0.0, 0.3, 0.2]], [[0.1, float('nan'), 0.1]]):
        with pytest.raises(ConfigError, match='times must increase'):
            block(clip, torch.tensor(times))
    nan, infinite = float('nan'), float('inf')
    for times in ([[0.0, nan, 0.2]], [[0.0, 0.1, nan]], [[nan, nan, nan]], [[0.0, 0.1, infinite]],
                  [[-infinite, 0.1, 0.2]]):
        for run in (lambda x: block(clip, x),
                    lambda x: block.step(clip[:, 0], block.initial_state(1, 7, 8), x)):
            with pytest.raises(ConfigError, match='finite, with NaN only for those before'):
                run(torch.tensor(times))
    block(clip, torch.tensor([[nan, nan, 0.2]]))
    with pytest.raises(ShapeError, match='expected times as a tensor.*got list'):
        block(clip, [[0.0, 0.1, 0.2]])
    with pytest.raises(ConfigError, match='0.5 s before 0.25 s'):
        block.step(clip[:, 0], block.initial_state(1, 7, 8), torch.tensor([[0.0, 0.5, 0.25]]))
    with pytest.raises(ShapeError, match=r'\(1, 3\).*got .*\(1, 2\)'):
        block(clip, torch.zeros(1, 2))
    with pytest.raises(ConfigError, match='does not use times'):
        small('encoding')(clip, torch.tensor([[0.0, 0.1, 0.2]]))
    with pytest.raises(ConfigError, match='finds no displacements'):
        small('encoding').displacements(clip)
    for name, value in (('patch', 3), ('refinement', 1), ('borders', 1), ('spacing', 2),
                        ('shortest', 0.1)):
        with pytest.raises(ConfigError, match=f"{name}={value} has no effect with readout='enc"):
            small('encoding', **{name: value})
    for shortest in (nan, -0.1, 'a'):
        with pytest.raises(ConfigError, match=f'shortest={shortest!r} is not allowed: expected 0'):
            small(shortest=shortest)


def test_a_state_of_another_readout_is_refused():
    block, other = small('displacement'), small('both')
    with pytest.raises(ShapeError, match='state'):
        block.step(torch.randn(1, 6, 7, 8), other.initial_state(1, 7, 8))


def test_features_that_are_compared_as_they_are_have_no_gradient_and_find_the_motion():
    pattern = texture(3, 24, 24, blur=2.0)
    frames = torch.stack([moved(pattern, 1.3 * n, -0.6 * n) for n in range(3)]).float()
    block = MOSS(3, (1,), (3, 7, 7), projection=0, readout='displacement', similarity='ssd',
                 refinement=2, lags=(1, 2), channels=4)
    assert not [name for name, _ in block.named_parameters() if 'projection' in name]
    _, values, _ = block.motion_and_values(frames[None], None, 1, None)
    found = values[0][0, 8:-8, 8:-8, :, :2].mean(dim=(0, 1))
    torch.testing.assert_close(found, torch.tensor([[1.3, -0.6], [2.6, -1.2]]), atol=0.05, rtol=0)
    assert block.kept == [3]
    assert not values[0].requires_grad
