"""Self-similarity, against the definition and against values worked out by hand."""

import math

from moss_perception.core.errors import ConfigError, ShapeError
from moss_perception.moss import kernels, windows
from moss_perception.moss.similarity import correlate, space_time_self_similarity
import pytest
import torch


def by_definition(features, window, causal):
    """Compute phi(F[t,h,w], F[t+l,h+u,w+v]) one product at a time."""
    batch, frames, _, rows, columns = features.shape
    size_l, size_u, size_v = window
    offsets = range(-(size_l - 1), 1) if causal else range(-(size_l // 2), size_l // 2 + 1)
    out = torch.zeros(batch, frames, rows, columns, *window, dtype=features.dtype)
    unit = features / features.norm(dim=2, keepdim=True)
    for t in range(frames):
        for i, dt in enumerate(offsets):
            for u in range(size_u):
                for v in range(size_v):
                    for h in range(rows):
                        for w in range(columns):
                            y, x = h + u - size_u // 2, w + v - size_v // 2
                            if 0 <= t + dt < frames and 0 <= y < rows and 0 <= x < columns:
                                out[:, t, h, w, i, u, v] = (
                                    unit[:, t, :, h, w] * unit[:, t + dt, :, y, x]).sum(1)
    return out


@pytest.mark.parametrize('window, causal', [
    ((3, 3, 5), True), ((2, 5, 3), True), ((3, 3, 3), False), ((1, 7, 1), True)])
@pytest.mark.parametrize('share, numbers', [(math.inf, 0), (0, 0), (0, 2600), (0, 10 ** 6)], ids=[
    'tiles', 'a_map', 'some_maps', 'all_maps'])
def test_equals_the_definition(window, causal, share, numbers, monkeypatch):
    monkeypatch.setattr(kernels, '_TILE_SHARE', share)
    monkeypatch.setattr(windows, '_MAP_NUMBERS', numbers)
    torch.manual_seed(0)
    features = torch.randn(2, 4, 3, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(space_time_self_similarity(features, window, causal),
                               by_definition(features, window, causal))


def test_a_moving_dot_peaks_at_its_displacement():
    features = torch.zeros(1, 2, 1, 5, 5)
    features[0, 0, 0, 2, 1] = 1
    features[0, 1, 0, 3, 3] = 2
    out = space_time_self_similarity(features, (2, 5, 5))[0, 1, 3, 3]
    expected = torch.zeros(2, 5, 5)
    expected[0, 2 - 1, 2 - 2] = 1  # one frame ago: one row up, two columns left
    expected[1, 2, 2] = 1  # itself
    assert torch.equal(out, expected)


def test_the_value_is_the_cosine():
    features = torch.tensor([1.0, 0.0, 1.0, 1.0]).view(1, 2, 2, 1, 1)
    out = space_time_self_similarity(features, (2, 1, 1))
    assert out[0, 1, 0, 0, 0, 0, 0].item() == pytest.approx(math.sqrt(0.5))


def test_before_the_first_frame_and_outside_the_frame_is_zero():
    out = space_time_self_similarity(torch.ones(1, 1, 2, 2, 2), (3, 3, 3))
    assert out[0, 0, 0, 0, :2].eq(0).all()
    expected = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    torch.testing.assert_close(out[0, 0, 0, 0, 2], expected)


@pytest.mark.parametrize('share', [math.inf, 0], ids=['tiles', 'maps'])
def test_gradients(share, monkeypatch):
    monkeypatch.setattr(kernels, '_TILE_SHARE', share)
    torch.manual_seed(0)
    query = torch.randn(1, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    keys = torch.randn(1, 2, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda q, k: correlate(q, k, 3, 3), (query, keys))


@pytest.mark.parametrize('run', [1, 2, 3, 5])
def test_gradients_of_several_maps_at_a_time(run, monkeypatch):
    monkeypatch.setattr(kernels, '_TILE_SHARE', 0)
    monkeypatch.setattr(windows, '_MAP_NUMBERS', run * 2 * 6 ** 2)
    torch.manual_seed(0)
    query = torch.randn(2, 5, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    keys = torch.randn(2, 6, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert windows.Maps(query, 2, 3, 3).frames == run
    assert torch.autograd.gradcheck(
        lambda q, k: kernels.window_products(q, k, 3, 3), (query, keys))


def test_wrong_input_is_refused():
    with pytest.raises(ShapeError, match=r'\(B, T, C, H, W\), got \(2, 3, 4, 5\)'):
        space_time_self_similarity(torch.zeros(2, 3, 4, 5))
    with pytest.raises(ConfigError, match=r'\(3, 2, 3\)'):
        space_time_self_similarity(torch.zeros(1, 2, 3, 4, 5), (3, 2, 3))
    with pytest.raises(ShapeError, match='query'):
        correlate(torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 2, 3, 4), 3, 3)
