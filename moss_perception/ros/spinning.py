"""Start rclpy, let a node work, and end well: when it is done, by a known error, by a signal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
import sys
from typing import Any

from moss_perception.errors import ConfigError, MossError
from moss_perception.ros.interrupts import handled, held
import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

# A signal during a wait in the middleware is seen when that ends.
_WAIT_S = 0.2


def without_place(error: Exception) -> str:
    """Return the message in one line, without the places in C sources that rcl appends."""
    return ' '.join(str(error).split(', at /')[0].split())


class Executor(SingleThreadedExecutor):
    """Serves callbacks in the main thread; a signal waits until the one that runs is done."""

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """
        Wait for one callback and run it.

        :param timeout_sec: seconds to wait at most; none of the waits is longer than 0.2 s.
        :raises KeyboardInterrupt: after SIGINT or SIGTERM.
        """
        wait_s = _WAIT_S if timeout_sec is None or timeout_sec < 0 else min(timeout_sec, _WAIT_S)
        with held():
            super().spin_once(wait_s)


@contextmanager
def serving(node: Any) -> Iterator[Executor]:
    """Give an executor that serves a node's callbacks, and end it well after a signal, too."""
    executor = Executor(context=node.context)
    executor.add_node(node)
    try:
        yield executor
    finally:
        with held():
            executor.shutdown()


def spin(node: Any) -> None:
    """Serve a node's callbacks until it is interrupted."""
    with serving(node) as executor:
        while node.context.ok():
            executor.spin_once()


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
            with held():
                _initialise(args)
                node = _made(make)
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
            _leave(node)
    return 0


def _leave(node: Any) -> None:
    """Free everything, whatever signals come now."""
    with suppress(KeyboardInterrupt), held():
        if node is not None:
            node.destroy_node()
        if rclpy.ok():
            rclpy.shutdown()


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
