"""Run a node in a process until it is done, fails or receives a signal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import sys
import time
from typing import TypeVar

from moss_perception.core.errors import ConfigError, MossError
from moss_perception.ros.common.interrupts import check, handled
import rclpy
from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args, try_shutdown

# A signal that arrives during a wait in the middleware is handled when the wait ends.
_WAIT_S = 0.2

Spin = Callable[[float], None]
AnyNode = TypeVar('AnyNode', bound=Node)


def without_place(error: Exception) -> str:
    """Return the message in one line, without the locations in C sources that rcl appends."""
    return ' '.join(str(error).split(', at /')[0].split())


@contextmanager
def serving(node: Node) -> Iterator[Spin]:
    """
    Serve a node's callbacks.

    :returns: a function that waits for one callback and runs it. Its argument is the longest
        wait in seconds; it never waits longer than 0.2 s. It raises ``KeyboardInterrupt`` after
        SIGINT or SIGTERM.
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


def spin_until(spin: Spin, condition: Callable[[], object], timeout_s: float,
               poll_s: float = _WAIT_S) -> bool:
    """
    Serve callbacks until a condition holds or the time is over.

    :param spin: from :func:`serving`.
    :param condition: called after each callback; holds if it returns something true.
    :param timeout_s: longest wait, seconds; may be infinite.
    :param poll_s: longest time between two checks, for a condition that no callback changes.
    :returns: whether the condition holds.
    :raises KeyboardInterrupt: after SIGINT or SIGTERM.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return False
        spin(min(left_s, poll_s))
    return True


def spin_for(spin: Spin, seconds: float) -> None:
    """Serve callbacks for some time."""
    spin_until(spin, lambda: False, seconds)


def spin(node: Node) -> None:
    """Serve a node's callbacks until it is interrupted."""
    with serving(node) as spin_once:
        while node.context.ok():
            spin_once(_WAIT_S)


def acknowledged(publisher: Publisher, timeout_s: float) -> bool:
    """
    Wait until all subscribers have received the published messages.

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


def run_node(name: str, make: Callable[[], AnyNode], work: Callable[[AnyNode], None] = spin,
             args: list[str] | None = None, interrupted: int = 0) -> int:
    """
    Run one node as the only one of this process.

    :param name: name of the executable, for its error message.
    :param make: creates the node, once rclpy is initialised.
    :param work: called with the node; the process ends when it returns.
    :param args: command line with ROS arguments; ``None`` takes the process's own.
    :param interrupted: exit status after SIGINT or SIGTERM.
    :returns: exit status: 0, ``interrupted``, or 1 after a known error, logged in one line.
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
            try_shutdown()
    return 0


def _initialise(args: list[str] | None) -> None:
    try:
        # This reads the parameter files too. Unlike init, it logs nothing if one is damaged.
        remove_ros_args(args)
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:
        raise ConfigError(without_place(error)) from error


def _made(make: Callable[[], AnyNode]) -> AnyNode:
    try:
        return make()
    except ParameterException as error:
        raise ConfigError(without_place(error)) from error
