"""
The state of a running grasp system, as its operators see it.

A :class:`SystemState` takes what the nodes publish and keeps the newest facts, a minute of scores
and the last attempts. Times are seconds of the monotonic clock at the receipt.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
import threading
import time
from typing import Any

from moss_perception.core.text import clean
from moss_perception.data.outcomes import Outcome
from moss_perception.ros.monitor.words import (
    counts,
    finite,
    grown,
    LEVELS,
    number,
    refusal_in_words,
    reset_in_words,
    whole,
)
import numpy as np

HISTORY_S = 60.0
# Diagnostics come once a second.
SILENT_S = 3.5
# Older scores are of a scene that may be gone.
OLD_S = 2.0
_HISTORY, _EVENTS, _ATTEMPTS = 4000, 60, 60
_DURATIONS = ('decode', 'inference', 'age')
_COUNTS = ('frames', 'scored', 'stored', 'skipped', 'dropped', 'missing', 'refused', 'failures')
WAITING, SILENT, PRESENT = 'waiting', 'silent', 'present'
"""Whether the predictor has not been seen yet, says nothing any more, or is there."""


@dataclass(frozen=True)
class Shown:
    """
    The candidates of the newest scored frame.

    :ivar stamp_ns: of the frame, nanoseconds.
    :ivar rows: index, score, uncertainty, reason in words and fingertips of each, as JSON has
        them.
    :ivar best: index of the best candidate; ``None`` without any.
    :ivar selected: index of the selected candidate; ``None`` if it is not known.
    :ivar default: score and uncertainty of the default grasp point.
    :ivar none_scored: that no candidate has a score, with the reasons; empty if one has.
    """

    stamp_ns: int = 0
    rows: Sequence[Mapping[str, Any]] = ()
    best: int | None = None
    selected: int | None = None
    default: Mapping[str, Any] = field(default_factory=dict)
    none_scored: str = ''

    def shown_score(self) -> tuple[float | None, float | None]:
        """Return score and uncertainty of the best candidate, or without any of the default."""
        if self.best is None and self.rows:
            return None, None
        one = self.default if self.best is None else self.rows[self.best]
        return one.get('score'), one.get('uncertainty')


class SystemState:
    """
    Collects what the nodes publish; any thread may call it.

    :param predictor: full name of the predictor.
    :param clock: returns seconds that never go back.
    :ivar version: grows with every change.
    """

    def __init__(self, predictor: str = '/grasp_predictor', clock=time.monotonic):
        self.predictor, self._clock = predictor, clock
        self.version = 0
        self._lock = threading.RLock()
        self._values: Mapping[str, str] = {}
        self._level, self._message = '', ''
        self._diagnosed_s: float | None = None
        self._shown = Shown()
        self._scored_s: float | None = None
        self._gate = self._recorder = self._waits_for = ''
        self._history: deque[tuple[float, Shown]] = deque(maxlen=_HISTORY)
        self._events: deque[dict[str, Any]] = deque(maxlen=_EVENTS)
        self._attempts: deque[dict[str, Any]] = deque(maxlen=_ATTEMPTS)
        self._attempted = self._succeeded = self._executed = 0

    # ---- what the nodes publish

    def diagnose(self, level: int, message: str, values: Mapping[str, str]) -> None:
        """
        Take the predictor's diagnostics.

        :param level: of diagnostic_msgs/DiagnosticStatus, 0 to 3.
        """
        with self._lock:
            before, was_seen = self._values, self._diagnosed_s is not None
            self._level = LEVELS[level] if 0 <= level < len(LEVELS) else 'stale'
            self._message = clean(message)
            self._values, self._diagnosed_s = dict(values), self._clock()
            # The first message may tell of an hour that nobody watched.
            if was_seen:
                self._note_changes(before, values)
            self.version += 1

    def _note_changes(self, before: Mapping[str, str], now: Mapping[str, str]) -> None:
        if now.get('state') != before.get('state'):
            self.event(f'the predictor is {now.get("state", "in no state")}', 'state')
        # Its counts begin anew with each configuration.
        if whole(now, 'frames') < whole(before, 'frames'):
            self.event('the predictor has started anew', 'state')
            self._history.clear()
            self._shown, self._scored_s = Shown(), None
            before = {}
        for reason, more in grown('resets/', before, now):
            times = f' ({more} times)' if more > 1 else ''
            self.event(reset_in_words(reason) + times, 'reset')
        detail = now.get('last_refusal', '').partition(': ')[2]
        for reason, more in grown('refused/', before, now):
            self.event(refusal_in_words(reason, more) + (f': {detail}' if detail else ''),
                       'refused')
        is_out, was_out = (x.get('out_of_distribution') == 'yes' for x in (now, before))
        if is_out != was_out:
            self.event('the images are out of distribution: do not trust the scores' if is_out
                       else 'the images are in distribution again', 'ood')

    def scores(self, shown: Shown) -> None:
        """Take the scores of a frame."""
        with self._lock:
            now_s = self._clock()
            self._shown, self._scored_s = shown, now_s
            self._history.append((now_s, shown))
            while self._history and self._history[0][0] < now_s - HISTORY_S:
                self._history.popleft()
            self.version += 1

    def gate(self, state: str) -> None:
        """Take the state of the gate."""
        with self._lock:
            self._gate = clean(state)
            self.version += 1

    def outcome(self, outcome: Outcome, message: str) -> None:
        """Take the outcome of an attempt."""
        with self._lock:
            decided_s, score = self._decision(outcome)
            self._attempted += 1
            self._succeeded += outcome.success
            self._executed += outcome.executed
            self._attempts.append({
                'attempt': outcome.attempt, 'time': decided_s, 'success': outcome.success,
                'executed': outcome.executed, 'score': score, 'candidate': outcome.candidate,
                'object': clean(outcome.object, 40), 'motion': clean(outcome.motion, 40),
                'message': clean(message)})
            self.version += 1

    def _decision(self, outcome: Outcome) -> tuple[float, float | None]:
        """Return when the scores of the decision came, and that of the executed grasp."""
        for when, shown in reversed(self._history):
            if shown.stamp_ns == outcome.decision_ns:
                index = shown.best if outcome.candidate is None else outcome.candidate
                if not outcome.executed or index is None or index >= len(shown.rows):
                    return when, None
                return when, shown.rows[index]['score']
        return self._clock() - max(0, outcome.end_ns - outcome.decision_ns) / 1e9, None

    def recorder(self, state: str) -> None:
        """Take the state of attempt_recorder; empty where none runs."""
        with self._lock:
            self.version += state != self._recorder
            self._recorder = clean(state)

    def event(self, text: str, kind: str) -> None:
        """Note something that happened, in words."""
        with self._lock:
            self._events.append({'time': self._clock(), 'text': clean(text), 'kind': kind})
            self.version += 1

    def wait_for(self, what: str) -> None:
        """Say what is missing, as far as the graph shows it; empty for nothing."""
        with self._lock:
            self.version += what != self._waits_for
            self._waits_for = clean(what)

    # ---- what an operator sees

    @property
    def phase(self) -> str:
        """Whether the predictor is there: :data:`WAITING`, :data:`SILENT` or :data:`PRESENT`."""
        if self._diagnosed_s is None:
            return WAITING
        return SILENT if self._clock() - self._diagnosed_s > SILENT_S else PRESENT

    @property
    def shown_stamp_ns(self) -> int:
        """Stamp of the newest scored frame, nanoseconds; 0 before any."""
        return self._shown.stamp_ns

    def values(self) -> Mapping[str, str]:
        """Return the newest values of the diagnostics."""
        with self._lock:
            return self._values

    def snapshot(self) -> dict[str, Any]:
        """Return all facts but the history, as JSON has them: numbers are finite or ``None``."""
        with self._lock:
            values, phase, now_s = self._values, self.phase, self._clock()
            fill, _, size = values.get('window_fill', '').partition('/')
            return {
                'now': now_s, 'predictor': clean(self.predictor), 'phase': phase,
                'level': self._level if phase == PRESENT else 'stale',
                'message': self._sentence(phase), 'state': clean(values.get('state', '')),
                'paused': values.get('paused') == 'yes',
                'topic': clean(values.get('topic', '')),
                'rate_hz': number(values, 'rate_hz'),
                'score_rate_hz': number(values, 'score_rate_hz'),
                'window': [int(fill), int(size)] if fill.isdecimal() and size.isdecimal()
                else None,
                'latency_ms': {name: [number(values, f'{name}_p{p}_ms') for p in (50, 95)]
                               for name in _DURATIONS},
                'budget': self._budget(values), 'checkpoint': self._checkpoint(values),
                'ood': {'score': number(values, 'ood_score'),
                        'out': values.get('out_of_distribution') == 'yes'},
                'counts': {name: whole(values, name) for name in _COUNTS},
                'resets': counts(values, 'resets/'), 'refused': counts(values, 'refused/'),
                'last_refusal': clean(values.get('last_refusal', '')),
                'threshold': number(values, 'score_threshold'),
                'gate': self._gate, 'recorder': self._recorder,
                'stamp': self._shown.stamp_ns / 1e9, 'scored': self._scored_s,
                'old': self._scored_s is not None and now_s - self._scored_s > OLD_S,
                'candidates': list(self._shown.rows),
                'best': self._shown.best, 'selected': self._shown.selected,
                'default': dict(self._shown.default), 'none_scored': self._shown.none_scored,
                'attempts': {'count': self._attempted, 'executed': self._executed,
                             'succeeded': self._succeeded, 'last': list(self._attempts)},
                'events': list(self._events)}

    def history(self) -> dict[str, list[Any]]:
        """
        Return the last minute: times, scores, uncertainties, and whether there were candidates.

        Without candidates, the score is that of the default grasp point.
        """
        with self._lock:
            rows = [(round(when, 3), *shown.shown_score(), shown.best is not None)
                    for when, shown in self._history]
        columns = zip(*rows, strict=True) if rows else ((),) * 4
        return {name: list(column) for name, column in zip(
            ('time', 'score', 'uncertainty', 'listed'), columns, strict=True)}

    def _sentence(self, phase: str) -> str:
        if phase == WAITING:
            return self._waits_for or f'waits for {clean(self.predictor)}'
        if phase == SILENT:
            assert self._diagnosed_s is not None  # it has been there
            return (f'{clean(self.predictor)} has said nothing for '
                    f'{self._clock() - self._diagnosed_s:.0f} s: it has ended, or hangs')
        return self._message

    @staticmethod
    def _budget(values: Mapping[str, str]) -> dict[str, Any]:
        costs = {key: number(values, key) for key in values if key.startswith('cost_ms/')}
        return {'level': clean(values.get('budget_level', '')),
                'target': clean(values.get('budget_target', '')),
                'costs_ms': {clean(key.removeprefix('cost_ms/')): cost
                             for key, cost in costs.items()}}

    @staticmethod
    def _checkpoint(values: Mapping[str, str]) -> dict[str, str]:
        return {name: clean(values.get(key, '')) for name, key in (
            ('model', 'model'), ('sha256', 'model_sha256'), ('engine', 'engine'),
            ('device', 'device'), ('threads', 'threads'))}


def shown_row(index: int, score: float, uncertainty: float, reason: str,
              fingers: np.ndarray) -> dict[str, Any]:
    """
    Write a candidate as JSON has it.

    :param fingers: its fingertips, shape ``(2, 2)``, in [0, 1] of the image; not finite if it is
        not known where they are.
    """
    return {'index': index, 'score': finite(score), 'uncertainty': finite(uncertainty),
            'reason': reason,
            'fingers': np.round(fingers, 4).tolist() if np.isfinite(fingers).all() else None}
