"""The whole step as ONNX graphs, one for each prefix of orders, checked before they are kept."""

from collections.abc import Callable, Sequence
from contextlib import contextmanager, redirect_stdout
import io
from itertools import chain
import logging
from pathlib import Path
import warnings

from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.models.build import require_steps
from moss_perception.models.checkpoint import load_checkpoint
from moss_perception.models.manifest import GRAPH_FORMAT, graph_path, replace_files
from moss_perception.models.network import ensemble_probability, GraspNetwork
from moss_perception.models.step_graph import result_names, RESULTS, state_names
import numpy as np
import torch
from torch import nn, Tensor

TOLERANCE = 1e-4
# The caches are divided by their contrast, which raises rounding up to thirtyfold where little
# is seen; what comes out is scaled by that contrast again.
STATE_TOLERANCE = 1e-3
SIZE_LIMIT = 5_000_000
_EXAMPLE_GRASPS = 3


class GraspStep(nn.Module):
    """
    One step of a :class:`GraspNetwork` with a fixed prefix of orders: all that a graph holds.

    :param network: its weights are shared.
    :param orders: orders 1 to this one are run.
    """

    def __init__(self, network: GraspNetwork, orders: int):
        super().__init__()
        self.network = network
        self.orders = orders

    def initial_state(self) -> tuple[Tensor, ...]:
        """
        Return the caches of the orders that are run, map by map, and the head's recent maps.

        A step gives the newest of each and whoever steps keeps the queues: a graph has nothing to
        copy.
        """
        caches, recent = self.network.initial_state(1)
        looks = self.network.config.head_looks[:-1]
        return (*chain(*caches[:self.orders]), *(recent[n] for n in looks))

    def forward(self, image: Tensor, grasps: Tensor, used: Tensor,
                state: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """
        Take one sample.

        :param image: uint8, RGB, shape ``(1, S, S, 3)``.
        :param grasps: float32, shape ``(1, K, 5)``, ``K`` at least 1.
        :param used: int64, shape ``(1,)``: orders 1 to this one count.
        :param state: of :meth:`initial_state`, or its queues with what the steps before gave: the
            caches' maps, and those of the prefix in use at the samples before, oldest first.
        :returns: scores and uncertainties, shape ``(K,)``; the encodings of all orders that were
            run, shape ``(h * w, N * D')``; ``health``, a scalar, 0 if what is new in the state is
            finite, else NaN; each cache's newest map; and this sample's map of each prefix.
        """
        network, kept = self.network, self.network.config.moss_window[0] - 1
        caches = (*(state[n * kept:(n + 1) * kept] for n in range(self.orders)),
                  *network.initial_state(1)[0][self.orders:])
        features = network.backbone(network.normalise(image))
        logits, encodings, caches, maps = network.step(
            features, grasps, caches, state[self.orders * kept:], computed=self.orders,
            used=used)
        scores, uncertainties = ensemble_probability(logits.squeeze(0))
        newest = [cache[-1] for cache in caches[:self.orders] if kept]
        health = sum((part.sum() for part in newest), torch.stack(maps).sum())
        return scores, uncertainties, encodings, health * 0, *newest, *maps


def export_graphs(path: str | Path, sha256: str = '',
                  progress: Callable[[str], None] = lambda _: None) -> list[Path]:
    """
    Export a checkpoint's step for each prefix of its orders, beside it.

    Each graph is compared with torch over a window; their digests are entered into SHA256SUMS.
    What was there before stays until every graph is finished.

    :param path: the checkpoint file.
    :param sha256: its expected digest; empty to take it from SHA256SUMS beside the file.
    :param progress: is told the name of each graph that is begun.
    :returns: the graphs' files, the first order's first.
    :raises CheckpointError: if the checkpoint can't be loaded, or a graph differs from torch, is
        too large or can't be written.
    :raises ConfigError: if the packages that export are missing, or the network sees clips only.
    """
    _require()
    path = Path(path).expanduser()
    network = load_checkpoint(path, sha256)
    require_steps(network.config, 'ONNX Runtime')
    targets = [graph_path(path, n) for n in range(1, network.config.orders + 1)]
    stale = {p for p in path.parent.glob(f'{path.stem}.orders_*.onnx') if p not in targets}
    partial = {target: target.with_name(target.name + '.partial') for target in targets}
    try:
        for orders, (target, finished) in enumerate(partial.items(), start=1):
            progress(target.name)
            step = GraspStep(network, orders)
            model = build_graph(step, network.sha256)
            if len(model) > SIZE_LIMIT:
                raise CheckpointError(f'graph {target.name} takes {len(model)} bytes: expected '
                                      f'at most {SIZE_LIMIT}')
            compare(step, model, target.name)
            finished.write_bytes(model)
        replace_files(partial, stale)
    except OSError as error:
        raise CheckpointError(f"the graphs of {path} can't be written: {error.strerror or error}"
                              ) from error
    finally:
        for finished in partial.values():
            finished.unlink(missing_ok=True)
    return targets


def build_graph(step: GraspStep, sha256: str) -> bytes:
    """
    Export one step.

    :param sha256: the checkpoint's digest, noted in the graph.
    :returns: the ONNX model; the same bytes each time.
    """
    size = step.network.config.image_size
    example = (torch.zeros(1, size, size, 3, dtype=torch.uint8),
               torch.zeros(1, _EXAMPLE_GRASPS, 5), torch.full((1,), step.orders),
               list(step.initial_state()))
    names = state_names(step.network.config, step.orders)
    shapes = (None, {1: torch.export.Dim('K', min=1)}, None, [None] * len(names))
    with _quiet(), torch.no_grad():
        # Indices that are made at the first step and kept become constants of the graph; made
        # while it is traced, they would be neither that nor usable afterwards.
        step.eval()(*example)
        program = torch.onnx.export(
            step, example, dynamo=True, verbose=False, dynamic_shapes=shapes,
            input_names=['image', 'grasps', 'used', *names],
            output_names=result_names(step.network.config, step.orders))
    model = program.model_proto
    # Where each node came from in the sources names this machine's folders.
    for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input,
                 *model.graph.output, *model.graph.initializer, *model.functions):
        del part.metadata_props[:]
        part.ClearField('doc_string')
    del model.graph.value_info[:]
    del model.metadata_props[:]
    notes = {'format': GRAPH_FORMAT, 'checkpoint_sha256': sha256, 'orders': str(step.orders)}
    for key, value in sorted(notes.items()):
        model.metadata_props.add(key=key, value=value)
    return model.SerializeToString(deterministic=True)


