"""Measure time and memory: candidates of one comparison take turns in one process."""

from collections.abc import Callable
from dataclasses import dataclass
import gc
import json
from pathlib import Path
import subprocess
import sys
import time

import numpy as np

# Of a call that takes so long, the share that a cold cache costs does not count.
_LONG_S = 0.3


def short(value: float) -> str:
    """Write three digits of a number, never with an exponent where it is large."""
    return f'{value:.0f}' if abs(value) >= 100 else f'{value:.3g}'


@dataclass(frozen=True)
class Times:
    """
    Times of one candidate.

    :ivar seconds: of each call, shape ``(n,)``.
    :ivar rounds: median of each round, shape ``(rounds,)``.
    """

    seconds: np.ndarray
    rounds: np.ndarray

    @property
    def median_ms(self) -> float:
        return float(np.median(self.seconds) * 1e3)

    @property
    def p95_ms(self) -> float:
        return float(np.percentile(self.seconds, 95) * 1e3)

    @property
    def quartiles_ms(self) -> tuple[float, float]:
        low, high = np.percentile(self.seconds, [25, 75]) * 1e3
        return float(low), float(high)

    def row(self, name: str) -> dict:
        """Return a row of a table: median and the middle half of all calls."""
        low, high = self.quartiles_ms
        return {'what': name, 'median ms': self.median_ms,
                'middle half ms': f'{short(low)} to {short(high)}', 'calls': len(self.seconds)}


def take_turns(candidates: dict[str, Callable[[], object]], rounds: int,
               burst_s: float = 0.06, warm_up: int = 2) -> dict[str, Times]:
    """
    Time candidates in turns, so that what else the machine does meets them all alike.

    In each round a candidate is called until ``burst_s`` have passed. The first call of a round
    is left out, unless it took longer: it pays for the cache that another candidate has filled.

    :param candidates: what to call, by name.
    :param rounds: turns of each.
    :param burst_s: seconds of one turn, at least.
    :param warm_up: calls before the first round.
    :returns: the times, by name.
    """
    found: dict[str, list[list[float]]] = {name: [] for name in candidates}
    for call in candidates.values():
        for _ in range(warm_up):
            call()
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, call in candidates.items():
                found[name].append(_burst(call, burst_s))
    finally:
        gc.enable()
    return {name: Times(np.concatenate([np.asarray(burst) for burst in bursts]),
                        np.array([np.median(burst) for burst in bursts]))
            for name, bursts in found.items()}


def _burst(call: Callable[[], object], burst_s: float) -> list[float]:
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 2 or time.perf_counter() - began < burst_s:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
        if times[0] > _LONG_S:
            return times
    return times[1:]


def ratio(slow: Times, fast: Times) -> tuple[float, float, float]:
    """
    Say how many times as fast one candidate is.

    :returns: the ratio of the medians; and the lowest and the highest ratio of a round.
    """
    each = slow.rounds / fast.rounds
    return slow.median_ms / fast.median_ms, float(each.min()), float(each.max())


def resident_bytes(pid: int | str = 'self', field: str = 'VmRSS') -> int:
    """
    Read a process's resident memory.

    :param pid: the process.
    :param field: ``VmRSS``, or ``VmHWM`` for the most it ever was.
    """
    for line in Path(f'/proc/{pid}/status').read_text().splitlines():
        if line.startswith(field + ':'):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f'/proc/{pid}/status has no {field}')


def peak_bytes(call: Callable[[], object]) -> int:
    """
    Measure by how much a call raises this process's resident memory at its highest.

    The kernel's own high-water mark is set back first; so memory counts however it is allocated.
    """
    gc.collect()
    Path('/proc/self/clear_refs').write_text('5')
    before = resident_bytes()
    call()
    return max(resident_bytes(field='VmHWM') - before, 0)


def in_own_process(script: str, *arguments: str) -> dict:
    """
    Run a benchmark's part in a process of its own, and return its last line.

    :param script: path of the script.
    :raises RuntimeError: if it fails; its error output is shown.
    """
    done = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'{Path(script).name} {" ".join(arguments)} failed:\n'
                           f'{done.stderr[-2000:]}')
    return json.loads(done.stdout.strip().splitlines()[-1])
