"""The engine that runs the exported step on ONNX Runtime, without torch."""

from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.models.config import GraspConfig
from moss_perception.models.manifest import (
    GRAPH_FORMAT,
    graph_path,
    MANIFEST,
    read_header,
    read_manifest,
    read_verified,
    verify,
)
from moss_perception.models.step_graph import result_names, state_names
from moss_perception.runtime.engine import Engine, NO_GRASP, StepResult
import numpy as np
import onnxruntime

_PROVIDERS = {'cpu': 'CPUExecutionProvider', 'cuda': 'CUDAExecutionProvider'}


@dataclass(frozen=True)
class OnnxState:
    """
    What a step leaves for the next one.

    :ivar image: the newest image, for repeats; ``None`` before the first.
    :ivar caches: MOSS's maps of each order that was run, of the last samples, oldest first.
    :ivar recent: the head's maps of the last samples, see :meth:`Engine.recent_maps`.
    """

    image: np.ndarray | None
    caches: tuple[tuple[np.ndarray, ...], ...]
    recent: tuple[tuple[np.ndarray, ...], ...]


class OnnxEngine(Engine):
    """
    Steps the graphs that :mod:`moss_perception.models.export` made, one for each prefix of orders.

    The state is never copied: one graph's outputs, which share ONNX Runtime's memory, are the
    next one's inputs.

    :param config: the checkpoint's configuration.
    :param sessions: a session for each prefix, the first order's first.
    :param sha256: the checkpoint's digest.
    """

    name = 'onnxruntime'

    def __init__(self, config: GraspConfig, sessions: list[onnxruntime.InferenceSession],
                 sha256: str):
        self.config = config
        self.sha256 = sha256
        self._sessions = sessions
        orders = range(1, config.orders + 1)
        self._state_names = [state_names(config, n) for n in orders]
        self._result_names = [result_names(config, n) for n in orders]
        positions = config.map_size ** 2
        absent = np.zeros((1, positions, config.projection_channels), np.float32)
        self._absent_cache = (absent,) * (config.moss_window[0] - 1)
        self._absent_map = np.zeros((positions, config.head_channels), np.float32)

    @classmethod
    def load(cls, path: str, sha256: str = '', device: str = 'cpu',
             threads: int = 0) -> 'OnnxEngine':
        """
        Load the graphs of a checkpoint; its weights are not read, only verified.

        :raises ConfigError: if the device is unknown or absent.
        :raises CheckpointError: if a file is missing, damaged, foreign or another one, or the
            graphs were not exported from this checkpoint.
        """
        providers = _providers(device)
        checkpoint = Path(path).expanduser()
        digest = verify(checkpoint, sha256)
        config, _ = read_header(checkpoint)
        options = _session_options(threads)
        digests, sessions = read_manifest(checkpoint.parent), []
        for orders in range(1, config.orders + 1):
            graph = graph_path(checkpoint, orders)
            session = _open(graph, _verified(graph, checkpoint, digests), options, providers)
            _check_origin(graph, session, orders, checkpoint, digest)
            sessions.append(session)
        return cls(config, sessions, digest)

    def initial_state(self) -> OnnxState:
        """Return the state before the first sample."""
        return OnnxState(None, (), ((),) * (self.config.head_span - 1))

    def step(self, image: np.ndarray | None, grasps: np.ndarray, state: OnnxState, *,
             computed: int, used: int) -> StepResult:
        """Take one sample; see :class:`Engine`."""
        self.check_image(image, state.image is None)
        count = len(grasps)
        # A copy, since the caller may write to his image again.
        newest = state.image if image is None else np.array(image[None], order='C')
        points = np.array(grasps if count else NO_GRASP, np.float32, order='C')
        absent = [self._absent_cache] * (computed - len(state.caches))
        caches = [*state.caches[:computed], *absent]
        kept = [*chain(*caches), *self.recent_maps(state.recent, used, self._absent_map)]
        feeds = dict(zip(self._state_names[computed - 1], kept, strict=True))
        feeds |= {'image': newest, 'grasps': points[None], 'used': np.array([used])}
        # With arrays: for values of its own, ONNX Runtime's Python side takes 0.1 ms more.
        scores, uncertainties, motion, health, *kept = self._sessions[computed - 1].run(
            self._result_names[computed - 1], feeds)
        added, maps = kept[:-computed], kept[-computed:]
        caches = tuple((*cache, new)[1:] for cache, new in zip(caches, added, strict=False))
        side = (self.config.map_size,) * 2
        return StepResult(
            scores[:count], uncertainties[:count],
            self.in_use(motion.reshape(*side, -1), used),
            OnnxState(newest, caches, (*state.recent, tuple(maps))[1:]),
            bool(np.isfinite(health)), tuple(each.reshape(*side, -1) for each in maps))


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


def _session_options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # Threads spin within a step, where each of its operators would have to wake them; between two
    # steps they sleep, so that the cores are the node's and the camera driver's.
    options.add_session_config_entry('session.intra_op.allow_spinning', '1')
    options.add_session_config_entry('session.force_spinning_stop', '1')
    options.log_severity_level = 3
    return options


def _verified(graph: Path, checkpoint: Path, digests: dict[str, str]) -> bytes:
    """Read a graph and check that it is the one of the manifest."""
    if not graph.is_file():
        raise CheckpointError(f'graph {graph} is not there: run export {checkpoint}, or set '
                              'engine to torch')
    expected = digests.get(graph.name)
    if expected is None:
        raise CheckpointError(f'graph {graph} has no known sha256: expected one in '
                              f'{graph.parent / MANIFEST}')
    return read_verified('graph', graph, expected)


def _open(graph: Path, data: bytes, options: onnxruntime.SessionOptions,
          providers: list) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(data, options, providers=providers)
    except Exception as error:  # its errors have no base of their own
        reason = ' '.join(str(error).split())
        raise CheckpointError(f"graph {graph} can't be loaded by onnxruntime "
                              f'{onnxruntime.__version__}: {reason}') from error


def _check_origin(graph: Path, session: onnxruntime.InferenceSession, orders: int,
                  checkpoint: Path, digest: str) -> None:
    """Check that a graph is a step of these orders, exported from this very checkpoint."""
    notes = session.get_modelmeta().custom_metadata_map
    found = notes.get('format'), notes.get('orders')
    if found != (GRAPH_FORMAT, str(orders)):
        raise CheckpointError(f'graph {graph} has format and orders {found}: expected '
                              f'{(GRAPH_FORMAT, str(orders))}; run export {checkpoint}')
    origin = notes.get('checkpoint_sha256')
    if origin != digest:
        raise CheckpointError(f'graph {graph} was exported from a checkpoint of sha256 {origin}: '
                              f'expected {digest}; run export {checkpoint}')
