"""Fixtures of training's tests."""

import pytest


@pytest.fixture(scope='session')
def tiny_network():
    """Return the function that builds a network small enough for tests."""
    from tiny import tiny_network
    return tiny_network


@pytest.fixture(scope='session')
def scenes():
    from spots import scene
    return [scene(seed) for seed in range(12)]


@pytest.fixture(scope='session')
def data(scenes, tmp_path_factory):
    from moss_perception.data.shards import write_shard
    from spots import MATRIX, scene
    folder = tmp_path_factory.mktemp('data')
    write_shard(folder / 'train' / 'scenes_00000000.npz', scenes, MATRIX)
    write_shard(folder / 'test' / 'scenes_00000100.npz', [scene(n) for n in range(100, 106)],
                MATRIX)
    return folder
