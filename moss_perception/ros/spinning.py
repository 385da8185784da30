"""Start rclpy, let a node work, and end well: when it is done, by a known error, by a signal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import signal
import sys
import threading
from typing import Any

from moss_perception.errors import ConfigError, MossError
import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import uninstall_signal_handlers
from rclpy.utilities import remove_ros_args


def without_place(error: Exception) -> str:
    """Return the message in one line, without the places in C sources that rcl appends."""
    return ' '.join(str(error).split(', at /')[0].split())


@contextmanager
def serving(node: Any) -> Iterator[SingleThreadedExecutor]:
    """Give an executor that serves a node's callbacks, and end it well after a signal, too."""
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    try:
        yield executor
    except BaseException:
        _end_signals()
        raise
    finally:
        executor.shutdown()


def spin(node: Any) -> None:
    """Serve a node's callbacks until it is interrupted."""
    with serving(node) as executor:
        executor.spin()


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
    try:
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
    except RuntimeError:
        # A signal that ends the context between two calls of rclpy surfaces as any of its errors.
        if rclpy.ok():
            raise
        return interrupted
    finally:
        _end_signals()
        with _uninterrupted():
            if node is not None:
                node.destroy_node()
            if rclpy.ok():
                rclpy.shutdown()
    return 0


def _end_signals() -> None:
    """
    End the thread in which rclpy handles signals.

    It ends the context first, which wakes the main thread, and then wakes every executor by what
    that may be freeing by now: the process could end by a segmentation fault.
    """
    if threading.current_thread() is threading.main_thread():
        uninstall_signal_handlers()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Clean up in peace: Ctrl-C under ros2 launch comes from the terminal and from launch."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _initialise(args: list[str] | None) -> None:
    try:
        # Reads the parameter files, too, and unlike init logs no line of its own on a bad one.
        remove_ros_args(args)
        rclpy.init(args=args)
    except RuntimeError as error:
        raise ConfigError(without_place(error)) from error


def _made(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except ParameterException as error:
        raise ConfigError(without_place(error)) from error
