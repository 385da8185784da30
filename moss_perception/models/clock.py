"""
The time between the samples of a stream, as networks with time inputs take it.

Each sample has a gap: seconds since the sample before. A sample that repeats the one before, since
none came, has a gap of nearly nothing, and the next one has the whole time since the sample that
was repeated: so between any two samples lies the time between their images.
"""

from dataclasses import dataclass

from moss_perception.models.config import ModelConfig
import numpy as np

# Gap of a repeat, seconds: stamps still increase.
_REPEATED_S = 1e-4


@dataclass(frozen=True)
class Clock:
    """
    The time between the samples of a stream.

    :ivar gaps: seconds from one image to the next, of at most a window, oldest first.
    :ivar repeated_s: how long the newest image has been repeated, seconds.
    """

    gaps: tuple[float, ...] = ()
    repeated_s: float = 0.0

    def ticked(self, interval_s: float | None, config: ModelConfig) -> 'Clock':
        """
        Return what holds after a sample that is not the first.

        :param interval_s: seconds since the sample before; ``None`` for a repeat.
        """
        before = self.gaps[-(config.window_frames - 2):]
        if interval_s is None:
            return Clock((*before, _REPEATED_S), self.repeated_s + 1 / config.frame_rate_hz)
        return Clock((*before, max(interval_s + self.repeated_s, _REPEATED_S)))

    def window(self, config: ModelConfig) -> np.ndarray:
        """Return the window's gaps, nominal before the first: float32, ``(1, T - 1)``."""
        gaps = np.full((1, config.window_frames - 1), 1 / config.frame_rate_hz, np.float32)
        if self.gaps:
            gaps[0, -len(self.gaps):] = self.gaps
        return gaps


def gaps_of(stamps_ns: np.ndarray) -> np.ndarray:
    """
    Return what a stream of samples with these stamps has as gaps.

    :param stamps_ns: of the images, int64, shape ``(T,)``; a repeat has the stamp of the one
        before.
    :returns: seconds since the sample before, float32, shape ``(T,)``; 0 at the first.
    """
    gaps = np.diff(stamps_ns, prepend=stamps_ns[:1]) / 1e9
    gaps[1:] = np.maximum(gaps[1:], _REPEATED_S)
    return gaps.astype(np.float32)
