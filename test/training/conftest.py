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
