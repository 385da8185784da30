"""What grasp_predictor says of itself once a second."""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
import numpy as np

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR, DiagnosticStatus.STALE)


class Throttle:
    """
    Lets a message through only so often, each kind by itself.

    :param period_s: seconds between two of a kind.
    :param clock: returns seconds that never go back.
    """

    def __init__(self, period_s: float = 5.0, clock: Callable[[], float] = time.monotonic):
        self._period_s = period_s
        self._clock = clock
        self._last: dict[str, float] = {}

    def allows(self, kind: str) -> bool:
        """
        Tell whether a message may be said now; if so, the next one of its kind has to wait.

        :param kind: what is counted as the same message.
        """
        now = self._clock()
        if now - self._last.get(kind, -np.inf) < self._period_s:
            return False
        self._last[kind] = now
        return True


class Tally:
    """
    Says each event of a kind; in a flood only some, with how many were not said.

    :param burst: of one kind, so many lines within the period are said.
    :param period_s: seconds.
    :param clock: returns seconds that never go back.
    """

    def __init__(self, burst: int = 10, period_s: float = 5.0,
                 clock: Callable[[], float] = time.monotonic):
        self._burst, self._period_s, self._clock = burst, period_s, clock
        self._said: dict[str, deque[float]] = {}
        self._held: Counter = Counter()

    def line(self, kind: str, times: int = 1) -> str:
        """
        Count events.

        :param kind: what happened.
        :param times: how often, since the last call.
        :returns: what to say; empty if nothing is to be said now.
        """
        self._held[kind] += times
        said, now = self._said.setdefault(kind, deque(maxlen=self._burst)), self._clock()
        if len(said) == self._burst and now - said[0] < self._period_s:
            return ''
        said.append(now)
        count = self._held.pop(kind)
        return kind if count == 1 else f'{kind} ({count} times since the last line)'


class Rolling:
    """
    Percentiles of the newest durations.

    :param size: how many are looked at.
    """

    def __init__(self, size: int = 200):
        self._values: deque[float] = deque(maxlen=size)

    def add(self, seconds: float) -> None:
        """Take one duration."""
        self._values.append(seconds)

    def clear(self) -> None:
        """Forget all durations."""
        self._values.clear()

    def percentile_ms(self, percent: float) -> float:
        """
        Return a percentile.

        :param percent: 0 to 100.
        :returns: milliseconds; NaN without durations.
        """
        values = list(self._values)
        return float(np.percentile(values, percent)) * 1e3 if values else float('nan')


@dataclass
class Beat:
    """
    Totals at one diagnostics beat, to be compared with those at the next.

    :ivar time_s: monotonic seconds.
    """

    time_s: float
    frames: int = 0
    scored: int = 0
    dropped: int = 0
    refused: Counter = field(default_factory=Counter)


@dataclass(frozen=True)
class Health:
    """
    What an active node knows of itself.

    :ivar topic: the image topic.
    :ivar since_frame_s: seconds since the last image; ``None`` before the first.
    :ivar fill: samples in the window.
    :ivar window: samples of a full window.
    :ivar enabled: whether ``~/enable`` lets images through.
    :ivar problem: a QoS or type mismatch, or a hint where to look for images; or empty.
    :ivar last_refusal: the last refused frame, in words.
    :ivar failure: the last unexpected exception, while it is recent; or empty.
    :ivar strangeness: the median novelty of the newest samples, while they are out of
        distribution; else ``None``.
    """

    topic: str
    since_frame_s: float | None
    fill: int
    window: int
    enabled: bool
    problem: str = ''
    last_refusal: str = ''
    failure: str = ''
    strangeness: float | None = None


def judge(health: Health, before: Beat, now: Beat, stale_s: float = 2.0) -> tuple[bytes, str]:
    """
    Put an active node's state in one level and one message.

    :param health: what the node knows.
    :param before: totals at the beat before.
    :param now: totals at present.
    :param stale_s: seconds without an image after which the results are stale.
    :returns: level and message.
    """
    frames, dropped = now.frames - before.frames, now.dropped - before.dropped
    refused = sum((now.refused - before.refused).values())
    elapsed_s = max(now.time_s - before.time_s, 1e-3)
    if health.failure:
        return ERROR, f'internal error: {health.failure}'
    if not health.enabled:
        return OK, 'paused by ~/enable'
    if health.since_frame_s is None:
        return WARN, f'no frames yet on {health.topic}: {health.problem or "nothing publishes it"}'
    if health.since_frame_s > stale_s:
        return STALE, f'no frame on {health.topic} for {health.since_frame_s:.1f} s'
    if refused:
        return WARN, f'refused {refused} of {frames} frames, last {health.last_refusal}'
    if dropped:
        return WARN, f'overloaded: dropped {dropped} of {frames} frames'
    if health.problem:
        return WARN, health.problem
    if health.strangeness is not None:
        return WARN, (f'out of distribution: novelty {health.strangeness:.2f}, expected at most '
                      '1; the scores are not to be trusted on what the camera shows')
    if health.fill < health.window:
        return OK, f'window filling: {health.fill} of {health.window} samples'
    return OK, f'running: {(now.scored - before.scored) / elapsed_s:.1f} scores a second'


def status(name: str, level: bytes, message: str, values: dict[str, Any],
           hardware_id: str = '') -> DiagnosticStatus:
    """
    Build a status message.

    :param name: who speaks.
    :param level: ``OK``, ``WARN``, ``ERROR`` or ``STALE``.
    :param message: the state in words.
    :param values: numbers and words by key; floats are written with three decimals.
    :param hardware_id: what it runs on.
    """
    pairs = [KeyValue(key=key, value=f'{value:.3f}' if isinstance(value, float) else str(value))
             for key, value in values.items()]
    return DiagnosticStatus(
        name=name, level=level, message=message, hardware_id=hardware_id, values=pairs)
