"""The executables of the nodes: a signal amid the imports of one ends it without a word."""

from importlib import import_module
import signal


def autostart() -> int:
    """Run :mod:`moss_perception.ros.autostart`."""
    return _run('autostart')


def bag_evaluator() -> int:
    """Run :mod:`moss_perception.ros.bag_evaluator`."""
    return _run('bag_evaluator')


def bag_player() -> int:
    """Run :mod:`moss_perception.ros.bag_player`."""
    return _run('bag_player')


def grasp_gate() -> int:
    """Run :mod:`moss_perception.ros.grasp_gate`."""
    return _run('grasp_gate')


def grasp_predictor() -> int:
    """Run :mod:`moss_perception.ros.grasp_predictor`."""
    return _run('grasp_predictor')


def sim_cell() -> int:
    """Run :mod:`moss_perception.ros.sim_cell`."""
    return _run('sim_cell')


def _run(name: str) -> int:
    # Python's own handler would end it too, by a traceback of wherever the imports are.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return import_module(f'moss_perception.ros.{name}').main()
