"""The planner's newest candidates, and the lead times that belong to them."""

from collections import deque
from dataclasses import replace
import threading

from moss_perception.core.frames import Candidates
from moss_perception.core.lead_times import LeadTimes
from moss_perception.runtime.frame_status import Counters


class CandidateBook:
    """
    Keeps the planner's latest candidates; safe to write in one thread and read in another.

    Lead times that come in a message of their own are joined to the candidates of their stamp.
    Lead times that come first wait for the candidates until a frame with a later stamp comes.

    :param counters: its ``refused_lead_times`` is kept.
    :param size: how many sets are kept.
    """

    def __init__(self, counters: Counters, size: int = 64):
        self._counters = counters
        self._problems: deque[str] = deque(maxlen=size)
        self._sets: deque[Candidates] = deque(maxlen=size)
        self._waiting: deque[LeadTimes] = deque(maxlen=size)
        self._lock = threading.Lock()

    def add(self, candidates: Candidates) -> None:
        """Add a set; it holds for frames stamped at or after it, until a newer one."""
        with self._lock:
            for lead_times in reversed(self._waiting):
                if lead_times.stamp_ns == candidates.stamp_ns:
                    self._waiting.remove(lead_times)
                    candidates = self._joined(candidates, lead_times)
                    break
            self._sets.append(candidates)

    def add_lead_times(self, lead_times: LeadTimes) -> None:
        """Add the lead times of the set that has the same stamp, from the next frame on."""
        with self._lock:
            for index in reversed(range(len(self._sets))):
                if self._sets[index].stamp_ns == lead_times.stamp_ns:
                    self._sets[index] = self._joined(self._sets[index], lead_times)
                    return
            self._waiting.append(lead_times)

    def expire(self, stamp_ns: int) -> None:
        """
        Give up the lead times from before a frame whose candidates have not come.

        :param stamp_ns: of the frame, nanoseconds.
        """
        if not self._waiting:
            return
        with self._lock:
            for lead_times in [one for one in self._waiting if one.stamp_ns < stamp_ns]:
                self._waiting.remove(lead_times)
                sec, nanosec = divmod(lead_times.stamp_ns, 10**9)
                self._refuse(f'lead times stamped {sec}.{nanosec:09d} match no candidates: '
                             'expected the stamp of the PoseArray of their candidates')

    def take_problems(self) -> list[str]:
        """Return a line for each message of lead times that was refused since the last call."""
        with self._lock:
            problems = list(self._problems)
            self._problems.clear()
        return problems

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
            self._waiting = deque((one for one in self._waiting if one.stamp_ns <= stamp_ns),
                                  self._waiting.maxlen)
