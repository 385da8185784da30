"""The real nodes in processes of their own, and what they use."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
import os
from pathlib import Path
import signal
import subprocess
import sys
import tempfile

from checkout import ROOT
from moss_perception.ros.system.processes import Process, STARTER

START_S = 60.0
_TICKS_A_SECOND = os.sysconf('SC_CLK_TCK')


class NodeError(RuntimeError):
    """The nodes did not run as they should."""


@contextmanager
def running(processes: Sequence[Process]) -> Iterator[dict[str, subprocess.Popen]]:
    """
    Start processes as ``moss run`` does, and stop them at the end.

    :returns: the processes by their label, once the starters have ended.
    :raises NodeError: if a starter fails; its last lines are shown.
    """
    started: dict[str, subprocess.Popen] = {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            for process in processes:
                log = Path(folder) / f'{len(started)}_{process.name}.log'
                started[process.label] = _start(process, log)
                if process.role == STARTER:
                    _expect_end(started[process.label], log)
            yield started
        finally:
            for process in reversed(started.values()):
                stop(process)


def _start(process: Process, log: Path) -> subprocess.Popen:
    environment = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST', **os.environ,
                   'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])}
    with log.open('wb') as output:
        return subprocess.Popen(
            [sys.executable, *_program(process.executable), *process.command_arguments()],
            cwd=log.parent, env=environment, stdout=output, stderr=subprocess.STDOUT)


def _program(executable: str) -> list[str]:
    if executable == 'moss':
        return ['-m', 'moss_perception']
    return ['-c', f'import sys; from moss_perception.ros.entry_points import {executable}; '
                  f'sys.exit({executable}())']


def _expect_end(process: subprocess.Popen, log: Path) -> None:
    try:
        status = process.wait(START_S)
    except subprocess.TimeoutExpired:
        status = 'still running'
    if status:
        logs = ''.join(path.read_text()[-1500:] for path in sorted(log.parent.glob('*.log')))
        raise NodeError(f'{log.name}: status {status}\n{logs}')


def stop(process: subprocess.Popen) -> None:
    """Interrupt a process, and kill it if it does not end."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(15.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def cpu_seconds(process: subprocess.Popen) -> float:
    """Return the time that a process has computed so far, on all cores."""
    fields = Path(f'/proc/{process.pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND
