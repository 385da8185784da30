"""Frames become samples by stamp: which frame is a sample, which is skipped, what resets."""

from dataclasses import dataclass

from moss_perception.core.errors import ConfigError, FrameError


@dataclass(frozen=True)
class Admission:
    """
    What the sampler decided about a frame.

    :ivar index: sample number since the last reset; ``None`` for a frame between two samples.
    :ivar epoch: counts the resets; samples of an older epoch are void.
    :ivar reset_reason: why this frame began a new epoch, or ``None``.
    """

    index: int | None
    epoch: int
    reset_reason: str | None = None


class Sampler:
    """
    Chooses, by stamp, the frames that become samples at a fixed rate.

    Sample ``k`` is the first frame stamped at or after ``t0 + (k - 1/4) / rate``, with ``t0`` the
    stamp of the first frame since the last reset. The quarter period lets a camera that runs at
    the model's rate jitter.

    :param rate_hz: samples a second, above 0.
    :raises ConfigError: if ``rate_hz`` is not above 0.
    """

    def __init__(self, rate_hz: float):
        if not rate_hz > 0:
            raise ConfigError(f'frame rate must be above 0 Hz, got {rate_hz}')
        self.period_ns = round(1e9 / rate_hz)
        self.epoch = 0
        self._origin_ns: int | None = None
        self._last_ns = 0
        self._last_index = -1
        self._frame_id = ''

    def reset(self) -> None:
        """Forget the stream: the next frame is sample 0 of a new epoch."""
        self.epoch += 1
        self._origin_ns = None

    def admit(self, stamp_ns: int, frame_id: str) -> Admission:
        """
        Decide about the next frame of the stream.

        :param stamp_ns: header stamp, nanoseconds.
        :param frame_id: the camera's optical frame.
        :returns: sample number, epoch and reset reason.
        :raises FrameError: ``zero_stamp``, if the stamp is not above 0.
        """
        if stamp_ns <= 0:
            raise FrameError('zero_stamp', f'frame needs a header stamp above 0, got {stamp_ns}')
        reason = self._reset_reason(stamp_ns, frame_id)
        if reason is not None:
            self.reset()
        self._last_ns, self._frame_id = stamp_ns, frame_id
        if self._origin_ns is None:
            self._origin_ns, self._last_index = stamp_ns, 0
            return Admission(0, self.epoch, reason)
        index = (stamp_ns - self._origin_ns + self.period_ns // 4) // self.period_ns
        if index <= self._last_index:
            return Admission(None, self.epoch)
        self._last_index = index
        return Admission(index, self.epoch)

    def _reset_reason(self, stamp_ns: int, frame_id: str) -> str | None:
        if self._origin_ns is None:
            return None
        if stamp_ns < self._last_ns:
            return 'stamp_backwards'
        return 'frame_id' if frame_id != self._frame_id else None
