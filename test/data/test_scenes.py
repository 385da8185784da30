"""Shards of scenes."""

from dataclasses import replace

import cv2
from moss_perception.core.errors import DataError, ShapeError, SimulationError
from moss_perception.data.scenes import read_shards, save_dataset, save_skipped
from moss_perception.data.schema import Attempt, Sample
from moss_perception.data.shards import read_shard, shard_path, write_shard
from moss_perception.simulation.camera import Lens
import numpy as np
import pytest


def scene(seed: int, frames: int = 3, watched: int = 0) -> Sample:
    rng = np.random.default_rng(seed)
    smooth = cv2.resize(rng.integers(0, 255, (3, 4, 4, 3), np.uint8)[0], (32, 24))
    jpegs = [cv2.imencode('.jpg', np.roll(smooth, k, 1))[1].tobytes()
             for k in range(frames + watched)]
    stamps = np.arange(frames + watched) * 100_000_000 + 7_000_000
    outcomes = rng.uniform(size=6) < 0.5
    attempt = Attempt(
        2, bool(outcomes[2]), tuple(jpegs[frames:]), stamps[frames:],
        ('approach', 'close', 'lift')[:watched], np.arange(watched, dtype=np.float32),
        rng.normal(size=(watched, 3)).astype(np.float32)) if watched else None
    return Sample(
        tuple(jpegs[:frames]), rng.normal(size=(6, 4)).astype(np.float32), outcomes, seed=seed,
        speed=0.1, motion='constant', shape='capsule',
        track=rng.normal(size=(2, 3)).astype(np.float32), domain='sim',
        family='capsule', cell='full', velocity=0.12, acceleration=-0.05, split='held_out',
        offsets=rng.normal(size=(6, 4)).astype(np.float32), stamps_ns=stamps[:frames],
        attempt=attempt)


def in_format_2(path, scenes: list):
    """Write what the release before wrote."""
    jpegs = [data for one in scenes for data in one.jpegs]
    np.savez(path, format=2, matrix=Lens().matrix,
             jpeg=np.frombuffer(b''.join(jpegs), np.uint8),
             offset=np.cumsum([0] + [len(data) for data in jpegs]),
             speed=np.array([one.speed for one in scenes], np.float32),
             **{name: np.array([getattr(one, name) for one in scenes]) for name in (
                 'candidates', 'outcomes', 'track', 'motion', 'shape', 'domain', 'seed')})


def test_scenes_come_back_as_they_were_written(tmp_path):
    scenes = [scene(seed) for seed in (5, 6)]
    write_shard(shard_path(tmp_path, 5), scenes, Lens().matrix)
    for written, got in zip(scenes, read_shard(shard_path(tmp_path, 5)), strict=True):
        assert got.jpegs == written.jpegs
        assert (got.seed, got.motion, got.shape, got.domain) == (
            written.seed, 'constant', 'capsule', 'sim')
        assert got.speed == pytest.approx(0.1)
        np.testing.assert_array_equal(got.candidates, written.candidates)
        np.testing.assert_array_equal(got.outcomes, written.outcomes)
        np.testing.assert_array_equal(got.track, written.track)
        np.testing.assert_array_equal(got.matrix, Lens().matrix)
        assert got.outcomes.dtype == bool


def test_frames_are_rgb(tmp_path):
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 2] = 255
    shown = replace(scene(0), jpegs=(cv2.imencode('.jpg', red)[1].tobytes(),))
    assert shown.newest(1).shape == (1, 16, 16, 3)
    # JPEG leaves a few grey levels.
    np.testing.assert_allclose(shown.newest(1)[0, 8, 8], [255, 0, 0], atol=4)


def test_folder_is_read_in_order_of_seeds(tmp_path):
    for first in (100, 0, 50):
        write_shard(shard_path(tmp_path, first), [scene(first), scene(first + 1)],
                    Lens().matrix)
    assert [item.seed for item in read_shards(tmp_path)] == [0, 1, 50, 51, 100, 101]


def test_empty_folder_is_refused_by_name(tmp_path):
    with pytest.raises(SimulationError, match=f'no scenes in {tmp_path}'):
        list(read_shards(tmp_path))


def test_damaged_shard_is_refused_by_name(tmp_path):
    path = shard_path(tmp_path, 0)
    write_shard(path, [scene(0)], Lens().matrix)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(SimulationError, match='could not read the scenes of .*scenes_00000000'):
        read_shard(path)


