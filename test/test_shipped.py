"""What is shipped besides the code: recordings and models."""

import hashlib
from pathlib import Path

from moss_perception.core.resources import model_path, SHIPPED_MODEL
from moss_perception.data.bags.reader import Recording
from moss_perception.models.base import model_type
from moss_perception.models.checkpoint import load_checkpoint
from moss_perception.models.export import compare
from moss_perception.models.manifest import graph_path, read_header, read_manifest
from moss_perception.runtime.engine import load_engine
import pytest

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = sorted(path.parent for path in (ROOT / 'samples').glob('*/metadata.yaml'))
MODELS = sorted((ROOT / 'models').glob('*.safetensors'))
TYPES = {
    '/image/compressed': 'sensor_msgs/msg/CompressedImage',
    '/camera_info': 'sensor_msgs/msg/CameraInfo',
    '/grasp_candidates': 'geometry_msgs/msg/PoseArray',
    '/grasp_lead_times': 'sensor_msgs/msg/PointCloud2',
    '/selected_grasp': 'geometry_msgs/msg/PoseStamped',
    '/grasp_outcome': 'diagnostic_msgs/msg/DiagnosticArray',
}


def graphs_of(path):
    """List the files of a model's graphs."""
    config, _ = read_header(path)
    return [graph_path(path, graph.name) for graph in model_type(config.model).describe(config)]


def test_there_are_samples():
    assert 'sim_20' in [path.name for path in SAMPLES]


@pytest.mark.parametrize('path', SAMPLES, ids=lambda path: path.name)
def test_a_sample_holds_attempts_of_both_outcomes_on_the_topics_of_the_contract(path):
    for file in path.iterdir():
        assert file.stat().st_size < 5_000_000, file
    with Recording(path) as recording:
        assert {x.name: x.type for x in recording.topics.values()} == TYPES
        counts = {name: topic.count for name, topic in recording.topics.items()}
        outcomes = recording.outcomes()
        executed = [grasp.stamp_ns for grasp in recording.executed()]
    assert counts['/image/compressed'] >= 16 * 20
    assert [x.attempt for x in outcomes] == sorted({x.attempt for x in outcomes})
    assert len(outcomes) == 20
    # Of every set of candidates but the empty ones between attempts.
    assert counts['/grasp_lead_times'] == counts['/grasp_candidates'] - 20
    assert {x.success for x in outcomes} == {True, False}
    for outcome in outcomes:
        assert outcome.start_ns < outcome.decision_ns < outcome.end_ns
        assert any(outcome.start_ns <= stamp_ns <= outcome.end_ns for stamp_ns in executed)


def test_there_is_the_model_that_is_loaded_by_default():
    assert model_path().name == SHIPPED_MODEL
    assert (ROOT / 'models' / SHIPPED_MODEL) in MODELS


@pytest.mark.parametrize('path', MODELS, ids=lambda path: path.name)
def test_a_model_is_the_one_its_sum_is_of_and_is_small(path):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_manifest(path.parent)[path.name] == digest
    network = load_checkpoint(path, digest)
    assert sum(x.numel() for x in network.parameters()) <= 1_200_000


@pytest.mark.parametrize('path', MODELS, ids=lambda path: path.name)
def test_the_graphs_of_a_model_equal_it_and_are_small(path):
    network = load_checkpoint(path)
    for number, graph in enumerate(graphs_of(path)):
        assert graph.stat().st_size <= 5_000_000
        data = graph.read_bytes()
        assert read_manifest(path.parent)[graph.name] == hashlib.sha256(data).hexdigest()
        # Raises where they differ by more than 1e-4.
        compare(network, number, data, graph.name)


@pytest.mark.parametrize('path', MODELS, ids=lambda path: path.name)
def test_a_model_is_loaded_by_the_default_engine(path):
    engine = load_engine(str(path), threads=1)
    assert (engine.name, len(engine.costs)) == ('onnxruntime', len(engine.config.levels))


def test_every_sum_is_of_a_model_that_is_there_or_of_its_graphs():
    expected = [path.name for path in MODELS] + [
        graph.name for path in MODELS for graph in graphs_of(path)]
    assert sorted(read_manifest(ROOT / 'models')) == sorted(expected) != []
    assert sorted(path.name for path in (ROOT / 'models').iterdir()) == sorted(
        [*expected, 'SHA256SUMS'])
