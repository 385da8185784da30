"""What a client could not use, by the error: bounded, since strangers choose the numbers in it."""

from collections import Counter
import math
import threading
import time

_KINDS = 64


class Refusals(Counter[str]):
    """Counts the newest 64 errors; any thread may add one."""

    def __init__(self):
        super().__init__()
        self._lock = threading.Lock()
        self._newest = '', -math.inf

    def add(self, why: str) -> None:
        """Count an error, which is then the newest."""
        with self._lock:
            self._newest = why, time.monotonic()
            # Put at the end: the first is the one that did not come for the longest time.
            self[why] = self.pop(why, 0) + 1
            if len(self) > _KINDS:
                del self[next(iter(self))]

    def since(self, then_s: float) -> str:
        """
        Return the newest error that came at or after a time.

        :param then_s: monotonic seconds.
        :returns: empty if there is none.
        """
        why, when_s = self._newest
        return why if when_s >= then_s else ''