def test_foreign_arrays_are_refused(tmp_path):
    np.savez(tmp_path / 'scenes_0.npz', a=np.zeros(3))
    with pytest.raises(SimulationError, match='holds no scenes .*it names no format'):
        read_shard(tmp_path / 'scenes_0.npz')


def test_pickled_objects_are_refused(tmp_path):
    np.savez(tmp_path / 'scenes_0.npz', format=np.array({'a': 1}, dtype=object))
    with pytest.raises(SimulationError, match='could not read'):
        read_shard(tmp_path / 'scenes_0.npz')


def test_shard_of_a_later_format_is_refused_with_its_number(tmp_path):
    np.savez(tmp_path / 'scenes_0.npz', format=4)
    with pytest.raises(SimulationError, match='its format is 4, expected one of 2, 3'):
        read_shard(tmp_path / 'scenes_0.npz')


def test_frames_may_be_lost_and_grasps_watched(tmp_path):
    scenes = [scene(5, 3), scene(6, 2, watched=3), scene(7, 3, watched=1)]
    write_shard(shard_path(tmp_path, 5), scenes, Lens().matrix)
    for written, got in zip(scenes, read_shard(shard_path(tmp_path, 5)), strict=True):
        assert got.jpegs == written.jpegs
        np.testing.assert_array_equal(got.stamps_ns, written.stamps_ns)
        np.testing.assert_array_equal(got.offsets, written.offsets)
        assert (got.family, got.cell, got.split) == ('capsule', 'full', 'held_out')
        assert (got.velocity, got.acceleration) == pytest.approx((0.12, -0.05))
        assert got.size == got.image_size == (32, 24)
        if written.attempt is None:
            assert got.attempt is None
            continue
        for name in ('candidate', 'jpegs', 'phases', 'success'):
            assert getattr(got.attempt, name) == getattr(written.attempt, name)
        for name in ('stamps_ns', 'to_loss_s', 'positions'):
            np.testing.assert_array_equal(
                getattr(got.attempt, name), getattr(written.attempt, name))


def test_scenes_of_format_2_can_still_be_read(tmp_path):
    scenes = [scene(5), scene(6)]
    in_format_2(tmp_path / 'scenes_00000005.npz', scenes)
    for written, got in zip(scenes, read_shards(tmp_path), strict=True):
        assert got.jpegs == written.jpegs
        assert (got.cell, got.family, got.size) == ('belt', 'capsule', (32, 24))
        assert got.velocity == got.speed
        assert (got.offsets, got.attempt) == (None, None)
        np.testing.assert_array_equal(got.outcomes, written.outcomes)
        np.testing.assert_array_equal(got.times_ns, [0, 100_000_000, 200_000_000])
        np.testing.assert_array_equal(got.matrix, Lens().matrix)


def test_own_matrices_are_kept(tmp_path):
    other = Lens().matrix * 1.1
    write_shard(shard_path(tmp_path, 0), [scene(0), replace(scene(1), matrix=other)],
                Lens().matrix)
    first, second = read_shards(tmp_path)
    np.testing.assert_array_equal(first.matrix, Lens().matrix)
    np.testing.assert_array_equal(second.matrix, other)


def test_a_scene_during_its_grasp_ends_at_that_frame():
    whole = scene(6, 3, watched=3)
    part = whole.during(1)
    assert part.jpegs == whole.jpegs + whole.attempt.jpegs[:2]
    np.testing.assert_array_equal(part.times_ns, np.arange(5) * 100_000_000 + 7_000_000)
    np.testing.assert_array_equal(part.candidates, whole.candidates[[2]])
    assert part.outcomes.tolist() == [whole.attempt.success]
    np.testing.assert_array_equal(part.track, [whole.attempt.positions[1], whole.track[1]])
    with pytest.raises(DataError, match='scene 6 has 3 images .* no image 3'):
        whole.during(3)
    with pytest.raises(DataError, match='scene 7 has 0 images'):
        scene(7).during(0)


@pytest.mark.parametrize(('stamps_ms', 'rate_hz', 'expected'), [
    ([0, 100, 200, 300], 10, [1, 2, 3]),
    ([0, 100, 300], 10, [1, 1, 2]),
    ([0, 80, 190, 310], 10, [1, 2, 3]),
    ([0, 50, 100, 150, 200], 10, [0, 2, 4]),
    ([0, 100, 120, 200], 10, [0, 1, 3])])
def test_samples_are_chosen_by_stamp_and_repeated_for_lost_ones(stamps_ms, rate_hz, expected):
    made = replace(scene(0, len(stamps_ms)), stamps_ns=np.array(stamps_ms) * 1_000_000)
    assert made.window(3, rate_hz).tolist() == expected
    with pytest.raises(ShapeError, match='expected at least 9'):
        made.window(9, rate_hz)


