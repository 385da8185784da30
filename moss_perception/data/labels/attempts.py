"""The attempts of a recording without outcomes: by executed grasps, the gripper or candidates."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from moss_perception.core.errors import BagError
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import (
    CANDIDATES_TYPE,
    EXECUTED_TYPE,
    stamp_of,
)
from moss_perception.data.labels.clock import Clock
from moss_perception.data.labels.gripper import closings, gripper_topics, TYPES
from moss_perception.data.outcomes import Outcome

OUTCOMES, EXECUTED, GRIPPER, CANDIDATES = 'outcomes', 'executed', 'gripper', 'candidates'
SOURCES = (OUTCOMES, EXECUTED, GRIPPER, CANDIDATES)
"""What attempts are found by, in the order in which it is tried."""

LATE_NS = 10 * 10**9
"""People write a time down when an attempt is over, up to this long after it, nanoseconds."""

# A decision that is written down is that of the attempt so near, whichever is before it.
_SAME_NS = 2 * 10**9


@dataclass(frozen=True)
class Span:
    """An attempt, with times in header stamps, nanoseconds."""

    start_ns: int
    decision_ns: int
    end_ns: int


@dataclass(frozen=True)
class Found:
    """
    The attempts of a recording.

    :ivar spans: in the order of time; attempt N is the N-th.
    :ivar how: what they were found by, in words.
    :ivar source: one of :data:`SOURCES`.
    :ivar doubts: what may be wrong with them, a line each.
    :ivar decided: whether their decisions are known; if not, they are when the gripper closed.
    """

    spans: Sequence[Span]
    how: str
    source: str
    doubts: Sequence[str] = ()
    decided: bool = True

    @cached_property
    def _decided(self) -> list[tuple[int, int]]:
        return sorted((x.decision_ns, n) for n, x in enumerate(self.spans))

    @cached_property
    def decisions_ns(self) -> list[int]:
        """Return the stamps of the decisions in the order of time, nanoseconds."""
        return [at_ns for at_ns, _ in self._decided]

    def within(self, first_ns: int, last_ns: int) -> list[int]:
        """Return the indices of the attempts that were decided within a time, nanoseconds."""
        found = slice(bisect_left(self.decisions_ns, first_ns),
                      bisect_right(self.decisions_ns, last_ns))
        return [n for _, n in self._decided[found]]

    def at(self, name: str, at_ns: int, step_ns: int = 1) -> int | None:
        """
        Find the attempt that a time belongs to.

        An attempt starts before its decision, so a start belongs to the next decision. Other times
        are noted after the decision, so they belong to the last decision before them. Only where
        there is none shortly before, a time may be one at which an attempt has begun.

        :param name: the column: ``start``, ``decision``, ``end`` or ``time``.
        :param at_ns: the time, nanoseconds.
        :param step_ns: its resolution, such as a second for times in whole seconds.
        :returns: the index of the attempt; ``None`` if there is none.
        """
        step_ns = max(step_ns, 1) - 1
        following = bisect_left(self.decisions_ns, at_ns)
        if name == 'start':
            return self._next(bisect_left(self.decisions_ns, at_ns - step_ns), at_ns + LATE_NS)
        before = bisect_right(self.decisions_ns, at_ns + step_ns) - 1
        if name == 'decision' and (near := [
                (abs(self.decisions_ns[x] - at_ns), x) for x in (before, following)
                if 0 <= x < len(self.spans)]) and min(near)[0] <= _SAME_NS:
            return self._decided[min(near)[1]][1]
        if before >= 0:
            number = self._decided[before][1]
            if at_ns <= self.spans[number].end_ns + LATE_NS:
                return number
        return self._next(following, at_ns) if name == 'time' else None

    def _next(self, index: int, latest_ns: int) -> int | None:
        """Return the attempt of the decision at an index, unless it begins too late."""
        if index == len(self.spans):
            return None
        number = self._decided[index][1]
        return number if self.spans[number].start_ns <= latest_ns else None


@dataclass(frozen=True)
class Search:
    """
    How to find attempts.

    :ivar source: one of :data:`SOURCES`; empty for the first that the recording has.
    :ivar executed_topic: topic of executed grasps; ``None`` for ``/selected_grasp``, or else the
        only one with such a name and type.
    :ivar candidates_topic: topic of candidates; ``None`` for ``/grasp_candidates``, or else the
        only one of its type.
    :ivar gripper_topic: topic of the gripper; ``None`` for the first with such a name and type.
    :ivar outcome_topic: topic of outcomes; ``None`` for ``/grasp_outcome``.
    :ivar closed: ``high`` or ``low``, see :func:`moss_perception.data.labels.gripper.closings`.
    :ivar before_s: longest time from the start of an attempt to its decision, seconds.
    :ivar after_s: longest time to the end, seconds: from the decision, or from the closing of the
        gripper if ``lead_time_s`` is known.
    :ivar gap_s: messages with less time between them belong to one attempt, seconds.
    :ivar lead_time_s: from the decision until the gripper closes, seconds, of attempts that are
        found by the gripper alone; 0 if it is not known.
    """

    source: str = ''
    executed_topic: str | None = None
    candidates_topic: str | None = None
    gripper_topic: str | None = None
    outcome_topic: str | None = None
    closed: str = ''
    before_s: float = 4.0
    after_s: float = 3.0
    gap_s: float = 1.0
    lead_time_s: float = 0.0


def find_attempts(recording: Recording, clock: Clock, search: Search) -> Found:
    """
    Find the attempts of a recording.

    :raises BagError: if there is nothing to find them by, or a message can't be read.
    """
    tried = {OUTCOMES: _by_outcomes, EXECUTED: _by_executed, GRIPPER: _by_gripper,
             CANDIDATES: _by_candidates}
    for source in [search.source] if search.source else SOURCES:
        found = tried[source](recording, clock, search)
        if found is not None and found.spans:
            return replace(found, doubts=[*found.doubts, *_of_poses(recording, search, found)])
    if search.source:
        raise BagError(f'{recording.path}: no attempts found by {search.source}')
    there = ', '.join(f'{x.name} ({x.type})' for x in recording.topics.values() if x.count)
    raise BagError(f'{recording.path}: no attempts: expected executed grasps ({EXECUTED_TYPE}), a '
                   f'gripper (JointState, Bool, Float32) or candidates ({CANDIDATES_TYPE}); name '
                   f'their topic; found {there}')


def _by_outcomes(recording: Recording, clock: Clock, search: Search) -> Found:
    outcomes = recording.outcomes(search.outcome_topic)
    spans = [Span(x.start_ns, x.decision_ns, x.end_ns) for x in outcomes]
    return Found(spans, 'by the recorded outcomes', OUTCOMES)


def _by_executed(recording: Recording, clock: Clock, search: Search) -> Found | None:
    topic = search.executed_topic or executed_topic(recording)
    if topic is None:
        if search.source:
            there = recording.executed_topics()
            raise BagError(f'{recording.path}: {len(there) or "no"} topics may be the executed '
                           f'grasps ({EXECUTED_TYPE}): name one with --executed-topic, expected '
                           f'one of {", ".join(there) or "no topic at all"}')
        return None
    stamps = [x.time_ns(clock.lag_ns) for x in recording.executed(topic)]
    return Found(_around(_last_of_groups(stamps, search), search, clock),
                 f'by the executed grasps on {topic}', EXECUTED)


def _by_gripper(recording: Recording, clock: Clock, search: Search) -> Found | None:
    topics = [search.gripper_topic] if search.gripper_topic else gripper_topics(recording)
    if not topics and search.source:
        raise BagError(f'{recording.path}: no gripper: expected a topic of {", ".join(TYPES)} '
                       'with such a name; name one with --gripper-topic')
    if not topics:
        return None
    found = closings(recording, topics[0], clock.lag_ns, search.closed)
    early_ns = round(search.lead_time_s * 1e9)
    spans = _around([at - early_ns for at, _ in found.spans], search, clock,
                    [opened for _, opened in found.spans], early_ns)
    doubts = [] if early_ns else [
        f'the decisions are taken for the moments at which the gripper on {found.topic} closes, '
        'so the images show it at the object, and the lead time is not known: name the topic of '
        'executed grasps, or give the time from decision to closing (moss label --lead-time)']
    return Found(spans, f'by the gripper on {found.topic}, {found.closed}', GRIPPER, doubts,
                 bool(early_ns))


def _by_candidates(recording: Recording, clock: Clock, search: Search) -> Found | None:
    topic = recording.candidates_topic(search.candidates_topic) if (
        search.candidates_topic or len(recording.candidates_topics()) == 1) else None
    if topic is None:
        if len(recording.candidates_topics()) > 1 and search.source:
            recording.candidates_topic(None)  # says which ones
        return None
    stamps = []
    for _, kind, _, raw in recording.messages([topic]):
        if recording.deserialize(raw, kind).poses:
            stamps.append(stamp_of(raw))
    spans = _around(_last_of_groups(stamps, search), search, clock)
    doubts = [f'the {len(stamps)} sets of candidates on {topic} come without a pause of '
              f'{search.gap_s:g} s, so they make one attempt: name the topic of executed grasps '
              'or of a gripper'] * (len(spans) == 1 < len(stamps))
    return Found(spans, f'by pauses of the candidates on {topic}', CANDIDATES, doubts)


def _of_poses(recording: Recording, search: Search, found: Found) -> list[str]:
    """Say which topics may have the executed grasps, if these would have told more."""
    poses = recording.pose_topics()
    # The user may have chosen.
    given = search.source or search.executed_topic
    if found.source not in (GRIPPER, CANDIDATES) or given or not poses:
        return []
    return [f'the attempts are found {found.how}, since no topic of executed grasps was named; '
            f'the recording has poses on {", ".join(poses)}: name one with --executed-topic']


def executed_topic(recording: Recording) -> str | None:
    """Return the topic of executed grasps: the default one, or else the only one that may be."""
    there = recording.executed_topics()
    return there[0] if len(there) == 1 else None


def _last_of_groups(stamps: Sequence[int], search: Search) -> list[int]:
    """Return the last stamp of each group: a planner corrects a grasp until it executes it."""
    ordered = sorted(x for x in stamps if x > 0)
    gap_ns = round(search.gap_s * 1e9)
    return [x for x, following in zip(ordered, [*ordered[1:], None], strict=True)
            if following is None or following - x >= gap_ns]


def _around(decisions: Sequence[int], search: Search, clock: Clock,
            ends: Sequence[int | None] = (), lead_ns: int = 0) -> list[Span]:
    """Give each decision a start and an end, so that attempts do not overlap."""
    before_ns, after_ns = round(search.before_s * 1e9), round(search.after_s * 1e9)
    spans: list[Span] = []
    for n, decision_ns in enumerate(decisions):
        earliest = spans[-1].end_ns if spans else min(clock.first_ns, decision_ns)
        end_ns = min([decision_ns + lead_ns + after_ns, *decisions[n + 1:n + 2]])
        if n < len(ends) and (opened := ends[n]) is not None:
            end_ns = min(end_ns, opened)
        spans.append(Span(max(decision_ns - before_ns, earliest), decision_ns, end_ns))
    return spans


def outcomes_at(found: Found) -> list[Outcome]:
    """Return an outcome for each attempt, as if it had failed; for drawing and templates."""
    return [Outcome(n, x.start_ns, x.decision_ns, x.end_ns, False, '', '', '')
            for n, x in enumerate(found.spans, start=1)]
