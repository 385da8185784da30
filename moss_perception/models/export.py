"""Steps of models as ONNX graphs, each compared with torch before it is kept."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
import io
import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
import warnings

from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.models.base import InputSpec, model_type
from moss_perception.models.checkpoint import load_checkpoint, Network, TorchRunner
from moss_perception.models.graph_checks import check_graph
from moss_perception.models.graph_model import Graph, GraphModel, RESULTS
from moss_perception.models.manifest import (
    GRAPH_FORMAT,
    graph_path,
    graphs_beside,
    is_sealed,
    replace_files,
    seal,
)
import numpy as np
import torch
from torch import nn

TOLERANCE = 1e-4
# The caches are divided by their contrast, which raises rounding up to thirtyfold where little
# is seen; what comes out is scaled by that contrast again.
STATE_TOLERANCE = 1e-3
# The least share of a result's numbers that must agree if the model decides between maxima.
_ALIKE = 0.75
SIZE_LIMIT = 5_000_000
_EXAMPLE_GRASPS = 3


def export_graphs(path: str | Path, sha256: str = '',
                  progress: Callable[[str], None] = lambda _: None) -> list[Path]:
    """
    Export a checkpoint's step, beside it.

    The digests of the graphs are stored in the checkpoint, so that its own digest covers them and
    changes; all digests are entered into SHA256SUMS. What was there before stays until every file
    is finished.

    :param path: the checkpoint file.
    :param sha256: its expected digest; empty to take it from SHA256SUMS beside the file.
    :param progress: is told the name of each file that is begun.
    :returns: the files of the graphs.
    :raises CheckpointError: if the checkpoint can't be loaded, or a graph differs from torch, is
        too large or can't be written.
    :raises ConfigError: if the packages that export are missing, or the model is not exported.
    """
    path = Path(path).expanduser()
    network = load_checkpoint(path, sha256)
    model = model_type(network.config.model)(network.config)
    try:
        # In the same folder, so that finished files only have to be renamed.
        with TemporaryDirectory(prefix='.export_', dir=path.parent) as folder:
            made = model.export(Path(folder), network, path.stem, progress)
            targets = {path.with_name(file.name): file for file in made}
            gone = set(graphs_beside(path)) - set(targets)
            # Of the same graphs, the checkpoint stays as it is, and so does its digest.
            if not is_sealed(path, made):
                targets[path] = seal(path, made, Path(folder) / path.name)
            replace_files(targets, gone)
    except OSError as error:
        raise CheckpointError(f"the graphs of {path} can't be written: {error.strerror or error}"
                              ) from error
    return [target for target in targets if target != path]


def write_graphs(model: GraphModel, network: Network, folder: Path, name: str,
                 progress: Callable[[str], None]) -> list[Path]:
    """
    Write all graphs of a model; see :meth:`StreamingModel.export`.

    :raises CheckpointError: if one differs from torch, is too large or has operators that the
        engine refuses.
    :raises ConfigError: if the packages that export are missing.
    """
    _require()
    network.eval()
    files = []
    for number, (graph, step) in enumerate(
            zip(model.graphs, model.steps(network), strict=True)):
        file = graph_path(folder / f'{name}.safetensors', graph.name)
        progress(file.name)
        data = build_graph(graph, step)
        if len(data) > SIZE_LIMIT:
            raise CheckpointError(f'graph {file.name} takes {len(data)} bytes: expected at most '
                                  f'{SIZE_LIMIT}')
        # What the engine would refuse is not written either.
        check_graph(file, data)
        compare(network, number, data, file.name)
        file.write_bytes(data)
        files.append(file)
    return files


def build_graph(graph: Graph, step: nn.Module) -> bytes:
    """
    Export one step.

    :param graph: what it takes and gives.
    :param step: the module that computes it.
    :returns: the ONNX model; the same bytes each time.
    """
    inputs, gaps = graph.inputs.values(), graph.gaps.values()
    # Ones: where an input counts something, 0 may not be allowed.
    ones = [[torch.ones([_EXAMPLE_GRASPS if n is None else n for n in spec.shape],
                        dtype=getattr(torch, spec.dtype)) for spec in specs]
            for specs in (inputs, gaps)]
    example = (*ones[0], [torch.zeros(tap.shape) for tap in graph.taps.values()], *ones[1])
    shapes = (*map(_dynamic, inputs), [None] * len(graph.taps), *map(_dynamic, gaps))
    with _quiet(), torch.no_grad():
        # Indices that are made at the first step and kept become constants of the graph; made
        # while it is traced, they would be neither that nor usable afterwards.
        step.eval()(*example)
        program = torch.onnx.export(
            step, example, dynamo=True, verbose=False, dynamic_shapes=shapes,
            input_names=list(graph.takes), output_names=list(graph.results))
    assert program is not None  # by dynamo
    model = program.model_proto
    # Where each node came from in the sources names this machine's folders.
    for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input,
                 *model.graph.output, *model.graph.initializer, *model.functions):
        del part.metadata_props[:]
        part.ClearField('doc_string')
    del model.graph.value_info[:]
    del model.metadata_props[:]
    notes = {'format': GRAPH_FORMAT, **graph.notes}
    for key, value in sorted(notes.items()):
        model.metadata_props.add(key=key, value=value)
    return model.SerializeToString(deterministic=True)


def _dynamic(spec: InputSpec) -> dict[int, Any] | None:
    axes = {axis: torch.export.Dim('K', min=1) for axis, n in enumerate(spec.shape) if n is None}
    return axes or None


def compare(network: Network, number: int, data: bytes, name: str) -> float:
    """
    Step a graph and torch over a window and some more samples.

    Grasps come and go, and the budget allows less now and then. Of a model that looks for maxima
    some results may differ by more, see :attr:`ModelConfig.decides`; each of its steps then goes
    on from what torch kept.

    :param network: in evaluation mode.
    :param number: of the graph among the model's.
    :param data: the ONNX model.
    :param name: of the graph, for the error.
    :returns: the largest difference of any result, as a share of its largest value where that is
        above 1; leaving out those that may differ by more.
    :raises CheckpointError: if a result differs by more than :data:`TOLERANCE`, one that is kept
        by more than :data:`STATE_TOLERANCE`, or one is not a number.
    """
    kind, generator = model_type(network.config.model), np.random.default_rng(0)
    described = kind(network.config)
    assert isinstance(described, GraphModel)  # or it would have no graphs
    torch_runner = TorchRunner(described, network)
    runners = _KeepingRunner(torch_runner), _KeepingRunner(torch_runner, number, data)
    models = [kind(network.config, runner) for runner in runners]
    states, found = [model.initial_state() for model in models], []
    config = network.config
    for k in range(2 * config.window_frames):
        observation = {key: _draw(spec, generator) for key, spec in models[0].inputs.items()}
        grasps = generator.uniform(-1, 1, (1 + k % 3, config.grasp_values)).astype(np.float32)
        usual = config.default_depth_m, 0.1, 0.1, config.default_lead_time_s
        grasps[:, 2:] = grasps[:, 2:] * 0.1 + usual[:config.grasp_values - 2]
        level = 1 + (number if k % 11 else k % (number + 1))
        states = [model.step(observation, grasps, state, level)[1]
                  for model, state in zip(models, states, strict=True)]
        if config.decides:
            states[1] = states[0]
        found.append([np.abs(one - other).ravel() / np.abs(one).max(initial=1.0)
                      for one, other in zip(*(r.results for r in runners), strict=True)])
        if not config.decides:
            _check(found[-1:], name, f' at sample {k}', 1.0)
    if config.decides:
        # Samples at which a lower level was run, in torch by both, say nothing.
        most = max(map(len, found))
        return _check([sample for sample in found if len(sample) == most], name, '', _ALIKE)
    return max(float(one.max(initial=0.0)) for sample in found for one in sample)


def _check(found: list[list[np.ndarray]], name: str, where: str, share: float) -> float:
    """Refuse differences of some samples, and return the largest of that share of each result."""
    largest = 0.0
    for n, parts in enumerate(zip(*found, strict=True)):
        values = np.concatenate(parts)
        difference = float(np.quantile(values, share)) if len(values) else 0.0
        allowed = TOLERANCE if n < len(RESULTS) else STATE_TOLERANCE
        if not difference <= allowed or not np.isfinite(values).all():
            raise CheckpointError(f'graph {name} differs from torch by {difference:.1e}{where}: '
                                  f'expected at most {allowed:.0e}')
        largest = max(largest, difference)
    return largest


def _draw(spec: InputSpec, generator: np.random.Generator) -> np.ndarray:
    """Draw what an input may be: of all bytes, or a number from 0 to 1."""
    shape = [n or 1 for n in spec.shape]
    if spec.dtype == 'uint8':
        return generator.integers(0, 256, shape, np.uint8)
    return generator.uniform(0, 1, shape).astype(spec.dtype)


class _KeepingRunner:
    """
    Runs a model's graphs in torch, or one of them in ONNX Runtime, and keeps the newest results.

    :param torch_runner: runs all graphs, or all others.
    :param number: of the graph that ONNX Runtime runs; ``None`` for none.
    :param data: that graph as an ONNX model.
    """

    def __init__(self, torch_runner: TorchRunner, number: int | None = None, data: bytes = b''):
        self._torch, self._number = torch_runner, number
        self.results: Sequence[Any] = ()
        if number is not None:
            import onnxruntime
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            self._session = onnxruntime.InferenceSession(data, options,
                                                         providers=['CPUExecutionProvider'])

    def run(self, graph: int, feeds: Mapping[str, Any]) -> Sequence[Any]:
        if graph == self._number:
            self.results = self._session.run(None, dict(feeds))
        else:
            self.results = [self._torch.numpy(one) for one in self._torch.run(graph, feeds)]
        return self.results

    def numpy(self, array: np.ndarray) -> np.ndarray:
        return array


def _require() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(f'exporting needs {error.name}, which is not installed: expected the '
                          'environment of scripts/setup.sh test') from error


@contextmanager
def _quiet():
    """Keep the exporter's progress and its notes on operators to itself."""
    loggers = [logging.getLogger(name) for name in ('torch.onnx', 'onnxscript', 'onnx_ir')]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter('ignore')
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
