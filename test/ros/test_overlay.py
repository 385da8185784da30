"""The debug image, looked at by its pixels."""

from dataclasses import replace

import cv2
from moss_perception.core.scores import Prediction
from moss_perception.ros.predictor.overlay import _write, GOOD, motion_energy, Overlay, POOR
import numpy as np
import pytest


def prediction(score, height=480, width=640, features=None, pixels=(), scores=()):
    count = len(scores)
    return Prediction(
        stamp_ns=1, frame_id='camera', score=score, uncertainty=0.1,
        default_point=np.full(3, np.nan), default_orientation=np.zeros(4), candidates_stamp_ns=1,
        points=np.zeros((count, 3)), orientations=np.zeros((count, 4)),
        reasons=np.zeros(count, np.uint8),
        pixels=np.array(pixels, float).reshape(count, 2), scores=np.array(scores, float),
        uncertainties=np.zeros(count), size=(height, width),
        source=np.full((height, width, 3), 90, np.uint8),
        motion_features=np.zeros((8, 8, 4), np.float32) if features is None else features)


@pytest.mark.parametrize(('score', 'colour'), [(0.75, GOOD), (0.25, POOR)])
def test_the_bar_is_as_long_as_the_score(score, colour):
    row = Overlay().draw(prediction(score), 0.5)[-6]
    assert (row == colour).all(axis=1).sum() == pytest.approx(score * 640, abs=4)


def test_the_heat_lies_where_something_moves():
    features = np.zeros((8, 8, 4), np.float32)
    features[4, 6] = 1
    energy = motion_energy(features)
    assert energy[4, 6] == pytest.approx(2) and energy.sum() == pytest.approx(2)
    still = Overlay().draw(prediction(0.0), 0.5).astype(int)
    moving = Overlay().draw(prediction(0.0, features=features), 0.5).astype(int)
    changed = np.abs(moving - still).sum(axis=2)[:440]
    row, column = np.unravel_index(changed.argmax(), changed.shape)
    # Cell (4, 6) of 8 covers columns 480 to 560 and, of the centred square, rows 240 to 320.
    assert 480 <= column < 560 and 240 <= row < 320


def test_candidates_are_drawn_where_they_are_and_not_where_they_are_nan():
    plain = Overlay().draw(prediction(0.5), 0.5)
    drawn = Overlay().draw(
        prediction(0.5, pixels=[(100, 200), (np.nan, np.nan)], scores=[0.9, np.nan]), 0.5)
    rows, columns = np.nonzero((drawn != plain).any(axis=2))
    assert abs(rows - 200).max() < 20 and columns.min() >= 90 and columns.max() < 220


def test_a_small_image_is_enlarged_and_the_source_left_alone():
    given = prediction(0.5, 60, 80, pixels=[(10, 10)], scores=[0.5])
    assert Overlay().draw(given, 0.5).shape == (480, 640, 3)
    assert (given.image == 90).all()


@pytest.mark.parametrize(('height', 'width'), [(1, 1), (3, 700), (1080, 7)])
def test_odd_sizes_can_be_drawn(height, width):
    given = prediction(1.0, height, width, pixels=[(0, 0)], scores=[1.0])
    assert Overlay().draw(given, 1.0).dtype == np.uint8


@pytest.mark.parametrize(('height', 'width'), [(240, 320), (720, 1280)])
def test_text_lies_within_its_rim(height, width):
    given = prediction(0.62, height, width)
    given.source[:] = 200
    image = Overlay().draw(given, 0.5)
    # The bar lies below; its tick and fill are no text.
    text_area = image[:len(image) - len(image) // 24 - 1].astype(int)
    # The text is green and the background grey, so whatever is greener than red is text.
    text = text_area[:, :, 1] - text_area[:, :, 0] > 20
    beside = cv2.dilate(text.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    background = (text_area >= 150).all(axis=2)
    assert text.sum() > 200 and not (beside & background).any()


@pytest.mark.parametrize('scale', [0.3, 0.5, 1.03, 1.5, 2.5])
def test_text_lies_centred_in_its_rim(scale):
    image = np.full((300, 1500, 3), 200, np.uint8)
    _write(image, '0: 0.50 +- 0.12', (60, 150), scale, GOOD)
    text = image[:, :, 1].astype(int) - image[:, :, 0] > 20
    drawn = (image != 200).any(axis=2)
    for axis in (0, 1):
        inner, outer = (np.flatnonzero(mask.any(axis=axis)) for mask in (text, drawn))
        before, after = inner[0] - outer[0], outer[-1] - inner[-1]
        # The faint edges of smooth glyphs count as rim.
        assert min(before, after) >= 1 and abs(before - after) <= 1


def test_text_is_cut_off_at_the_edges_and_drawn_whole_elsewhere():
    image = np.full((100, 700, 3), 200, np.uint8)
    for at in ((690, 50), (-20, 50), (10, 3), (10, 110), (800, 50), (10, 500), (-900, 50)):
        _write(image, '0: 0.50', at, 1.0, GOOD)
    whole, large = (np.full((size, 2 * size, 3), 200, np.uint8) for size in (300, 900))
    _write(whole, 'gj_|Q 0.50', (100, 150), 1.0, GOOD)
    _write(large, 'gj_|Q 0.50', (400, 450), 1.0, GOOD)
    np.testing.assert_array_equal(whole, large[300:600, 300:900])
    assert (large == GOOD).all(axis=2).any()


@pytest.mark.parametrize(('height', 'width'), [(480, 640), (60, 80), (1080, 7)])
def test_a_banner_says_that_the_images_are_out_of_distribution(height, width):
    given = replace(prediction(0.5, height, width), ood_score=1.7)
    plain, warned = (Overlay().draw(given, 0.5, unfamiliar) for unfamiliar in (False, True))
    assert (warned[0, -1] == POOR).all() and (plain[0] != POOR).any()
    if height == 480:
        rows = np.flatnonzero((plain != warned).any(axis=(1, 2)))
        assert rows.max() < height // 10 and (warned[:rows.max()] > 250).all(axis=2).any()
