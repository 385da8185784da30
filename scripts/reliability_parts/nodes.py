"""Nodes in processes of their own: the predictor, a camera, a bare subscription and listeners."""

from collections.abc import Callable
from contextlib import contextmanager, suppress
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
from tempfile import TemporaryDirectory
import time
from typing import Any

from moss_perception.ros.common.dds_profile import VARIABLES

from reliability_parts.common import ROOT

_START_S = 90.0
_END_S = 20.0
PROFILE = ROOT / 'config' / 'fastdds_large_images.xml'


@contextmanager
def folder():
    """Yield a folder for the files of one measurement."""
    with TemporaryDirectory(prefix='moss_reliability_') as name:
        yield Path(name)


def environment(profile: bool = False) -> dict[str, str]:
    """
    Return the variables of the processes.

    :param profile: whether Fast DDS gets :data:`PROFILE`.
    """
    found = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST', **os.environ, 'PYTHONUNBUFFERED': '1',
             'PYTHONPATH': os.pathsep.join([str(ROOT), str(ROOT / 'scripts'),
                                            os.environ.get('PYTHONPATH', '')])}
    if profile:
        found |= {name: str(PROFILE) for name in VARIABLES}
    return found


class Program:
    """
    A function of this package's modules in a process of its own.

    :param at: folder for its log and results.
    :param function: ``module:function``; it takes the arguments, writes a line when it is ready,
        and may return figures when it is interrupted.
    :param arguments: anything that JSON can hold.
    """

    def __init__(self, at: Path, variables: dict[str, str], function: str, **arguments: Any):
        self._out = at / f'{function.rpartition(":")[2]}_{time.monotonic_ns()}.json'
        self.log = self._out.with_suffix('.log')
        with self.log.open('wb') as log:
            self.process = subprocess.Popen(
                [sys.executable, '-W', 'ignore', '-m', 'reliability_parts.nodes', function,
                 json.dumps(arguments), str(self._out)], env=variables, cwd=at, stdout=log,
                stderr=subprocess.STDOUT)

    def wait_for(self, words: str) -> 'Program':
        """
        Wait until it has printed some words.

        :raises RuntimeError: if it ends before, or does not print them in time.
        """
        end_s = time.monotonic() + _START_S
        while words not in self.log.read_text(errors='replace'):
            if self.process.poll() is not None or time.monotonic() > end_s:
                raise RuntimeError(f'{self.log.name} is not ready:\n'
                                   f'{self.log.read_text(errors="replace")[-1500:]}')
            time.sleep(0.05)
        return self

    def stop(self) -> Any:
        """Interrupt it, and return what it has found; ``None`` if it has written nothing."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.result()

    def result(self, timeout_s: float = _END_S) -> Any:
        """Wait for its end, and return what it has found."""
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with suppress(FileNotFoundError):
            return json.loads(self._out.read_text())
        return None

    def why(self) -> str:
        """Say why it has found nothing: it was killed, or by its last line."""
        if self.process.returncode == -signal.SIGKILL:
            return 'did not end after SIGINT, and was killed'
        lines = self.log.read_text(errors='replace').strip().splitlines()
        return f'ended with status {self.process.returncode}: {lines[-1] if lines else ""}'


def ready() -> None:
    """Say that this process is ready."""
    print('ready', flush=True)


def _main(name: str, arguments: str, out: str) -> None:
    import importlib
    module, _, function = name.partition(':')
    run: Callable[..., Any] = getattr(
        importlib.import_module(f'reliability_parts.{module}'), function)
    found = run(**json.loads(arguments))
    if found is not None:
        Path(out).write_text(json.dumps(found))


if __name__ == '__main__':
    _main(*sys.argv[1:])
