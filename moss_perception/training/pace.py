"""How long the rest of a training takes."""

from collections.abc import Callable
import time

# The first clips are slow: memory and threads are not there yet.
_IGNORED, _MEASURED = 16, 32


class Pace:
    """
    Measures the time for each clip, and estimates the time that is left.

    :param clips: number of clips that are left to train on, in all epochs.
    :param clock: seconds.
    """

    def __init__(self, clips: int, clock: Callable[[], float] = time.monotonic):
        self._clips, self._done, self._clock = clips, 0, clock
        self._begin, self._ignored, self._told = clock(), 0, False

    def count(self, clips: int) -> str:
        """
        Count clips that have been trained on.

        :returns: once, after the first clips, what the whole training takes; else nothing.
        """
        self._done += clips
        if not self._ignored and self._done >= _IGNORED:
            self._begin, self._ignored = self._clock(), self._done
        if self._told or self._done - self._ignored < _MEASURED or not self._ignored:
            return ''
        self._told = True
        return (f'{1000 * self._each():.0f} ms for each clip: {self._clips} clips take '
                f'{in_minutes(self._each() * self._clips)}')

    def left(self) -> str:
        """Say how long the clips take that are left; empty after the last."""
        clips = self._clips - self._done
        return f'{in_minutes(self._each() * clips)} left' if clips > 0 and self._done else ''

    def _each(self) -> float:
        # Includes held-out samples, once an epoch has ended.
        return (self._clock() - self._begin) / max(self._done - self._ignored, 1)


def in_minutes(seconds: float) -> str:
    """Write a time as people say it, such as ``about 4 min``."""
    if seconds < 60:
        return f'about {max(seconds, 1):.0f} s'
    if seconds < 5400:
        return f'about {seconds / 60:.0f} min'
    return f'about {seconds / 3600:.1f} h'
