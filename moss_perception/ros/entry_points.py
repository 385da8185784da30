"""The executables of the nodes; a SIGINT during their imports ends them without a traceback."""

import signal

# Before all other imports: Python's own handler would print a traceback from inside them. Only
# executables import this module.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from importlib import import_module  # noqa: E402
from pathlib import Path  # noqa: E402
import sys  # noqa: E402

from moss_perception.core.resources import missing  # noqa: E402


def attempt_recorder() -> int:
    """Run :mod:`moss_perception.ros.recorder.node`."""
    return _run('recorder.node')


def bag_player() -> int:
    """Run :mod:`moss_perception.ros.player.node`."""
    return _run('player.node')


def grasp_gate() -> int:
    """Run :mod:`moss_perception.ros.gate`."""
    return _run('gate')


def grasp_predictor() -> int:
    """Run :mod:`moss_perception.ros.predictor.main`."""
    return _run('predictor.main')


def run_recorder() -> int:
    """Run :mod:`moss_perception.ros.run_recorder`."""
    return _run('run_recorder')


def sim_cell() -> int:
    """Run :mod:`moss_perception.ros.cell.node`."""
    return _run('cell.node')


def _run(name: str) -> int:
    try:
        node = import_module(f'moss_perception.ros.{name}')
    except ModuleNotFoundError as error:
        program = Path(sys.argv[0]).name
        print(f'{program}: {missing(program, error)}', file=sys.stderr)
        return 1
    return node.main()
