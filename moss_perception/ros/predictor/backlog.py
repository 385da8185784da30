"""A short queue between the executor thread and the worker that drops the oldest item."""

from collections import deque
import threading
from typing import Generic, TypeVar

T = TypeVar('T')


class Backlog(Generic[T]):
    """
    A queue between two threads that drops its oldest item when it is full.

    :param capacity: items that may wait, at least 1.
    """

    def __init__(self, capacity: int = 2):
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._changed = threading.Condition()
        self._closed = False

    def __len__(self) -> int:
        """Return how many items wait."""
        return len(self._items)

    def put(self, item: T) -> T | None:
        """
        Add an item.

        :param item: the newest item.
        :returns: the dropped item: the oldest, or ``item`` itself once closed; else ``None``.
        """
        with self._changed:
            if self._closed:
                return item
            self._items.append(item)
            self._changed.notify()
            return self._items.popleft() if len(self._items) > self._capacity else None

    def take(self) -> T | None:
        """Wait for the oldest item and remove it; ``None`` once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed)
            return None if self._closed else self._items.popleft()

    def close(self) -> list[T]:
        """
        End the waiting of :meth:`take`.

        :returns: the remaining items, oldest first.
        """
        with self._changed:
            self._closed = True
            left = list(self._items)
            self._items.clear()
            self._changed.notify_all()
            return left
