"""Measures of similarities, checked by hand, and their picture."""

import cv2
from moss_perception.evaluation.drawing import Figure
import numpy as np
import pytest

from study.draw_similarities import draw, mark_map
from study.similarity_maps import (
    centre,
    contrast,
    measures,
    shift_correlation,
    Similarities,
    strongest,
    summarise,
)

pytest.importorskip('scipy')
pytest.importorskip('matplotlib')


def peaked(down, right, size=(3, 5), height=0.9, ground=-0.5):
    values = np.full(size, ground, np.float32)
    values[down + size[0] // 2, right + size[1] // 2] = height
    return values


def seen(steps=(0, 1), seed=0, way=(8.0, 0.0), orders=1):
    """Describe a scene whose peak was so many cells up and left a sample ago, of three samples."""
    maps = [peaked(-lag * steps[0], -lag * steps[1]) for lag in (2, 1, 0)]
    images = np.random.default_rng(seed).integers(0, 255, (3, 64, 64, 3)).astype(np.uint8)
    return Similarities(seed=seed, motion='stop_and_go', images=images, rate_hz=10.0,
                        position=np.array([36.0, 34.0]), displacement=np.array(way),
                        query=(4, 4), stride=8,
                        values=np.stack([np.stack(maps)] * orders))


def test_the_strongest_neighbour_is_told_by_offset():
    values = np.stack([peaked(1, -2), peaked(0, 0)])
    assert strongest(values).tolist() == [[1, -2], [0, 0]]
    values[0, 2, 0] = np.nan
    values[0, 0, 4] = 0.1
    assert strongest(values[0]).tolist() == [-1, 2]


def test_contrast_is_maximum_less_median_of_what_is_inside():
    values = np.array([[[0.1, 0.2, 0.3], [0.4, 0.9, np.nan], [np.nan, np.nan, np.nan]],
                       np.full((3, 3), 0.7)])
    assert contrast(values) == pytest.approx([0.6, 0])


def test_a_centre_lies_between_equally_similar_neighbours():
    values = peaked(0, 1)
    # The ground's 14 neighbours, exp(-14) each, pull by a millionth.
    assert centre(values) == pytest.approx([0, 1], abs=1e-4)
    values[1, 4] = 0.9
    assert centre(values) == pytest.approx([0, 1.5], abs=1e-4)
    values[1, 3:] = np.nan
    assert centre(np.nan_to_num(values, nan=-1)) == pytest.approx(centre(values), abs=0.2)
    assert centre(np.full((3, 5), -0.9)) == pytest.approx([0, 0])


def test_measures_leave_the_newest_sample_out():
    found = measures(seen())
    assert found['contrast'] == pytest.approx([1.4])
    assert found['strongest'] == pytest.approx([0.9])
    assert found['plateau'] == pytest.approx([1 / 15])
    # 2 cells and 1 cell before.
    assert found['distance'] == pytest.approx([1.5])
    flat = measures(Similarities(**{**vars(seen()), 'values': np.full((1, 3, 3, 5), 0.5)}))
    assert (flat['contrast'], flat['plateau']) == (pytest.approx([0]), pytest.approx([1]))


def test_a_shift_correlates_with_the_displacement_that_follows():
    scenes = [seen((0, step), seed, (8.0 * step, 0.0)) for seed, step in enumerate((-1, 0, 1) * 5)]
    found = shift_correlation(scenes, 1)
    r, low, high = found.value, found.low, found.high
    assert r == pytest.approx(1, abs=1e-4) and low <= r <= high + 1e-9
    other = [seen((0, step), 0, (-8.0 * step, 0.0)) for step in (-1, 0, 1) * 5]
    assert shift_correlation(other, 1).value == pytest.approx(-1, abs=1e-4)
    assert np.isnan(shift_correlation([seen((0, 0), way=(0.0, 0.0))] * 3, 1).value)


def test_the_table_has_a_row_a_set_and_order():
    text = summarise({'sim': [seen(orders=2)] * 3, 'shifted': [seen(orders=2)] * 2})
    head, _, *rows = text.splitlines()
    assert 'contrast' in head and len(rows) == 4
    assert '| sim     | 3      | 2     | 1.40 [1.40, 1.40] |' in rows[1]


@pytest.mark.parametrize('sets', [1, 3])
@pytest.mark.parametrize('orders', [1, 3])
def test_a_picture_grows_with_sets_and_orders(sets, orders):
    data = draw({f'set {n}': seen(orders=orders, seed=n) for n in range(sets)}, 'A title')
    height, width = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape[:2]
    # Maps of 1.55 inches and their titles, 100 pixels an inch.
    assert height > sets * (orders + 1) * 150 and 500 < width < 800


def test_the_picture_shows_the_values():
    def red(one):
        image = cv2.imdecode(np.frombuffer(draw({'a': one}, ''), np.uint8), cv2.IMREAD_COLOR)
        return (np.abs(image.astype(int) - (31, 0, 103)).sum(axis=-1) < 30).sum()

    alike = Similarities(**{**vars(seen()), 'values': np.ones((1, 3, 3, 5))})
    other = Similarities(**{**vars(seen()), 'values': -np.ones((1, 3, 3, 5))})
    # Where all cosines are 1, three maps are dark red; else only the colour bar's end is.
    assert red(alike) > 10 * red(other)


def test_the_marks_of_a_map_lie_on_its_strongest_cell():
    figure = Figure()
    axes = figure.subplots()
    values = np.full((5, 7), -0.9)
    values[3, 1] = 1.0
    mark_map(axes, values, edge=True)
    for line in axes.lines:
        assert [float(x) for x in (line.get_xdata()[0], line.get_ydata()[0])] == pytest.approx(
            [-2.0, 1.0], abs=0.01)
    assert len(axes.lines) == 2
