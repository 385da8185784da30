"""The console of a launch: one line when something has changed, at most one a second."""

import threading
import time
from typing import Any

from moss_perception.ros.monitor.state import PRESENT
from moss_perception.ros.monitor.watcher import SystemWatcher
from moss_perception.ros.monitor.words import no_scores

# Without a change, a line says now and then that all is well.
QUIET_S = 10.0
_MOVED = 0.1


def line_of(snapshot: dict[str, Any]) -> str:
    """Write the state in one line: attempts, best score, selected, OOD, and what is wrong."""
    if snapshot['phase'] != PRESENT:
        return snapshot['message']
    attempts, parts = snapshot['attempts'], []
    if attempts['count']:
        parts.append(f'{attempts["succeeded"]} of {attempts["executed"]} grasps held')
    if scored := _scored(snapshot):
        parts.append(scored)
    _, selected = _choice(snapshot)
    if selected is not None:
        parts.append(f'selected {selected}')
    elif snapshot['gate']:
        parts.append(f'gate {snapshot["gate"]}')
    if snapshot['ood']['out']:
        # The newest OOD score may be below the limit again: a median decides.
        parts.append('out of distribution, do not trust the scores')
    elif snapshot['level'] != 'ok' or not parts or snapshot['paused'] or snapshot['old']:
        parts.append(snapshot['message'])
    return ' | '.join(parts)


def _scored(snapshot: dict[str, Any]) -> str:
    """Say the best score, or that there is none; empty if the message says so."""
    best, _ = _choice(snapshot)
    if snapshot['old']:
        return no_scores(snapshot)
    if best is not None:
        row = snapshot['candidates'][best]
        return f'best {best}: {row["score"]:.2f} ± {row["uncertainty"]:.2f}'
    if none := snapshot['none_scored']:
        # The message of the diagnostics says it too, a second later.
        return '' if none in snapshot['message'] else none
    score = snapshot['default'].get('score')
    return '' if score is None else f'no candidates, default point {score:.2f}'


def _choice(snapshot: dict[str, Any]) -> tuple[int | None, int | None]:
    """Return the best and the selected candidate; neither, if the scores are old."""
    return (None, None) if snapshot['old'] else (snapshot['best'], snapshot['selected'])


class LineLog:
    """
    Logs lines through the node of a watcher, so that ``log_level`` applies to them.

    What is wrong is a warning, the rest is information.

    :param watcher: a running one.
    :param clock: returns seconds that never go back.
    """

    def __init__(self, watcher: SystemWatcher, clock=time.monotonic):
        self._watcher, self._clock = watcher, clock
        self._last: tuple[Any, ...] = ()
        self._logged_s, self._outcomes = -QUIET_S, 0

    def start(self) -> None:
        """Log once a second from a thread, for as long as the process lives."""
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            self.tick()
            time.sleep(1.0)

    def tick(self) -> None:
        """Log a line if something has changed; call it once a second."""
        snapshot = self._watcher.state.snapshot()
        now_s, key = self._clock(), _key(snapshot)
        if key == self._last and now_s - self._logged_s < QUIET_S:
            return
        self._last, self._logged_s = key, now_s
        attempts, ended = snapshot['attempts'], ''
        if attempts['count'] > self._outcomes and attempts['last']:
            ended = f'attempt {_outcome(attempts["last"][-1])} | '
        self._outcomes = attempts['count']
        # While the predictor is not active, somebody is about to make it so.
        wrong = snapshot['phase'] == PRESENT and snapshot['level'] != 'ok' and (
            snapshot['level'] != 'stale' or snapshot['state'] == 'active')
        self._watcher.log(ended + line_of(snapshot), warn=wrong)


def _outcome(attempt: dict[str, Any]) -> str:
    became = ('held' if attempt['success'] else 'failed') if attempt['executed'] else (
        'not executed')
    score = '' if attempt['score'] is None else f' at {attempt["score"]:.2f}'
    return f'{attempt["attempt"]}: {became}{score}'


def _key(snapshot: dict[str, Any]) -> tuple[Any, ...]:
    """What makes a new line worth reading."""
    best, selected = _choice(snapshot)
    score = None if best is None else round(snapshot['candidates'][best]['score'] / _MOVED)
    wrong = snapshot['message'] if snapshot['level'] not in ('ok', 'stale') else ''
    return (snapshot['phase'], snapshot['level'], wrong, snapshot['attempts']['count'],
            snapshot['none_scored'], snapshot['old'],
            selected, score, snapshot['ood']['out'], snapshot['paused'])
