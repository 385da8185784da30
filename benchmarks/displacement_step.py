"""A step of MOSS that reads displacements, by map, lags and spacing: eagerly and in the engine."""

import sys

from blocks import randomise
from harness import parse_arguments, Report
from moss_perception.moss import MOSS
from moss_step import frames_of
import profiles
from streams import onnx_stream, Stream
from timing import take_turns
import torch

SEED = 0
# What a model of 128 x 128 pixels may have behind its first stages; radius 4 in all of them.
CASES = {
    '32 x 32, 4 lags': {'side': 32},
    '32 x 32, 3 lags': {'side': 32, 'lags': (1, 2, 4)},
    '32 x 32, 4 lags, 1 refinement': {'side': 32, 'refinement': 1},
    '64 x 64, 4 lags, spacing 2': {'side': 64, 'spacing': 2},
    '64 x 64, 3 lags, spacing 2': {'side': 64, 'spacing': 2, 'lags': (1, 2, 4)},
    '64 x 64, 4 lags': {'side': 64},
}
PROFILED = ('32 x 32, 4 lags', '64 x 64, 4 lags, spacing 2')
CHANNELS, PROJECTION = 16, 16


def block(lags: tuple[int, ...] = (1, 2, 4, 7), **options) -> MOSS:
    """Build a small block of order 1."""
    return randomise(MOSS(CHANNELS, (1,), (lags[-1] + 1, 9, 9), channels=16,
                          projection=PROJECTION, hidden=16, learning='mlp', similarity='ssd',
                          readout='displacement', lags=lags, **options))


def measure(report: Report, quick: bool, threads: int) -> None:
    """Time a step of each, in turns."""
    rows = []
    for name, options in list(CASES.items())[:1 if quick else None]:
        options = dict(options)
        side = options.pop('side')
        moss, frames = block(**options), frames_of(8, CHANNELS, side)
        times = take_turns({'eager': Stream(moss, frames),
                            'graph': onnx_stream(moss, frames, threads)},
                           rounds=2 if quick else 15)
        rows.append({'what': name} | {
            f'{label}, {kind} ms': value for label, key in (
                ('eager', 'eager'), ('ONNX Runtime', 'graph'))
            for kind, value in (('median', times[key].median_ms), ('p95', times[key].p95_ms))})
    report.table('a step of displacements', rows,
                 f'{CHANNELS} channels, compared in {PROJECTION}, squared distance, window 9 x 9, '
                 'patch 7')
    for row, most in zip(rows, (2, 2, 3, 3, 3, 10), strict=False):
        report.target(f'step of displacements, {row["what"]}, ONNX Runtime',
                      row['ONNX Runtime, median ms'], 'at most', most, 'ms')


def measure_kinds(report: Report, quick: bool, threads: int) -> None:
    """Profile some of them by kind of operation, in both engines."""
    rows, calls = [], 5 if quick else 200
    for name in PROFILED[:1 if quick else None]:
        options = dict(CASES[name])
        frames = frames_of(8, CHANNELS, options.pop('side'))
        moss = block(**options)
        rows += profiles.eager(f'{name}, eager', Stream(moss, frames), calls)
        rows += profiles.graph(f'{name}, ONNX Runtime', moss, frames, threads, calls)
    report.table('profile by kind of operation', rows, profiles.NOTE)


def main() -> int:
    """Measure."""
    arguments = parse_arguments(__doc__)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(SEED)
    report = Report('displacement_step', arguments, [SEED])
    measure(report, arguments.quick, arguments.threads)
    measure_kinds(report, arguments.quick, arguments.threads)
    report.finish()
    return 0


if __name__ == '__main__':
    sys.exit(main())
