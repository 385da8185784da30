"""The camera, where a renderer works."""

from moss_perception.core.errors import SimulationError
import pytest


@pytest.fixture(scope='session')
def renderer():
    """Return the one renderer of this process; skip, saying why, where none works."""
    from moss_perception.simulation.renderer import Renderer
    try:
        made = Renderer()
    except SimulationError as error:
        pytest.skip(str(error))
    yield made
    made.close()
