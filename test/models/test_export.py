"""Exporting: the same bytes each time, checked against torch, all or nothing."""

import errno
from pathlib import Path
import shutil
import sys

from moss_perception.cli.main import main as moss
from moss_perception.core.errors import CheckpointError
from moss_perception.models import export
from moss_perception.models.base import model_type
from moss_perception.models.checkpoint import load_checkpoint, save_checkpoint
from moss_perception.models.manifest import graph_path, MANIFEST, read_manifest
from moss_perception.models.moss_grasp.model import graph_name
import onnx
import pytest
from tiny import tiny_network
import torch


@pytest.fixture
def copied(tiny_checkpoint, tmp_path):
    """Return a copy of the checkpoint with its graphs."""
    for path in tiny_checkpoint.parent.iterdir():
        shutil.copy(path, tmp_path)
    return tmp_path / tiny_checkpoint.name


@pytest.fixture
def ready(monkeypatch, tiny_checkpoint):
    """Take the graphs that were exported already for those that are exported."""
    monkeypatch.setattr(export, 'build_graph', lambda graph, *_: graph_path(
        tiny_checkpoint, graph.name).read_bytes())


def built(network, orders):
    """Export one of a network's graphs."""
    kind = model_type(network.config.model)
    return export.build_graph(kind.describe(network.config)[orders - 1],
                              kind.steps(network)[orders - 1])


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_exporting_again_gives_the_same_bytes(tiny_checkpoint):
    network = load_checkpoint(tiny_checkpoint)
    again = built(network, 1)
    assert again == graph_path(tiny_checkpoint, graph_name(1)).read_bytes()


def test_a_graph_names_its_orders_and_no_folder(tiny_checkpoint):
    for orders in (1, 2, 3):
        path = graph_path(tiny_checkpoint, graph_name(orders))
        model = onnx.load(path)
        assert {x.key: x.value for x in model.metadata_props} == {
            'format': 'moss_perception.grasp_step/4', 'orders': str(orders)}
        assert [x.name for x in model.graph.input] == ['image', 'grasps', 'used', *(
            f'cache_{n}_{k}' for n in (1, 2, 3)[:orders] for k in (1, 2, 3, 4)), 'recent_1']
        assert [x.name for x in model.graph.output] == [
            'scores', 'uncertainties', 'motion_features', 'appearance', 'health',
            *(f'newest_{n + 1}' for n in range(orders)), *(f'map_{n + 1}' for n in range(orders))]
        data = path.read_bytes()
        assert b'.py' not in data and str(tiny_checkpoint.parent).encode() not in data


def test_the_files_lie_beside_the_checkpoint_and_in_its_manifest(tiny_checkpoint):
    names = ['tiny.orders_1.onnx', 'tiny.orders_1_2.onnx', 'tiny.orders_1_2_3.onnx',
             'tiny.safetensors']
    assert sorted(read_manifest(tiny_checkpoint.parent)) == names
    assert sorted(contents(tiny_checkpoint.parent)) == [MANIFEST, *names]


def test_the_command_exports_all_and_tells_each(copied, ready, caplog):
    caplog.set_level('INFO')
    graph_path(copied, graph_name(2)).unlink()
    graph_path(copied, graph_name(4)).write_bytes(b'of a checkpoint that was here before')
    before = contents(copied.parent)
    assert moss(['export', str(copied)]) == 0
    after = contents(copied.parent)
    assert after.keys() == before.keys() - {'tiny.orders_1_2_3_4.onnx'} | {'tiny.orders_1_2.onnx'}
    assert caplog.text.count('exporting tiny.orders_1') == 3
    assert f'wrote {graph_path(copied, graph_name(3))}' in caplog.text


def test_a_graph_that_differs_from_torch_changes_nothing(copied, ready, caplog):
    network = tiny_network()
    with torch.no_grad():
        network.over_time.weight[0, 0] += 0.5
    save_checkpoint(copied, network)
    before = contents(copied.parent)
    assert moss(['export', str(copied)]) == 1
    assert 'graph tiny.orders_1.onnx differs from torch by' in caplog.text
    assert contents(copied.parent) == before


