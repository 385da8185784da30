"""
SIGINT and SIGTERM in a process that serves a node: seen between its pieces of work, not amid them.

Python raises ``KeyboardInterrupt`` between any two instructions: amid a callback, the import of a
compiled module, or an object that rclpy has half made. rclpy's own handlers end the context at
once, from another thread, under whatever the node is just doing. Here a signal is noted, and
raised where the main thread asks for it.
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
    """Of the process: when it was interrupted, and what its signals did before."""

    since_s: float | None = None
    anywhere: bool = False
    before: dict[signal.Signals, Any] = field(default_factory=dict)


_state = _State()


@contextmanager
def handled() -> Iterator[None]:
    """
    Note SIGINT and SIGTERM until the end; another one, 3 s later, ends the process at once.

    The handlers of before come back then, unless there was a signal: the process is about to end,
    and the same Ctrl-C may come again. In another thread than the main one nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.since_s, _state.anywhere = None, False
    for number in _SIGNALS:
        handler = signal.signal(number, _on_signal)
        if handler is not _on_signal:
            _state.before[number] = handler
    try:
        yield
    finally:
        if _state.since_s is None:
            for number, handler in _state.before.items():
                signal.signal(number, handler)


def check() -> None:
    """
    Ask for a signal that came.

    :raises KeyboardInterrupt: if one did.
    """
    if _state.since_s is not None:
        raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[None]:
    """
    Let a signal interrupt long work anywhere: work that may be lost, and has no part in rclpy.

    :raises KeyboardInterrupt: if one came; also in place of what became of it, since the import
        of a compiled module makes an ImportError of an interrupt.
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
