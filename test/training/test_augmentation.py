"""How clips are changed while a network trains on them."""

from moss_perception.core.errors import ConfigError
from moss_perception.training.augmentation import (
    degrade,
    mirror,
    move,
    shift_grasps,
    shown_frames,
    vary,
)
from moss_perception.training.settings import Recipe
import numpy as np
import pytest


def clip(seed=0):
    return np.random.default_rng(seed).integers(40, 200, (4, 8, 8, 3), dtype=np.uint8)


def test_mirrored_images_keep_what_lies_under_a_grasp():
    generator = np.random.default_rng(1)
    images = clip()
    # A grasp at the middle of the pixel in row 2, column 5, of eight, closing to lower right.
    grasp = np.array([[2 * 5.5 / 8 - 1, 2 * 2.5 / 8 - 1, 0.6, 0.1, 0.2]])
    seen = set()
    for _ in range(40):
        changed, moved = mirror(images, [grasp], generator)
        column, row = ((moved[0, :2] + 1) * 8 / 2).astype(int)
        np.testing.assert_array_equal(changed[:, row, column], images[:, 2, 5])
        assert (np.sign(moved[0, 3:]) == np.sign(moved[0, :2]) * np.sign(grasp[0, :2])).all()
        seen.add((row, column))
    assert len(seen) == 4 and grasp[0, 3] == 0.1


def dot_at(images):
    """Return where the brightness lies, x and y in [-1, 1], shape (T, 2)."""
    grey = images[..., 0].astype(float) - 114
    grey[grey < 20] = 0
    side = images.shape[1]
    centres = (2 * np.arange(side) + 1) / side - 1
    total = grey.sum(axis=(1, 2))
    return np.stack([(grey.sum(axis=1) * centres).sum(axis=1),
                     (grey.sum(axis=2) * centres).sum(axis=1)], axis=1) / total[:, None]


def test_another_view_keeps_grasp_and_finger_on_their_places():
    places = np.array([[0.31, -0.22], [0.06, 0.16]])
    point, finger = places[0], places[1] - places[0]
    rows, columns = np.mgrid[:64, :64]
    images = np.stack([114 + 140 * np.exp(-((columns - (x + 1) * 32 + 0.5) ** 2
                                            + (rows - (y + 1) * 32 + 0.5) ** 2) / 8)
                       for x, y in places])
    images = np.repeat(images[..., None], 3, axis=-1).round().astype(np.uint8)
    grasp = np.array([[*point, 0.6, *finger]], np.float32)
    turns = []
    for seed in range(20):
        changed, moved = move(images, [grasp], 1.0, np.random.default_rng(seed))
        assert changed.shape == images.shape and moved.dtype == np.float32
        assert moved[0, 2] == grasp[0, 2]
        dots = dot_at(changed)
        # A pixel is 0.03 wide; the finger's place is exact for a hand of no size only.
        np.testing.assert_allclose(dots[0], moved[0, :2], atol=0.01)
        np.testing.assert_allclose(dots[1], moved[0, :2] + moved[0, 3:], atol=0.03)
        turns.append(np.arctan2(*moved[0, 4:2:-1]) - np.arctan2(*finger[::-1]))
    assert np.ptp(turns) > 0.3
    same, = move(images, [], 0.0, np.random.default_rng(0))
    assert same is images


def test_a_negative_or_another_hue_is_the_same_in_all_frames():
    ramp = np.tile(np.arange(0, 240, 30, dtype=np.uint8)[:, None, None], (4, 1, 8, 3))
    rising = [np.polyfit(range(8), vary(ramp, 1.0, np.random.default_rng(seed)).mean(
        axis=(2, 3)).T, 1)[0] for seed in range(40)]
    signs = {tuple(np.sign(slopes)) for slopes in rising}
    assert signs == {(1,) * 4, (-1,) * 4}


def test_missing_samples_are_made_up_for_by_the_one_before():
    counts = []
    for seed in range(200):
        kept = shown_frames(10, 0.5, np.random.default_rng(seed))
        assert kept[0] == 0 and kept[-1] == 9
        steps = np.diff(kept)
        assert (steps >= 0).all() and ((steps == 0) | (kept[1:] == np.arange(1, 10))).all()
        counts.append((steps == 0).mean())
    # Shares between 0 and a half, of all but the first and the last.
    assert 0.17 < np.mean(counts) < 0.27 and max(counts) > 0.4
    assert shown_frames(10, 0.0, np.random.default_rng(0)).tolist() == list(range(10))


