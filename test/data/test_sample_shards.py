"""Shards of samples from any source: nothing is lost, and bad ones are refused."""

from dataclasses import fields, replace

import cv2
from moss_perception.core.errors import DataError, SimulationError
from moss_perception.data.sample_shards import (
    count_samples,
    read_samples,
    sample_path,
    write_samples,
)
from moss_perception.data.scenes import read_shards, save_dataset
from moss_perception.data.schema import Attempt, Sample
from moss_perception.data.shards import read_shard
import numpy as np
import pytest


def jpeg(seed: int, size: tuple[int, int]) -> bytes:
    image = np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), np.uint8)
    return cv2.imencode('.jpg', image)[1].tobytes()


def sample(seed: int, count: int, size: tuple[int, int] = (64, 48), **changes) -> Sample:
    """Return a recorded sample with some candidates, of which the second is labelled."""
    rng = np.random.default_rng(seed)
    stamps = np.arange(3) * 100_000_000 + 1_700_000_000_000_000_123
    labels = np.full(count, np.nan, np.float32)
    labels[1] = seed % 2
    return replace(Sample(
        tuple(jpeg(seed + n, size) for n in range(3)),
        rng.normal(size=(count, 4)).astype(np.float32), labels,
        mask=np.arange(count) == 1, matrix=np.array([[615.1, 0, 320.2], [0, 614.9, 240],
                                                     [0, 0, 1]]),
        distortion=rng.normal(size=5), size=size, stamps_ns=stamps,
        attempt=Attempt(1, bool(seed % 2), (jpeg(seed + 9, size),), stamps[-1:] + 50_000_000),
        name=f'monday, attempt {seed}', domain='real', lead_time_s=0.7,
        groups={'bag': 'monday', 'day': '2023-11-14', 'object': 'cup'}), **changes)


def simulated(seed: int) -> Sample:
    rng = np.random.default_rng(seed)
    return replace(
        sample(seed, 4), mask=None, labels=np.array([0, 1, 1, 0], np.float32), seed=seed,
        split='held_out', motion='constant', shape='box', family='box', cell='full', speed=0.1,
        velocity=0.1, acceleration=0.0, track=rng.normal(size=(2, 3)).astype(np.float32),
        offsets=rng.normal(size=(4, 4)).astype(np.float32),
        other_lead_times_s=np.array([0.7, 0.8], np.float32),
        other_labels=rng.integers(0, 2, (2, 4)).astype(np.float32),
        other_places=rng.normal(size=(2, 3)).astype(np.float32),
        object_mask=rng.uniform(size=(48, 61)) < 0.5,
        attempt=Attempt(0, False, (jpeg(1, (61, 48)),), np.array([7]), ('lift',),
                        np.array([0.1], np.float32), np.zeros((1, 3), np.float32)))


def assert_same(got, written) -> None:
    for one in fields(written):
        mine, theirs = getattr(got, one.name), getattr(written, one.name)
        if isinstance(theirs, Attempt):
            assert_same(mine, theirs)
        elif isinstance(theirs, np.ndarray):
            assert mine.dtype == theirs.dtype, one.name
            np.testing.assert_array_equal(mine, theirs, one.name)
        else:
            assert mine == theirs or (mine != mine and theirs != theirs), one.name


def test_samples_come_back_as_they_were_written(tmp_path):
    written = [sample(3, 8), sample(4, 2, (80, 60), distortion=None, attempt=None),
               sample(5, 5, matrix=None, stamps_ns=None, distortion_model='equidistant'),
               simulated(6)]
    write_samples(sample_path(tmp_path, 0), written)
    got = read_samples(sample_path(tmp_path, 0))
    assert [len(one.candidates) for one in got] == [8, 2, 5, 4]
    for mine, theirs in zip(got, written, strict=True):
        assert_same(mine, theirs)


def test_a_folder_of_imported_samples_is_read_like_one_of_scenes(tmp_path):
    for number in (0, 1):
        write_samples(sample_path(tmp_path, number), [sample(number, 3), sample(number + 2, 4)])
    save_dataset(tmp_path, {'samples': 4})
    assert [one.name for one in read_shards(tmp_path)] == [
        f'monday, attempt {n}' for n in (0, 2, 1, 3)]
    assert count_samples(sample_path(tmp_path, 1)) == 2


def test_a_folder_that_lost_a_shard_is_refused(tmp_path):
    write_samples(sample_path(tmp_path, 0), [sample(0, 3)])
    save_dataset(tmp_path, {'samples': 2})
    with pytest.raises(DataError, match='holds 1 imported samples: expected 2'):
        list(read_shards(tmp_path))


@pytest.mark.parametrize('label', [np.nan, -1, 2, np.inf])
def test_a_label_that_is_none_is_refused_and_nothing_is_written(tmp_path, label):
    bad = sample(0, 3, labels=np.array([0, label, 0]))
    with pytest.raises(DataError, match='monday, attempt 0 has the label .*expected 1 for'):
        write_samples(sample_path(tmp_path, 0), [sample(1, 3), bad])
    assert not list(tmp_path.iterdir())


def test_the_two_kinds_of_shards_are_not_confused(tmp_path):
    write_samples(tmp_path / 'samples_0.npz', [sample(0, 3)])
    with pytest.raises(SimulationError, match='its format is 4, expected one of 2, 3'):
        read_shard(tmp_path / 'samples_0.npz')


def test_a_damaged_shard_is_named(tmp_path):
    write_samples(sample_path(tmp_path, 0), [sample(0, 3)])
    path = sample_path(tmp_path, 0)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match='could not read the scenes of .*samples_00000.npz'):
        read_samples(path)
