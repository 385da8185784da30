"""When a process is started again, and what it is told about the one before it."""

from collections.abc import Mapping
from dataclasses import dataclass
import os
import time

_COUNT, _REASON = 'MOSS_RESTARTS', 'MOSS_RESTART_REASON'
DELAY_S = 1.0
"""Time between the end of a process and its next start, seconds."""
MOST = 5
"""A process that ends this many times within :data:`SOON_S` of its start is given up."""
SOON_S = 30.0


def restarted(count: int, reason: str) -> dict[str, str]:
    """
    Return the variables that tell a process about its restart.

    :param count: how often it was started again.
    :param reason: how the last one ended, such as ``signal SIGKILL``.
    """
    return {_COUNT: str(count), _REASON: reason}


def restarts(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the values for the diagnostics of this process; empty if it is the first one."""
    if not environment.get(_COUNT):
        return {}
    return {'restarts': environment[_COUNT], 'restart_reason': environment.get(_REASON, '')}


@dataclass
class Restarts:
    """
    Counts how often a process was started again.

    :ivar count: restarts so far.
    :ivar in_a_row: ends that came soon after a start, without a longer life between them.
    """

    count: int = 0
    in_a_row: int = 0

    def again(self, began_s: float) -> bool:
        """
        Count an end, and say whether to start the process again.

        :param began_s: when it was started, by the monotonic clock, seconds.
        """
        self.in_a_row = self.in_a_row + 1 if time.monotonic() - began_s < SOON_S else 1
        if self.in_a_row > MOST:
            return False
        self.count += 1
        return True
