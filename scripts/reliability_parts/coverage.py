"""Coverage-guided fuzzing by atheris, each target in processes of its own."""

from collections import Counter
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
from tempfile import TemporaryDirectory
import time
from typing import Any

import numpy as np

from reliability_parts.common import MOST_DEATHS, ROOT, SHOWN
from reliability_parts.guided import COUNTERS, faults, HANG_S, KINDS, SLOW_S

VERSION = '3.0.0'
NAMES = ('pictures', 'mcap', 'databases', 'checkpoints')
# Inputs that showed a fault stay there, to be read again.
KEPT = ROOT / 'out' / 'reliability' / 'coverage'
_PROGRAM = Path(__file__).with_name('guided.py')
# By the first word of the file that libFuzzer leaves.
_DEATHS = {'crash': 'crash', 'timeout': 'hang', 'oom': 'out of memory', 'leak': 'leak'}
_COVERED = re.compile(r'cov: (\d+) ft: (\d+) corp: (\d+)')
# Of a process beyond its time: the imports are instrumented first, and the last input may hang.
_START_S = 120.0


def missing() -> str:
    """Return why this part can't run; empty if it can."""
    from importlib.util import find_spec
    if find_spec('atheris') is None:
        return f'atheris is not installed: pip install atheris=={VERSION}'
    return ''


def run(seconds: float, seed: int) -> dict[str, Any]:
    """
    Fuzz each target.

    :param seconds: of each, without the start.
    """
    return {'seconds_each': seconds, 'slow_s': SLOW_S, 'hang_s': HANG_S, 'targets': {
        name: fuzz_target(name, seconds, seed) for name in NAMES}}


def fuzz_target(name: str, seconds: float, seed: int) -> dict[str, Any]:
    """Fuzz one target, in a new process after each that dies; the corpus grows on."""
    with TemporaryDirectory(prefix='moss_coverage_') as scratch:
        folder, deaths, covered = Path(scratch), Counter(), (0, 0, 0)
        left_s = seconds
        while left_s >= 1 and deaths.total() < MOST_DEATHS:
            began_s, log = time.monotonic(), folder / 'log'
            status = _start(name, folder, left_s, seed + deaths.total(), log)
            covered = max(covered, covered_by(log.read_text(errors='replace')))
            if status == 0:
                break
            deaths[_death(name, folder, status, log)] += 1
            left_s -= max(1.0, time.monotonic() - began_s)
        return figures_of(name, folder, deaths, covered)


def _start(name: str, folder: Path, seconds: float, seed: int, log: Path) -> int:
    command = [sys.executable, str(_PROGRAM), name, str(folder), '--seconds', str(seconds),
               '--seed', str(seed)]
    with log.open('wb') as stream:
        try:
            return subprocess.run(
                command, stdout=stream, stderr=stream, env={**os.environ, 'OMP_NUM_THREADS': '1'},
                timeout=seconds + HANG_S + _START_S).returncode
        except subprocess.TimeoutExpired:
            # Native code that libFuzzer's alarm does not end.
            return -9


def _death(name: str, folder: Path, status: int, log: Path) -> str:
    """
    Name how a process died, and keep its input.

    :raises RuntimeError: if it ended before its first input.
    """
    kind = f'crash, status {status}'
    for file in filter(Path.is_file, folder.iterdir()):
        if (word := file.name.partition('-')[0]) in _DEATHS:
            kind = _DEATHS[word]
            _keep(name, file)
            file.unlink()
    if not (folder / 'counters').exists():
        last = log.read_text(errors='replace').strip().splitlines()[-1:]
        raise RuntimeError(f'{name} cannot begin: {"".join(last)}')
    return 'hang' if status == -9 else kind


def _keep(name: str, file: Path) -> None:
    target = KEPT / name
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, target / file.name)


def covered_by(log: str) -> tuple[int, int, int]:
    """Return the last covered edges, features and inputs of the corpus in libFuzzer's log."""
    found = _COVERED.findall(log)
    return tuple(map(int, found[-1])) if found else (0, 0, 0)  # type: ignore[return-value]


def figures_of(name: str, folder: Path, deaths: Counter,
               covered: tuple[int, int, int]) -> dict[str, Any]:
    """Return the figures of a target from what its processes left; keep the faulty inputs."""
    values = np.fromfile(folder / 'counters', np.float64, COUNTERS)
    found = faults(folder)
    for one in found:
        _keep(name, folder / one['input'])
    counts = {kind: int(values[index]) for index, kind in enumerate(KINDS) if values[index]}
    return {
        'counts': {**counts, **deaths}, 'edges': covered[0], 'features': covered[1],
        'corpus': covered[2],
        'slowest_s': {kind: round(float(values[len(KINDS) + index]), 3)
                      for index, kind in enumerate(KINDS) if values[index]},
        'faults': [f'{x["where"]}: {x["what"]} ({x["input"]})' for x in found[:SHOWN]] + [
            f'{kind}: {count}' for kind, count in sorted(deaths.items())]}
