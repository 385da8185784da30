"""The node runs every model of the package, with either engine."""

from moss_perception.models.checkpoint import save_checkpoint
from moss_perception.models.export import export_graphs
from moss_perception.runtime.engine import ENGINES
from node_scores import node_scores
import pytest
from tiny import tiny_network

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope='module', params=['recurrent_grasp', 'flow_grasp', 'moss_flow_grasp'])
def checkpoint(request, tmp_path_factory):
    """Return an exported checkpoint of each model besides the shipped one's."""
    path = tmp_path_factory.mktemp(request.param) / 'tiny.safetensors'
    save_checkpoint(path, tiny_network(request.param))
    export_graphs(path)
    return path


@pytest.mark.parametrize('engine', ENGINES)
def test_the_node_scores_with_it(checkpoint, ros_domain, engine):
    assert all(0 <= score <= 1 for score in node_scores(checkpoint, engine=engine))
