"""
Check an ONNX graph before ONNX Runtime sees it: bounded, self-contained, and without loops.

The graph is read by its protocol buffers alone, since the package ``onnx`` is not needed to run
one. Only what is known is accepted: these fields, these operators. Whatever this reader does not
understand is refused, since ONNX Runtime may understand it. Numbers of fields are those of
``onnx.proto``.
"""

from collections.abc import Iterator
import math
from pathlib import Path
import struct

from moss_perception.core.errors import CheckpointError

SIZE_LIMIT = 16 << 20
"""Bytes of a graph; exported ones have at most 5 million."""

_NAMES = """
    Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast Ceil Clip Concat Constant
    ConstantOfShape Conv Cos CumSum DepthToSpace Div Dropout Elu Equal Erf Exp Expand Flatten Floor
    GRU Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater
    GreaterOrEqual GridSample GroupNormalization HardSigmoid HardSwish Identity
    InstanceNormalization IsInf IsNaN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log
    LogSoftmax MatMul Max MaxPool Mean Min Mish Mod Mul Neg Not Or PRelu Pad Pow RNN Reciprocal
    ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare Relu Reshape Resize Round Selu Shape Sigmoid Sign Sin Size Slice Softmax
    Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK
    Transpose Trilu Unsqueeze Where Xor"""
OPERATORS = frozenset(_NAMES.split())
"""Operators that a graph may have; none holds a graph, or asks for a shape of its own."""

# Operators whose result is as large as their inputs say: those inputs must be constants or shapes
# of what is there. By the input's number, the most that its constants may be multiplied to.
_MOST_VALUES, _MOST_STEP = 1 << 26, 1 << 12
_SIZES = {'ConstantOfShape': {0: _MOST_VALUES}, 'Expand': {1: _MOST_VALUES},
          'Tile': {1: _MOST_STEP}, 'Resize': {1: _MOST_STEP, 2: _MOST_STEP, 3: _MOST_VALUES}}
# Operators whose result has no other numbers than their first input.
_SAME = frozenset(('Cast', 'Gather', 'Identity', 'Reshape', 'Slice', 'Squeeze', 'Unsqueeze'))
_DOMAINS = frozenset(('', 'ai.onnx'))
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# The fields of ModelProto, GraphProto, NodeProto, AttributeProto and TensorProto that are known.
# Not there: functions and training; sparse constants; graphs within graphs; external data.
_MODEL = {1, 2, 3, 4, 5, 6, 7, 8, 14}
_GRAPH = {1, 2, 5, 10, 11, 12, 13, 16}
_NODE = {1, 2, 3, 4, 5, 6, 7, 9}
_ATTRIBUTE = {1, 2, 3, 4, 5, 7, 8, 9, 13, 20}
_TENSOR = {1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16}
_REASONS = {
    'model': {20: 'training: expected a plain graph', 25: 'functions: expected a plain graph'},
    'graph': {15: 'sparse constants: expected dense ones'},
    'attribute': {6: 'a graph within a graph: expected a plain one',
                  11: 'a graph within a graph: expected a plain one',
                  22: 'sparse constants: expected dense ones',
                  23: 'sparse constants: expected dense ones'},
    'tensor': {13: 'constants in another file: expected them in it',
               14: 'constants in another file: expected them in it'}}
_INT64, _FLOAT = 7, 1
# Values of a constant that says a size.
_LONGEST = 64

_Field = tuple[int, 'int | memoryview']


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
    except (IndexError, ValueError, struct.error) as error:
        reason = str(error) or 'it ends within a field'
        raise CheckpointError(f'graph {file} is no ONNX model, or is damaged: {reason}') from error


class _RefusedError(Exception):
    pass


def _check_model(model: memoryview) -> None:
    graphs = [value for number, value in _known(model, 'model', _MODEL) if number == 7]
    # A reader would merge several.
    if len(graphs) != 1 or not isinstance(graphs[0], memoryview):
        raise _RefusedError(f'has {len(graphs)} graphs: expected one')
    nodes, constants = [], {}
    for number, value in _known(graphs[0], 'graph', _GRAPH):
        if number == 1:
            nodes.append(_bytes(value))
        elif number == 5:
            name, values = _read_tensor(_bytes(value))
            constants[name] = values
    for node in nodes:
        _check_node(node, constants)


def _check_node(node: memoryview, constants: dict[str, list]) -> None:
    """Check a node, and add its result to ``constants`` if it is one."""
    texts: dict[int, list[str]] = {1: [], 2: [], 4: [], 7: []}
    attributes = {}
    for number, value in _known(node, 'node', _NODE):
        if number in texts:
            texts[number].append(_text(value))
        elif number == 5:
            name, found = _read_attribute(_bytes(value))
            if name in attributes:
                raise _RefusedError(f'has two attributes {name!r} of a node: expected one')
            attributes[name] = found
    operator, domain = ''.join(texts[4]), ''.join(texts[7])
    if domain not in _DOMAINS:
        raise _RefusedError(f'has the operator {operator!r} of {domain!r}: expected those of ONNX')
    if operator not in OPERATORS:
        raise _RefusedError(f'has the operator {operator!r}: expected none but those that models '
                            'of this package need, which are bounded and end')
    if operator == 'Constant' and len(attributes) == 1:
        size, = attributes.values()
    else:
        _check_sizes(operator, texts[1], attributes, constants)
        size = _size_of(operator, [constants.get(name) for name in texts[1]])
    if size is not None:
        constants.update(dict.fromkeys(texts[2], size))


