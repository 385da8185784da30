"""Words for operators: reasons of the predictor, and numbers of diagnostics."""

from collections.abc import Mapping
import math
from typing import Any

from moss_perception.core.text import clean

_RESETS = {
    'gap': 'no frame for longer than max_gap', 'stamp_backwards': 'a stamp went backwards',
    'frame_id': 'images of another frame came', 'resolution': 'images of another size came',
    'requested': 'somebody called ~/reset', 'enabled': 'it was resumed after a pause',
    'activated': 'it was activated', 'not_finite': 'the network gave numbers that are not finite',
    'internal_error': 'an unexpected exception'}
_REFUSALS = {
    'zero_stamp': 'without a stamp', 'encoding': 'in an encoding that is not known',
    'step': 'whose rows do not fit', 'size': 'whose size does not fit',
    'compressed': 'with a damaged JPEG or PNG', 'not_finite': 'for which the network gave NaN',
    'internal_error': 'after an unexpected exception'}
LEVELS = ('ok', 'warn', 'error', 'stale')
"""Names of the levels of diagnostic_msgs/DiagnosticStatus, by their numbers."""


def reset_in_words(reason: str) -> str:
    """Say why the window was reset."""
    return f'window reset: {_RESETS.get(reason, clean(reason))}'


def refusal_in_words(reason: str, count: int) -> str:
    """Say what kind of frames was refused."""
    frames = 'a frame' if count == 1 else f'{count} frames'
    return f'refused {frames} {_REFUSALS.get(reason, f"({clean(reason)})")}'


def no_scores(snapshot: Mapping[str, Any]) -> str:
    """Say for how long no scores have come, where a snapshot of the state is old."""
    return f'no scores for {snapshot["now"] - snapshot["scored"]:.0f} s'


def grown(prefix: str, before: Mapping[str, str],
          now: Mapping[str, str]) -> list[tuple[str, int]]:
    """Return the reasons whose counts have grown in diagnostics, and by how much."""
    earlier = counts(before, prefix)
    more = {reason: count - earlier.get(reason, 0)
            for reason, count in counts(now, prefix).items()}
    return [(reason, count) for reason, count in more.items() if count > 0]


def number(values: Mapping[str, str], key: str) -> float | None:
    """Read a finite number from diagnostics; ``None`` if there is none."""
    try:
        value = float(values.get(key, ''))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def whole(values: Mapping[str, str], key: str) -> int:
    """Read a count from diagnostics; 0 if there is none."""
    value = number(values, key)
    return 0 if value is None else int(value)


def counts(values: Mapping[str, str], prefix: str) -> dict[str, int]:
    """Read the counts by reason, such as those of ``resets/gap``."""
    return {clean(key.removeprefix(prefix)): whole(values, key)
            for key in values if key.startswith(prefix)}


def finite(value: float, digits: int = 3) -> float | None:
    """Round a number for JSON, which has no NaN."""
    return round(float(value), digits) if math.isfinite(value) else None
