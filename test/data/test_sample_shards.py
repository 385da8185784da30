"""Shards of samples from any source: nothing is lost, and bad ones are refused."""

from example_samples import assert_same, sample, simulated
from moss_perception.core.errors import DataError, SimulationError
from moss_perception.data import sample_shards
from moss_perception.data.sample_shards import (
    count_samples,
    read_samples,
    sample_path,
    write_samples,
)
from moss_perception.data.scenes import read_shards, save_dataset
from moss_perception.data.shards import read_shard
import numpy as np
import pytest


def test_samples_come_back_as_they_were_written(tmp_path):
    written = [sample(3, 8), sample(4, 2, (80, 60), distortion=None, attempt=None),
               sample(5, 5, matrix=None, stamps_ns=None, distortion_model='equidistant'),
               simulated(6)]
    write_samples(sample_path(tmp_path, 0), written)
    got = read_samples(sample_path(tmp_path, 0))
    assert [len(one.candidates) for one in got] == [8, 2, 5, 4]
    for mine, theirs in zip(got, written, strict=True):
        assert_same(mine, theirs)


def test_files_from_before_the_gripper_was_stored_do_not_say_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sample_shards, '_ADDED', ())
    write_samples(sample_path(tmp_path, 0), [sample(3, 8)])
    monkeypatch.undo()
    got, = read_samples(sample_path(tmp_path, 0))
    assert_same(got, sample(3, 8, gripper_opening_m=np.nan))


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
