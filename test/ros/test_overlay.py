"""The debug image: looked at by its pixels, and compared with stored pictures."""

from dataclasses import replace
import os
from pathlib import Path

import cv2
from moss_perception.core.frames import Camera, orientations_from_yaws
from moss_perception.core.geometry import project
from moss_perception.core.scores import Prediction
from moss_perception.ros.predictor.labels import Box, place, text_size, write
from moss_perception.ros.predictor.overlay import (
    GOOD,
    motion_energy,
    Overlay,
    POOR,
    SELECTED,
)
import numpy as np
import pytest

PICTURES = Path(__file__).parent / 'pictures'


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


def scene(width):
    """Return a prediction with neighbouring candidates, one of them without a score."""
    height = width * 3 // 4
    source = np.full((height, width, 3), (70, 80, 110), np.uint8)
    points = np.array([[0, 0, .5], [.02, .005, .5], [.03, .02, .5], [-.1, .05, .6],
                       [.12, -.08, .55], [.19, 0, .5], [9, 0, .5]])
    matrix = np.array([[1.1 * width, 0, width / 2], [0, 1.1 * width, height / 2], [0, 0, 1]])
    camera = Camera(width, height, matrix)
    pixels, reasons = project(points, camera)
    scores = np.array([.31, .82, .55, .12, .66, .4, np.nan])
    features = np.zeros((8, 8, 4), np.float32)
    features[3:5, 5:7] = 1
    given = prediction(0.62, height, width, features, pixels, scores)
    return replace(
        given, points=points, reasons=reasons, source=source, ood_score=1.7,
        orientations=orientations_from_yaws(np.array([0, .5, 1, 1.5, -.7, .2, 0])),
        uncertainties=np.where(np.isnan(scores), np.nan, 0.05)), camera


@pytest.mark.parametrize('width', [320, 1920])
def test_the_picture_is_the_stored_one(width):
    """Compare with a stored picture; MOSS_STORE_PICTURES=1 writes it anew: look at it then."""
    given, camera = scene(width)
    image = Overlay(default_point=(0.53, 0.5)).draw(given, 0.5, True, camera, selected=2)
    # The stored ones are small, and no edge of a glyph decides.
    small = cv2.resize(image, (320, 240), interpolation=cv2.INTER_AREA)
    path = PICTURES / f'overlay_{width}.png'
    if os.environ.get('MOSS_STORE_PICTURES'):
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), small[:, :, ::-1])
    stored = cv2.imread(str(path))[:, :, ::-1]
    # Fonts and lines differ by some pixels between versions of OpenCV; a missing label, gripper
    # or line of text changes more than this.
    differs = np.abs(small.astype(int) - stored).max(axis=2) > 60
    assert differs.mean() < 0.005


def test_labels_of_neighbouring_candidates_do_not_overlap():
    image, taken = np.zeros((480, 640, 3), np.uint8), []
    for k in range(6):
        box = place(image, text_size('0: 0.50', 20), (300 + 3 * k, 200), 12, taken)
        assert box is not None and box.is_within(image)
        assert not any(box.overlaps(other) for other in taken)
        taken.append(box)
    assert place(image, text_size('0: 0.50', 20), (300, 200), 12, [Box(0, 0, 640, 480)]) is None


def test_the_best_and_the_selected_candidate_are_marked():
    given, camera = scene(640)
    drawn = Overlay().draw(given, 0.5, camera=camera, selected=2)
    without = Overlay().draw(given, 0.5, camera=camera)
    assert (drawn == SELECTED).all(axis=2).sum() > 100
    assert not (without == SELECTED).all(axis=2).any()
    # The best has a box of its own colour under black letters; the others have letters of it.
    x, y = given.pixels[1].astype(int)
    part = without[y - 40:y + 40, x + 12:x + 160]
    assert (np.abs(part.astype(int) - GOOD).max(axis=2) < 60).mean() > 0.1


