"""How far the demo is: a bar on a terminal, lines elsewhere, and the table of attempts."""

import sys

from moss_perception.cli.demo_attempts import HEADER, score_attempt, ScoredAttempt, table_row
from moss_perception.cli.demo_recording import Source
from moss_perception.ros.evaluator.observer import Observer
from tqdm import tqdm

# Where there is no terminal, a line each tenth tells enough.
_LINES = 10


class Progress:
    """
    Shows how far a run is, and each attempt as soon as it has ended.

    :param source: what is played.
    :param observer: hears what the nodes say.
    """

    def __init__(self, source: Source, observer: Observer):
        self.attempts: list[ScoredAttempt] = []
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
        """Look at what has happened since the last time."""
        fates = self._observer.fates
        news, self._seen = fates[self._seen:], len(fates)
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
        """Take the bar away."""
        self._bar.close()

    def _show_attempt(self) -> None:
        if not self.attempts:
            self.write(HEADER)
        observer = self._observer
        scored = score_attempt(
            self._waiting.pop(0), list(observer.scores), observer.default_scores)
        self.attempts.append(scored)
        self.write(table_row(scored))
