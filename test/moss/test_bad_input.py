"""Bad input: refused with expected and actual, or, for NaN, kept to where it came from."""

import copy
import warnings

from moss_perception.core.errors import ConfigError, NotFiniteWarning, ShapeError
from moss_perception.moss import correlate, MOSS, space_time_self_similarity
import pytest
import torch

SMALL, LARGE = (5, 6), (64, 48)  # a size for each of the two kernels
NAN, INF = float('nan'), float('inf')


@pytest.fixture
def block(randomise):
    return randomise(MOSS(6, (1, 2), (3, 3, 3), channels=4, projection=4, hidden=4))


def frames(*size):
    return torch.randn(size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('orders', [(), (0,), (0, 1), (-1,), (2, 1), (1, 1), (1.5,), ('1',), 3,
                                    None], ids=str)
def test_orders_that_make_no_sense_are_named(orders):
    with pytest.raises(ConfigError) as caught:
        MOSS(6, orders)
    assert 'orders' in str(caught.value) and repr(orders) in str(caught.value)


@pytest.mark.parametrize('window', [(5, 9), (5, 9, 9, 9), (0, 9, 9), (5, -1, 9), (5, 8, 9),
                                    (5, 9, 2), (5, 9, 9.5), 5, None, ('5', 9, 9), (NAN, 9, 9),
                                    (INF, 3, 3)], ids=str)
def test_windows_that_make_no_sense_are_named(window):
    for make in (lambda: MOSS(6, (1,), window),
                 lambda: space_time_self_similarity(torch.zeros(1, 2, 3, 4, 5), window)):
        with pytest.raises(ConfigError) as caught:
            make()
        assert 'window' in str(caught.value) and repr(window) in str(caught.value)


@pytest.mark.parametrize('size', [(2, 3), (3, 4), (0, 3), (3, -1)])
def test_the_kernel_refuses_windows_that_have_no_centre(size):
    with pytest.raises(ConfigError, match=str(size[0])):
        correlate(torch.zeros(1, 2, 4, 5), torch.zeros(1, 2, 2, 4, 5), *size)


@pytest.mark.parametrize('name', ['in_channels', 'channels', 'projection', 'hidden'])
@pytest.mark.parametrize('value', [0, -1])
def test_sizes_below_one_are_named(name, value):
    with pytest.raises(ConfigError, match=f'{name}={value}'):
        MOSS(**{'in_channels': 6, name: value})


@pytest.mark.parametrize('rank', [0, 9])
def test_a_rank_that_the_projection_does_not_have_is_named(rank):
    with pytest.raises(ConfigError, match=f'rank={rank}.*projection=8'):
        MOSS(6, projection=8, rank=rank)


@pytest.mark.parametrize('shape', [(2, 6, 5, 5), (1, 2, 5, 5, 5), (6,), (1, 6, 2, 5, 5), ()],
                         ids=str)
def test_features_of_another_shape_are_refused(block, shape):
    with pytest.raises(ShapeError) as caught:
        block(torch.zeros(shape))
    assert '(B, T, 6, H, W)' in str(caught.value) and str(shape) in str(caught.value)


@pytest.mark.parametrize('batch, height, width', [(1, 5, 6), (2, 6, 6), (2, 5, 5), (3, 5, 6)])
def test_a_state_of_another_batch_or_size_is_refused(block, batch, height, width):
    state = block.initial_state(batch, height, width)
    with pytest.raises(ShapeError) as caught:
        block.step(frames(2, 6, 5, 6), state)
    assert str((2, 2, 5, 6, 4)) in str(caught.value)
    assert str((batch, 2, height, width, 4)) in str(caught.value)


def test_maps_one_by_one_of_another_number_or_size_are_refused(block):
    states = [block.initial_state(*size, apart=True) for size in ((2, 5, 5), (1, 5, 6), (2, 5, 6))]
    states[-1] = tuple(maps[1:] for maps in states[-1])
    for state in states:
        with pytest.raises(ShapeError) as caught:
            block.step(frames(2, 6, 5, 6), state)
        assert f'sequences of 2 tensors {(2, 30, 4)}' in str(caught.value)
        assert str(tuple(state[0][0].shape)) in str(caught.value)
    state = block.initial_state(2, 5, 6, apart=True)
    with pytest.raises(ShapeError, match='float64'):
        block.step(frames(2, 6, 5, 6), (state[0], tuple(one.double() for one in state[1])))


def test_a_state_of_another_block_is_refused(block):
    for orders, window, projection in (((1,), (3, 3, 3), 4), ((3,), (3, 3, 3), 4),
                                       ((1, 2), (4, 3, 3), 4), ((1, 2), (3, 3, 3), 5)):
        other = MOSS(6, orders, window, projection=projection)
        with pytest.raises(ShapeError, match='state'):
            block.step(frames(2, 6, 5, 6), other.initial_state(2, 5, 6))
    with pytest.raises(ShapeError, match='state'):
        block.step(frames(2, 6, 5, 6), ())


def test_a_frame_is_checked_before_its_state(block):
    with pytest.raises(ShapeError, match=r'\(B, 6, H, W\), got \(2, 7, 5, 6\)'):
        block.step(frames(2, 7, 5, 6), block.initial_state(2, 5, 6))


def test_other_types_are_refused_with_both_named(block):
    clip, frame, state = frames(2, 3, 6, 5, 6), frames(2, 6, 5, 6), block.initial_state(2, 5, 6)
    wrong = [lambda: block(clip.double()), lambda: block.motion(clip.double()),
             lambda: block.step(frame.double(), state),
             lambda: block.step(frame, tuple(cache.double() for cache in state)),
             lambda: block.step(frame, (state[0], state[1].double()))]
    for call in wrong:
        with pytest.raises(ShapeError) as caught:
            call()
        assert 'float32' in str(caught.value) and 'float64' in str(caught.value)


def test_whole_numbers_are_refused(block):
    with pytest.raises(ShapeError, match='int64'):
        block(torch.ones(1, 2, 6, 5, 6, dtype=torch.int64))


def test_other_devices_are_refused_with_both_named(block):
    clip, frame, state = frames(2, 3, 6, 5, 6), frames(2, 6, 5, 6), block.initial_state(2, 5, 6)
    wrong = [lambda: block(clip.to('meta')), lambda: block.step(frame.to('meta'), state),
             lambda: block.step(frame, tuple(cache.to('meta') for cache in state)),
             lambda: copy.deepcopy(block).to('meta')(clip)]
    for call in wrong:
        with pytest.raises(ShapeError) as caught:
            call()
        assert 'cpu' in str(caught.value) and 'meta' in str(caught.value)


def test_the_kernel_refuses_mixed_types_and_devices():
    query, keys = torch.zeros(1, 2, 4, 5), torch.zeros(1, 2, 2, 4, 5)
    with pytest.raises(ShapeError, match='float64'):
        correlate(query, keys.double(), 3, 3)
    with pytest.raises(ShapeError, match='meta'):
        correlate(query, keys.to('meta'), 3, 3)


def test_a_block_on_one_device_alone_is_not_refused(block):
    meta = copy.deepcopy(block).to('meta')
    assert meta(frames(2, 3, 6, 5, 6).to('meta')).shape == (2, 3, 6, 5, 6)


@pytest.mark.parametrize('value', [NAN, INF, -INF])
def test_values_that_are_not_finite_are_reported(block, value):
    clip = frames(2, 3, 6, 5, 6)
    clip[1, 2, 3, 4, 5] = value
    with torch.no_grad():
        with pytest.warns(NotFiniteWarning, match='NaN'):
            block(clip)
        with pytest.warns(NotFiniteWarning, match='NaN'):
            block.step(clip[:, 2], block.initial_state(2, 5, 6))


def test_finite_values_are_not_reported(block, stream):
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('error')
        stream(block, frames(2, 4, 6, 5, 6) * 1e4)
        block(frames(2, 4, 6, 5, 6))
        block.half()(torch.full((1, 4, 6, 5, 6), 6e4, dtype=torch.float16))


@pytest.mark.filterwarnings('ignore::moss_perception.core.errors.NotFiniteWarning')
@pytest.mark.parametrize('size', [SMALL, LARGE], ids=['maps', 'tiles'])
@pytest.mark.parametrize('value', [NAN, INF])
def test_nan_in_one_stream_leaves_the_others_bit_identical(block, stream, size, value):
    clip = frames(3, 5, 6, *size)
    bad = clip.clone()
    bad[1, 2, :, 1, 1] = value
    with torch.no_grad():
        for run in (block, lambda x: stream(block, x)):
            good_out, bad_out = run(clip), run(bad)
            assert torch.equal(bad_out[[0, 2]], good_out[[0, 2]])
            assert torch.equal(bad_out[1, :2], good_out[1, :2])
            assert not bad_out[1, 2].isfinite().all()


@pytest.mark.filterwarnings('ignore::moss_perception.core.errors.NotFiniteWarning')
@pytest.mark.parametrize('value', [NAN, INF])
@pytest.mark.parametrize('orders, window', [((1,), (3, 3, 3)), ((1, 2), (3, 3, 3)),
                                            ((1, 3), (2, 3, 3)), ((1,), (1, 3, 3))])
def test_nan_is_gone_after_exactly_the_receptive_field(orders, window, value, randomise, stream):
    block = randomise(MOSS(6, orders, window, channels=4, projection=4, hidden=4))
    clip = frames(1, 12, 6, 5, 6)
    clip[:, 2] = value
    clean = clip.clone()
    clean[:, 2] = 0
    with torch.no_grad():
        for run in (block, lambda x: stream(block, x)):
            out = run(clip)
            spoilt = (~out.isfinite()).flatten(2).any(2)[0].nonzero().flatten().tolist()
            assert spoilt == list(range(2, 2 + block.receptive_field))
            after = 2 + block.receptive_field
            assert torch.equal(out[:, after:], run(clean)[:, after:])


def windows_that_hold(where, size, window):
    """Mark the products of ``(H, W, U, V)`` that the position takes part in."""
    rows, columns = size
    marked = torch.zeros(*size, *window, dtype=torch.bool)
    marked[where] = True  # the position's own window
    for u in range(window[0]):
        for v in range(window[1]):
            y, x = where[0] - u + window[0] // 2, where[1] - v + window[1] // 2
            if 0 <= y < rows and 0 <= x < columns:
                marked[y, x, u, v] = True
    return marked


def inside(size, window):
    """Mark the products whose neighbour is in the map."""
    ones = torch.ones(1, 1, *size, dtype=torch.float64)
    return correlate(ones, ones[:, None], *window)[0, :, :, 0] == 1


@pytest.mark.parametrize('size', [SMALL, LARGE], ids=['maps', 'tiles'])
@pytest.mark.parametrize('where', [(0, 0), (2, 3), (4, 0), (0, 5)], ids=str)
@pytest.mark.parametrize('value', [NAN, INF])
def test_the_kernels_do_not_smear_nan(size, where, value):
    window, held = (3, 5), windows_that_hold(where, size, (3, 5))
    reaches = inside(size, window)
    query, keys = frames(1, 4, *size), frames(1, 2, 4, *size)
    bad_query, bad_keys = query.clone(), keys.clone()
    bad_query[(0, slice(None), *where)] = value
    bad_keys[(0, 1, slice(None), *where)] = value
    own = torch.zeros_like(held)
    own[where] = True
    neighbour = held & ~own
    neighbour[(*where, window[0] // 2, window[1] // 2)] = True
    good = correlate(query, keys, *window)[0]
    by_query = correlate(bad_query, keys, *window)[0].movedim(2, 0)
    by_keys = correlate(query, bad_keys, *window)[0].movedim(2, 0)
    good = good.movedim(2, 0)
    assert torch.equal(by_query[:, ~own], good[:, ~own])
    assert not by_query[:, own & reaches].isfinite().any()
    assert torch.equal(by_keys[0], good[0])
    # Neighbours outside the map may be NaN in the position's own window, and nowhere else.
    assert torch.equal(by_keys[1, ~(neighbour | own)], good[1, ~(neighbour | own)])
    assert not by_keys[1, neighbour].isfinite().any()


@pytest.mark.filterwarnings('ignore::moss_perception.core.errors.NotFiniteWarning')
@pytest.mark.parametrize('size', [SMALL, LARGE], ids=['maps', 'tiles'])
@pytest.mark.parametrize('causal', [True, False])
def test_the_similarity_keeps_nan_to_the_windows_that_hold_it(size, causal):
    features = frames(2, 5, 4, *size)
    bad = features.clone()
    bad[0, 2, 1, 0, 0] = NAN
    good = space_time_self_similarity(features, (3, 3, 5), causal)
    found = space_time_self_similarity(bad, (3, 3, 5), causal)
    held = torch.zeros(found.shape, dtype=torch.bool)
    held[0, 2, 0, 0] = True  # the query of this window
    near = windows_that_hold((0, 0), size, (3, 5))
    near[0, 0] = False
    near[0, 0, 1, 2] = True
    for t in range(5):
        i = 2 - t + (2 if causal else 1)
        if 0 <= i < 3:
            held[0, t, :, :, i] |= near
            held[0, t, 0, 0, i] = True  # its neighbours outside the map may be NaN as well
    assert torch.equal(found[~held], good[~held])
    reaches = inside(size, (3, 5))
    assert found[0, 2, 0, 0, -1 if causal else 1][reaches[0, 0]].isnan().all()
    assert found[0, 3, :, :, 1 if causal else 0][near].isnan().all()


@pytest.mark.parametrize('size', [SMALL, LARGE], ids=['maps', 'tiles'])
def test_the_gradient_keeps_nan_to_the_neighbours(size):
    query = frames(1, 4, *size).requires_grad_()
    keys = frames(1, 2, 4, *size).requires_grad_()
    bad = torch.zeros(1, *size, 2, 3, 3)
    bad[0, 0, 0, 0, 1, 1] = NAN
    by_query, by_keys = torch.autograd.grad(correlate(query, keys, 3, 3), (query, keys), bad)
    spoilt = by_query.isnan().nonzero()
    assert {tuple(place[2:]) for place in spoilt.tolist()} == {(0, 0)}
    spoilt = by_keys.isnan().nonzero()
    assert {(place[1], *place[3:]) for place in spoilt.tolist()} == {(0, 0, 0)}


@pytest.mark.parametrize('arguments', [
    {'used': 0}, {'used': -1}, {'used': 4}, {'last': 0}, {'last': -1}])
def test_orders_and_frames_that_are_not_there_are_refused(arguments):
    block = MOSS(6, (1, 2, 3), (3, 3, 3))
    with pytest.raises(ConfigError, match=f'{list(arguments)[0]}={list(arguments.values())[0]}'):
        block.motion(torch.zeros(1, 2, 6, 4, 4), **arguments)


@pytest.mark.parametrize('computed', [0, -1, 4])
def test_a_step_of_orders_that_are_not_there_is_refused(computed):
    block = MOSS(6, (1, 2, 3), (3, 3, 3))
    with pytest.raises(ConfigError, match=f'computed={computed}'):
        block.encode_step(torch.zeros(1, 6, 4, 4), block.initial_state(1, 4, 4), computed)


@pytest.mark.parametrize('state', [
    (None, None), ((None, None),) * 2, (3, 4), ('ab', 'cd'), ([], [])], ids=str)
def test_a_state_of_something_else_is_refused(block, state):
    with pytest.raises(ShapeError, match='expected a state of 2 tensors .*, got'):
        block.step(frames(2, 6, 5, 6), state)


def test_what_is_no_state_or_no_size_is_refused():
    block = MOSS(6, (1,), (3, 3, 3))
    with pytest.raises(ShapeError, match='got NoneType'):
        block.step(torch.zeros(1, 6, 4, 4), None)
    with pytest.raises(ShapeError, match=r'\(1, -1, 5\)'):
        block.initial_state(1, -1, 5)
    with pytest.raises(ConfigError, match='True'):
        MOSS(6, (True,))


@pytest.mark.parametrize('shape', [(0, 3, 6, 4, 4), (2, 0, 6, 4, 4)])
def test_a_clip_of_nothing_gives_nothing(shape):
    assert MOSS(6, (1, 2), (3, 3, 3), learning='mlp')(torch.zeros(shape)).shape == shape
