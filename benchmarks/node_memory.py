"""Resident memory of the real predictor node while a recording is played to it."""

from dataclasses import replace
from pathlib import Path
import subprocess
import time

from live_nodes import NodeError, running
from moss_perception.ros.system.grasp import grasp_system
from timing import resident_bytes


def measure(model: str, bag: Path, seconds: float) -> dict[str, float]:
    """
    Start predictor, player and starter as ``moss run grasp`` does, and watch the predictor.

    :param model: checkpoint; empty for the one of the package.
    :param bag: the recording, played in a loop.
    :param seconds: to play.
    :returns: ``median``, ``last`` and ``peak`` resident memory, MiB; ``seconds`` watched.
    :raises NodeError: if a node fails; its last lines are shown.
    """
    given = {'bag': str(bag), 'gate': 'false', **({'model': model} if model else {})}
    processes = [replace(one, parameters={**one.parameters, 'loop': True})
                 if one.executable == 'bag_player' else one for one in grasp_system(given)]
    with running(processes) as started:
        return _watch(started['grasp_predictor'], seconds)


def _watch(process: subprocess.Popen, seconds: float) -> dict[str, float]:
    seen, began = [], time.monotonic()
    while time.monotonic() - began < seconds:
        if process.poll() is not None:
            raise NodeError(f'grasp_predictor has ended with status {process.returncode}')
        seen.append(resident_bytes(process.pid) / 2 ** 20)
        time.sleep(0.2)
    return {'median': sorted(seen)[len(seen) // 2], 'last': seen[-1],
            'peak': resident_bytes(process.pid, 'VmHWM') / 2 ** 20, 'seconds': seconds}
