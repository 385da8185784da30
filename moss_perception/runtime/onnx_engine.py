"""The engine that runs exported graphs on ONNX Runtime, without torch."""

from collections.abc import Mapping, Sequence
import functools
import logging
from pathlib import Path
from typing import Any

from moss_perception.core.codes import coded
from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.core.text import one_line
from moss_perception.models.config import ModelConfig
from moss_perception.models.graph_checks import check_graph, SIZE_LIMIT
from moss_perception.models.graph_model import Graph, GraphModel
from moss_perception.models.manifest import (
    Checkpoint,
    GRAPH_FORMAT,
    graph_name,
    graph_path,
    MANIFEST,
    read_manifest,
    read_verified,
)
from moss_perception.runtime.engine import Engine
import numpy as np
import onnxruntime

_LOG = logging.getLogger(__name__)

MEMORY_LIMIT = 1 << 31
"""Bytes that all graphs of a process may take together on the CPU; ours take some millions."""

_PROVIDERS = {'cpu': 'CPUExecutionProvider', 'cuda': 'CUDAExecutionProvider'}


class OnnxEngine(Engine):
    """
    Runs the graphs that :mod:`moss_perception.models.export` made.

    Nothing is copied: one graph's outputs, which share ONNX Runtime's memory, are inputs of later
    ones.

    :param config: the checkpoint's configuration.
    :param sha256: the checkpoint's digest.
    :raises ConfigError: if the model can't be stepped, or is never exported.
    """

    name = 'onnxruntime'

    def __init__(self, config: ModelConfig, sha256: str = ''):
        super().__init__(config, sha256)
        if not isinstance(self.model, GraphModel):
            raise ConfigError(f'model {config.model!r} is not exported: expected the engine torch')
        self._sessions: list[onnxruntime.InferenceSession] = []
        self._graphs = self.model.graphs
        self._results = [list(graph.results) for graph in self._graphs]

    @classmethod
    def of(cls, checkpoint: Checkpoint, device: str = 'cpu', threads: int = 0) -> 'OnnxEngine':
        """
        Load the graphs of a checkpoint; its weights are not used.

        :raises ConfigError: if the device is unknown or absent, or the model is never exported.
        :raises CheckpointError: if a graph is missing, damaged, foreign or another one, was not
            exported from this checkpoint, or asks for more than :data:`MEMORY_LIMIT`.
        """
        providers = _providers(device)
        loaded = cls(checkpoint.config, checkpoint.sha256)
        options, path = session_options(threads), checkpoint.path
        if checkpoint.graphs is None:
            _LOG.warning(coded('unsealed_graphs', (
                '%s does not hold the digests of its graphs, so that only %s vouches for them: '
                'run moss export %s')), path, MANIFEST, path)
        for graph in loaded._graphs:
            file = graph_path(path, graph.name)
            data = _verified(file, checkpoint)
            check_graph(file, data)
            session = _open(file, data, options, providers)
            _check_notes(file, session, graph, path)
            if checkpoint.graphs is None:
                _check_origin(file, session, path, checkpoint.sha256)
            loaded._sessions.append(session)
        return loaded

    def run(self, graph: int, feeds: Mapping[str, Any]) -> Sequence[np.ndarray]:
        """
        Run one of the model's graphs; see :class:`moss_perception.models.base.Runner`.

        :raises CheckpointError: if ONNX Runtime can't run it: a graph that is damaged, or asks
            for more than :data:`MEMORY_LIMIT`, may load.
        """
        try:
            # With arrays: for values of its own, ONNX Runtime's Python side takes 0.1 ms more.
            results: Any = self._sessions[graph].run(self._results[graph], feeds)
        except Exception as error:  # its errors have no base of their own
            raise _unusable(self._graphs[graph].name, 'run', error) from error
        return results

    def numpy(self, array: np.ndarray) -> np.ndarray:
        """Return a result as it is."""
        return array


