"""The level and message that grasp_predictor publishes once a second, and throttled logging."""

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
    Limits how often a message of each kind is logged.

    :param period_s: shortest time between two messages of a kind, seconds.
    :param clock: returns seconds that never go back.
    """

    def __init__(self, period_s: float = 5.0, clock: Callable[[], float] = time.monotonic):
        self._period_s = period_s
        self._clock = clock
        self._last: dict[str, float] = {}

    def allows(self, kind: str) -> bool:
        """
        Return whether a message may be logged now; if so, the next of its kind has to wait.

        :param kind: what is counted as the same message.
        """
        now = self._clock()
        if now - self._last.get(kind, -np.inf) < self._period_s:
            return False
        self._last[kind] = now
        return True


class Tally:
    """
    Logs each event of a kind; in a burst only some, with the number of the omitted ones.

    :param burst: most lines of one kind within the period.
    :param period_s: seconds.
    :param clock: returns seconds that never go back.
    """

    def __init__(self, burst: int = 10, period_s: float = 5.0,
                 clock: Callable[[], float] = time.monotonic):
        self._burst, self._period_s, self._clock = burst, period_s, clock
        self._logged: dict[str, deque[float]] = {}
        self._omitted: Counter = Counter()

    def line(self, kind: str, times: int = 1) -> str:
        """
        Count events.

        :param kind: what happened.
        :param times: how often, since the last call.
        :returns: the line to log; empty if nothing is to be logged now.
        """
        self._omitted[kind] += times
        logged, now = self._logged.setdefault(kind, deque(maxlen=self._burst)), self._clock()
        if len(logged) == self._burst and now - logged[0] < self._period_s:
            return ''
        logged.append(now)
        count = self._omitted.pop(kind)
        return kind if count == 1 else f'{kind} ({count} times since the last line)'


class Rolling:
    """
    Percentiles of the newest durations.

    :param size: number of durations that are kept.
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
class DiagnosticsSample:
    """
    Totals at one diagnostics message, to be compared with those at the next.

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
    The state of an active node.

    :ivar topic: the image topic.
    :ivar since_frame_s: seconds since the last image; ``None`` before the first.
    :ivar fill: samples in the window.
    :ivar window: samples of a full window.
    :ivar enabled: whether ``~/enable`` lets images through.
    :ivar problem: a QoS or type mismatch, or a hint where to look for images; or empty.
    :ivar last_refusal: the last refused frame, in words.
    :ivar failure: the last unexpected exception, while it is recent; or empty.
    :ivar ood_score: the median OOD score of the newest samples, while they are out of
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
    ood_score: float | None = None


def judge(health: Health, before: DiagnosticsSample, now: DiagnosticsSample,
          stale_s: float = 2.0) -> tuple[bytes, str]:
    """
    Reduce the state of an active node to one level and one message.

    :param health: the state.
    :param before: totals at the message before.
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
    if health.ood_score is not None:
        return WARN, (f'out of distribution: OOD score {health.ood_score:.2f}, expected at most '
                      '1; do not trust the scores for what the camera shows')
    if health.fill < health.window:
        return OK, f'window filling: {health.fill} of {health.window} samples'
    return OK, f'running: {(now.scored - before.scored) / elapsed_s:.1f} scores a second'


def status(name: str, level: bytes, message: str, values: dict[str, Any],
           hardware_id: str = '') -> DiagnosticStatus:
    """
    Build a status message.

    :param name: name of the node.
    :param level: ``OK``, ``WARN``, ``ERROR`` or ``STALE``.
    :param message: the state in words.
    :param values: numbers and words by key; floats are written with three decimals.
    :param hardware_id: the hardware or simulator.
    """
    pairs = [KeyValue(key=key, value=f'{value:.3f}' if isinstance(value, float) else str(value))
             for key, value in values.items()]
    return DiagnosticStatus(
        name=name, level=level, message=message, hardware_id=hardware_id, values=pairs)
