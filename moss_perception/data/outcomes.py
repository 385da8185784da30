"""The outcomes of grasp attempts, as a topic of a recording has them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
import math
from typing import Any

from moss_perception.core.text import clean

NONE_SELECTED = 'none selected'
"""Message of an outcome where the work cell waited in vain for a selected grasp."""

OUTSIDE = 'it is outside of the recording'
"""Why a row with one time is no attempt of a recording: its time."""

LOST = 'no attempt of the recording is decided shortly before it'
"""Why a row with one time is no attempt of a recording, though its time is within it."""

_FLAGS = {'true': True, 'false': False}


@dataclass(frozen=True)
class Outcome:
    """
    The outcome of a grasp attempt, with times in header stamps, nanoseconds.

    :ivar attempt: number of the attempt in the recording.
    :ivar decision_ns: stamp of the newest frame before the decision.
    :ivar success: whether the grasp held the object; false if no grasp was executed.
    :ivar decision_guessed: whether the decision was not recorded, so that the end is used.
    :ivar executed: whether a grasp was executed. An attempt without one is not a failed grasp.
    :ivar candidate: index of the executed grasp in the PoseArray that was scored with the image of
        the decision; ``None`` where it is not known.
    :ivar lead_time_s: measured time from the decision until the fingers closed, seconds, 0 or
        more; ``None`` where it was not measured.
    :ivar recorded_ns: when it was recorded or received, nanoseconds; ``None`` if not known.
    :ivar line: line of the table that it was read from; ``None`` if there is no table.
    :ivar apart: why it is no attempt of the recording that the table was read for, of
        :data:`OUTSIDE` and :data:`LOST`; empty if it is one. No image belongs to it.
    :raises ValueError: if a success was not executed, or the index or the lead time is negative.
    """

    attempt: int
    start_ns: int
    decision_ns: int
    end_ns: int
    success: bool
    domain: str
    motion: str
    object: str
    decision_guessed: bool = False
    executed: bool = True
    candidate: int | None = None
    lead_time_s: float | None = None
    recorded_ns: int | None = field(default=None, compare=False)
    line: int | None = field(default=None, compare=False)
    apart: str = field(default='', compare=False)

    def __post_init__(self):
        if self.success and not self.executed:
            raise ValueError('success is true and executed is false: expected a success to be of '
                             'an executed grasp')
        if self.candidate is not None and self.candidate < 0:
            raise ValueError(f'candidate is {self.candidate}: expected an index from 0')
        if self.lead_time_s is not None and not 0 <= self.lead_time_s < math.inf:
            raise ValueError(f'lead_time is {self.lead_time_s:g}: expected a finite number of '
                             'seconds, 0 or more')


def values_of(outcome: Outcome) -> dict[str, str]:
    """Write an outcome as the keys and values of diagnostic_msgs/DiagnosticStatus."""
    values = {
        'attempt': str(outcome.attempt), 'start': ns_to_seconds(outcome.start_ns),
        'decision': ns_to_seconds(outcome.decision_ns), 'end': ns_to_seconds(outcome.end_ns),
        'success': str(outcome.success).lower(), 'executed': str(outcome.executed).lower(),
        'domain': outcome.domain, 'motion': outcome.motion, 'object': outcome.object}
    if outcome.candidate is not None:
        values['candidate'] = str(outcome.candidate)
    if outcome.lead_time_s is not None:
        values['lead_time'] = str(outcome.lead_time_s)
    # Left out where the decision was recorded, as it usually is.
    return values | ({'decision_guessed': 'true'} if outcome.decision_guessed else {})


def outcome_of(status: Any) -> Outcome:
    """
    Read an outcome from the fields of diagnostic_msgs/DiagnosticStatus.

    Recordings from before the key ``executed`` lack it. There a grasp was executed, unless the
    status has the message :data:`NONE_SELECTED`; a success is always of an executed grasp,
    whatever the message says. They also lack ``candidate``, and ``lead_time`` is optional.

    :raises ValueError: if a value is missing or of the wrong kind.
    """
    values = {x.key: x.value for x in status.values}
    missing = {'attempt', 'start', 'decision', 'end', 'success'} - values.keys()
    if missing:
        raise ValueError(f'outcome lacks {", ".join(sorted(missing))}')
    if values['success'] != 'true' and getattr(status, 'message', '') == NONE_SELECTED:
        values.setdefault('executed', 'false')
    return _outcome(values)


def _outcome(values: dict[str, str]) -> Outcome:
    domain, motion, name = (clean(values.get(key, '')) for key in ('domain', 'motion', 'object'))
    return Outcome(
        _whole('attempt', values['attempt']),
        seconds_to_ns(values['start']),
        seconds_to_ns(values['decision']),
        seconds_to_ns(values['end']),
        _read_flag('success', values['success']),
        domain, motion, name,
        values.get('decision_guessed') == 'true',
        _read_flag('executed', values.get('executed', 'true')),
        _whole('candidate', values['candidate']) if values.get('candidate') else None,
        _number('lead_time', values['lead_time']) if values.get('lead_time') else None)


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f'{name} is {clean(text)!r}, expected a number of seconds') from error


def _whole(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f'{name} is {clean(text)!r}, expected a whole number from 0')
    return int(text)


def _read_flag(name: str, text: str) -> bool:
    if text not in _FLAGS:
        raise ValueError(f'{name} is {clean(text)!r}, expected true or false')
    return _FLAGS[text]


def domains_of(outcomes: Iterable[Outcome]) -> str:
    """Name the domains of attempts, each once, in their order; empty if none is named."""
    return ', '.join(dict.fromkeys(x.domain for x in outcomes if x.domain))


def seconds_to_ns(text: str) -> int:
    """
    Convert decimal seconds to nanoseconds, exactly.

    :raises ValueError: if the text is no number of seconds.
    """
    whole, _, fraction = text.strip().partition('.')
    if not whole.isdecimal() or (fraction and not fraction.isdecimal()):
        raise ValueError(f'expected decimal seconds, got {clean(text)!r}')
    return int(whole) * 10**9 + int(fraction[:9].ljust(9, '0'))


def ns_to_seconds(stamp_ns: int) -> str:
    """Write nanoseconds, 0 or more, as decimal seconds, exactly."""
    return f'{stamp_ns // 10**9}.{stamp_ns % 10**9:09d}'
