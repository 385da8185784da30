"""
SIGINT and SIGTERM in a process that serves a node: handled between callbacks, not inside them.

Python raises ``KeyboardInterrupt`` between any two instructions: in a callback, in the import of
a compiled module, or while rclpy creates an object. rclpy's own handlers shut the context down at
once, from another thread, whatever the node is doing. Here a signal is only recorded; it is
raised where the main thread calls :func:`check`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
import os
import signal
import threading
import time
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Ctrl-C under ros2 launch comes twice: from the terminal and, under load a second or two later,
# from launch. Its SIGTERM comes five seconds after that.
_SAME_S = 3.0


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


def check() -> None:
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
    check()
    _state.anywhere = True
    try:
        yield
    except Exception:
        if _state.since_s is None:
            raise
    finally:
        _state.anywhere = False
    check()


def _on_signal(number: int, frame: FrameType | None) -> None:
    now_s = time.monotonic()
    if _state.since_s is None:
        _state.since_s = now_s
        if _state.anywhere:
            raise KeyboardInterrupt
    elif now_s - _state.since_s >= _SAME_S:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