def compare(step: GraspStep, model: bytes, name: str) -> float:
    """
    Step a graph and torch over a window and some more samples.

    Grasps come and go, and orders are left out now and then.

    :param model: the ONNX model.
    :param name: of the graph, for the error.
    :returns: the largest difference of any output or state, as a share of its largest value
        where that is above 1.
    :raises CheckpointError: if an output differs by more than :data:`TOLERANCE`, a state by more
        than :data:`STATE_TOLERANCE`, or one is not a number.
    """
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=['CPUExecutionProvider'])
    config, generator = step.network.config, np.random.default_rng(0)
    names = state_names(config, step.orders)
    ours, theirs = (_Stream(step, parts) for parts in (
        step.initial_state(), [part.numpy() for part in step.initial_state()]))
    largest = 0.0
    for k in range(config.window_frames + 4):
        image = generator.integers(0, 256, (1, config.image_size, config.image_size, 3),
                                   np.uint8)
        grasps = generator.uniform(-1, 1, (1, 1 + k % 3, 5)).astype(np.float32)
        grasps[..., 2:] = grasps[..., 2:] * 0.1 + [config.default_depth_m, 0.1, 0.1]
        used = np.array([step.orders - k % 5 % step.orders])
        with torch.inference_mode():
            expected = step(*map(torch.from_numpy, (image, grasps, used)), ours.state(used[0]))
        feeds = dict(zip(names, theirs.state(used[0]), strict=True))
        found = session.run(None, {'image': image, 'grasps': grasps, 'used': used, **feeds})
        ours.take(expected)
        theirs.take(found)
        for n, (one, other) in enumerate(zip(expected, found, strict=True)):
            one = one.numpy()
            difference = np.abs(one - other).max(initial=0.0) / np.abs(one).max(initial=1.0)
            allowed = TOLERANCE if n < len(RESULTS) else STATE_TOLERANCE
            if not difference <= allowed:
                raise CheckpointError(f'graph {name} differs from torch by {difference:.1e} at '
                                      f'sample {k}: expected at most {allowed:.0e}')
            largest = max(largest, float(difference))
    return largest


class _Stream:
    """Keeps a stream's state: the caches' maps, and the last maps of every prefix."""

    def __init__(self, step: GraspStep, parts: Sequence):
        self.orders, self.config = step.orders, step.network.config
        kept = self.config.moss_window[0] - 1
        self.caches = [parts[n * kept:(n + 1) * kept] for n in range(step.orders)]
        self.maps = [(parts[-1],) * step.orders] * (self.config.head_span - 1)

    def state(self, used: int) -> list:
        looks = self.config.head_looks[:-1]
        return [*chain(*self.caches), *(self.maps[n][used - 1] for n in looks)]

    def take(self, results: Sequence) -> None:
        split = len(results) - self.orders
        newest = results[len(RESULTS):split]
        self.caches = [(*cache, new)[1:] for cache, new in zip(self.caches, newest, strict=False)]
        self.maps = [*self.maps, results[split:]][1:]


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
