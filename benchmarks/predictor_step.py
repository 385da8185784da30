"""The predictor's step on board: time, memory, operations a second, and what a window costs."""

import dataclasses
from pathlib import Path
import tempfile

from bare_predictor import GRASPS, samples, WholeStep
import blocks
from checkout import ROOT
from harness import parse_arguments, Report
from live_nodes import NodeError
from moss_perception.core.resources import model_path
from moss_perception.models.checkpoint import save_checkpoint
from moss_perception.models.export import export_graphs
from moss_perception.models.moss_grasp import MossGraspConfig
from moss_perception.models.moss_grasp.network import MossGraspNetwork
from moss_perception.runtime.engine import Engine, load_engine
import node_memory
import numpy as np
from overhead import operations
from parts import profile
from rates import matrix_rates
from timing import ratio, take_turns, Times
import torch
from torch import nn, Tensor

SEED = 0
WINDOW = 32
MEMORY_MIB = 300
SAMPLE = ROOT / 'samples' / 'sim_20'


class EngineStream:
    """
    Steps an engine with random images, :data:`GRASPS` grasps, its state kept.

    :param engine: from ``load_engine``.
    :param orders: orders 1 to this one are run and used.
    """

    def __init__(self, engine: Engine, orders: int):
        config = engine.config
        images, points = samples(config)
        self.engine, self.orders, self.count = engine, orders, 0
        self.points, self.state = points[0].numpy(), engine.initial_state()
        self.samples: list[dict[str, np.ndarray]] = [{'rgb': x.numpy()} for x in images]
        if config.time_inputs:
            interval = np.array([1 / config.frame_rate_hz], np.float32)
            self.samples = [{**sample, 'interval': interval} for sample in self.samples]

    def __call__(self) -> None:
        sample = self.samples[self.count % len(self.samples)]
        self.count += 1
        _, self.state = self.engine.step(sample, self.points, self.state, self.orders)


def measure_engines(report: Report, path: str, threads: int, rounds: int) -> tuple[Times, int]:
    """Time a step of each engine with each prefix of orders; return that of all on board."""
    engines = {name: load_engine(path, engine=name, threads=threads)
               for name in ('onnxruntime', 'torch')}
    orders = engines['torch'].config.orders
    streams = {(name, n): EngineStream(engine, n)
               for name, engine in engines.items() for n in range(1, orders + 1)}
    times = take_turns(streams, rounds, warm_up=20)
    rows = []
    for (name, n), found in times.items():
        rows.append({'engine': name, 'orders': f'1 to {n}', 'median ms': found.median_ms,
                     'p95 ms': found.p95_ms,
                     'of all orders': found.median_ms / times[name, orders].median_ms,
                     'calls': len(found.seconds)})
    report.table('a step of the predictor', rows,
                 f'the whole step from a uint8 image to scores of {GRASPS} grasps, through the '
                 'engine the node drives; decoding and ROS not counted')
    for name in engines:
        report.curve('prefixes', name, list(range(1, orders + 1)),
                     [times[name, n].median_ms for n in range(1, orders + 1)])
    whole = times['onnxruntime', orders]
    size = engines['torch'].config.image_size
    for key, value, most in (('median', whole.median_ms, 4), ('p95', whole.p95_ms, 6)):
        report.target(f'{key} step of the predictor (ONNX Runtime, all orders)', value,
                      'at most', most, 'ms', '' if size == 128 else f'at {size} x {size}')
    return whole, orders


class Recompute(nn.Module):
    """The last score of a window, all of its frames computed anew."""

    def __init__(self, network: MossGraspNetwork):
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, grasps: Tensor) -> Tensor:
        """Score the last of ``(T, S, S, 3)``."""
        return torch.sigmoid(self.network(images[None], grasps)[0]).mean(dim=-1)[0]


