"""The streaming context: state from call to call, dropped at its end; on stand-ins for hosts."""

import copy

from moss_perception.core.errors import ConfigError, ShapeError
from moss_perception.moss import attach, MOSS, streaming
from moss_perception.moss.layouts import LAYOUTS
import pytest
import torch
from torch import nn


def arrange(clip, layout):
    """Lay a clip (N, T, C, H, W) out; the class token is made of ones."""
    n, t, c, h, w = clip.shape
    kind = layout.partition('+')[0]
    order, shape = {
        'NCTHW': ('ncthw', (n, c, t, h, w)), 'NTHWC': ('nthwc', (n, t, h, w, c)),
        '(NT)CHW': ('ntchw', (n * t, c, h, w)), '(NT)HWC': ('nthwc', (n * t, h, w, c)),
        '(NT)LC': ('nthwc', (n * t, h * w, c)), 'N(THW)C': ('nthwc', (n, t * h * w, c)),
        'N(HWT)C': ('nhwtc', (n, h * w * t, c))}[kind]
    tensor = torch.einsum(f'ntchw->{order}', clip).reshape(shape)
    return torch.cat([torch.ones(len(tensor), 1, c), tensor], 1) if '+' in layout else tensor


def block(causal=True, orders=(1, 2)):
    torch.manual_seed(3)
    moss = MOSS(6, orders, (3, 3, 3), causal, channels=4, projection=4, hidden=4)
    for parameter in moss.parameters():
        nn.init.normal_(parameter, std=0.3)
    return moss


def host(layout='(NT)CHW', frames=6, **options):
    model = nn.Sequential(nn.Identity(), nn.Identity())
    attach(model, {'0': block(**options), '1': block(**options)}, layout, frames=frames,
           grid=(frames, 4, 5))
    return model.eval()


def clip(batch=2, frames=6):
    torch.manual_seed(1)
    return torch.randn(batch, frames, 6, 4, 5)


@pytest.mark.parametrize('layout', LAYOUTS)
@torch.no_grad()
def test_calls_of_one_or_more_frames_equal_the_clip_in_every_layout(layout):
    model, whole = host(layout), clip()
    blocks = nn.Sequential(block(), block())
    expected = blocks(whole)
    alone = blocks(whole.flatten(0, 1)[:, None]).view_as(whole)
    assert not torch.allclose(alone, expected, atol=1e-3), 'the frames before change nothing'
    # The same sums, in another order.
    close = {'rtol': 1e-5, 'atol': 1e-5}
    torch.testing.assert_close(model(arrange(whole, layout)), arrange(expected, layout), **close)
    for chunks in ([1] * 6, [2, 1, 3]):
        with streaming(model, batch=2):
            for part, wanted in zip(whole.split(chunks, 1), expected.split(chunks, 1),
                                    strict=True):
                torch.testing.assert_close(model(arrange(part, layout)),
                                           arrange(wanted, layout), **close)
    torch.testing.assert_close(model(arrange(whole, layout)), arrange(expected, layout), **close)


@torch.no_grad()
def test_reset_begins_new_streams_of_any_size():
    model = host()
    frame = clip(frames=1)
    with streaming(model, batch=2) as streams:
        first = model(frame.flatten(0, 1))
        second = model(frame.flatten(0, 1))
        streams.reset()
        assert torch.equal(model(frame.flatten(0, 1)), first)
        assert not torch.allclose(second, first)
        assert streams.batch == 2
        streams.reset()
        model(torch.randn(2, 6, 7, 9))


@torch.no_grad()
def test_states_are_dropped_at_the_end_and_after_an_exception():
    model, frame = host(), clip(frames=1).flatten(0, 1)
    with streaming(model, batch=2):
        first = model(frame)
    with pytest.raises(RuntimeError, match='by the way'):
        with streaming(model, batch=2):
            model(frame)
            raise RuntimeError('by the way')
    with streaming(model, batch=2):
        assert torch.equal(model(frame), first)
    with pytest.raises(ShapeError, match='whole clips of 6 rows'):
        model(frame)


def test_another_batch_or_map_size_within_a_stream_is_refused():
    model = host()
    with streaming(model, batch=2):
        model(torch.randn(2, 6, 4, 5))
        with pytest.raises(ShapeError, match=r"'0': expected rows of 2 streams.*got 3"):
            model(torch.randn(3, 6, 4, 5))
        with pytest.raises(ShapeError, match=r'maps of \(4, 5\).*got \(5, 4\)'):
            model(torch.randn(2, 6, 5, 4))
    joint = host('NCTHW')
    with streaming(joint):
        with pytest.raises(ShapeError, match=r'expected 1 streams \(batch=1\), got 2'):
            joint(torch.randn(2, 6, 1, 4, 5))


def test_another_dtype_within_a_stream_is_refused():
    model = host()
    with streaming(model, batch=2):
        model(torch.randn(2, 6, 4, 5))
        model.double()
        with pytest.raises(ConfigError, match=r'torch.float32 on cpu.*got torch.float64'):
            model(torch.randn(2, 6, 4, 5).double())


def test_what_cannot_stream_is_refused_before_anything_changes():
    with pytest.raises(ConfigError, match="MOSS at '0' has a centred window"):
        with streaming(host(causal=False)):
            pass
    with pytest.raises(ConfigError, match='no MOSS is attached to this Linear'):
        with streaming(nn.Linear(2, 2)):
            pass
    with pytest.raises(ConfigError, match='batch=0 is not allowed'):
        with streaming(host(), batch=0):
            pass
    model = host().train()
    model[1].gradient_checkpointing = True
    with pytest.raises(ConfigError, match="'1' has gradient checkpointing on"):
        with streaming(model):
            pass
    with pytest.raises(ShapeError, match='whole clips of 6 rows'):
        model(torch.randn(1, 6, 4, 5))


@torch.no_grad()
def test_a_second_context_is_refused_and_the_first_goes_on():
    model, frame = host(), torch.randn(1, 6, 4, 5)
    with streaming(model):
        first = model(frame)
        with pytest.raises(ConfigError, match="'0' is streaming already"):
            with streaming(model):
                pass
        assert not torch.allclose(model(frame), first)


@torch.no_grad()
def test_a_copy_made_while_streaming_runs_clips():
    model = host()
    whole = clip().flatten(0, 1)
    expected = model(whole)
    with streaming(model, batch=2):
        model(clip(frames=1).flatten(0, 1))
        assert torch.equal(copy.deepcopy(model)(whole), expected)


def test_gradients_flow_through_steps():
    model = host()
    with streaming(model, batch=2):
        outputs = [model(frame) for frame in clip().unbind(1)]
    outputs[-1].square().sum().backward()
    streamed = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    model(clip().flatten(0, 1)).unflatten(0, (2, 6))[:, -1].square().sum().backward()
    for ours, theirs in zip(streamed, [p.grad for p in model.parameters()], strict=True):
        # Sums over frames are taken in another order.
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