def test_a_gripper_is_as_wide_and_turned_as_it_is():
    given, camera = scene(640)
    image = Overlay().draw(given, 0.5, camera=camera)
    plain = Overlay().draw(given, 0.5)
    # Candidate 4 alone: at a depth of 0.55 m its fingers are 8 cm apart.
    rows, columns = np.nonzero((image != plain).any(axis=2))
    x, y = given.pixels[4]
    # Its label, and another gripper, are on the right.
    near = (columns < x) & (x - columns < 70) & (abs(rows - y) < 70)
    reach = 0.04 * 704 / 0.55
    assert x - columns[near].min() == pytest.approx(
        reach * np.cos(0.7) + 0.35 * reach * np.sin(0.7), abs=5)


@pytest.mark.parametrize('line', [12, 20, 45])
def test_text_lies_within_its_box(line):
    image = np.full((300, 1500, 3), 200, np.uint8)
    write(image, 'gjQ best 0: 0.50 +- 0.12', 60, 100, line, GOOD, (0, 0, 0))
    wide, high = text_size('gjQ best 0: 0.50 +- 0.12', line)
    rows, columns = np.nonzero((image != 200).any(axis=2))
    assert (rows.min(), columns.min()) == (100, 60)
    assert rows.max() < 100 + high + line // 8 and columns.max() < 60 + wide
    text = image[:, :, 1] > 150
    assert text[100:100 + high, 60:60 + wide].sum() > 50


def test_text_is_cut_off_at_the_edges():
    image = np.full((100, 700, 3), 200, np.uint8)
    for at in ((690, 50), (-20, 50), (10, -5), (10, 95), (800, 50), (10, 500), (-900, 50)):
        write(image, '0: 0.50', *at, 30)
    assert (image != 200).any()


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
    changed = np.abs(moving - still).sum(axis=2)[:400]
    row, column = np.unravel_index(changed.argmax(), changed.shape)
    # Cell (4, 6) of 8 covers columns 480 to 560 and, of the centred square, rows 240 to 320.
    assert 480 <= column < 560 and 240 <= row < 320


def test_candidates_are_drawn_where_they_are_and_not_where_they_are_nan():
    plain = Overlay().draw(prediction(0.5), 0.5)
    drawn = Overlay().draw(
        prediction(0.5, pixels=[(100, 200), (np.nan, np.nan)], scores=[0.9, np.nan]), 0.5)
    rows, columns = np.nonzero((drawn != plain).any(axis=2))
    # The footer names the best candidate, too.
    beside = rows < 380
    assert abs(rows[beside] - 200).max() < 20
    assert columns[beside].min() >= 85 and columns[beside].max() < 240


def test_a_small_image_is_enlarged_and_the_source_left_alone():
    given = prediction(0.5, 60, 80, pixels=[(10, 10)], scores=[0.5])
    assert Overlay().draw(given, 0.5).shape == (480, 640, 3)
    assert (given.image == 90).all()


@pytest.mark.parametrize(('height', 'width'), [(1, 1), (3, 700), (1080, 7)])
def test_odd_sizes_can_be_drawn(height, width):
    given = prediction(1.0, height, width, pixels=[(0, 0)], scores=[1.0])
    assert Overlay().draw(given, 1.0).dtype == np.uint8


@pytest.mark.parametrize(('height', 'width'), [(480, 640), (60, 80), (1080, 7)])
def test_a_banner_says_that_the_images_are_out_of_distribution(height, width):
    given = replace(prediction(0.5, height, width), ood_score=1.7)
    plain, warned = (Overlay().draw(given, 0.5, unfamiliar) for unfamiliar in (False, True))
    assert (warned[0, -1] == POOR).all() and (plain[0] != POOR).any()
    if height == 480:
        rows = np.flatnonzero((plain != warned).any(axis=(1, 2)))
        assert rows.max() < height // 10 and (warned[:rows.max()] < 60).all(axis=2).any()
