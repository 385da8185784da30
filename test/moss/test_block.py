"""The block: streaming equals the clip, inserting changes nothing, wrong use is refused."""

from moss_perception.core.errors import ConfigError, ShapeError
from moss_perception.moss import MOSS
import pytest
import torch


@pytest.mark.parametrize('learning', ['conv', 'shared', 'depthwise', 'mlp'])
@pytest.mark.parametrize('fusion', ['sum', 'concat'])
@pytest.mark.parametrize('orders', [(1,), (1, 2), (1, 2, 3), (2, 3), (3,)])
def test_steps_equal_the_clip(learning, fusion, orders, randomise, stream):
    torch.manual_seed(0)
    block = randomise(MOSS(6, orders, (3, 5, 3), channels=8, projection=5, hidden=4,
                           learning=learning, fusion=fusion))
    clip = torch.randn(2, 9, 6, 7, 5)
    with torch.no_grad():
        # The clip multiplies larger matrices, so float32 sums round in another order.
        torch.testing.assert_close(stream(block, clip), block(clip), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('size', [(1, 1), (3, 4), (14, 14), (33, 40)])
def test_default_block_steps_equal_the_clip_at_any_size(size, randomise, stream):
    torch.manual_seed(1)
    block = randomise(MOSS(16))
    clip = torch.randn(1, 15, 16, *size)
    with torch.no_grad():
        torch.testing.assert_close(stream(block, clip), block(clip), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('frames', [1, 2, 40])
def test_a_clip_of_any_length(frames, randomise, stream):
    block = randomise(MOSS(4, (1, 2), (4, 3, 3), channels=4, projection=4, hidden=4))
    clip = torch.randn(1, frames, 4, 5, 6)
    with torch.no_grad():
        torch.testing.assert_close(stream(block, clip), block(clip), rtol=1e-5, atol=1e-5)


def test_inserting_the_block_changes_nothing_at_first():
    clip = torch.randn(1, 4, 8, 6, 6)
    assert torch.equal(MOSS(8)(clip), clip)


def test_output_depends_on_exactly_the_receptive_field(randomise):
    block = randomise(MOSS(4, (1, 2), (3, 3, 3), channels=4, projection=4, hidden=4)).double()
    clip = torch.randn(1, 12, 4, 6, 6, dtype=torch.float64, requires_grad=True)
    block(clip)[:, -1].sum().backward()
    seen = clip.grad.abs().sum(dim=(0, 2, 3, 4)) > 0
    assert block.receptive_field == 5
    assert seen.tolist() == [False] * 7 + [True] * 5


def test_a_centred_window_sees_the_future_and_cannot_be_stepped(randomise):
    block = randomise(MOSS(4, (1,), (3, 3, 3), causal=False, channels=4, projection=4, hidden=4))
    clip = torch.randn(1, 5, 4, 6, 6, requires_grad=True)
    block(clip)[:, 2].sum().backward()
    assert (clip.grad.abs().sum(dim=(0, 2, 3, 4)) > 0).tolist() == [False, True, True, True, False]
    with pytest.raises(ConfigError, match='future'):
        block.initial_state(1, 6, 6)


def test_a_prefix_of_orders_equals_the_whole_with_the_others_at_zero(randomise):
    block = randomise(MOSS(4, (1, 2), (3, 3, 3), channels=4, projection=4, hidden=4,
                           fusion='concat'))
    clip = torch.randn(1, 5, 4, 6, 6)
    with torch.no_grad():
        whole, prefix = block.motion(clip), block.motion(clip, used=1)
    assert torch.equal(prefix[:, :, :4], whole[:, :, :4])
    assert not prefix[:, :, 4:].any() and whole[:, :, 4:].any()


def test_an_order_that_returns_is_exact_once_its_caches_are_filled(randomise):
    block = randomise(MOSS(4, (1, 2), (3, 3, 3), channels=4, projection=4, hidden=4))
    clip = torch.randn(1, 8, 4, 6, 6)
    state = block.initial_state(1, 6, 6)
    with torch.no_grad():
        for t in range(8):
            encodings, state = block.encode_step(clip[:, t], state, computed=1 if t < 4 else 2)
        torch.testing.assert_close(block.fuse(encodings), block.motion(clip)[:, -1],
                                   rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('last', [1, 3, 9, 20])
def test_the_last_frames_alone_equal_the_whole_clip(last, randomise):
    block = randomise(MOSS(4, (1, 2, 3), (3, 3, 3), channels=4, projection=4, hidden=4))
    clip = torch.randn(2, 9, 4, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(block.motion(clip, last=last), block.motion(clip)[:, -last:],
                                   rtol=1e-5, atol=1e-5)


def test_every_weight_takes_part(randomise):
    block = randomise(MOSS(4, (1, 2), (3, 3, 3), channels=4, projection=4, hidden=4))
    block(torch.randn(2, 5, 4, 6, 6)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in block.parameters())


@pytest.mark.parametrize('arguments, message', [
    ({'orders': ()}, 'orders'), ({'orders': (2, 1)}, 'orders'), ({'orders': (0, 1)}, 'orders'),
    ({'learning': 'lstm'}, "'lstm'"), ({'fusion': 'max'}, "'max'"),
    ({'window': (5, 8, 9)}, 'odd'), ({'window': (5, 9)}, 'three'),
    ({'window': (4, 9, 9), 'causal': False}, 'odd L'), ({'channels': 0}, 'channels=0')])
def test_wrong_settings_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        MOSS(8, **arguments)


def test_wrong_shapes_are_refused():
    block = MOSS(8, (1,))
    with pytest.raises(ShapeError, match=r'\(B, T, 8, H, W\)'):
        block(torch.zeros(1, 2, 4, 6, 6))
    with pytest.raises(ShapeError, match=r'\(B, 8, H, W\)'):
        block.step(torch.zeros(1, 4, 6, 6), block.initial_state(1, 6, 6))
    with pytest.raises(ShapeError, match='state'):
        block.step(torch.zeros(1, 8, 6, 6), block.initial_state(1, 6, 5))
