"""Resident memory of the real predictor node while a recording is played to it."""

import os
from pathlib import Path
import signal
import subprocess
import sys
import tempfile
import time

from checkout import ROOT
from moss_perception.ros.system.grasp import grasp_system
from moss_perception.ros.system.processes import STARTER
from timing import resident_bytes

START_S = 60.0


class NodeError(RuntimeError):
    """The nodes did not run as they should."""


def measure(model: str, bag: Path, seconds: float) -> dict[str, float]:
    """
    Start predictor, player and starter as ``moss run grasp`` does, and watch the predictor.

    :param model: checkpoint; empty for the one of the package.
    :param bag: the recording, played in a loop.
    :param seconds: to play.
    :returns: ``median``, ``last`` and ``peak`` resident memory, MiB; ``seconds`` watched.
    :raises NodeError: if a node fails; its last lines are shown.
    """
    said = {'bag': str(bag), 'gate': 'false', **({'model': model} if model else {})}
    started: list[tuple[subprocess.Popen, Path]] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for process in grasp_system(said):
                words = process.command_arguments()
                if process.executable == 'bag_player':
                    words += ['-p', 'loop:=true']
                started.append(_start(process.executable, words, Path(folder)))
                if process.role == STARTER:
                    _expect_end(*started[-1])
            return _watch(*started[0], seconds)
        finally:
            for process, _ in reversed(started):
                _stop(process)


def _start(executable: str, words: list[str], folder: Path) -> tuple[subprocess.Popen, Path]:
    log = folder / f'{executable}.log'
    environment = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST', **os.environ,
                   'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])}
    with log.open('wb') as output:
        process = subprocess.Popen(
            [sys.executable, *_program(executable), *words], cwd=folder, env=environment,
            stdout=output, stderr=subprocess.STDOUT)
    return process, log


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
        raise NodeError(f'{log.name}: status {status}\n{log.read_text()[-1500:]}')


def _watch(process: subprocess.Popen, log: Path, seconds: float) -> dict[str, float]:
    seen, began = [], time.monotonic()
    while time.monotonic() - began < seconds:
        if process.poll() is not None:
            raise NodeError(f'{log.name}: ended\n{log.read_text()[-1500:]}')
        seen.append(resident_bytes(process.pid) / 2 ** 20)
        time.sleep(0.2)
    return {'median': sorted(seen)[len(seen) // 2], 'last': seen[-1],
            'peak': resident_bytes(process.pid, 'VmHWM') / 2 ** 20, 'seconds': seconds}


def _stop(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(15.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