def test_folder_that_lacks_scenes_is_refused_unless_unfinished_will_do(tmp_path):
    write_shard(shard_path(tmp_path, 0), [scene(0), scene(2)], Lens().matrix)
    save_dataset(tmp_path, {'seed': 0, 'scenes': 3})
    with pytest.raises(SimulationError, match='1 of 3 scenes are missing, such as seed 1'):
        list(read_shards(tmp_path))
    assert len(list(read_shards(tmp_path, unfinished=True))) == 2
    save_skipped(tmp_path, {1: ('unstable', 'the physics of seed 1')})
    assert [one.seed for one in read_shards(tmp_path)] == [0, 2]
    save_dataset(tmp_path, {'seed': 0, 'scenes': 2})
    with pytest.raises(SimulationError, match='1 scenes that are not of its data set.*seed 2'):
        list(read_shards(tmp_path))


def test_damaged_description_is_refused_by_name(tmp_path):
    write_shard(shard_path(tmp_path, 0), [scene(0)], Lens().matrix)
    (tmp_path / 'dataset.json').write_text('{"seed": 0')
    with pytest.raises(SimulationError, match='dataset.json is damaged'):
        list(read_shards(tmp_path))


def test_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(file, **arrays):
        file.write(b'half')
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(np, 'savez', fail)
    with pytest.raises(SimulationError, match='No space left'):
        write_shard(tmp_path / 'scenes_0.npz', [scene(0)], Lens().matrix)
    assert list(tmp_path.iterdir()) == []


def timed(seed: int, count: int) -> Sample:
    rng = np.random.default_rng(seed)
    return replace(
        scene(seed), lead_time_s=0.7, other_lead_times_s=np.float32([0.675, 0.8][:count]),
        other_labels=(rng.uniform(size=(count, 6)) < 0.5).astype(np.float32),
        other_places=rng.normal(size=(count, 3)).astype(np.float32))


def test_lead_times_come_back_and_older_shards_lack_them(tmp_path):
    scenes = [timed(5, 2), timed(6, 2)]
    write_shard(shard_path(tmp_path, 5), scenes, Lens().matrix)
    for written, got in zip(scenes, read_shard(shard_path(tmp_path, 5)), strict=True):
        assert got.lead_time_s == 0.7
        for name in ('other_lead_times_s', 'other_labels', 'other_places'):
            np.testing.assert_array_equal(getattr(got, name), getattr(written, name))
            assert getattr(got, name).dtype == np.float32
    write_shard(shard_path(tmp_path, 0), [scene(0)], Lens().matrix)
    with np.load(shard_path(tmp_path, 0)) as stored:
        assert not [name for name in stored if 'lead' in name or 'other' in name]
    older, = read_shard(shard_path(tmp_path, 0))
    assert np.isnan(older.lead_time_s)
    assert older.other_lead_times_s is older.other_labels is older.other_places is None


def test_own_lead_time_comes_back_without_others(tmp_path):
    write_shard(shard_path(tmp_path, 5), [replace(scene(5), lead_time_s=0.7)], Lens().matrix)
    got, = read_shard(shard_path(tmp_path, 5))
    assert (got.lead_time_s, got.other_labels) == (0.7, None)


def test_scenes_of_a_shard_have_the_same_number_of_lead_times(tmp_path):
    for other in (timed(6, 1), scene(6)):
        with pytest.raises(DataError, match='scene 5 and scene 6 differ in the number of lead'):
            write_shard(shard_path(tmp_path, 5), [timed(5, 2), other], Lens().matrix)


def test_masks_come_back_and_a_shard_has_them_of_all_scenes_or_of_none(tmp_path):
    rng = np.random.default_rng(4)
    width, height = scene(0).image_size
    masks = rng.uniform(size=(2, height, width)) < 0.3
    scenes = [replace(scene(n), object_mask=mask) for n, mask in enumerate(masks)]
    write_shard(shard_path(tmp_path, 0), scenes, Lens().matrix)
    for mask, got in zip(masks, read_shard(shard_path(tmp_path, 0)), strict=True):
        np.testing.assert_array_equal(got.object_mask, mask)
        assert got.object_mask.dtype == bool
    write_shard(shard_path(tmp_path, 5), [scenes[0], scene(6)], Lens().matrix)
    assert [got.object_mask for got in read_shard(shard_path(tmp_path, 5))] == [None, None]