def _check_sizes(operator: str, inputs: list[str], attributes: dict[str, list],
                 constants: dict[str, list]) -> None:
    """Check what says how large a node's result is."""
    for name, found in attributes.items():
        # Such as the padding of a convolution.
        if any(isinstance(x, int) and abs(x) > _MOST_STEP for x in found):
            raise _RefusedError(f'has {operator} with {name} {found}: expected at most '
                                f'{_MOST_STEP}')
    for number, most in _SIZES.get(operator, {}).items():
        if number < len(inputs) and inputs[number]:
            _require(operator, constants.get(inputs[number]), most)
    if operator == 'Pad':
        padding = constants.get(inputs[1]) if inputs[1:] else None
        _require(operator, None if padding is None else [max(map(abs, padding), default=0)],
                 _MOST_STEP)


def _size_of(operator: str, inputs: list[list | None]) -> list | None:
    """Return the constants in a size that is made from others; ``None`` if it is not known."""
    if operator in ('Shape', 'Size'):
        return []
    known = [x for x in inputs if x is not None]
    if operator == 'Concat' and len(known) == len(inputs):
        return sum(known, [])
    # Indices can repeat a constant.
    if operator in _SAME and inputs and (operator != 'Gather' or inputs[0] == []):
        return inputs[0]
    return None


def _require(operator: str, values: list | None, most: int) -> None:
    """Check that a size is known and small."""
    if values is None:
        raise _RefusedError(f'has {operator} of a size that it computes: expected a constant, '
                            'or the shape of an input')
    if not math.prod(max(abs(x), 1) for x in values) <= most:
        raise _RefusedError(f'has {operator} of the size {values}: expected at most {most} values')


def _read_attribute(attribute: memoryview) -> tuple[str, list]:
    """Return name and numbers of an attribute."""
    name, found, tensors = '', [], 0
    for number, value in _known(attribute, 'attribute', _ATTRIBUTE):
        if number == 1:
            name = _text(value)
        elif number in (3, 8):
            found += _integers(value)
        elif number == 5:
            tensors += 1
            found += _read_tensor(_bytes(value))[1]
        elif number in (2, 4, 7, 9):
            # Not read here, so that it is a size to nobody: infinity is above each bound.
            found.append(math.inf)
    # A reader would merge several.
    if tensors > 1:
        raise _RefusedError('has an attribute of several constants: expected one')
    return name, found


def _read_tensor(tensor: memoryview) -> tuple[str, list]:
    """Check a constant, and return its name and its numbers; infinity where it says no size."""
    name, kind, dims, raw, numbers = '', 0, [], b'', []
    for number, value in _known(tensor, 'tensor', _TENSOR):
        if number == 1:
            dims += _integers(value)
        elif number == 2:
            kind = _integers(value)[-1]
        elif number == 7 and len(numbers) <= _LONGEST:
            numbers += _integers(value)
        elif number == 8:
            name = _text(value)
        elif number == 9:
            raw = bytes(_bytes(value))
    size = math.prod(dims)
    if any(x < 0 for x in dims) or size > _MOST_VALUES:
        raise _RefusedError(f'has a constant of shape {dims}: expected at most {_MOST_VALUES} '
                            'values')
    if size > _LONGEST or (kind, bool(raw)) not in ((_INT64, True), (_INT64, False),
                                                    (_FLOAT, True)):
        return name, [math.inf]
    if raw:
        numbers = list(struct.unpack(f'<{size}{"q" if kind == _INT64 else "f"}', raw))
    return name, numbers if len(numbers) == size else [math.inf]


def _known(message: memoryview, kind: str, numbers: set[int]) -> Iterator[_Field]:
    """Yield the fields of a message, and refuse those that are not known."""
    for number, value in _fields(message):
        if number not in numbers:
            what = _REASONS.get(kind, {}).get(
                number, f'the unknown field {number} of a {kind}: expected those of ONNX')
            raise _RefusedError(f'has {what}')
        yield number, value


def _fields(message: memoryview) -> Iterator[_Field]:
    """
    Yield the number and value of each field: a number, or the bytes.

    :raises ValueError: for anything that is no field, such as a group.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        # Readers cut a key to 32 bits, so that a longer one hides another number.
        if key >= 1 << 32 or not key >> 3:
            raise ValueError(f'a field with the key {key}')
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(kind)
        if kind == _BYTES:
            size, at = _varint(message, at)
        if size is None:
            raise ValueError(f'a field of the type {kind}')
        if at + size > len(message):
            raise ValueError('a field is longer than what is there')
        yield key >> 3, message[at:at + size]
        at += size


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError('a number where a message is expected')
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_bytes(value)).decode(errors='replace')


def _integers(value: int | memoryview) -> list[int]:
    """Return the 64-bit numbers of a field, one or packed."""
    if isinstance(value, int):
        return [_signed(value)]
    found, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        found.append(_signed(number))
    return found


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 63:
            raise ValueError('a number of more than 64 bits')
    if value >> 64:
        raise ValueError('a number of more than 64 bits')
    return value, at
