"""
Run a node in a process until it is done, fails or receives SIGINT or SIGTERM.

A signal is handled between callbacks, not inside them. Python raises ``KeyboardInterrupt`` between
any two instructions: in a callback, in the import of a compiled module, or while rclpy creates an
object. rclpy's own handlers shut the context down at once, from another thread, whatever the node
is doing. Here a signal is only recorded; it is raised where the main thread calls
:func:`check_interrupt`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any, TypeVar

from moss_perception.core.errors import ConfigError, MossError
from moss_perception.core.text import one_line
from moss_perception.ros.common.guard import guarded
import rclpy
from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args, try_shutdown

# Where log files go, by the first that is set.
_LOG_FOLDERS = ('ROS_LOG_DIR', 'ROS_HOME', 'HOME')
_EXPECTED_LOG_FOLDER = 'expected HOME, or ROS_LOG_DIR with a folder that can be written'
# A signal that arrives during a wait in the middleware is handled when the wait ends.
_WAIT_S = 0.2
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Ctrl-C under ros2 launch comes twice: from the terminal and, under load a second or two later,
# from launch. Its SIGTERM comes five seconds after that.
_SAME_S = 3.0

Spin = Callable[[float], None]
AnyNode = TypeVar('AnyNode', bound=Node)


@dataclass
class _State:
    """When the process was interrupted, and the earlier signal handlers."""

    since_s: float | None = None
    anywhere: bool = False
    before: dict[signal.Signals, Any] = field(default_factory=dict)


_state = _State()


@contextmanager
def handled() -> Iterator[None]:
    """
    Record SIGINT and SIGTERM within the context; a second one, 3 s later, ends the process.

    The earlier handlers are restored afterwards, unless there was a signal: then the process is
    about to end, and ignores SIGINT, because the same Ctrl-C may arrive again. Only the main
    thread can set handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.since_s, _state.anywhere = None, False
    for number in _SIGNALS:
        handler = signal.signal(number, _on_signal)
        # After a node that a signal ended, they are this module's own.
        if number not in _state.before or handler not in (_on_signal, signal.SIG_IGN):
            _state.before[number] = handler
    try:
        yield
    finally:
        if _state.since_s is None:
            for number, handler in _state.before.items():
                signal.signal(number, handler)
        else:
            # Python's own end takes a quarter of a second and begins with the default handler,
            # under which a second SIGINT would kill the process and replace its exit status.
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def check_interrupt() -> None:
    """
    Raise a recorded signal.

    :raises KeyboardInterrupt: if there was one.
    """
    if _state.since_s is not None:
        raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[None]:
    """
    Let a signal interrupt long work anywhere; the work must not use rclpy.

    :raises KeyboardInterrupt: after a signal, also in place of another exception: the import of
        a compiled module turns an interrupt into an ImportError.
    """
    check_interrupt()
    _state.anywhere = True
    try:
        yield
    except Exception:
        if _state.since_s is None:
            raise
    finally:
        _state.anywhere = False
    check_interrupt()


def _on_signal(number: int, frame: FrameType | None) -> None:
    now_s = time.monotonic()
    if _state.since_s is None:
        _state.since_s = now_s
        if _state.anywhere:
            raise KeyboardInterrupt
    elif now_s - _state.since_s >= _SAME_S:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def without_place(error: Exception) -> str:
    """Return the message in one line, without the locations in C sources that rcl appends."""
    return ' '.join(str(error).split(', at /')[0].split())


@contextmanager
def serving(node: Node, *others: Node) -> Iterator[Spin]:
    """
    Serve the callbacks of a node, and of others of its context.

    :returns: a function that waits for one callback and runs it. Its argument is the longest
        wait in seconds; it never waits longer than 0.2 s. It raises ``KeyboardInterrupt`` after
        SIGINT or SIGTERM.
    """
    executor = SingleThreadedExecutor(context=node.context)
    for one in (node, *others):
        executor.add_node(one)

    def spin_once(timeout_s: float) -> None:
        executor.spin_once(timeout_sec=min(max(timeout_s, 0.0), _WAIT_S))
        check_interrupt()

    try:
        yield spin_once
    finally:
        executor.shutdown()


def create_steady_timer(node: Node, period_s: float, callback: Callable[[], object],
                        group: CallbackGroup | None = None) -> None:
    """Create a guarded timer that also fires with use_sim_time and no ``/clock``."""
    node.create_timer(
        period_s, guarded(node, callback), group,
        clock=Clock(clock_type=ClockType.STEADY_TIME))


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


def spin(node: Node, *others: Node) -> None:
    """Serve the callbacks of nodes of one context until they are interrupted."""
    with serving(node, *others) as spin_once:
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
        check_interrupt()
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
            check_interrupt()
            work(node)
        except (KeyboardInterrupt, ExternalShutdownException):
            return interrupted
        except MossError as error:
            if node is None:
                print(f'{name}: {one_line(error)}', file=sys.stderr)
            else:
                node.get_logger().error(one_line(error))
            return 1
        finally:
            if node is not None:
                node.destroy_node()
            try_shutdown()
    return 0


def _require_log_folder() -> None:
    # Without any of them the middleware writes a dozen lines before its error.
    if not any(map(os.environ.get, _LOG_FOLDERS)):
        raise ConfigError(f'there is no folder for log files: {_EXPECTED_LOG_FOLDER}')


def _initialise(args: list[str] | None) -> None:
    _require_log_folder()
    try:
        # This reads the parameter files too. Unlike init, it logs nothing if one is damaged.
        remove_ros_args(args)
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:
        raise _not_initialised(error) from error


def own_context(args: list[str] | None = None, domain_id: int | None = None) -> Context:
    """
    Initialise a context for a node of a command, which handles signals itself.

    :param args: arguments for ROS; ``None`` for none.
    :param domain_id: ROS_DOMAIN_ID; ``None`` for that of the environment.
    :raises ConfigError: if ROS cannot start, such as without a folder for log files.
    """
    _require_log_folder()
    context = Context()
    try:
        rclpy.init(args=args or [], context=context, domain_id=domain_id,
                   signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:
        raise _not_initialised(error) from error
    return context


def _not_initialised(error: RuntimeError) -> ConfigError:
    what = without_place(error)
    if 'log' in what and 'director' in what:
        what += f': {_EXPECTED_LOG_FOLDER}'
    return ConfigError(what)


def _made(make: Callable[[], AnyNode]) -> AnyNode:
    try:
        return make()
    except ParameterException as error:
        raise ConfigError(without_place(error)) from error
