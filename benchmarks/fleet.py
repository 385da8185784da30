"""A fleet of recordings: digests, records in a store, and merging them, by the second."""

from dataclasses import replace
from pathlib import Path
import tempfile
import time
import tracemalloc

from checkout import ROOT
from harness import parse_arguments, Report
from moss_perception.core.resources import model_path
from moss_perception.evaluation.batch import EvaluationInput, Work
from moss_perception.evaluation.digests import digest, recording_digest
from moss_perception.evaluation.record_files import by_checkpoint
from moss_perception.evaluation.records import Evaluation
from moss_perception.evaluation.report.summary import summarise
from moss_perception.evaluation.store import Store
from moss_perception.evaluation.stored import replay_stored
import numpy as np

SAMPLE = ROOT / 'samples' / 'sim_20'
# Ten minutes at 10 Hz, and an attempt each five seconds.
SAMPLES, ATTEMPTS = 6000, 120
MIB, _TRACED = 2**20, 10


def long_record(folder: Path, model: Path) -> Evaluation:
    """Evaluate the sample, and repeat its attempts to those of ten minutes."""
    stored, = replay_stored([EvaluationInput(str(SAMPLE), 'sim', None, {})], [model], Work(),
                            Store(folder))
    bag, = stored.evaluation.bags
    attempts = tuple(replace(one, attempt=n) for n, one in enumerate(
        (bag.attempts * (ATTEMPTS // len(bag.attempts) + 1))[:ATTEMPTS]))
    times = {name: np.resize(getattr(bag, name), SAMPLES) for name in (
        'decode_ms', 'inference_ms')}
    return replace(stored.evaluation, bags=(replace(
        bag, attempts=attempts, duration_s=600.0, **times),))


def timed(work) -> float:
    """Return how much time of a core something takes, seconds; other processes do not count."""
    started = time.process_time()
    work()
    return time.process_time() - started


def traced(work) -> float:
    """Return how much memory something leaves allocated, KiB."""
    tracemalloc.start()
    work()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return kept / 1024


def main() -> None:
    """Measure."""
    arguments = parse_arguments(__doc__, ('--records', {'type': int, 'default': 400}))
    report = Report('fleet', arguments, [0])
    count = 20 if arguments.quick else arguments.records
    model = model_path(arguments.model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / 'bag.mcap'
        size = (32 if arguments.quick else 512) * MIB
        data.write_bytes(bytes(size))
        digest_s = timed(lambda: recording_digest(data))
        record, store = long_record(folder / 'one', model), Store(folder / 'many')
        tasks = [{'recording': f'{n}'} for n in range(count)]
        write_s = timed(lambda: [store.write(task, record) for task in tasks])
        path = next((folder / 'many').rglob('*.json'))
        bytes_each = path.stat().st_size
        found, traced_ones = [], []
        read_s = timed(lambda: found.extend(
            store.read(digest(task), f'bag {n}') for n, task in enumerate(tasks)))
        memory = traced(lambda: traced_ones.extend(
            store.read(digest(task), 'bag') for task in tasks[:_TRACED])) / _TRACED
        merged, = by_checkpoint(found)
        figures_s = timed(lambda: summarise(merged, 'sim', 0.5))
    report.table('a fleet', [
        {'what': 'SHA-256 of a recording', 'value': size / MIB / digest_s, 'unit': 'MiB/s'},
        {'what': 'record of ten minutes', 'value': bytes_each / 1024, 'unit': 'KiB'},
        {'what': 'write a record and read it back', 'value': 1e3 * write_s / count, 'unit': 'ms'},
        {'what': 'read a record', 'value': 1e3 * read_s / count, 'unit': 'ms'},
        {'what': 'memory of a record that was read', 'value': memory, 'unit': 'KiB'},
        {'what': 'figures of a report, each record', 'value': 1e3 * figures_s / count,
         'unit': 'ms'}],
        f'{count} records of {ATTEMPTS} attempts and {SAMPLES} samples; times of one core')
    report.finish()


if __name__ == '__main__':
    main()
