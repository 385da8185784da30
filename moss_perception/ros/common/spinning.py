"""Start rclpy, let a node work, and end well: when it is done, by a known error, by a signal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import sys
import time
from typing import Any

from moss_perception.core.errors import ConfigError, MossError
from moss_perception.ros.common.interrupts import check, handled
import rclpy
from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

# A signal during a wait in the middleware is seen when that ends.
_WAIT_S = 0.2

Spin = Callable[[float], None]


def without_place(error: Exception) -> str:
    """Return the message in one line, without the places in C sources that rcl appends."""
    return ' '.join(str(error).split(', at /')[0].split())


@contextmanager
def serving(node: Any) -> Iterator[Spin]:
    """
    Serve a node's callbacks.

    :returns: what waits for one callback and runs it, for so many seconds at most, though never
        more than 0.2 s; it raises ``KeyboardInterrupt`` after SIGINT or SIGTERM.
    """
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)

    def spin_once(timeout_s: float) -> None:
        executor.spin_once(timeout_sec=min(max(timeout_s, 0.0), _WAIT_S))
        check()

    try:
        yield spin_once
    finally:
        executor.shutdown()


def spin(node: Any) -> None:
    """Serve a node's callbacks until it is interrupted."""
    with serving(node) as spin_once:
        while node.context.ok():
            spin_once(_WAIT_S)


def acknowledged(publisher: Any, timeout_s: float) -> bool:
    """
    Wait until all subscribers have got what was published.

    :param timeout_s: seconds to wait at most.
    :returns: whether they have.
    :raises KeyboardInterrupt: after SIGINT or SIGTERM.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        left_s = max(deadline - time.monotonic(), 0.0)
        if publisher.wait_for_all_acked(Duration(seconds=min(left_s, _WAIT_S))):
            return True
        check()
        if left_s <= _WAIT_S:
            return False


def run_node(name: str, make: Callable[[], Any], work: Callable[[Any], None] = spin,
             args: list[str] | None = None, interrupted: int = 0) -> int:
    """
    Run one node in a process of its own.

    :param name: the executable's, for its error message.
    :param make: makes the node, once rclpy is initialised.
    :param work: is handed the node; the process ends with it.
    :param args: command line with ROS arguments; ``None`` takes the process's own.
    :param interrupted: exit status after SIGINT or SIGTERM.
    :returns: exit status: 0, ``interrupted``, or 1 after a known error, told in one line.
    """
    node = None
    with handled():
        try:
            _initialise(args)
            node = _made(make)
            check()
            work(node)
        except (KeyboardInterrupt, ExternalShutdownException):
            return interrupted
        except MossError as error:
            if node is None:
                print(f'{name}: {error}', file=sys.stderr)
            else:
                node.get_logger().error(str(error))
            return 1
        finally:
            if node is not None:
                node.destroy_node()
            if rclpy.ok():  # pyright: ignore[reportPrivateImportUsage]  it is documented
                rclpy.shutdown()
    return 0


def _initialise(args: list[str] | None) -> None:
    try:
        # Reads the parameter files, too, and unlike init logs no line of its own on a bad one.
        remove_ros_args(args)
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:
        raise ConfigError(without_place(error)) from error


def _made(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except ParameterException as error:
        raise ConfigError(without_place(error)) from error
