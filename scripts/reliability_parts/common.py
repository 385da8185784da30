"""What the parts share: processes that may crash or hang, memory, and percentiles."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
import gc
import multiprocessing
from pathlib import Path
import signal
import time
from typing import Any, Protocol

from moss_perception.core.memory import return_freed_memory
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / 'models' / 'grasp_moss.safetensors'
HANG_S = 10.0
"""A trial that takes longer is ended with its process, and counted as a hang."""
_POLL_S = 0.05
MOST_DEATHS = 20
SHOWN = 5


class Trials(Protocol):
    """What a process tries one after the other."""

    def one(self, number: int) -> str:
        """Make the trial of this number, always the same, and return what became of it."""
        ...

    def end(self) -> dict[str, Any]:
        """Return further figures, after the last trial."""
        ...


@dataclass
class Found:
    """
    What became of the trials.

    :ivar counts: trials by what became of them.
    :ivar faults: the first of them that show a fault: number and description.
    :ivar slowest_s: the longest trial by what became of it, seconds.
    :ivar more: of :meth:`Trials.end`, of each process.
    """

    counts: Counter = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest_s: dict[str, float] = field(default_factory=dict)
    more: list[dict[str, Any]] = field(default_factory=list)

    def fault(self, kind: str, description: str) -> None:
        """Count a fault, and keep the first ones."""
        self.counts[kind] += 1
        if len(self.faults) < SHOWN:
            self.faults.append(f'{kind}: {description}')

    def figures(self) -> dict[str, Any]:
        """Return the figures for the JSON."""
        return {'counts': dict(sorted(self.counts.items())), 'faults': self.faults,
                'slowest_s': {x: round(s, 3) for x, s in sorted(self.slowest_s.items())},
                'more': self.more}


def try_all(make: Callable[..., Trials], arguments: tuple, count: int,
            hang_s: float = HANG_S) -> Found:
    """
    Make trials in a process of their own; a new one goes on after one that crashes or hangs.

    :param make: makes the trials in the process; a function of a module.
    :param count: number of trials.
    :param hang_s: longest time of one trial, seconds.
    :raises RuntimeError: if a process ends before its first trial.
    """
    found, first, deaths = Found(), 0, 0
    context = multiprocessing.get_context('spawn')
    while first < count and deaths < MOST_DEATHS:
        at, queue = context.Value('q', -1), context.SimpleQueue()
        process = context.Process(target=_try, args=(make, arguments, first, count, at, queue))
        process.start()
        how = _wait(process, queue, at, hang_s, found)
        if not how:
            break
        if at.value < first:
            raise RuntimeError(f'the trials cannot begin: {how}; the reason is above')
        deaths += 1
        found.fault(how, f'trial {at.value}')
        first = at.value + 1
    return found


def _wait(process: Any, queue: Any, at: Any, hang_s: float, found: Found) -> str:
    """Take in what a process finds until it ends; return how it died, empty if it did not."""
    before, since_s = at.value, time.monotonic()
    while True:
        while not queue.empty():
            message = queue.get()
            if message is None:
                process.join()
                return ''
            _take(found, *message)
        if not process.is_alive() and queue.empty():
            code = process.exitcode
            return f'crash, signal {signal.Signals(-code).name}' if code < 0 else (
                f'crash, status {code}')
        if at.value != before:
            before, since_s = at.value, time.monotonic()
        elif before >= 0 and time.monotonic() - since_s > hang_s:
            process.kill()
            process.join()
            return 'hang'
        time.sleep(_POLL_S)


def _take(found: Found, counts: Counter, faults: list[tuple[str, str]],
          slowest_s: dict[str, float], more: dict[str, Any]) -> None:
    found.counts.update(counts)
    for kind, description in faults:
        found.fault(kind, description)
    for kind, seconds in slowest_s.items():
        found.slowest_s[kind] = max(found.slowest_s.get(kind, 0.0), seconds)
    found.more += [more] if more else []


def _try(make: Callable[..., Trials], arguments: tuple, first: int, count: int, at: Any,
         queue: Any) -> None:
    trials = make(*arguments)
    counts, faults, slowest_s = Counter(), [], {}
    for number in range(first, count):
        at.value = number
        began_s = time.perf_counter()
        kind = 'traceback'
        try:
            kind = trials.one(number)
            counts[kind] += 1
        except Exception as error:  # noqa: BLE001, this is what is looked for
            faults.append(('traceback', f'trial {number}: {type(error).__name__}: '
                                        f'{str(error)[:200]}'))
        slowest_s[kind] = max(slowest_s.get(kind, 0.0), time.perf_counter() - began_s)
        if number % 100 == 99:
            queue.put((counts, faults, slowest_s, {}))
            counts, faults = Counter(), []
    queue.put((counts, faults, slowest_s, trials.end()))
    queue.put(None)


def resident_mib(pid: int | str = 'self') -> float:
    """
    Return a process's own resident memory, MiB.

    Without shared memory: of the middleware's segments, a page counts once it was written to,
    whoever did that.
    """
    for line in Path(f'/proc/{pid}/status').read_text().splitlines():
        if line.startswith('RssAnon:'):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f'/proc/{pid}/status has no RssAnon')


@dataclass(frozen=True)
class Held:
    """What a process holds: resident memory in MiB, file descriptors and threads."""

    resident_mib: float
    files: int
    threads: int

    @classmethod
    def by(cls, pid: int | str = 'self') -> 'Held':
        """Read what a process holds."""
        if pid == 'self':
            gc.collect()
            return_freed_memory()
        return cls(resident_mib(pid), len(list(Path(f'/proc/{pid}/fd').iterdir())),
                   len(list(Path(f'/proc/{pid}/task').iterdir())))

    def growth(self, later: 'Held') -> dict[str, float]:
        """Return what a process holds later, and by how much it is more."""
        return {'resident_mib': round(later.resident_mib, 1),
                'grown_mib': round(later.resident_mib - self.resident_mib, 2),
                'more_files': later.files - self.files,
                'more_threads': later.threads - self.threads}


def percentiles(values_s: Any) -> dict[str, float | None]:
    """Return p50, p95 and p99 of durations, in milliseconds; ``None`` without any."""
    if not len(values_s):
        return {f'p{p}_ms': None for p in (50, 95, 99)}
    return {f'p{p}_ms': round(float(np.percentile(values_s, p)) * 1e3, 2) for p in (50, 95, 99)}
