"""The node runs every model of the package, with either engine."""

from moss_perception.models.checkpoint import save_checkpoint
from moss_perception.models.export import export_graphs
from moss_perception.runtime.engine import ENGINES
from node_scores import node_scores
import pytest
from tiny import tiny_network

pytestmark = pytest.mark.timeout(120)


DISPLACEMENTS = {'readout': 'displacement', 'moss_window': (5, 3, 3), 'lags': (1, 2, 4),
                 'map_stride': 4, 'patch': 3, 'orders': 2, 'time_inputs': True,
                 'lead_times_s': (0.6, 0.9), 'default_lead_time_s': 0.7}


@pytest.fixture(scope='module', params=[
    ('recurrent_grasp', {}), ('flow_grasp', {}), ('moss_flow_grasp', {}), ('tsm_grasp', {}),
    ('moss_grasp', DISPLACEMENTS), ('moss_grasp', {**DISPLACEMENTS, 'readout': 'both'})],
    ids=['recurrent', 'flow', 'moss_flow', 'tsm', 'displacements', 'both'])
def checkpoint(request, tmp_path_factory):
    """Return an exported checkpoint of each model besides the shipped one's."""
    model, changes = request.param
    path = tmp_path_factory.mktemp(model) / 'tiny.safetensors'
    save_checkpoint(path, tiny_network(model, **changes))
    export_graphs(path)
    return path


@pytest.mark.parametrize('engine', ENGINES)
def test_the_node_scores_with_it(checkpoint, ros_domain, engine):
    assert all(0 <= score <= 1 for score in node_scores(checkpoint, engine=engine))
