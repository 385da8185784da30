"""How many operations a second this machine does in matrix products, by engine."""

import numpy as np
import onnx
from onnx import helper, TensorProto
from streams import session
from timing import take_turns
import torch


def matrix_rates(threads: int, size: int, rounds: int) -> dict[str, float]:
    """
    Multiply square matrices in ONNX Runtime, torch and NumPy.

    :param size: their side.
    :returns: operations a second by engine, two for each multiplication and addition.
    """
    one, other = (np.random.default_rng(n).standard_normal((size, size), np.float32)
                  for n in (0, 1))
    shape = [size, size]
    graph = helper.make_graph(
        [helper.make_node('MatMul', ['one', 'other'], ['product'])], 'product',
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
         for name in ('one', 'other')],
        [helper.make_tensor_value_info('product', TensorProto.FLOAT, shape)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=9)
    onnx.checker.check_model(model)
    opened = session(model, threads)
    left, right = torch.from_numpy(one), torch.from_numpy(other)
    times = take_turns({
        'ONNX Runtime': lambda: opened.run(None, {'one': one, 'other': other}),
        'torch': lambda: left @ right, 'NumPy': lambda: one @ other}, rounds)
    return {name: 2 * size ** 3 / (time.median_ms / 1e3) for name, time in times.items()}
