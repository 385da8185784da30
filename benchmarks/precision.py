"""The predictor's step in 8 bits: what it costs in right choices, and what it brings in time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
import logging
import os
from pathlib import Path
import tempfile
from typing import Any

import checkout  # noqa: F401 (makes moss_perception importable)
from harness import parse_arguments, Report
from moss_perception.core.resources import model_path
from moss_perception.data.scenes import in_view, read_shards
from moss_perception.data.schema import Sample
from moss_perception.evaluation.intervals import mean_interval
from moss_perception.evaluation.metrics import auroc, Scored, value_of
from moss_perception.evaluation.scene_scores import chosen_success, score_scenes
from moss_perception.models.manifest import graph_path, read_checkpoint, verify
from moss_perception.runtime.onnx_engine import OnnxEngine
from moss_perception.runtime.predictor import Predictor
from moss_perception.simulation.attempt import Latencies
from moss_perception.simulation.generate import generate
from moss_perception.simulation.scene import Source
import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    quantize_dynamic,
    quantize_static,
    QuantType,
)
from predictor_step import EngineStream
from streams import session
from timing import ratio, take_turns

# Scenes that nothing else uses: first those on which the ranges of 8 bits are measured.
CALIBRATION_SEED = 5_000_000
SEEDS = {'sim': 5_100_000, 'shifted': 5_200_000, 'held_out': 5_300_000}


class Replaced(OnnxEngine):
    """An engine whose graph of the highest level can be replaced, and whose feeds can be kept."""

    replacement: onnxruntime.InferenceSession | None = None
    kept: list[Mapping[str, Any]] | None = None

    def run(self, graph: int, feeds: Mapping[str, Any]) -> Sequence[np.ndarray]:
        """Run a graph, or the replacement of the last one."""
        if graph != len(self.model.graphs) - 1:
            return super().run(graph, feeds)
        if self.kept is not None:
            self.kept.append({name: np.array(value) for name, value in feeds.items()})
        if self.replacement is None:
            return super().run(graph, feeds)
        results: Any = self.replacement.run(list(self.model.graphs[graph].results), feeds)
        return results


class Feeds(CalibrationDataReader):
    """What the steps of real scenes were given, for the ranges of 8 bits."""

    def __init__(self, feeds: Sequence[Mapping[str, Any]]):
        self._rest: Iterator[Mapping[str, Any]] = iter(feeds)

    def get_next(self) -> Mapping[str, Any] | None:
        """Return the next step's inputs; ``None`` after the last one."""
        return next(self._rest, None)


def scenes(name: str, count: int, seed: int) -> list[Sample]:
    """Simulate scenes of the full cell: of a domain, or of its families that are held out."""
    source = Source('full', split=name) if name == 'held_out' else Source('full', name)
    with tempfile.TemporaryDirectory() as folder:
        generate(folder, count, seed, os.cpu_count() or 1, source, latencies=Latencies())
        return in_view(list(read_shards(folder)))


def in_8_bits(graph: bytes, feeds: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    """
    Quantise a graph in several ways.

    :param graph: in 32 bits.
    :param feeds: inputs of real steps.
    :returns: the graphs by name.
    """
    def static(kinds: list[str]) -> Callable[[onnx.ModelProto, str], None]:
        return lambda model, out: quantize_static(
            model, out, Feeds(feeds), quant_format=QuantFormat.QDQ, per_channel=True,
            op_types_to_quantize=kinds, activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8)

    ways: dict[str, Callable[[onnx.ModelProto, str], None]] = {
        'weights of matrix products': lambda model, out: quantize_dynamic(
            model, out, op_types_to_quantize=['MatMul', 'Gemm'], weight_type=QuantType.QInt8),
        'convolutions': static(['Conv']),
        'convolutions and matrix products': static(['Conv', 'MatMul', 'Gemm'])}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, way in ways.items():
            out = Path(folder) / 'graph.onnx'
            way(onnx.load_model_from_string(graph), str(out))
            found[name] = out.read_bytes()
    return found


def figures(predictor: Predictor, sets: Mapping[str, list[Sample]],
            exact: dict[str, np.ndarray]) -> dict[str, Any]:
    """
    Measure the choices of a predictor on each set.

    :param exact: the scores of 32 bits by set; filled if it is empty.
    """
    row: dict[str, Any] = {}
    for name, members in sets.items():
        scores = score_scenes(predictor, members)
        groups = np.concatenate([np.full(len(s.outcomes), s.seed) for s in members])
        labels = np.concatenate([s.outcomes for s in members])
        chosen = mean_interval(chosen_success(scores, labels, groups))
        row[f'{name}: success %'] = 100 * chosen.value
        row[f'{name}: AUROC'] = value_of(auroc, Scored.of(scores, labels, groups))
        change = np.abs(scores - exact.setdefault(name, scores))
        row[f'{name}: mean change'] = float(np.nanmean(change))
    return row


def main() -> None:
    """Measure."""
    arguments = parse_arguments(__doc__, ('--scenes', {
        'type': int, 'default': 300, 'help': 'of each set'}))
    logging.getLogger().setLevel(logging.ERROR)  # the quantiser advises to prepare the graph
    quick, threads = arguments.quick, arguments.threads
    count = 3 if quick else arguments.scenes
    report = Report('precision', arguments, [CALIBRATION_SEED, *SEEDS.values()])
    path = model_path(arguments.model)
    report.content['model_sha256'] = verify(path)
    checkpoint = read_checkpoint(path)
    engine = Replaced.of(checkpoint, threads=threads)
    engine.measure()
    predictor = Predictor(engine)
    engine.kept = []
    score_scenes(predictor, scenes('sim', 2 if quick else 40, CALIBRATION_SEED))
    feeds, engine.kept = engine.kept[::8], None
    graph = graph_path(Path(path), engine.model.graphs[-1].name).read_bytes()
    graphs = {'32 bits': graph, **in_8_bits(graph, feeds)}
    sets = {name: scenes(name, count, seed) for name, seed in SEEDS.items()}
    streams, rows, exact = {}, {}, {}
    for name, data in graphs.items():
        engine.replacement = session(data, threads)
        rows[name] = figures(predictor, sets, exact)
        timed = Replaced.of(checkpoint, threads=threads)
        timed.replacement = engine.replacement
        streams[name] = EngineStream(timed, len(engine.config.levels))
    times = take_turns(streams, 2 if quick else 40, warm_up=20)
    whole = times['32 bits']
    report.table('a step in fewer bits', [
        {'in 8 bits': name.replace('32 bits', 'nothing'), 'median ms': found.median_ms,
         'p95 ms': found.p95_ms, 'times as fast': ratio(whole, found)[0],
         'kB': len(graphs[name]) / 1000, **rows[name]} for name, found in times.items()],
        f'ONNX Runtime, {count} fresh scenes of each set; mean change: of a score, in '
        'probability')
    report.finish()


if __name__ == '__main__':
    main()