def _providers(device: str) -> list:
    kind, _, number = device.partition(':')
    available = onnxruntime.get_available_providers()
    if _PROVIDERS.get(kind) not in available or not (number or '0').isdecimal():
        known = [name for name, provider in _PROVIDERS.items() if provider in available]
        raise ConfigError(f"device {device!r} can't be used by this onnxruntime, which has "
                          f'{", ".join(available)}: expected {" or ".join(known)}')
    if kind == 'cpu':
        return [_PROVIDERS['cpu']]
    return [(_PROVIDERS[kind], {'device_id': int(number or 0)}), _PROVIDERS['cpu']]


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Return how graphs are run: ``threads`` of one step, 0 for ONNX Runtime's default."""
    _bound_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # Threads spin within a step, where each of its operators would have to wake them; between two
    # steps they sleep, so that the cores are the node's and the camera driver's.
    options.add_session_config_entry('session.intra_op.allow_spinning', '1')
    options.add_session_config_entry('session.force_spinning_stop', '1')
    options.add_session_config_entry('session.use_env_allocators', '1')
    options.log_severity_level = 3
    return options


@functools.cache
def _bound_memory() -> None:
    """Let all sessions of the process share memory up to :data:`MEMORY_LIMIT`; once."""
    memory = onnxruntime.OrtMemoryInfo('Cpu', onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0,
                                       onnxruntime.OrtMemType.DEFAULT)
    # -1 is ONNX Runtime's default.
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg({
        'max_mem': MEMORY_LIMIT, 'arena_extend_strategy': -1, 'initial_chunk_size_bytes': -1,
        'max_dead_bytes_per_chunk': -1}))


def _verified(graph: Path, checkpoint: Checkpoint) -> bytes:
    """Read a graph and check that it is the one of the checkpoint, or else of the manifest."""
    if not graph.is_file():
        raise CheckpointError(f'graph {graph} is not there: run moss export {checkpoint.path}, '
                              'or set engine to torch')
    if checkpoint.graphs is None:
        expected, home = read_manifest(graph.parent).get(graph.name), graph.parent / MANIFEST
    else:
        expected, home = checkpoint.graphs.get(graph_name(graph)), checkpoint.path
    if expected is None:
        raise CheckpointError(f'graph {graph} has no known sha256: expected one in {home}')
    return read_verified('graph', graph, expected, SIZE_LIMIT)


def _open(graph: Path, data: bytes, options: onnxruntime.SessionOptions,
          providers: list) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(data, options, providers=providers)
    except Exception as error:  # its errors have no base of their own
        raise _unusable(graph, 'loaded', error) from error


def _unusable(graph: Path | str, what: str, error: Exception) -> CheckpointError:
    return CheckpointError(f"graph {graph} can't be {what} by onnxruntime "
                           f'{onnxruntime.__version__}: {one_line(error)}')


def _check_notes(file: Path, session: onnxruntime.InferenceSession, graph: Graph,
                 checkpoint: Path) -> None:
    """Check that a file is this graph."""
    notes = session.get_modelmeta().custom_metadata_map
    expected = {'format': GRAPH_FORMAT, **graph.notes}
    found = {name: notes.get(name) for name in expected}
    if found != expected:
        raise CheckpointError(f'graph {file} says {found}: expected {expected}; run moss export '
                              f'{checkpoint}')
    names = [x.name for x in session.get_inputs()], [x.name for x in session.get_outputs()]
    if names != (list(graph.takes), list(graph.results)):
        raise CheckpointError(f'graph {file} has inputs {names[0]} and results {names[1]}: '
                              f'expected {list(graph.takes)} and '
                              f'{list(graph.results)}; run moss export {checkpoint}')


def _check_origin(file: Path, session: onnxruntime.InferenceSession, checkpoint: Path,
                  digest: str) -> None:
    """Check that a graph from before digests were stored is of this very checkpoint."""
    origin = session.get_modelmeta().custom_metadata_map.get('checkpoint_sha256')
    if origin != digest:
        raise CheckpointError(f'graph {file} was exported from a checkpoint of sha256 {origin}: '
                              f'expected {digest}; run moss export {checkpoint}')
