"""What becomes of frames, one by one and counted."""

from collections import Counter
from dataclasses import dataclass, field, fields, replace

from moss_perception.core.errors import FrameError
from moss_perception.core.frames import Frame, Prediction


@dataclass(frozen=True)
class Sample:
    """
    A frame that the sampler chose, waiting for its step.

    :ivar index: sample number since the last reset.
    :ivar epoch: counts the resets; a sample of an older epoch is void.
    """

    frame: Frame
    index: int
    epoch: int


@dataclass(frozen=True)
class Outcome:
    """
    What became of a frame.

    :ivar kind: ``scored``, ``stored`` (the window is not full yet), ``skipped`` or ``refused``.
    :ivar stamp_ns: the frame's header stamp, nanoseconds.
    :ivar reason: why it was skipped (``between_samples``, ``dropped``, ``stale``) or refused.
    :ivar prediction: only with ``scored``.
    :ivar error: only with ``refused``.
    """

    kind: str
    stamp_ns: int
    reason: str = ''
    prediction: Prediction | None = None
    error: FrameError | None = None


@dataclass
class Counters:
    """
    What happened since the start.

    :ivar frames: frames received.
    :ivar scored: samples that gave a prediction.
    :ivar stored: samples taken while the window was filling.
    :ivar skipped: frames that were no sample, or were given up.
    :ivar dropped: of these, samples given up because the backlog was full.
    :ivar missing: samples that repeat the one before.
    :ivar refused: frames refused, by reason.
    :ivar resets: windows given up, by reason.
    """

    frames: int = 0
    scored: int = 0
    stored: int = 0
    skipped: int = 0
    dropped: int = 0
    missing: int = 0
    refused: Counter = field(default_factory=Counter)
    resets: Counter = field(default_factory=Counter)

    def copy(self) -> 'Counters':
        """Return the counts as they are now."""
        return replace(self, refused=self.refused.copy(), resets=self.resets.copy())

    def add(self, after: 'Counters', before: 'Counters') -> None:
        """Add what others counted between two moments."""
        for field_ in fields(self):
            gained = getattr(after, field_.name) - getattr(before, field_.name)
            setattr(self, field_.name, getattr(self, field_.name) + gained)

    def skip(self, frame: Frame, reason: str) -> Outcome:
        """Count a frame that is no sample, or no longer one."""
        self.skipped += 1
        return Outcome('skipped', frame.stamp_ns, reason)

    def refuse(self, frame: Frame, error: FrameError) -> Outcome:
        """Count a frame that can't be used."""
        self.refused[error.reason] += 1
        return Outcome('refused', frame.stamp_ns, f'{error.reason}: {error}', error=error)
