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
def data(tmp_path_factory):
    """Return a folder with small sets of scenes, ``train`` and ``test``."""
    from spots import write_data
    return write_data(tmp_path_factory.mktemp('data'))
