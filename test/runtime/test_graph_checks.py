"""Graphs that read other files, run without end or take all memory are refused unopened."""

from pathlib import Path

from moss_perception.core.errors import CheckpointError
from moss_perception.runtime.graph_checks import check_graph
import numpy as np
import onnx
from onnx import helper, TensorProto
import pytest

FLOATS = helper.make_tensor_value_info('x', TensorProto.FLOAT, [1])
RESULT = helper.make_tensor_value_info('y', TensorProto.FLOAT, [1])


def model(*nodes, initializer=()):
    graph = helper.make_graph(nodes, 'graph', [FLOATS], [RESULT], list(initializer))
    return helper.make_model(graph)


def endless():
    body = helper.make_graph([], 'body', [], [])
    return model(helper.make_node('Loop', ['', '', 'x'], ['y'], body=body))


def outside():
    tensor = TensorProto(name='c', data_type=TensorProto.FLOAT, dims=[1],
                         data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key='location', value='secrets.bin')
    return model(helper.make_node('Add', ['x', 'c'], ['y']), initializer=[tensor])


def huge():
    tensor = TensorProto(name='c', data_type=TensorProto.FLOAT, dims=[1 << 20, 1 << 20])
    return model(helper.make_node('Constant', [], ['y'], value=tensor))


@pytest.mark.parametrize('made, words', [
    (endless(), 'a graph within a graph'), (outside(), 'takes constants from another file'),
    (huge(), r'a constant of shape \[1048576, 1048576\]'),
    (model(helper.make_node('Exfiltrate', ['x'], ['y'], domain='com.evil')),
     "the operator 'Exfiltrate' of 'com.evil'"),
    (model(helper.make_node('Scan', ['x'], ['y'])), "the operator 'Scan'")])
def test_what_a_graph_must_not_do_is_refused(made, words):
    with pytest.raises(CheckpointError, match=words):
        check_graph(Path('bad.onnx'), made.SerializeToString())


def test_the_shipped_graphs_and_a_plain_one_pass():
    plain = model(helper.make_node('Relu', ['x'], ['y']))
    check_graph(Path('plain.onnx'), plain.SerializeToString())
    for path in (Path(__file__).parents[2] / 'models').glob('*.onnx'):
        check_graph(path, path.read_bytes())


def test_bytes_that_are_no_graph_end_without_an_error_of_python():
    rng = np.random.default_rng(0)
    whole = model(helper.make_node('Relu', ['x'], ['y'])).SerializeToString()
    for n in range(300):
        data = bytearray(whole)
        data[n % len(data)] = rng.integers(256)
        for one in (bytes(data), bytes(data[:n % len(data)]), rng.bytes(n)):
            try:
                check_graph(Path('x.onnx'), one)
            except CheckpointError as error:
                assert '\n' not in str(error)
    assert onnx.load_from_string(whole)
