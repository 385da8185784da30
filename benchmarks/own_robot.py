"""From recordings of 200 attempts to a model: moss import and moss train, as in the tutorial."""

import os
from pathlib import Path
import tempfile
import time

from harness import parse_arguments, Report
from moss_perception.cli.main import main as moss
from moss_perception.core.resources import model_path
from moss_perception.data.bags.writer import RecordingWriter
import numpy as np
from replay import HEIGHT, MATRIX, pictures, RATE_HZ, SEED, START_NS, WIDTH

ATTEMPTS, QUICK_ATTEMPTS = 200, 12
# Between two attempts, and within one: its start, decision and end.
PERIOD_S, TIMES_S = 4.0, (2.0, 2.1, 3.0)
CANDIDATES = 8
# Times real time, and minutes.
IMPORT_GOAL, TRAINING_GOAL = 10, 30


def write(path: Path, jpegs: list[bytes], attempts: int) -> None:
    """Write the recording of attempts: images, calibration, candidates at 3 Hz, and outcomes."""
    rng = np.random.default_rng(SEED)
    with RecordingWriter(path) as writer:
        for index in range(round(attempts * PERIOD_S * RATE_HZ)):
            attempt, within_s = divmod(index / RATE_HZ, PERIOD_S)
            stamp_ns = START_NS + index * 10**9 // RATE_HZ
            writer.camera_info(stamp_ns, WIDTH, HEIGHT, MATRIX)
            if index % (RATE_HZ // 3) == 0:
                grasps = rng.uniform(-0.1, 0.1, (CANDIDATES, 4)) + (0, 0, 0.6, 0)
                writer.candidates(stamp_ns, grasps)
            writer.image(stamp_ns, jpegs[index % len(jpegs)])
            if round(within_s * RATE_HZ) == round(TIMES_S[1] * RATE_HZ):
                writer.selected(stamp_ns, grasps[index % CANDIDATES])
            if round(within_s * RATE_HZ) == round(TIMES_S[2] * RATE_HZ):
                start_ns, decision_ns, end_ns = (
                    START_NS + round(1e9 * (attempt * PERIOD_S + x)) for x in TIMES_S)
                writer.outcome('', attempt=int(attempt) + 1, start_ns=start_ns,
                               decision_ns=decision_ns, end_ns=end_ns, success=attempt % 2 == 0,
                               domain='real', motion='', object='box')


def timed(*words: object) -> float:
    """
    Run the command ``moss``, and return how long it takes, seconds.

    :raises RuntimeError: if it fails.
    """
    began = time.perf_counter()
    if status := moss(list(map(str, words))):
        raise RuntimeError(f'moss {words[0]} ended with the status {status}')
    return time.perf_counter() - began


def main() -> None:
    """Measure."""
    arguments = parse_arguments(__doc__)
    report = Report('own_robot', arguments, [SEED])
    attempts = QUICK_ATTEMPTS if arguments.quick else ATTEMPTS
    initial, rows = model_path(arguments.model), []
    jpegs = pictures(10 if arguments.quick else 60)
    with tempfile.TemporaryDirectory() as folder:
        bag, data = Path(folder) / 'monday', Path(folder) / 'data'
        write(bag, jpegs, attempts)
        recorded_s = attempts * PERIOD_S
        took = timed('import', bag, '--out', data, '--workers', arguments.threads)
        speed = recorded_s / took
        rows.append({'step': 'import', 'minutes': took / 60, 'times real time': speed})
        words = ['--epochs', '1', '--no-graphs'] if arguments.quick else []
        trained = timed('train', '--data', data, '--initial', initial, '--run',
                        Path(folder) / 'run', '--threads', arguments.threads, *words)
        rows.append({'step': 'train', 'minutes': trained / 60})
    report.target(f'import of {attempts} attempts, {WIDTH} x {HEIGHT} compressed at {RATE_HZ} Hz, '
                  f'--workers {arguments.threads}', speed, 'at least', IMPORT_GOAL, 'x')
    report.target(f'fine-tuning on {attempts} attempts', trained / 60, 'at most', TRAINING_GOAL,
                  'min', f'moss train --initial with {initial.name}, graphs included')
    size = sum(map(len, jpegs)) / len(jpegs) / 1024
    report.table('from recordings to a model', rows, f'{attempts} attempts in {recorded_s:.0f} s '
                 f'of JPEGs of {size:.0f} KiB, {os.cpu_count()} cores; training with the recipe '
                 'of config/finetune.yaml')
    report.finish()


if __name__ == '__main__':
    main()
