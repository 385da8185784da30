"""Run the processes of a system, and end them together; works without ROS."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
import os
from pathlib import Path
import queue
import signal
import subprocess
import sys
import threading
import time

from moss_perception.core.resources import executable
from moss_perception.ros.system.processes import JOB, Process, SERVICE, STARTER, WATCHER
from moss_perception.ros.system.restarts import DELAY_S, restarted, Restarts


def print_line(name: str, line: str) -> None:
    """Print a line of a process's output after the process's name."""
    sys.stdout.write(f'[{name}] {line}\n')
    sys.stdout.flush()


@dataclass
class _Running:
    process: Process
    popen: subprocess.Popen
    reader: threading.Thread
    began_s: float = field(default_factory=time.monotonic)


class Supervisor:
    """
    Start processes by their roles, watch them, and stop them all.

    Services, early jobs, watchers and starters start at once; jobs start when every starter has
    succeeded.
    The system ends when its jobs have ended, when a service or starter fails, or on an interrupt.
    A service with ``respawn`` is started again if it ends, and its starters after it.

    :param processes: as :func:`moss_perception.ros.system.grasp.grasp_system` returns them.
    :param show: takes each line of output, with the process's name; from other threads.
    :param environment: variables added to those of this process.
    :param find: turns an executable's name into a path.
    :param patience_s: seconds to wait before the next, stronger signal.
    """

    def __init__(
            self, processes: Sequence[Process], show: Callable[[str, str], None] = print_line,
            environment: dict[str, str] | None = None,
            find: Callable[[str], Path] = executable, patience_s: float = 5.0):
        self._waiting = list(processes)
        # Look them up before any process starts: a missing one must not leave others running.
        self._paths = {process.label: find(process.executable) for process in processes}
        self._show = show
        self._environment = {**os.environ, 'PYTHONUNBUFFERED': '1', **(environment or {})}
        self._patience_s = patience_s
        self._starters = [x for x in self._waiting if x.role == STARTER]
        self._running: dict[str, _Running] = {}
        self._restarts: dict[str, Restarts] = {}
        # A SimpleQueue, because a signal handler puts into it.
        self._ends: queue.SimpleQueue[tuple[_Running | None, int]] = queue.SimpleQueue()
        self._status: int | None = None
        self._verdict = ''
        self._stopping = threading.Event()

    def start(self) -> 'Supervisor':
        """Start services and starters, and the jobs if there is no starter to wait for."""
        try:
            self._start_role(SERVICE)
            self._start_role(WATCHER)
            self._start_role(STARTER)
            if not self._alive(STARTER):
                self._start_role(JOB)
        except BaseException:
            self.stop()
            raise
        return self

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """Let :meth:`wait` end the system because of a signal; signal handlers may call it."""
        self._ends.put((None, int(number)))

    def wait(self, timeout_s: float | None = None) -> int | None:
        """
        Wait until all processes of the system have ended.

        :param timeout_s: seconds to wait at most; None for no limit.
        :returns: 0 if all jobs succeeded (or if a system without jobs was interrupted), the status
            of a failed job, 1 if a service or starter failed, 128 plus the signal's number
            if a job was interrupted; None after the timeout, while the system still runs.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while self._status is None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                running, code = self._ends.get(timeout=left)
            except queue.Empty:
                return None
            self._status = self._judge(running, code)
        self.stop()
        if self._verdict:
            # Printed last, so that it is not lost among the last lines of the processes.
            self._show('run', self._verdict)
            self._verdict = ''
        return self._status

    def stop(self) -> None:
        """End every process, all at once: by SIGINT, then by SIGTERM, then by SIGKILL."""
        self._stopping.set()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            alive = [running for running in self._running.values() if running.popen.poll() is None]
            if number == signal.SIGKILL:
                for running in alive:
                    self._show('run', f'{running.process.label} did not end in time: killing it')
            for running in alive:
                _send(running.popen, number)
            deadline = time.monotonic() + self._patience_s
            for running in alive:
                with suppress(subprocess.TimeoutExpired):
                    running.popen.wait(timeout=max(0.01, deadline - time.monotonic()))
        for running in self._running.values():
            # What a process left behind in its group must not outlive the system.
            _send(running.popen, signal.SIGKILL)
            running.reader.join(timeout=1.0)

    def _start_role(self, role: str) -> None:
        for process in [x for x in self._waiting if x.starts_with == role]:
            self._waiting.remove(process)
            self._start(process)

    def _start(self, process: Process, more: Mapping[str, str] | None = None) -> None:
        popen = subprocess.Popen(
            [str(self._paths[process.label]), *process.command_arguments()],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**self._environment, **(more or {})}, text=True, errors='replace',
            start_new_session=True)
        reader = threading.Thread(target=self._read, args=(process.label, popen), daemon=True)
        running = self._running[process.label] = _Running(process, popen, reader)
        reader.start()
        threading.Thread(target=self._await, args=(running,), daemon=True).start()

    def _read(self, name: str, popen: subprocess.Popen) -> None:
        assert popen.stdout is not None  # it is a pipe
        lines = (line.rstrip('\n') for line in popen.stdout)
        for line in _without_interrupts(lines, self._stopping.is_set):
            self._show(name, line)

    def _await(self, running: _Running) -> None:
        self._ends.put((running, running.popen.wait()))

    def _alive(self, role: str) -> bool:
        return any(running.process.role == role and running.popen.poll() is None
                   for running in self._running.values())

    def _judge(self, running: _Running | None, code: int) -> int | None:
        """Decide what the end of a process, or an interruption (``None``), means."""
        if running is None:
            return 128 + code if self._has_jobs() else 0
        name, role = running.process.label, running.process.role
        if self._running[name] is not running:
            return None
        running.reader.join(timeout=1.0)
        ended = f'status {code}' if code >= 0 else f'signal {signal.Signals(-code).name}'
        if role == WATCHER:
            if not self._stopping.is_set():
                self._show('run', f'{name} has ended with {ended}; the system goes on')
            return None
        if role == SERVICE and running.process.respawn and self._respawn(running, ended):
            return None
        if role == SERVICE:
            self._verdict = f'error: {name} ended early with {ended}'
            return 1
        if code != 0:
            self._verdict = f'error: {name} failed with {ended}'
            return 1 if role == STARTER else code if code > 0 else 128 - code
        if role == STARTER and not self._alive(STARTER):
            self._start_role(JOB)
            return None
        return None if role == STARTER or self._has_jobs() else 0

    def _respawn(self, running: _Running, ended: str) -> bool:
        """Start a service again; return whether it was worth another attempt."""
        process = running.process
        restarts = self._restarts.setdefault(process.label, Restarts())
        if not restarts.again(running.began_s):
            self._show('run', f'{process.label} has ended {restarts.in_a_row} times in a row')
            return False
        self._show('run', f'{process.label} has ended with {ended}; starting it again')
        _send(running.popen, signal.SIGKILL)  # what it left behind in its group
        if self._interrupted_within(DELAY_S):
            return True
        self._start(process, restarted(restarts.count, ended))
        for starter in (one for one in self._starters if one.activates(process)):
            # One that still waits for the process before would wait for it in vain.
            self._running[starter.label].popen.kill()
            self._start(starter)
        return True

    def _interrupted_within(self, seconds: float) -> bool:
        """Wait, unless there is an interrupt; it stays in the queue."""
        ends, deadline = [], time.monotonic() + seconds
        while (left_s := deadline - time.monotonic()) > 0:
            with suppress(queue.Empty):
                ends.append(self._ends.get(timeout=left_s))
                if ends[-1][0] is None:
                    break
        for end in ends:
            self._ends.put(end)
        return any(running is None for running, _ in ends)

    def _has_jobs(self) -> bool:
        return self._alive(JOB) or any(process.role == JOB for process in self._waiting)


def _without_interrupts(
        lines: Iterable[str], stopping: Callable[[], bool]) -> Iterator[str]:
    """Drop the tracebacks of interrupted Python processes, mostly from their imports."""
    held: list[str] = []
    for line in lines:
        if held or (stopping() and line.startswith('Traceback ')):
            held.append(line)
            if len(held) > 1 and not line.startswith((' ', 'Traceback ')):
                interrupted = line.startswith('KeyboardInterrupt') or any(
                    '<frozen importlib' in entry for entry in held)
                yield from [] if interrupted else held
                held = []
        else:
            yield line
    yield from held


def _send(popen: subprocess.Popen, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(popen.pid, number)
