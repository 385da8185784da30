"""Find stamps that do not fit: candidates of another clock, and images that jump in time."""

from collections import deque
from collections.abc import Callable
import math
import time

import numpy as np

# What a driver rounds, and what two clocks that are kept together differ by, nanoseconds.
_TOLERANCE_NS = 20_000_000
# Candidates older than this belong to an image that the planner saw long ago, or another clock.
_OLD_NS = 1_000_000_000
_FEWEST = 3
# A node runs for days.
_NEWEST = 10_000


class StampCheck:
    """
    Compares the stamps of messages in the order of recording, or of reception.

    A set of candidates holds for images stamped at or after it. If it is stamped after the
    images that were recorded after it, these are scored with older candidates, or with none.

    :param window_s: how long a comparison counts, seconds: a node that runs for days notices an
        offset that begins, or that somebody mends, within half of it.
    :param clock: returns seconds that never go back.
    """

    def __init__(self, window_s: float = math.inf, clock: Callable[[], float] = time.monotonic):
        self._window_s, self._clock = window_s, clock
        self._newest_ns = 0
        self._waiting: list[int] = []
        # When it was compared, and stamp of candidates minus stamp of the next image, and of the
        # image before.
        self._ahead: deque[tuple[float, int]] = deque(maxlen=_NEWEST)
        self._behind: deque[tuple[float, int]] = deque(maxlen=_NEWEST)
        self._images = self._back = self._furthest_ns = self._equal = 0

    def image(self, stamp_ns: int) -> None:
        """Take the stamp of the next image, nanoseconds; zero stamps are refused elsewhere."""
        if stamp_ns <= 0:
            return
        self._images += 1
        now_s = self._clock()
        self._ahead.extend((now_s, one - stamp_ns) for one in self._waiting)
        self._waiting.clear()
        if self._newest_ns and stamp_ns < self._newest_ns:
            self._back += 1
            self._furthest_ns = max(self._furthest_ns, self._newest_ns - stamp_ns)
        self._equal += stamp_ns == self._newest_ns
        self._newest_ns = stamp_ns

    def candidates(self, stamp_ns: int) -> None:
        """Take the stamp of the next candidates, nanoseconds."""
        if stamp_ns <= 0:
            return
        if len(self._waiting) < _NEWEST:
            self._waiting.append(stamp_ns)
        if self._newest_ns:
            self._behind.append((self._clock(), self._newest_ns - stamp_ns))

    def apart(self) -> list[str]:
        """Say if the stamps of candidates and images are of different clocks."""
        found = []
        if (ahead := self._median(self._ahead)) > _TOLERANCE_NS:
            found.append(f'the candidates are stamped {ahead / 1e9:.3f} s ahead of the images '
                         'that were recorded after them (median), so these images are scored '
                         'with older candidates or with none: expected stamps of the images that '
                         'the candidates were made from')
        if (behind := self._median(self._behind)) > _OLD_NS:
            found.append(f'the candidates are stamped {behind / 1e9:.3f} s behind the images '
                         'that were recorded before them (median): expected stamps of the images '
                         'that the candidates were made from')
        return found

    def _median(self, compared: deque[tuple[float, int]]) -> float:
        """Return the median of the newest comparisons, nanoseconds; 0 for too few."""
        while compared and self._clock() - compared[0][0] > self._window_s:
            compared.popleft()
        return float(np.median([x for _, x in compared])) if len(compared) >= _FEWEST else 0.0

    def lines(self) -> list[str]:
        """Return what is wrong with the stamps, in words; empty if they fit."""
        found = self.apart()
        if self._back:
            found.append(f'{self._back} of {self._images} images are stamped before the image '
                         f'recorded before them, by up to {self._furthest_ns / 1e9:.3f} s; each '
                         'resets the window, so the images after it have no score')
        if self._equal:
            found.append(f'{self._equal} of {self._images} images have the stamp of the image '
                         'before them')
        return found
