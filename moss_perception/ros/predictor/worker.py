"""The thread that computes while the executor thread receives messages."""

from collections.abc import Callable
import threading
from typing import Generic, TypeVar

from moss_perception.ros.predictor.backlog import Backlog

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
        self._handle = handle
        self._on_failure = on_failure
        self._backlog: Backlog[T] = Backlog(capacity)
        self._thread = threading.Thread(target=self._run, name='predictor', daemon=True)
        self._thread.start()

    def put(self, item: T) -> T | None:
        """Hand over an item; see :meth:`Backlog.put` for what is returned."""
        return self._backlog.put(item)

    def stop(self, timeout_s: float = 30.0) -> tuple[list[T], bool]:
        """
        Finish the current item and end the thread.

        :param timeout_s: how long to wait for it, seconds.
        :returns: the items that were still waiting, and whether the thread has ended.
        """
        left = self._backlog.close()
        self._thread.join(timeout_s)
        return left, not self._thread.is_alive()

    def _run(self) -> None:
        while (item := self._backlog.take()) is not None:
            try:
                self._handle(item)
            except Exception as error:  # noqa: BLE001, the worker goes on
                self._on_failure(item, error)
