"""What a client could not use, by the error: bounded, since strangers choose the numbers in it."""

import math
import threading
import time

from moss_perception.core.recent import Recent

_KINDS = 64


class Refusals(Recent[str, int]):
    """Counts the newest 64 errors; any thread may add one."""

    def __init__(self):
        super().__init__(_KINDS)
        self._lock = threading.Lock()
        self._newest = '', -math.inf

    def add(self, why: str) -> None:
        """Count an error, which is then the newest."""
        with self._lock:
            self._newest = why, time.monotonic()
            self[why] = self.get(why, 0) + 1

    def total(self) -> int:
        """Return the number of the errors that are counted."""
        return sum(self.values())

    def since(self, then_s: float) -> str:
        """
        Return the newest error that came at or after a time.

        :param then_s: monotonic seconds.
        :returns: empty if there is none.
        """
        why, when_s = self._newest
        return why if when_s >= then_s else ''
