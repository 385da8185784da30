"""The thread that computes while the executor thread receives messages."""

from collections import deque
from collections.abc import Callable
import threading
import time
from typing import Generic, TypeVar

T = TypeVar('T')


class Worker(Generic[T]):
    """
    Handles items one by one, in order, in its own thread.

    :param handle: called with each item; its exceptions go to ``on_failure``.
    :param on_failure: called with the item and the exception; the worker goes on.
    :param capacity: items that may wait; beyond that the oldest is dropped.
    """

    def __init__(self, handle: Callable[[T], None],
                 on_failure: Callable[[T, Exception], None], capacity: int = 2):
        self._handle, self._on_failure, self._capacity = handle, on_failure, capacity
        self._waiting: deque[T] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        self._began_s: float | None = None
        self._thread = threading.Thread(target=self._run, name='predictor', daemon=True)
        self._thread.start()

    def put(self, item: T) -> T | None:
        """
        Hand over an item.

        :returns: the dropped item: the oldest, or ``item`` itself once stopped; else ``None``.
        """
        with self._changed:
            if self._stopped:
                return item
            self._waiting.append(item)
            self._changed.notify()
            return self._waiting.popleft() if len(self._waiting) > self._capacity else None

    @property
    def busy_s(self) -> float:
        """Seconds since the item in work was begun; 0 while it waits."""
        began_s = self._began_s
        return 0.0 if began_s is None else time.monotonic() - began_s

    def stop(self, timeout_s: float = 30.0) -> tuple[list[T], bool]:
        """
        Finish the current item and end the thread.

        :param timeout_s: how long to wait for it, seconds.
        :returns: the items that were still waiting, and whether the thread has ended.
        """
        with self._changed:
            self._stopped = True
            left = list(self._waiting)
            self._waiting.clear()
            self._changed.notify()
        self._thread.join(timeout_s)
        return left, not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopped)
                if self._stopped:
                    return
                item = self._waiting.popleft()
            self._began_s = time.monotonic()
            try:
                self._handle(item)
            except Exception as error:  # noqa: BLE001, the worker goes on
                self._on_failure(item, error)
            finally:
                self._began_s = None
