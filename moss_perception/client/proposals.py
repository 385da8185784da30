"""Proposals of a planner, what can go wrong with them, and the delays that it sees."""

from collections.abc import Sequence
from dataclasses import dataclass

from moss_perception.core.errors import CandidateError, MossError
import numpy as np


class ProposalError(CandidateError):
    """A proposal cannot be scored, or cannot be awaited."""


class ScoresTimeoutError(MossError):
    """No scores of a proposal came in time; the message says why not, as far as is known."""


@dataclass(frozen=True)
class Proposal:
    """
    Grasps that were proposed.

    :ivar stamp_ns: stamp of the PoseArray, by which its scores are recognised, nanoseconds.
    :ivar count: number of grasps.
    :ivar sent_s: when it was published, monotonic seconds.
    """

    stamp_ns: int
    count: int
    sent_s: float


@dataclass(frozen=True)
class Latency:
    """
    Delays that a planner has seen, of the newest 1000 messages.

    :ivar count: number of measured delays.
    :ivar median_s: NaN without any; seconds, as the others.
    :ivar p99_s: 99 of 100 were at most this long.
    :ivar longest_s: the longest.
    """

    count: int
    median_s: float
    p99_s: float
    longest_s: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> 'Latency':
        """Summarise delays."""
        if not seconds:
            return cls(0, np.nan, np.nan, np.nan)
        median, p99 = np.percentile(seconds, [50, 99])
        return cls(len(seconds), float(median), float(p99), float(max(seconds)))
