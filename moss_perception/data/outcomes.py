"""What a recording says of its grasp attempts."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

NONE_SELECTED = 'none selected'
"""What a work cell says of an attempt that it waited in for a grasp in vain."""


@dataclass(frozen=True)
class Outcome:
    """
    A recorded grasp attempt; times are of the recording's clock, nanoseconds.

    :ivar attempt: its number in the recording.
    :ivar decision_ns: header stamp of the newest frame that the decision was made on.
    :ivar success: whether the object was held.
    :ivar decision_guessed: whether nobody noted the decision, and the end stands for it.
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


def values_of(outcome: Outcome) -> dict[str, str]:
    """Write an attempt as the keys and values of diagnostic_msgs/DiagnosticStatus."""
    values = {
        'attempt': str(outcome.attempt), 'start': ns_to_seconds(outcome.start_ns),
        'decision': ns_to_seconds(outcome.decision_ns), 'end': ns_to_seconds(outcome.end_ns),
        'success': 'true' if outcome.success else 'false', 'domain': outcome.domain,
        'motion': outcome.motion, 'object': outcome.object}
    # Left out where it is noted, as it usually is.
    return values | ({'decision_guessed': 'true'} if outcome.decision_guessed else {})


def outcome_of(status: Any) -> Outcome:
    """
    Read an attempt from the fields of diagnostic_msgs/DiagnosticStatus.

    :raises ValueError: if a value is missing or of the wrong kind.
    """
    values = {x.key: x.value for x in status.values}
    missing = {'attempt', 'start', 'decision', 'end', 'success'} - values.keys()
    if missing:
        raise ValueError(f'outcome lacks {", ".join(sorted(missing))}')
    if values['success'] not in ('true', 'false'):
        raise ValueError(f'success is {values["success"]!r}, expected true or false')
    return Outcome(
        int(values['attempt']),
        seconds_to_ns(values['start']),
        seconds_to_ns(values['decision']),
        seconds_to_ns(values['end']),
        values['success'] == 'true',
        values.get('domain', ''), values.get('motion', ''), values.get('object', ''),
        values.get('decision_guessed') == 'true')


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
        raise ValueError(f'expected decimal seconds, got {text!r}')
    return int(whole) * 10**9 + int(fraction[:9].ljust(9, '0'))


def ns_to_seconds(stamp_ns: int) -> str:
    """Write nanoseconds, 0 or more, as decimal seconds, exactly."""
    return f'{stamp_ns // 10**9}.{stamp_ns % 10**9:09d}'
