"""A stream of ten thousand frames: constant time and memory a frame, against recomputing clips."""

from collections.abc import Callable
import sys
import time

import blocks
from harness import parse_arguments, Report
import numpy as np
from peers import vit_pytorch
from scipy import stats
import setup_peers
from streams import PeerStream, Stream
from timing import resident_bytes, take_turns
import torch

SEED = 0
FRAMES = 10_000


def watch(step: Callable[[], object], frames: int, every: int,
          begin: Callable[[], Callable[[], object]] | None = None) -> dict[str, np.ndarray]:
    """
    Step, and read time and memory on the way.

    :param frames: how many.
    :param every: frames of one reading.
    :param begin: begins a stream of the same kind; for each reading there is a new one, which
        takes turns with the long one frame by frame, so that what the machine does meets both.
    :returns: ``frame``, ``ms`` (median of a reading's steps), ``mib`` (resident) and, with
        ``begin``, ``share``: ``ms`` as a share of the new stream's, each ``(n,)``.
    """
    found: dict[str, list[float]] = {'frame': [], 'ms': [], 'mib': [], 'share': []}
    for first in range(0, frames, every):
        streams = [step, begin()] if begin else [step]
        times = [[_timed(stream) for stream in streams] for _ in range(every)]
        medians = np.median(times, axis=0) * 1e3
        found['frame'].append(first + every)
        found['ms'].append(float(medians[0]))
        found['share'].append(float(medians[0] / medians[-1]))
        found['mib'].append(resident_bytes() / 2 ** 20)
    return {name: np.array(values) for name, values in found.items()}


def _timed(step: Callable[[], object]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def slope(frame: np.ndarray, values: np.ndarray) -> tuple[float, float, float]:
    """
    Fit a line, robust against single readings that something else disturbed (Theil-Sen).

    :returns: change over ten thousand frames, and its 95 % interval.
    """
    fit = stats.theilslopes(values, frame)
    return tuple(FRAMES * float(x) for x in (fit.slope, fit.low_slope, fit.high_slope))


def measure_stream(report: Report, quick: bool) -> dict[str, dict[int, float]]:
    """
    Run the long stream of each configuration, and a shorter one of the peer.

    :returns: of each, milliseconds a frame after so many frames.
    """
    frames = torch.randn(16, 1, 128, 14, 14, generator=torch.Generator().manual_seed(SEED))
    count, every = (60, 10) if quick else (FRAMES, 100)
    peer = vit_pytorch.make(128, 2, blocks.WINDOW)
    jobs = {'ours, same sizes': (Stream(blocks.like_peer(), frames), count),
            'ours, light': (Stream(blocks.light(), frames), count),
            'vit-pytorch, cached': (PeerStream(peer, frames), 20 if quick else 300)}
    rows, along = [], {}
    for name, (stream, length) in jobs.items():
        for _ in range(20 if length == count else 2):
            stream()
        # Of the peer's short stream nothing can be said about ten thousand frames.
        long = length == count
        found = watch(stream, length, every if long else max(length // 20, 1),
                      (lambda s=stream: Stream(s.moss, frames)) if long else None)
        row = {'what': name, 'frames': length, 'ms a frame': float(np.median(found['ms']))}
        for key, unit, scale in ((('share', '%', 100), ('mib', 'MiB', 1)) if long else ()):
            change, low, high = (scale * x for x in slope(found['frame'], found[key]))
            row |= {f'{unit} more after 10 000': change, f'95 % ({unit})': f'{low:.3g} to '
                                                                           f'{high:.3g}'}
        rows.append(row)
        report.curve('time along the stream', name, found['frame'].tolist(),
                     found['ms'].tolist())
        report.curve('memory along the stream', name, found['frame'].tolist(),
                     (found['mib'] - found['mib'][0]).tolist())
        along[name] = dict(zip(found['frame'].tolist(), found['ms'].tolist(), strict=True))
        if name.startswith('ours'):
            _hold(report, name, found)
    report.table('a long stream (C=128, 14 x 14, window 5 x 9 x 9, orders 1 and 2)', rows,
                 'Theil-Sen slope over readings along the stream; the time is relative to that of '
                 'a stream that has just started, measured in turns')
    return along


def _hold(report: Report, name: str, found: dict[str, np.ndarray]) -> None:
    report.target(f'{name}: time a frame after 10 000 frames, change',
                  100 * abs(slope(found['frame'], found['share'])[0]), 'at most', 5, '%',
                  'compared with a stream that has just started')
    later = found['mib'][len(found['mib']) // 10:]
    report.target(f'{name}: resident memory after the first tenth, growth',
                  float(later[-1] - later[0]), 'at most', 2, 'MiB')


def _seen(stream: Callable[[], object], frames: int) -> Callable[[], object]:
    """Return a stream that has seen so many frames."""
    for _ in range(frames):
        stream()
    return stream


@torch.inference_mode()
def measure_length(report: Report, quick: bool, along: dict[str, dict[int, float]]) -> None:
    """
    Time a new frame by the length of the window.

    :param along: what :func:`measure_stream` found; the curves continue it.
    """
    lengths = (1, 2, 4) if quick else (1, 2, 4, 8, 16, 32, 64)
    clips = torch.randn(1, lengths[-1], 128, 14, 14,
                        generator=torch.Generator().manual_seed(SEED))
    same, light = blocks.like_peer(), blocks.light()
    peer = vit_pytorch.make(128, 2, blocks.WINDOW)
    frames = clips.transpose(0, 1)
    found: dict[str, dict[int, float]] = {}
    for length in lengths:
        clip = clips[:, :length].contiguous()
        last = clip.movedim(2, -1).contiguous()
        calls = {'ours, same sizes, by steps': _seen(Stream(same, frames), length - 1),
                 'ours, light, by steps': _seen(Stream(light, frames), length - 1),
                 'vit-pytorch, by steps': _seen(PeerStream(peer, frames), length - 1),
                 'ours, same sizes, recomputed': lambda c=clip: same(c),
                 'ours, light, recomputed': lambda c=clip: light(c)}
        if length <= (2 if quick else 16):
            calls['vit-pytorch, recomputed'] = lambda x=last: peer(x)
        for name, taken in take_turns(calls, 1 if quick else 3, warm_up=1).items():
            found.setdefault(name, {})[length] = taken.median_ms
    report.table('a new frame, by the length of the window (ms)', [
        {'T': length, **{name: values.get(length) for name, values in found.items()}}
        for length in lengths], 'by steps: the next frame of a stream that has seen T; '
        'recomputed: the whole clip of T frames for each new one')
    for name, values in found.items():
        later = along.get(name.removesuffix(', by steps'), {})
        # A reading for each doubling is enough to see a line.
        nearest = {min(later, key=lambda at, n=n: abs(at - 2 ** n)) for n in range(15) if later}
        values |= {frame: ms for frame, ms in later.items() if frame > lengths[-1]
                   and frame in nearest}
        report.curve('cost against length', name, list(values), list(values.values()))


def main() -> int:
    """Measure; the peers are installed first, if they are not there."""
    arguments = parse_arguments(__doc__)
    torch.set_num_threads(arguments.threads)
    if failed := setup_peers.main():
        return failed
    report = Report('stream_length', arguments, [SEED])
    along = measure_stream(report, arguments.quick)
    measure_length(report, arguments.quick, along)
    report.finish()
    return 0


if __name__ == '__main__':
    sys.exit(main())
