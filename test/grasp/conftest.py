"""Make the tiny network importable, and give each predictor's test both engines."""

from pathlib import Path
import sys

from moss_perception.grasp.engine import ENGINES, load_engine
from moss_perception.grasp.predictor import Predictor
import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope='session', params=ENGINES)
def engine(request, tiny_checkpoint):
    return load_engine(str(tiny_checkpoint), engine=request.param, threads=1)


@pytest.fixture
def predictor(engine):
    return Predictor(engine)