def measure_window(report: Report, path: str, threads: int, rounds: int) -> None:
    """
    Hold a step against recomputing a window of 32 frames, both eagerly in torch.

    A window whose lags are compared frame by frame would be a graph of tens of thousands of nodes.
    """
    config = dataclasses.replace(blocks.read_config(path), window_frames=WINDOW)
    torch.manual_seed(SEED)
    recompute = Recompute(blocks.randomise(MossGraspNetwork(config))).eval()
    images, points = samples(config, WINDOW)
    step = EngineStream(load_engine(path, engine='torch', threads=threads), config.orders)

    def steps():
        for _ in range(WINDOW):
            step()

    @torch.inference_mode()
    def whole():
        return recompute(images, points)
    times = take_turns({'one step': step, 'a window by steps': steps,
                        'a window as one batch': whole}, rounds)
    by_step = times['one step']
    rows = [found.row(name) | {'of a step': ratio(found, by_step)[0]}
            for name, found in times.items()]
    report.table(f'a new frame in a window of {WINDOW}', rows,
                 'eager torch; as one batch: all frames through the backbone at once, and only '
                 'the maps of MOSS that the last score needs')
    report.target('window of 32: one step against recomputing it as one batch',
                  ratio(times['a window as one batch'], by_step)[0], 'at least', 25, 'x',
                  'compared with the faster way to recompute')


def measure_rate(report: Report, config: MossGraspConfig, found: Times, threads: int,
                 quick: bool) -> None:
    """Compare the operations a second of a step with matrix products, and profile it."""
    torch.manual_seed(SEED)
    step = WholeStep(blocks.randomise(MossGraspNetwork(config)), config.orders).eval()
    images, points = samples(config, 1)
    count = operations(lambda: step(images, points, *step.initial_state()))
    rates = matrix_rates(threads, 256 if quick else 1024, 2 if quick else 25)
    achieved = count / (found.median_ms / 1e3)
    report.table('operations a second', [
        {'what': 'a step of the predictor', 'GFLOP/s': achieved / 1e9, 'share %': 100.0}
    ] + [{'what': f'matrix product, {name}', 'GFLOP/s': rate / 1e9,
          'share %': 100 * achieved / rate} for name, rate in rates.items()],
        f'{count / 1e6:.1f} MFLOP a step; share: of this rate, reached by the step')
    by_part, by_kind = profile(step, threads, 20 if quick else 300)
    report.table('profile by part', by_part,
                 'measured by the profiler of ONNX Runtime, which takes some time itself')
    report.table('profile by kind of node', by_kind)
    report.target('share of the matrix-product rate', 100 * achieved / max(rates.values()),
                  'at least', 60, '%', 'of the fastest product')


def measure_memory(report: Report, model: str, seconds: float) -> None:
    """Measure the resident memory of the real node."""
    try:
        found = node_memory.measure(model, SAMPLE, seconds)
    except (ImportError, NodeError) as error:
        print(f'node not measured: {error}')
        report.target('resident memory of the node', None, 'at most', MEMORY_MIB, 'MiB',
                      str(error).splitlines()[0])
        return
    report.table('resident memory of grasp_predictor', [
        {key: f'{value:.0f}' for key, value in found.items()}],
        'MiB, of the process, from /proc, while a recording is played to it in a loop')
    report.target('resident memory of the node', found['peak'], 'at most', MEMORY_MIB, 'MiB',
                  'peak')


def with_graphs(path: Path, folder: str) -> Path:
    """Return the checkpoint, or a copy of its configuration with graphs if it has none."""
    if (path.parent / f'{path.stem}.orders_1.onnx').is_file():
        return path
    print(f'{path.name} has no graphs: measuring random weights of its configuration')
    torch.manual_seed(SEED)
    copy = Path(folder) / 'random.safetensors'
    save_checkpoint(copy, blocks.randomise(MossGraspNetwork(blocks.read_config(str(path)))))
    export_graphs(copy)
    return copy


def main() -> None:
    """Measure."""
    arguments = parse_arguments(__doc__)
    torch.set_num_threads(arguments.threads)
    quick, threads = arguments.quick, arguments.threads
    report = Report('predictor_step', arguments, [SEED])
    with tempfile.TemporaryDirectory() as folder:
        path = with_graphs(Path(model_path(arguments.model)), folder)
        config = blocks.read_config(str(path))
        found, _ = measure_engines(report, str(path), threads, 2 if quick else 40)
        measure_memory(report, str(path), 2.0 if quick else 60.0)
        measure_window(report, str(path), threads, 2 if quick else 15)
    if quick:
        # Graphs of fewer nodes are sooner exported.
        config = dataclasses.replace(config, orders=1)
    measure_rate(report, config, found, threads, quick)
    report.finish()


if __name__ == '__main__':
    main()
