"""The lead times of attempts, by when the gripper closed in the recording."""

from collections.abc import Sequence
from dataclasses import replace

from moss_perception.core.errors import BagError
from moss_perception.data.bags.reader import Recording
from moss_perception.data.labels.attempts import Search
from moss_perception.data.labels.clock import Clock
from moss_perception.data.labels.gripper import ClosedSpans, closings, gripper_topics
from moss_perception.data.outcomes import Outcome
import numpy as np

# Some signals of a gripper tell something else, such as a held object, which fails do not have.
_NEARLY_ALL = 0.9


def with_lead_times(outcomes: Sequence[Outcome], recording: Recording, clock: Clock,
                    search: Search) -> tuple[list[Outcome], str]:
    """
    Measure the lead times of executed grasps that have none: until the gripper closes.

    The gripper is open at the decision, and closes once within the attempt. If it does not do so
    in nearly all attempts, its topic may mean something else, and nothing is measured.

    :returns: the outcomes; and what was measured by which topic, in words, empty for nothing.
    """
    lacking = [x for x in outcomes if x.executed and x.lead_time_s is None
               and clock.first_ns <= x.decision_ns < x.end_ns <= clock.last_ns]
    found = _closings(recording, clock, search) if lacking else None
    if found is None or not found.spans:
        return list(outcomes), ''
    measured = {id(x): late_s for x in lacking if (late_s := _lead_time_s(x, found)) is not None}
    by = f'the gripper on {found.topic}, {found.closed}'
    if len(measured) < _NEARLY_ALL * len(lacking):
        return list(outcomes), (
            f'no lead time is measured: {by}, closes once after the decision in only '
            f'{len(measured)} of {len(lacking)} attempts') if measured else ''
    times_s = list(measured.values())
    return [replace(x, lead_time_s=measured.get(id(x), x.lead_time_s)) for x in outcomes], (
        f'the lead times of {len(times_s)} attempts are measured by {by}: '
        f'{float(np.median(times_s)):.3f} s (median; {min(times_s):.3f} to {max(times_s):.3f} s)')


def _closings(recording: Recording, clock: Clock, search: Search) -> ClosedSpans | None:
    try:
        topics = [search.gripper_topic] if search.gripper_topic else gripper_topics(recording)
        return closings(recording, topics[0], clock.lag_ns, search.closed) if topics else None
    except BagError:
        # Nobody has asked for this topic, unless the attempts are found by it.
        return None


def _lead_time_s(outcome: Outcome, found: ClosedSpans) -> float | None:
    """Return the time from the decision until the gripper closes; ``None`` if it is not clear."""
    decision_ns = outcome.decision_ns
    if any(begin <= decision_ns and (end is None or decision_ns < end)
           for begin, end in found.spans):
        return None
    within = [begin for begin, _ in found.spans if decision_ns < begin <= outcome.end_ns]
    return (within[0] - decision_ns) / 1e9 if len(within) == 1 else None
