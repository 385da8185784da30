"""
Check an ONNX graph before ONNX Runtime sees it: bounded, self-contained, and without loops.

The graph is read by its protocol buffers alone, since the package ``onnx`` is not needed to run
one. Numbers of fields are those of ``onnx.proto``.
"""

from collections.abc import Iterator
import math
from pathlib import Path

from moss_perception.core.errors import CheckpointError

SIZE_LIMIT = 64 << 20
"""Bytes of a graph; exported ones have at most 5 million."""

# Operators that hold graphs, which may run without end.
_REFUSED = frozenset(('If', 'Loop', 'Scan', 'SequenceMap'))
_DOMAINS = frozenset(('', 'ai.onnx'))
_MOST_VALUES = 1 << 26
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto.
_GRAPH, _FUNCTIONS, _TRAINING = 7, 25, 20
_NODE, _INITIALIZER, _SPARSE = 1, 5, 15
_OP_TYPE, _ATTRIBUTE, _DOMAIN = 4, 5, 7
_TENSOR, _SUBGRAPH, _TENSORS, _SUBGRAPHS = 5, 6, 10, 11
_DIMS, _EXTERNAL, _LOCATION = 1, 13, 14


def check_graph(file: Path, data: bytes) -> None:
    """
    Refuse a graph that reads other files, runs without end, or asks for a lot of memory.

    :param file: for the error.
    :param data: the ONNX model.
    :raises CheckpointError: naming what is wrong and what was expected.
    """
    if len(data) > SIZE_LIMIT:
        raise CheckpointError(f'graph {file} has {len(data)} bytes: expected at most {SIZE_LIMIT}')
    try:
        _check_model(memoryview(data))
    except _RefusedError as error:
        raise CheckpointError(f'graph {file} {error}') from error
    except (IndexError, ValueError):
        # No protocol buffer: ONNX Runtime says so.
        return


class _RefusedError(Exception):
    pass


def _check_model(model: memoryview) -> None:
    for number, value in _fields(model):
        if number == _GRAPH and isinstance(value, memoryview):
            _check_graph(value)
        elif number in (_FUNCTIONS, _TRAINING):
            raise _RefusedError('has functions or training: expected a plain graph')


def _check_graph(graph: memoryview) -> None:
    for number, value in _fields(graph):
        if not isinstance(value, memoryview):
            continue
        if number == _NODE:
            _check_node(value)
        elif number == _INITIALIZER:
            _check_tensor(value)
        elif number == _SPARSE:
            raise _RefusedError('has sparse constants: expected dense ones')


def _check_node(node: memoryview) -> None:
    operator = domain = ''
    for number, value in _fields(node):
        if not isinstance(value, memoryview):
            continue
        if number == _OP_TYPE:
            operator = bytes(value).decode(errors='replace')
        elif number == _DOMAIN:
            domain = bytes(value).decode(errors='replace')
        elif number == _ATTRIBUTE:
            _check_attribute(value)
    if domain not in _DOMAINS:
        raise _RefusedError(f'has the operator {operator!r} of {domain!r}: expected those of ONNX')
    if operator in _REFUSED:
        raise _RefusedError(f'has the operator {operator!r}: expected none that may not end')


def _check_attribute(attribute: memoryview) -> None:
    for number, value in _fields(attribute):
        if number in (_SUBGRAPH, _SUBGRAPHS):
            raise _RefusedError('has a graph within a graph: expected a plain one')
        if number in (_TENSOR, _TENSORS) and isinstance(value, memoryview):
            _check_tensor(value)


def _check_tensor(tensor: memoryview) -> None:
    dims: list[int] = []
    for number, value in _fields(tensor):
        if number == _EXTERNAL or (number == _LOCATION and value):
            raise _RefusedError('takes constants from another file: expected them in it')
        if number == _DIMS:
            dims += [value] if isinstance(value, int) else _packed(value)
    if math.prod(dims) > _MOST_VALUES:
        raise _RefusedError(f'has a constant of shape {dims}: expected at most {_MOST_VALUES} '
                            'values')


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the number and value of each field: a number, or the bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(kind)
        if kind == _BYTES:
            size, at = _varint(message, at)
        if size is None or at + size > len(message):
            raise ValueError('no protocol buffer')
        yield key >> 3, message[at:at + size]
        at += size


def _packed(values: memoryview) -> list[int]:
    found, at = [], 0
    while at < len(values):
        value, at = _varint(values, at)
        found.append(value)
    return found


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError('no number')
