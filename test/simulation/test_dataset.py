"""Shards of scenes."""

from dataclasses import replace

import cv2
from moss_perception.errors import SimulationError
from moss_perception.simulation.camera import camera_matrix
from moss_perception.simulation.dataset import (
    read_shard,
    read_shards,
    Scene,
    shard_path,
    write_shard,
)
import numpy as np
import pytest


def scene(seed: int) -> Scene:
    rng = np.random.default_rng(seed)
    smooth = cv2.resize(rng.integers(0, 255, (3, 4, 4, 3), np.uint8)[0], (32, 24))
    jpegs = tuple(cv2.imencode('.jpg', np.roll(smooth, k, 1))[1].tobytes() for k in range(3))
    return Scene(seed, jpegs, rng.normal(size=(6, 4)).astype(np.float32),
                 rng.uniform(size=6) < 0.5, 0.1, 'constant', 'capsule',
                 rng.normal(size=(2, 3)).astype(np.float32), domain='sim')


def test_scenes_come_back_as_they_were_written(tmp_path):
    scenes = [scene(seed) for seed in (5, 6)]
    write_shard(shard_path(tmp_path, 5), scenes, camera_matrix())
    for written, got in zip(scenes, read_shard(shard_path(tmp_path, 5)), strict=True):
        assert got.jpegs == written.jpegs
        assert (got.seed, got.motion, got.shape, got.domain) == (
            written.seed, 'constant', 'capsule', 'sim')
        assert got.speed == pytest.approx(0.1)
        np.testing.assert_array_equal(got.candidates, written.candidates)
        np.testing.assert_array_equal(got.outcomes, written.outcomes)
        np.testing.assert_array_equal(got.track, written.track)
        np.testing.assert_array_equal(got.matrix, camera_matrix())
        assert got.outcomes.dtype == bool


def test_frames_are_rgb(tmp_path):
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 2] = 255
    shown = replace(scene(0), jpegs=(cv2.imencode('.jpg', red)[1].tobytes(),))
    assert shown.frames.shape == (1, 16, 16, 3)
    # JPEG leaves a few grey levels.
    np.testing.assert_allclose(shown.frames[0, 8, 8], [255, 0, 0], atol=4)


def test_folder_is_read_in_order_of_seeds(tmp_path):
    for first in (100, 0, 50):
        write_shard(shard_path(tmp_path, first), [scene(first), scene(first + 1)],
                    camera_matrix())
    assert [item.seed for item in read_shards(tmp_path)] == [0, 1, 50, 51, 100, 101]


def test_empty_folder_is_refused_by_name(tmp_path):
    with pytest.raises(SimulationError, match=f'no scenes in {tmp_path}'):
        list(read_shards(tmp_path))


def test_damaged_shard_is_refused_by_name(tmp_path):
    path = shard_path(tmp_path, 0)
    write_shard(path, [scene(0)], camera_matrix())
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(SimulationError, match='could not read the scenes of .*scenes_00000000'):
        read_shard(path)


def test_foreign_arrays_are_refused(tmp_path):
    np.savez(tmp_path / 'scenes_0.npz', a=np.zeros(3))
    with pytest.raises(SimulationError, match='holds no scenes'):
        read_shard(tmp_path / 'scenes_0.npz')


def test_pickled_objects_are_refused(tmp_path):
    np.savez(tmp_path / 'scenes_0.npz', format=np.array({'a': 1}, dtype=object))
    with pytest.raises(SimulationError, match='could not read'):
        read_shard(tmp_path / 'scenes_0.npz')


def test_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(file, **arrays):
        file.write(b'half')
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(np, 'savez', fail)
    with pytest.raises(SimulationError, match='No space left'):
        write_shard(tmp_path / 'scenes_0.npz', [scene(0)], camera_matrix())
    assert list(tmp_path.iterdir()) == []
