"""Fixtures of training's tests."""

import importlib.util
from pathlib import Path
import sys

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope='session')
def tiny_network():
    """Return the function that builds a network small enough for tests."""
    path = Path(__file__).resolve().parents[1] / 'grasp' / 'tiny.py'
    spec = importlib.util.spec_from_file_location('tiny', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.tiny_network


@pytest.fixture(scope='session')
def scenes():
    from spots import scene
    return [scene(seed) for seed in range(12)]


@pytest.fixture(scope='session')
def data(scenes, tmp_path_factory):
    from moss_perception.simulation.dataset import write_shard
    from spots import MATRIX, scene
    folder = tmp_path_factory.mktemp('data')
    write_shard(folder / 'train' / 'scenes_00000000.npz', scenes, MATRIX)
    write_shard(folder / 'test' / 'scenes_00000100.npz', [scene(n) for n in range(100, 106)],
                MATRIX)
    return folder
