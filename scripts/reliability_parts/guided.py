"""
Fuzz one target by its coverage, or read one input: guided.py TARGET FOLDER [--input FILE].

scripts/reliability.py coverage starts it, since libFuzzer ends its process. FOLDER takes the
inputs that reach new code, what became of all, and the inputs that showed a fault.
"""

import argparse
from collections.abc import Callable
import hashlib
import json
from pathlib import Path
import sys
from tempfile import TemporaryDirectory
import time
import traceback

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
# As a program it finds the modules beside it, those of this tree, and what tests read files by.
for place in (ROOT / 'test', ROOT / 'scripts', ROOT):
    sys.path.insert(1, str(place))

KINDS = ('read', 'refused in one line', 'fault')
# The slowest of each kind follow their numbers; seconds.
COUNTERS = 2 * len(KINDS)
SLOW_S = 1.0
# One that is stuck; libFuzzer ends the process then.
HANG_S = 15
_MOST_MIB = 3000
_INSTRUMENTED = ['moss_perception', 'mcap', 'rosbags', 'yaml']


class Watched:
    """
    A target whose faults are written down, so that the search goes on.

    :param take: reads an input.
    :param folder: of the counters and the faults.
    """

    def __init__(self, take: Callable[[bytes], None], folder: Path):
        self._take, self._folder = take, folder
        path = folder / 'counters'
        if not path.exists():
            path.write_bytes(bytes(8 * COUNTERS))
        # What has been counted remains when the process is ended from outside.
        self._counters = np.memmap(path, np.float64, 'r+', shape=(COUNTERS,))
        self._known = {x['where'] for x in faults(folder)}

    def one(self, data: bytes) -> str:
        """Read an input, and return what became of it."""
        from moss_perception.core.errors import MossError
        began_s, kind = time.process_time(), KINDS[0]
        try:
            self._take(data)
        except MossError as error:
            kind = KINDS[1]
            if '\n' in str(error) or len(str(error)) > 2000:
                kind = self._fault(data, f'{type(error).__name__} of several lines or '
                                   f'{len(str(error))} characters', _where(error))
        except Exception as error:  # noqa: BLE001, this is what is looked for
            kind = self._fault(data, f'{type(error).__name__}: {str(error)[:200]}', _where(error))
        took_s = time.process_time() - began_s
        if took_s > SLOW_S:
            kind = self._fault(data, f'took {took_s:.1f} s', f'slow, {took_s:.0f} s')
        index = KINDS.index(kind)
        self._counters[index] += 1
        slowest = len(KINDS) + index
        self._counters[slowest] = max(self._counters[slowest], took_s)
        return kind

    def _fault(self, data: bytes, what: str, where: str) -> str:
        if where not in self._known:
            self._known.add(where)
            file = self._folder / f'fault-{hashlib.sha256(data).hexdigest()[:16]}'
            file.write_bytes(data)
            with (self._folder / 'faults.jsonl').open('a', encoding='utf-8') as stream:
                stream.write(json.dumps(
                    {'what': what, 'where': where, 'input': file.name}) + '\n')
        return KINDS[2]


def faults(folder: Path) -> list[dict[str, str]]:
    """Read the faults that were written down, each place in the code once."""
    path = folder / 'faults.jsonl'
    lines = path.read_text(encoding='utf-8').splitlines() if path.exists() else []
    return [json.loads(x) for x in lines]


def _where(error: Exception) -> str:
    """Name the innermost line of this repository, and the kind of the error."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [x for x in frames if str(ROOT) in x.filename and __file__ != x.filename]
    last = (ours or frames)[-1]
    return f'{type(error).__name__} at {Path(last.filename).name}:{last.lineno}'


def fuzz(name: str, folder: Path, seconds: float, seed: int) -> None:
    """Search for inputs until the time is over; this ends the process."""
    import atheris
    with atheris.instrument_imports(include=_INSTRUMENTED):
        from reliability_parts.fuzz_targets import TARGETS
    # libFuzzer ends the process without a word to Python: who started it removes the folders.
    work, corpus = folder / 'work', folder / 'corpus'
    work.mkdir(exist_ok=True)
    corpus.mkdir(exist_ok=True)
    target = TARGETS[name](work)
    if not any(corpus.iterdir()):
        for data in target.seeds():
            (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    atheris.Setup(
        [sys.argv[0], str(corpus), f'-max_total_time={max(1, round(seconds))}', f'-seed={seed}',
         f'-max_len={target.longest}', f'-timeout={HANG_S}', f'-rss_limit_mb={_MOST_MIB}',
         f'-artifact_prefix={folder}/'], Watched(target.take, folder).one)
    atheris.Fuzz()


def main() -> int:
    """Fuzz, or read one input."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('target')
    parser.add_argument('folder', type=Path)
    parser.add_argument('--seconds', type=float, default=60.0)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--input', type=Path, metavar='FILE',
                        help='read this one, without atheris')
    arguments = parser.parse_args()
    if arguments.input:
        from reliability_parts.fuzz_targets import TARGETS
        with TemporaryDirectory(prefix='moss_guided_') as work:
            TARGETS[arguments.target](Path(work)).take(arguments.input.read_bytes())
        return 0
    fuzz(arguments.target, arguments.folder, arguments.seconds, arguments.seed)
    return 0


if __name__ == '__main__':
    sys.exit(main())