def test_a_checkpoint_that_gives_nan_is_not_exported(copied, ready, caplog):
    network = tiny_network()
    with torch.no_grad():
        network.over_time.bias[0] = float('nan')
    save_checkpoint(copied, network)
    assert moss(['export', str(copied)]) == 1
    assert 'differs from torch by nan' in caplog.text


def test_an_interrupt_leaves_what_was_there(copied, monkeypatch):
    before = contents(copied.parent)

    def interrupted(graph, step):
        if graph.name == graph_name(2):
            raise KeyboardInterrupt
        return before[graph_path(copied, graph.name).name]
    monkeypatch.setattr(export, 'build_graph', interrupted)
    assert moss(['export', str(copied)]) == 130
    assert contents(copied.parent) == before


def test_a_full_disk_is_one_line_and_leaves_what_was_there(copied, ready, monkeypatch, caplog):
    before = contents(copied.parent)

    def full(self, data):
        raise OSError(errno.ENOSPC, 'No space left on device')
    monkeypatch.setattr(Path, 'write_bytes', full)
    assert moss(['export', str(copied)]) == 1
    assert "can't be written: No space left on device" in caplog.text
    assert contents(copied.parent) == before


def test_a_graph_that_is_too_large_is_refused(copied, ready, monkeypatch):
    monkeypatch.setattr(export, 'SIZE_LIMIT', 1000)
    with pytest.raises(CheckpointError, match=r'orders_1.onnx takes \d+ bytes: .* at most 1000'):
        export.export_graphs(copied)


def test_what_is_wrong_is_said_in_one_line(tmp_path, copied, monkeypatch, caplog):
    assert moss(['export', str(tmp_path / 'none.safetensors')]) == 1
    assert moss(['export', str(copied), '--sha256', '0' * 64]) == 1
    monkeypatch.setitem(sys.modules, 'onnxscript', None)
    assert moss(['export', str(copied)]) == 1
    monkeypatch.delitem(sys.modules, 'moss_perception.models.export')
    monkeypatch.setitem(sys.modules, 'torch', None)
    assert moss(['export', str(copied)]) == 1
    lines = [record.getMessage() for record in caplog.records]
    for line, words in zip(lines, ('none.safetensors is not there', 'expected 000', 'onnxscript',
                                   'moss export needs the package torch'), strict=True):
        assert words in line and '\n' not in line


def test_a_graph_copies_nothing_of_the_state(tiny_checkpoint):
    graph = onnx.load(graph_path(tiny_checkpoint, graph_name(3))).graph
    made = {name: node.op_type for node in graph.node for name in node.output}
    kept = [x.name for x in graph.output if x.name.startswith(('newest_', 'map_'))]
    # What a graph gives may not share memory with what it was reshaped or cut from.
    assert {made[name] for name in kept} == {'LayerNormalization', 'Relu'}
    for node in graph.node:
        if any(name.startswith(('cache_', 'recent_')) for name in node.input):
            assert node.op_type == 'Concat'


def test_what_is_enlarged_stays_in_the_layout_of_convolutions(tiny_checkpoint):
    graph = onnx.load(graph_path(tiny_checkpoint, graph_name(1))).graph
    made = {name: node.op_type for node in graph.node for name in node.output}
    assert [made[node.input[0]] for node in graph.node if node.op_type == 'Resize'] == ['Conv']


def test_a_graph_whose_orders_look_at_one_sample_keeps_nothing_of_them():
    network = tiny_network(moss_window=(1, 3, 3), orders=2)
    model = built(network, 2)
    graph = onnx.load_from_string(model).graph
    assert not [x.name for x in (*graph.input, *graph.output)
                if x.name.startswith(('cache_', 'newest_'))]
    assert export.compare(network, 1, model, 'tiny') < export.TOLERANCE


@pytest.mark.parametrize('stride', [8, 4])
def test_a_graph_takes_each_map_that_the_head_looks_at(stride):
    network = tiny_network(moss_window=(3, 3, 3), orders=1, map_stride=stride)
    model = built(network, 1)
    names = [x.name for x in onnx.load_from_string(model).graph.input]
    assert names == ['image', 'grasps', 'used', 'cache_1_1', 'cache_1_2',
                     *(f'recent_{k}' for k in range(1, 6))]
    # Steps beyond a window, so that every map counts.
    assert export.compare(network, 0, model, 'tiny') < export.TOLERANCE
