"""Fixtures of the evaluation's tests."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope='session')
def made_up():
    """Return the module made_up: evaluations drawn from a seeded generator."""
    spec = importlib.util.spec_from_file_location('made_up', Path(__file__).parent / 'made_up.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
