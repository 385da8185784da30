"""The status of each frame, and counts over all frames."""

from collections import Counter
from dataclasses import dataclass, field, fields, replace
from enum import Enum

from moss_perception.core.errors import FrameError
from moss_perception.core.frames import Frame
from moss_perception.core.scores import Prediction


class FrameStatus(str, Enum):
    """What happened to a frame; the values go out on ``~/processed``."""

    SCORED = 'scored'
    """The frame is a sample and gave a prediction."""
    STORED = 'stored'
    """The frame is a sample in the window and gave no prediction."""
    SKIPPED = 'skipped'
    """The frame is not a sample, or no longer one; see :class:`SkipReason`."""
    REFUSED = 'refused'
    """The frame cannot be used; see :class:`moss_perception.core.errors.FrameError`."""


STATUSES = tuple(status.value for status in FrameStatus)
"""The values of :class:`FrameStatus`, in their order."""


class SkipReason(str, Enum):
    """Why a frame was skipped."""

    BETWEEN_SAMPLES = 'between_samples'
    """The camera is faster than the model's frame rate."""
    DROPPED = 'dropped'
    """The backlog was full."""
    STALE = 'stale'
    """The window was reset after the frame was admitted."""
    PAUSED = 'paused'
    """The node is paused by ``~/enable``."""


INTERNAL_ERROR = 'internal_error'
"""Reason of a refusal, and of a reset, after an unexpected exception."""


@dataclass(frozen=True)
class Sample:
    """
    A frame that the sampler chose and that waits for its step.

    :ivar index: sample number since the last reset.
    :ivar epoch: number of resets so far; a sample of an older epoch is void.
    """

    frame: Frame
    index: int
    epoch: int

# A few lost images are normal; a camera at three quarters of the model's rate is too slow.
_REPEATED_SHARE = 0.25


@dataclass(frozen=True)
class FrameResult:
    """
    What happened to a frame.

    :ivar stamp_ns: the frame's header stamp, nanoseconds.
    :ivar reason: a short constant to count by. Skipped frames have a :class:`SkipReason`, refused
        frames the reason of their :class:`moss_perception.core.errors.FrameError`, or
        ``internal_error``. Empty otherwise.
    :ivar detail: the reason in words, for refused frames.
    :ivar prediction: only for scored frames.
    :ivar error: only for refused frames.
    """

    status: FrameStatus
    stamp_ns: int
    reason: str = ''
    detail: str = ''
    prediction: Prediction | None = None
    error: FrameError | None = None


def repeats(missing: int, taken: int) -> str:
    """
    Say it if many samples repeat the one before, as with a camera slower than the model.

    :param missing: samples without an image.
    :param taken: samples with one.
    :returns: a line; empty if more than three of four samples have an image.
    """
    samples = missing + taken
    if missing <= _REPEATED_SHARE * samples:
        return ''
    return (f'{missing} of {samples} samples repeat the one before, since no image came in time: '
            'expected a camera that is at least as fast as the model')


@dataclass
class Counters:
    """
    Counts since the start.

    :ivar frames: frames received.
    :ivar scored: samples that gave a prediction.
    :ivar stored: samples taken while the window was filling.
    :ivar skipped: frames that were not a sample, or were dropped.
    :ivar dropped: skipped samples for which the backlog had no room.
    :ivar missing: missing samples, each filled with the sample before.
    :ivar clamped_lead_times: lead times of scored grasps that were outside the range for which
        the checkpoint was trained.
    :ivar refused_lead_times: messages of lead times that did not fit their candidates, or whose
        candidates did not come.
    :ivar refused: refused frames, by reason.
    :ivar resets: resets of the window, by reason.
    """

    frames: int = 0
    scored: int = 0
    stored: int = 0
    skipped: int = 0
    dropped: int = 0
    missing: int = 0
    clamped_lead_times: int = 0
    refused_lead_times: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    resets: Counter[str] = field(default_factory=Counter)

    def by_status(self) -> dict[str, int]:
        """Return how many frames have each value of :class:`FrameStatus`."""
        counts = (self.scored, self.stored, self.skipped, sum(self.refused.values()))
        return dict(zip(STATUSES, counts, strict=True))

    def copy(self) -> 'Counters':
        """Return the counts as they are now."""
        return replace(self, refused=self.refused.copy(), resets=self.resets.copy())

    def add(self, after: 'Counters', before: 'Counters') -> None:
        """Add the difference between two snapshots of another predictor's counters."""
        for field_ in fields(self):
            gained = getattr(after, field_.name) - getattr(before, field_.name)
            setattr(self, field_.name, getattr(self, field_.name) + gained)

    def skip(self, frame: Frame, reason: SkipReason) -> FrameResult:
        """Count a skipped frame."""
        self.skipped += 1
        return FrameResult(FrameStatus.SKIPPED, frame.stamp_ns, reason.value)

    def refuse(self, frame: Frame, error: FrameError) -> FrameResult:
        """Count a refused frame."""
        self.refused[error.reason] += 1
        return FrameResult(
            FrameStatus.REFUSED, frame.stamp_ns, error.reason, str(error), error=error)
