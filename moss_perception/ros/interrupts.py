"""
SIGINT and SIGTERM, raised in the main thread where they do no harm.

Python raises ``KeyboardInterrupt`` between any two instructions: amid a callback, the import of a
compiled module, or an object that rclpy has half made. rclpy's own handlers end the context at
once, from another thread, under whatever the node is just doing. Here a signal waits instead
until such a piece of work is done.
"""

from collections.abc import Iterator
from contextlib import contextmanager
import signal
import threading
import time
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Ctrl-C under ros2 launch comes twice, from the terminal and from launch.
_SAME_S = 1.0

_holds = 0
_waiting = False
_raised_at = -_SAME_S


@contextmanager
def handled() -> Iterator[None]:
    """
    Let SIGINT and SIGTERM raise ``KeyboardInterrupt``, where they are not held, until the end.

    The handlers of before come back then. In another thread than the main one it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    global _waiting, _raised_at
    _waiting, _raised_at = False, -_SAME_S
    before = {number: signal.signal(number, _on_signal) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def held() -> Iterator[None]:
    """
    Do a piece of work as a whole: a signal that comes meanwhile is raised after it.

    :raises KeyboardInterrupt: at the end, if there was one, and no outer piece of work goes on.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    global _holds
    _holds += 1
    try:
        yield
    finally:
        _holds -= 1
    if _waiting and not _holds:
        _interrupt()


def _on_signal(number: int, frame: FrameType | None) -> None:
    global _waiting
    if time.monotonic() - _raised_at < _SAME_S:
        return
    if _holds:
        _waiting = True
    else:
        _interrupt()


def _interrupt() -> None:
    global _waiting, _raised_at
    _waiting, _raised_at = False, time.monotonic()
    raise KeyboardInterrupt
