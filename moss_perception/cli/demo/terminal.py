"""The terminal output of the demo: progress, the table of attempts, and results."""

import math
from pathlib import Path
import sys
from typing import Any

from moss_perception.cli.demo.source import Source
from moss_perception.evaluation.recorded import match
from moss_perception.evaluation.records import AttemptRecord
from moss_perception.models.config import ModelConfig
from moss_perception.ros.recorder.observer import Observer
from moss_perception.runtime.frame_status import FrameStatus
from tqdm import tqdm

HEADER = 'attempt  object      motion        score   +/-   outcome   at 0.5'
# Without a terminal, print ten lines of progress.
_LINES = 10


class Progress:
    """
    Shows a progress bar (lines without a terminal), and each attempt when it has ended.

    :param source: the played recording.
    :param observer: collects the nodes' messages.
    """

    def __init__(self, source: Source, observer: Observer):
        self._shown = 0
        self._waiting = list(source.attempts)
        self._source, self._observer = source, observer
        self._tenth = self._seen = 0
        self._bar = tqdm(total=source.frames, unit='frame', file=sys.stderr, dynamic_ncols=True,
                         disable=not sys.stderr.isatty(), leave=False)

    def write(self, line: str) -> None:
        """Show a line above the bar."""
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()

    def tick(self) -> None:
        """Show what has happened since the last call."""
        statuses = self._observer.statuses
        news, self._seen = statuses[self._seen:], len(statuses)
        self._bar.update(len(news))
        tenth = _LINES * self._seen // max(1, self._source.frames)
        if self._bar.disable and tenth > self._tenth:
            self._tenth = tenth
            self.write(f'{self._seen} of {self._source.frames} frames')
        newest = max((stamp for stamp, _ in news), default=0)
        while self._waiting and newest >= self._waiting[0].outcome.end_ns:
            self._show_attempt()

    def finish(self) -> None:
        """Show the attempts that ended after the last frame."""
        self.close()
        while self._waiting:
            self._show_attempt()

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()

    def _show_attempt(self) -> None:
        for record in match(self._observer.outputs, [self._waiting.pop(0)]).records():
            if not self._shown:
                self.write(HEADER)
            self._shown += 1
            self.write(table_row(record))


def table_row(attempt: AttemptRecord) -> str:
    """Write an attempt as a line of the table under :data:`HEADER`."""
    known = math.isfinite(attempt.score)
    mark = 'not executed' if not attempt.executed else 'no score' if not known else (
        'right' if (attempt.score >= 0.5) == attempt.success else 'WRONG')
    spread = f'{attempt.uncertainty:5.2f}' if math.isfinite(attempt.uncertainty) else '    -'
    score = f'{attempt.score:5.2f}' if known else '    -'
    outcome = '-' if not attempt.executed else 'held' if attempt.success else 'failed'
    return (f'{attempt.attempt:7d}  {attempt.object[:10] or "-":10}  '
            f'{attempt.motion[:12] or "-":12}  {score} {spread}   {outcome:8}  {mark}')


def no_score(source: Source, observer: Observer, model: ModelConfig) -> str:
    """Return why no frame was scored."""
    kinds = [kind for _, kind in observer.statuses]
    values = observer.outputs.newest
    counts = ', '.join(f'{kinds.count(kind)} {kind}' for kind in dict.fromkeys(kinds))
    dropped = values.get('dropped', '0')
    if dropped != '0':
        counts += f'; {dropped} dropped, too fast for this machine: lower --rate'
    refusal = values.get('last_refusal')
    if refusal and set(kinds) == {FrameStatus.REFUSED.value}:
        return f'{source.shown}: all {len(kinds)} frames were refused, the last: {refusal}'
    if refusal:
        counts += f'; the last refusal: {refusal}'
    return (f'{source.shown}: no score of {source.frames} frames ({counts or "none arrived"}): '
            f'expected {model.window_frames} samples at {model.frame_rate_hz:g} Hz without '
            'a gap to fill the window')


def report(summary: dict[str, Any], written: list[Path]) -> None:
    """Print the results and the paths of the files."""
    frames, latency = summary['frames'], summary['latency']
    print('frames: ' + ', '.join(
        f'{count} {kind}' for kind, count in frames.items() if count is not None))
    value = summary['auroc']
    print(f'AUROC: {"-" if value is None else f"{value:.3f}"} ({summary["auroc_note"]})')
    print(f'published to scored: p50 {latency["p50_ms"]} ms, p95 {latency["p95_ms"]} ms '
          f'on {summary["machine"]["cpu"]}')
    for path in written:
        print(f'wrote {path}')
