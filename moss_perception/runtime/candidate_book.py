"""The planner's newest candidates, and the lead times that belong to them."""

from collections import deque
from dataclasses import replace
import threading

from moss_perception.core.frames import Candidates
from moss_perception.core.lead_times import LeadTimes
from moss_perception.runtime.frame_status import Counters

LEAD_TIMES_WAIT_NS = 500_000_000
"""So long, by the frames' stamps, lead times wait for their candidates, nanoseconds."""


class CandidateBook:
    """
    Keeps the planner's latest candidates; safe to write in one thread and read in another.

    Lead times that come in a message of their own are joined to the candidates of their stamp.
    Lead times that come first wait for the candidates, see :data:`LEAD_TIMES_WAIT_NS`. A set that
    comes again with the same stamp keeps its lead times.

    :param counters: its ``refused_lead_times`` is kept.
    :param size: how many sets are kept.
    """

    def __init__(self, counters: Counters, size: int = 64):
        self._counters = counters
        self._problems: deque[str] = deque(maxlen=size)
        self._sets: deque[Candidates] = deque(maxlen=size)
        # Each with the stamp until which it waits.
        self._waiting: deque[tuple[LeadTimes, int]] = deque(maxlen=size)
        self._newest_ns = 0
        self._lock = threading.Lock()

    def add(self, candidates: Candidates) -> None:
        """Add a set; it holds for frames stamped at or after it, until a newer one."""
        with self._lock:
            for index in reversed(range(len(self._waiting))):
                if self._waiting[index][0].stamp_ns == candidates.stamp_ns:
                    candidates = self._joined(candidates, self._waiting[index][0])
                    del self._waiting[index]
                    break
            self._sets.append(self._inherited(candidates))

    def add_lead_times(self, lead_times: LeadTimes) -> None:
        """Add the lead times of the set that has the same stamp, from the next frame on."""
        with self._lock:
            for index in reversed(range(len(self._sets))):
                if self._sets[index].stamp_ns == lead_times.stamp_ns:
                    self._sets[index] = self._joined(self._sets[index], lead_times)
                    return
            # A slow planner's are older than the newest frame when they come.
            due_ns = max(lead_times.stamp_ns, self._newest_ns) + LEAD_TIMES_WAIT_NS
            self._waiting.append((lead_times, due_ns))

    def expire(self, stamp_ns: int) -> None:
        """
        Give up the lead times that have waited too long for their candidates at a frame.

        :param stamp_ns: of the frame, nanoseconds.
        """
        self._newest_ns = stamp_ns
        if not self._waiting:
            return
        with self._lock:
            late = [lead_times for lead_times, due_ns in self._waiting if due_ns < stamp_ns]
            self._waiting = deque((one for one in self._waiting if one[1] >= stamp_ns),
                                  self._waiting.maxlen)
            for lead_times in late:
                sec, nanosec = divmod(lead_times.stamp_ns, 10**9)
                self._refuse(f'lead times stamped {sec}.{nanosec:09d} match no candidates: '
                             'expected the stamp of the PoseArray of their candidates')

    def take_problems(self) -> list[str]:
        """Return a line for each message of lead times that was refused since the last call."""
        with self._lock:
            problems = list(self._problems)
            self._problems.clear()
        return problems

    def _inherited(self, candidates: Candidates) -> Candidates:
        """Give a set without lead times those of the set that it repeats, if there is one."""
        for one in reversed(self._sets):
            if one.stamp_ns == candidates.stamp_ns and one.frame_id == candidates.frame_id and (
                    len(one.positions) == len(candidates.positions)):
                return candidates if candidates.lead_times is not None else replace(
                    candidates, lead_times=one.lead_times)
        return candidates

    def _joined(self, candidates: Candidates, lead_times: LeadTimes) -> Candidates:
        """Give candidates their lead times, or refuse these if they do not belong to them."""
        given, count = len(lead_times.values), len(candidates.positions)
        if lead_times.frame_id != candidates.frame_id:
            self._refuse(f'lead times have the frame {lead_times.frame_id!r}: expected '
                         f'{candidates.frame_id!r}, the frame of their candidates')
        elif given != count:
            self._refuse(f'{given} lead times came for {count} candidates: expected one for each')
        else:
            return replace(candidates, lead_times=lead_times.values)
        return candidates

    def _refuse(self, problem: str) -> None:
        self._counters.refused_lead_times += 1
        self._problems.append(problem)

    def clear(self) -> None:
        """Forget all sets."""
        with self._lock:
            self._sets.clear()

    def holding(self, stamp_ns: int) -> Candidates | None:
        """
        Return the newest set that holds at a stamp; ``None`` if it is empty or absent.

        A set in another frame than the images counts: the planner replaced the one before.
        """
        with self._lock:
            holding = [one for one in self._sets if one.stamp_ns <= stamp_ns]
        # Of equal stamps, the last received.
        newest = max(reversed(holding), key=lambda one: one.stamp_ns, default=None)
        return newest if newest is not None and len(newest.positions) else None

    def restart(self, stamp_ns: int) -> None:
        """Forget the sets that can't hold for a stream that begins at this stamp."""
        with self._lock:
            stay = [one for one in self._sets if one.stamp_ns <= stamp_ns]
            self._sets.clear()
            self._sets.extend(stay)
            self._waiting = deque(
                ((one, stamp_ns + LEAD_TIMES_WAIT_NS) for one, _ in self._waiting
                 if one.stamp_ns <= stamp_ns), self._waiting.maxlen)