def test_without_strength_all_colours_change_alike():
    grey = np.repeat(clip()[..., :1], 3, axis=-1)
    for seed in range(10):
        changed = vary(grey, 0.0, np.random.default_rng(seed))
        assert (changed == changed[..., :1]).all()
        order = np.argsort(grey, axis=None)
        assert (np.diff(changed.ravel()[order].astype(int)) >= 0).all()


def test_with_strength_colours_and_noise_vary_and_each_clip_keeps_its_colours():
    still = np.full((4, 8, 8, 3), 128, np.uint8)
    tints, noises = [], []
    for seed in range(60):
        changed = vary(still, 1.0, np.random.default_rng(seed)).astype(float)
        assert changed.shape == still.shape
        frames = changed.mean(axis=(1, 2))
        # The same tint in all frames: what is left between them is noise.
        assert np.ptp(frames, axis=0).max() < 8
        tints.append(frames.mean(axis=0) - frames.mean())
        noises.append((changed[1:] - changed[:-1]).std() / np.sqrt(2))
    assert np.std(tints) > 10 and max(noises) > 6 and min(noises) < 2


def test_sharpness_varies():
    checks = np.zeros((2, 8, 8, 3), np.uint8)
    checks[:, ::2, ::2] = checks[:, 1::2, 1::2] = 200
    spreads = [vary(checks, 1.0, np.random.default_rng(seed)).astype(float).std()
               for seed in range(40)]
    assert max(spreads) > 1.5 * min(spreads)


def test_in_half_of_the_clips_a_filter_changes_textures_alike_in_all_frames():
    plain = np.full((3, 15, 15, 3), 100, np.uint8)
    dotted = plain.copy()
    dotted[:, 7, 7] = 140
    filtered = 0
    for seed in range(60):
        # The same draws make the same noise: what the dot does to its surroundings is left.
        with_dot, without = (vary(images, 1.0, np.random.default_rng(seed)).astype(float)
                             for images in (dotted, plain))
        left = (with_dot - without).mean(axis=-1)
        assert np.ptp(left, axis=0).max() < 6
        signs = np.clip(left, 0, None).sum(), np.clip(-left, 0, None).sum()
        # A blur, a gain or another hue brightens all or darkens all; a filter does both.
        filtered += min(signs) > 0.2 * max(signs)
    assert 10 < filtered < 40


def test_the_same_draws_give_the_same_clip():
    one, other = (vary(clip(), 0.7, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    with pytest.raises(ConfigError, match='photometric=2 is not allowed: expected 0 to 1'):
        Recipe(photometric=2)
    with pytest.raises(ConfigError, match='geometric=-1 is not allowed: expected 0 to 1'):
        Recipe(geometric=-1)


def test_artefacts_of_a_camera_keep_the_scene():
    images = np.full((4, 32, 32, 3), 120, np.uint8)
    images[:, 8:20, 8:20] = (200, 60, 30)
    assert degrade(images, 0.0, np.random.default_rng(0)) is images
    changed = [degrade(images, 1.0, np.random.default_rng(seed)) for seed in range(12)]
    assert all(one.shape == images.shape and one.dtype == np.uint8 for one in changed)
    assert sum(not np.array_equal(one, images) for one in changed) >= 6
    # Colours stay in their order, and the exposure changes by at most a third.
    assert all(one[:, 12, 12, 0].min() > one[:, 12, 12, 2].max() for one in changed)
    assert all(abs(one.mean() / images.mean() - 1) < 0.35 for one in changed)


def test_all_grasps_of_a_clip_are_shifted_alike():
    grasps = np.array([[0.0, 0, 0.6, 0.1, 0], [0.2, -0.3, 0.6, 0, 0.1]], np.float32)
    assert shift_grasps(grasps, 0.0, np.random.default_rng(0)) is grasps
    moved = shift_grasps(grasps, 0.5, np.random.default_rng(0))
    shift = moved[:, :2] - grasps[:, :2]
    assert np.allclose(shift[0], shift[1]) and 0 < np.abs(shift).max() < 0.3
    assert np.array_equal(moved[:, 2:], grasps[:, 2:]) and moved.dtype == np.float32
    edge = np.array([[1.0, 1, 0.6, 0.1, 0]], np.float32)
    assert all(np.abs(shift_grasps(edge, 0.5, np.random.default_rng(n))[:, :2]).max() <= 1
               for n in range(8))
