"""The window: the network's state after the samples so far, and how a new sample joins them."""

from collections import deque
from collections.abc import Mapping

from moss_perception.core.errors import FrameError
from moss_perception.models.base import Scores
from moss_perception.runtime.engine import Engine
from moss_perception.runtime.frame_status import Counters, Sample
import numpy as np


class Window:
    """
    Steps the network along the samples of a stream.

    :param engine: runs the network.
    :param period_ns: time between two samples, nanoseconds.
    :param max_gap_ns: a gap between samples above this begins the window anew, nanoseconds.
    :param counters: for missing samples and restarts.
    :ivar level: level of the newest scores, counted from 1; 0 before the first.
    """

    def __init__(self, engine: Engine, period_ns: int, max_gap_ns: int, counters: Counters):
        self._engine, self._period_ns, self._max_gap_ns = engine, period_ns, max_gap_ns
        self._counters = counters
        self._frames = engine.config.window_frames
        self._no_grasps = np.zeros((0, engine.config.grasp_values), np.float32)
        self._epoch = 0
        self.restart()

    @property
    def fill(self) -> int:
        """How many samples are there, 0 to ``window_frames``."""
        return len(self._repeated)

    @property
    def is_full(self) -> bool:
        """Whether its scores count."""
        return self.fill == self._frames

    @property
    def missing(self) -> int:
        """How many of its samples were missing, and are repeated."""
        return sum(self._repeated)

    def restart(self, reason: str = '') -> None:
        """
        Begin anew.

        :param reason: counted as a reset; empty for one that was counted before.
        """
        if reason:
            self._counters.resets[reason] += 1
        self._state = self._engine.initial_state()
        self.level = 0
        self._repeated: deque[bool] = deque(maxlen=self._frames)

    def join(self, sample: Sample, size: tuple[int, ...], level: int) -> float:
        """
        Let a sample follow the one before: repeat what is missing, or begin anew.

        :param size: of its image.
        :param level: at which to step what is missing, counted from 1.
        :returns: seconds since the sample before, which may be a repeated one; 0 at the first.
        :raises FrameError: as :meth:`step`.
        """
        stamp_ns, interval_ns = sample.frame.stamp_ns, 0
        if sample.epoch != self._epoch:
            self._epoch = sample.epoch
            self.restart()
        elif self.fill and size != self._size:
            self.restart('resolution')
        elif self.fill and stamp_ns - self._stamp_ns > self._max_gap_ns:
            self.restart('gap')
        if self.fill:
            missing = sample.index - self._index - 1
            self._counters.missing += missing
            # Further back than the window nothing matters.
            for _ in range(min(missing, self._frames)):
                self.step(None, self._no_grasps, level)
            # Each missing sample has taken a period, so that all intervals add up to the true
            # time. The sampler keeps what is left above 0: a sample is at most three quarters of
            # a period late, and at most a quarter early.
            interval_ns = stamp_ns - self._stamp_ns - missing * self._period_ns
        self._index, self._stamp_ns, self._size = sample.index, stamp_ns, size
        return interval_ns / 1e9

    def step(self, observation: Mapping[str, np.ndarray] | None, grasps: np.ndarray,
             level: int) -> Scores:
        """
        Step the network.

        :param observation: the model's inputs; ``None`` for a missing sample.
        :param grasps: float32, shape ``(K, grasp_values)``.
        :param level: counted from 1.
        :raises FrameError: if the network gives numbers that are not finite; its state is then
            the one before.
        """
        result, state = self._engine.step(observation, grasps, self._state, level)
        if not result.finite:
            raise FrameError('not_finite', 'the network gave NaN or infinite numbers: expected '
                             'finite ones; the window starts anew')
        self._state, self.level = state, result.level
        self._repeated.append(observation is None)
        return result
