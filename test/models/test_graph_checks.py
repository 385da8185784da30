"""Graphs that read other files, run without end or take all memory are refused unopened."""

from pathlib import Path

from moss_perception.core.errors import CheckpointError
from moss_perception.models.graph_checks import check_graph
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


def constant(name, *values):
    tensor = helper.make_tensor('', TensorProto.INT64, [len(values)], values)
    return [helper.make_node('Constant', [], [name], value=tensor)]


def sized(operator, *values, at=1):
    """Return a model with an operator whose input at a place says how large its result is."""
    inputs = ['s'] if operator == 'ConstantOfShape' else ['x', *[''] * (at - 1), 's']
    return model(*constant('s', *values), helper.make_node(operator, inputs, ['y']))


def field(number, data):
    """Return a field with bytes."""
    length, size = b'', len(data)
    while size > 0x7f:
        length, size = length + bytes([size & 0x7f | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


PLAIN = model(helper.make_node('Relu', ['x'], ['y'])).SerializeToString()


@pytest.mark.parametrize('made, words', [
    (endless(), 'a graph within a graph'), (outside(), 'constants in another file'),
    (huge(), r'a constant of shape \[1048576, 1048576\]'),
    (model(helper.make_node('Exfiltrate', ['x'], ['y'], domain='com.evil')),
     "the operator 'Exfiltrate' of 'com.evil'"),
    (model(helper.make_node('Scan', ['x'], ['y'])), "the operator 'Scan'"),
    (sized('ConstantOfShape', 1 << 20, 1 << 20),
     r'ConstantOfShape of the size \[1048576, 1048576\]'),
    (sized('ConstantOfShape', 1 << 40), r'ConstantOfShape of the size \[1099511627776\]'),
    (sized('Expand', 1 << 40), 'Expand of the size'), (sized('Tile', 1 << 20), 'Tile of the size'),
    (sized('Pad', 1 << 30, 0), 'Pad of the size'),
    (sized('Resize', 1 << 40, at=3), 'Resize of the size'),
    (model(*constant('s', 1 << 20), helper.make_node('Mul', ['s', 's'], ['n']),
           helper.make_node('ConstantOfShape', ['n'], ['y'])),
     'ConstantOfShape of a size that it computes'),
    (model(*constant('s', 1 << 20), helper.make_node('Concat', ['s', 's'], ['n'], axis=0),
           helper.make_node('ConstantOfShape', ['n'], ['y'])), 'ConstantOfShape of the size'),
    (model(helper.make_node('Constant', [], ['s'], value_floats=[1e9, 1e9]),
           helper.make_node('Resize', ['x', '', 's'], ['y'])), 'Resize of the size'),
    (model(helper.make_node('Range', ['x', 'x', 'x'], ['y'])), "the operator 'Range'"),
    (model(helper.make_node('Conv', ['x', 'x'], ['y'], pads=[1 << 30, 1 << 30])),
     'Conv with pads'),
    (model(helper.make_node('Constant', [], ['y'], sparse_value=onnx.SparseTensorProto())),
     'sparse constants')])
def test_what_a_graph_must_not_do_is_refused(made, words):
    with pytest.raises(CheckpointError, match=words):
        check_graph(Path('bad.onnx'), made.SerializeToString())


@pytest.mark.parametrize('made', [endless(), outside(), huge()])
@pytest.mark.parametrize('prefix', [
    b'\xa3\x06\xa4\x06', b'\x0b\x0c', b'\xba\x80\x80\x80\x80\x01\x00', b'\xfa\x06\x00',
    b'\x00\x00', b'\x08' + b'\xff' * 9 + b'\x7f'],
    ids=['group', 'group 1', 'long key', 'unknown field', 'field 0', 'long number'])
def test_a_prefix_that_is_not_understood_hides_nothing(made, prefix):
    with pytest.raises(CheckpointError, match='graph bad.onnx'):
        check_graph(Path('bad.onnx'), prefix + made.SerializeToString())
    with pytest.raises(CheckpointError, match='damaged|unknown field'):
        check_graph(Path('bad.onnx'), prefix + PLAIN)


def test_parts_that_a_reader_would_merge_are_refused():
    with pytest.raises(CheckpointError, match='has 2 graphs: expected one'):
        check_graph(Path('bad.onnx'), PLAIN + PLAIN)
    attribute = onnx.AttributeProto(name='value', t=TensorProto(dims=[1 << 20], data_type=1))
    twice = attribute.SerializeToString() * 2
    node = helper.make_node('Constant', [], ['y'], name='n')
    data = model(node).SerializeToString()
    assert onnx.AttributeProto.FromString(twice).t.dims == [1 << 20] * 2
    whole = node.SerializeToString()
    longer = whole + field(5, twice)
    graph = onnx.ModelProto.FromString(data).graph.SerializeToString()
    other = data.replace(field(7, graph), field(7, graph.replace(
        field(1, whole), field(1, longer))))
    with pytest.raises(CheckpointError, match='several constants'):
        check_graph(Path('bad.onnx'), other)


def test_a_size_may_be_the_shape_of_an_input():
    made = model(helper.make_node('Shape', ['x'], ['s']), *constant('one', 1),
                 helper.make_node('Concat', ['one', 's'], ['n'], axis=0),
                 helper.make_node('Expand', ['x', 'n'], ['y']))
    check_graph(Path('good.onnx'), made.SerializeToString())


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
