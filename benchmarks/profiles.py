"""Where the time of a call goes, by kind of operation: eagerly in torch, and in ONNX Runtime."""

from collections import Counter
from collections.abc import Callable
import json
from pathlib import Path
import tempfile

import checkout  # noqa: F401 (makes moss_perception importable)
from moss_perception.moss import MOSS
import onnxruntime
from streams import onnx_stream
from torch import Tensor
from torch.profiler import profile, ProfilerActivity, record_function

CONVOLUTIONS, PRODUCTS, SUMS = 'convolutions', 'matrix products', 'sums, maxima and norms'
MOVES, ELEMENTWISE, BETWEEN = 'memory moves', 'element-wise and others', 'views and calls'
KINDS = (CONVOLUTIONS, PRODUCTS, SUMS, ELEMENTWISE, MOVES, BETWEEN)
NOTE = ('views and calls: what makes no numbers, such as views, allocations, Python and the '
        'dispatch; the profilers take some time themselves')

# By the name that torch (lower case) and ONNX Runtime (camel case) give an operation.
_NAMES = {
    CONVOLUTIONS: 'mkldnn_convolution thnn_conv2d slow_conv2d_forward convolution_backward Conv '
                  'FusedConv',
    PRODUCTS: 'mm bmm addmm baddbmm MatMul FusedMatMul Gemm FusedGemm Einsum',
    SUMS: 'sum mean amax max argmax avg_pool2d avg_pool2d_backward native_layer_norm '
          'native_layer_norm_backward cumsum var std '
          'linalg_vector_norm ReduceSum ReduceMean ReduceMax ArgMax AveragePool '
          'LayerNormalization CumSum ReduceSumSquare ReduceL2 GlobalAveragePool MaxPool TopK',
    MOVES: 'copy_ cat stack gather index_select index index_put_ fill_ zero_ new_full full '
           'scatter repeat roll constant_pad_nd replication_pad2d im2col take arange where Concat '
           'Gather GatherElements GatherND Slice Transpose Pad Expand Tile ScatterND '
           'ScatterElements Split ReorderInput ReorderOutput Where Range ConstantOfShape',
    BETWEEN: 'as_strided as_strided_ view permute transpose t flatten unflatten select slice '
             'narrow expand expand_as unsqueeze squeeze reshape movedim empty empty_strided '
             'empty_like new_empty resize_ to _to_copy linear matmul conv2d convolution '
             '_convolution layer_norm detach unfold chunk split unbind alias view_as contiguous '
             'clone _unsafe_view _reshape_alias zeros zeros_like ones pad einsum result_type '
             'Reshape Unsqueeze Squeeze Shape Identity Flatten Cast',
}
_KIND = {name: kind for kind, names in _NAMES.items() for name in names.split()}
_WHOLE = 'the whole call'


def kind_of(operation: str) -> str:
    """
    Return the kind of an operation, one of :data:`KINDS`.

    :param operation: its name in torch's profile (``aten::mm``) or in that of ONNX Runtime.
    """
    if operation.startswith('autograd::') or operation.endswith('Backward0'):
        return BETWEEN  # a node of the graph of gradients, whose operations are counted themselves
    library, _, name = operation.rpartition('::')
    if not library and not name[:1].isupper():
        return BETWEEN  # Python: the whole call, and each torch.autograd.Function of ours
    return _KIND.get(name, ELEMENTWISE)


def rows(name: str, spent: Counter[str], counts: Counter[str], calls: int) -> list[dict]:
    """
    Return the rows of a table.

    :param name: what was called.
    :param spent: microseconds by kind, of all calls.
    :param counts: operations by kind, of all calls.
    :param calls: how many.
    """
    whole = sum(spent.values())
    return [{'what': name, 'kind': kind, 'ms': spent[kind] / calls / 1e3,
             'share %': 100 * spent[kind] / whole, 'operations': counts[kind] // calls}
            for kind in KINDS if counts[kind]]


def eager(name: str, run: Callable[[], object], calls: int) -> list[dict]:
    """
    Profile what torch runs eagerly, on the thread that calls.

    :param run: what to call; a fifth of ``calls`` first, to warm up.
    :returns: see :func:`rows`.
    """
    for _ in range(1 + calls // 5):
        run()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(calls):
            with record_function(_WHOLE):
                run()
    spent, counts = Counter[str](), Counter[str]()
    for event in found.key_averages():
        kind = kind_of(event.key)
        spent[kind] += event.self_cpu_time_total
        counts[kind] += event.count
    return rows(name, spent, counts, calls)


def graph(name: str, moss: MOSS, frames: Tensor, threads: int, calls: int) -> list[dict]:
    """
    Profile the step of a block in ONNX Runtime; frames as in ``streams.onnx_stream``.

    :returns: see :func:`rows`.
    """
    with tempfile.TemporaryDirectory() as folder:
        stream = onnx_stream(moss, frames, threads, profile=str(Path(folder) / 'step'))
        whole, nodes = node_events(stream.session, stream, calls)
    spent, counts = Counter[str](), Counter[str]()
    for event in nodes:
        kind = kind_of(event['args']['op_name'])
        spent[kind] += event['dur']
        counts[kind] += 1
    spent[BETWEEN] += whole - sum(spent.values())
    counts[BETWEEN] = max(counts[BETWEEN], calls)
    return rows(name, spent, counts, calls)


def node_events(opened: onnxruntime.InferenceSession, run: Callable[[], object],
                runs: int) -> tuple[int, list[dict]]:
    """
    Run a graph whose session keeps a profile, and end it.

    :param runs: how many runs are returned, after a tenth of them.
    :returns: microseconds of the runs together, and the events of their nodes.
    """
    for _ in range(runs + runs // 10):
        run()
    events = json.loads(Path(opened.end_profiling()).read_text())
    total = [x['dur'] for x in events if x['name'] == 'model_run'][-runs:]
    nodes = [x for x in events if x.get('cat') == 'Node' and x['name'].endswith('_kernel_time')]
    return sum(total), nodes[-runs * (len(nodes) // (runs + runs // 10)):]
