"""An evaluation of recordings: how many times as fast as they were recorded, and its memory."""

import dataclasses
import functools
from pathlib import Path
import tempfile

from checkout import ROOT
import cv2
from harness import parse_arguments, Report
from moss_perception.core.parallel import in_order
from moss_perception.core.resources import model_path
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.writer import RecordingWriter
from moss_perception.evaluation.parts import merge, split
from moss_perception.evaluation.pictures import read_images
from moss_perception.evaluation.records import BagRecord
from moss_perception.evaluation.replay import replay
from moss_perception.runtime.predictor import Predictor
import numpy as np
from timing import peak_bytes

SEED = 0
SAMPLE = ROOT / 'samples' / 'sim_20'
WIDTH, HEIGHT, RATE_HZ = 640, 480, 30
START_NS = 1_700_000_000_000_000_000
MATRIX = np.array([[600.0, 0, WIDTH / 2], [0, 600.0, HEIGHT / 2], [0, 0, 1]])
# Model's rate, and how many times real time is asked for.
TARGETS = {10: 15, 30: 5}


def pictures(count: int) -> list[bytes]:
    """Enlarge images of the sample, with a sensor's noise, so that JPEGs are as large as real."""
    rng = np.random.default_rng(SEED)
    with Recording(SAMPLE) as recording:
        stamps = [stamp for _, _, stamp, _ in recording.messages(['/image/compressed'])][:count]
    found = []
    for image in read_images(SAMPLE, '/image/compressed', stamps).values():
        large = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        noisy = np.clip(large + rng.normal(0, 4, large.shape), 0, 255).astype(np.uint8)
        found.append(cv2.imencode('.jpg', noisy[:, :, ::-1],
                                  [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())
    return found


def write(folder: Path, jpegs: list[bytes], seconds: int) -> Path:
    """Write a recording of so many seconds: images, calibration and six candidates each."""
    grasps = np.array([[0.02 * n - 0.05, 0.0, 0.6, 0.4 * n] for n in range(6)])
    path = folder / f'{seconds}_s'
    with RecordingWriter(path, topics=['/image/compressed', '/camera_info',
                                       '/grasp_candidates']) as writer:
        for index in range(seconds * RATE_HZ):
            stamp_ns = START_NS + index * 10**9 // RATE_HZ
            writer.camera_info(stamp_ns, WIDTH, HEIGHT, MATRIX)
            writer.candidates(stamp_ns, grasps)
            writer.image(stamp_ns, jpegs[index % len(jpegs)])
    return path


def predictor_at(model: str, rate_hz: int, threads: int) -> Predictor:
    """Load the checkpoint, as if it had been trained at another rate: its steps cost the same."""
    loaded = Predictor.load(str(model_path(model)), threads=threads)
    loaded.engine.config = dataclasses.replace(loaded.config, frame_rate_hz=float(rate_hz))
    return Predictor(loaded.engine)


@functools.lru_cache(maxsize=2)
def worker_predictor(model: str, rate_hz: int) -> Predictor:
    """Load the checkpoint once a worker, for one thread."""
    return predictor_at(model, rate_hz, 1)


def replay_part(job: tuple) -> BagRecord:
    """Evaluate a part of a recording, in a worker."""
    path, model, rate_hz, part = job
    return replay(path, worker_predictor(model, rate_hz), part=part)


def shared(path: Path, model: str, rate_hz: int, rounds: int, workers: int = 2) -> list[float]:
    """Evaluate a recording in parts, so many times; the first time is not counted."""
    config = predictor_at(model, rate_hz, 1).config
    parts = split(path, '/image/compressed', config, workers)
    jobs = [(path, model, rate_hz, part) for _ in range(rounds + 1) for part in parts]
    found = list(in_order(replay_part, jobs, workers))
    merged = [merge(found[n:n + len(parts)]) for n in range(0, len(found), len(parts))]
    return [record.duration_s / record.elapsed_s for record in merged[1:]]


def main() -> None:
    """Measure."""
    arguments = parse_arguments(__doc__, ('--rounds', {'type': int, 'default': 5}))
    report = Report('replay', arguments, [SEED])
    seconds, rounds = (4, 1) if arguments.quick else (60, arguments.rounds)
    jpegs = pictures(10 if arguments.quick else 60)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), jpegs, seconds)
        for rate_hz, wanted in TARGETS.items():
            predictor = predictor_at(arguments.model, rate_hz, arguments.threads)
            replay(path, predictor)
            alone = [record.duration_s / record.elapsed_s
                     for record in (replay(path, predictor) for _ in range(rounds))]
            two = shared(path, arguments.model, rate_hz, rounds)
            for how, times in (('one process', alone), ('--workers 2', two)):
                rows.append({'model Hz': rate_hz, 'how': how,
                             'times real time': float(np.median(times)),
                             'lowest': min(times), 'highest': max(times), 'rounds': rounds})
            report.target(f'evaluation of a recording, {WIDTH} x {HEIGHT} compressed at '
                          f'{RATE_HZ} Hz, model of {rate_hz} Hz, --workers 2',
                          rows[-1]['times real time'], 'at least', wanted, 'x')
        report.table('times real time', rows, f'{seconds} s of {WIDTH} x {HEIGHT} JPEGs of '
                     f'{sum(map(len, jpegs)) / len(jpegs) / 1024:.0f} KiB at {RATE_HZ} Hz, MCAP; '
                     'reading, decoding, scoring and matching, without the start of the '
                     'processes; two workers share the recording, with one thread each')
        longer = write(Path(folder), jpegs, 4 * seconds)
        predictor = predictor_at(arguments.model, 10, arguments.threads)
        report.table('memory', [
            {'recording s': length, 'peak increase MiB': peak_bytes(
                lambda bag=bag: replay(bag, predictor)) / 2**20}
            for length, bag in ((seconds, path), (4 * seconds, longer))],
            'peak resident memory of the process, minus that before the evaluation')
    report.finish()


if __name__ == '__main__':
    main()
