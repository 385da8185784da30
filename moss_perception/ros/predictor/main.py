"""
The executable grasp_predictor: one node, or several in one process that share their engine::

    grasp_predictor --ros-args -p model_path:=FILE
    grasp_predictor --namespaces left right --ros-args -p model_path:=FILE
"""

from collections.abc import Sequence
import re
import sys

from moss_perception.core.errors import ConfigError
from moss_perception.ros.common.spinning import run_node, spin
from moss_perception.ros.predictor.node import GraspPredictor
from moss_perception.runtime.engine import EngineStore, load_engine
from rclpy.utilities import remove_ros_args

OPTION = '--namespaces'
_NAMESPACE = re.compile(r'/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*', re.ASCII)


def namespaces_of(words: Sequence[str]) -> list[str]:
    """
    Read the arguments before ``--ros-args``.

    :returns: absolute namespaces; ``['']`` for one node in that of the arguments for ROS.
    :raises ConfigError: if there is another argument, or a namespace is wrong or comes twice.
    """
    if not words:
        return ['']
    option, *names = words
    if option != OPTION or not names:
        raise ConfigError(f'arguments {" ".join(words)!r} are not allowed: expected {OPTION} and '
                          'names such as left right, or none')
    absolute = [f'/{name.strip("/")}' for name in names]
    for name, full in zip(names, absolute, strict=True):
        if not _NAMESPACE.fullmatch(name) or absolute.count(full) > 1:
            raise ConfigError(f'namespace {name!r} is not allowed: expected different names such '
                              'as left right')
    return absolute


def _own(args: list[str] | None) -> list[str]:
    try:
        return remove_ros_args(args)[1:]
    except RuntimeError:
        # A damaged argument for ROS: its start says so.
        return []


def main(args: list[str] | None = None) -> int:
    """
    Run the nodes until they are interrupted.

    :param args: command line with ROS arguments; ``None`` takes the process's own.
    :returns: exit status: 0, or 1 if an argument or a parameter given at the start is not allowed.
    """
    try:
        first, *others = namespaces_of(_own(args))
    except ConfigError as error:
        print(f'grasp_predictor: {error}', file=sys.stderr)
        return 1
    # Alone, a node loads its own: a file that was replaced is then read anew each time.
    loader = EngineStore().load if others else load_engine

    def work(node: GraspPredictor) -> None:
        more: list[GraspPredictor] = []
        try:
            for name in others:
                more.append(GraspPredictor(loader, namespace=name))
            spin(node, *more)
        finally:
            for one in more:
                one.destroy_node()

    return run_node('grasp_predictor', lambda: GraspPredictor(loader, namespace=first or None),
                    work, args)


if __name__ == '__main__':
    sys.exit(main())
