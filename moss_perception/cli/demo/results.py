"""The demo's results: on the terminal, in summary.json, and the folder for them."""

from collections import Counter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
import math
import os
from pathlib import Path
import platform
import sys
from typing import Any

from moss_perception.cli.common import cpu_name
from moss_perception.cli.demo.source import Source
from moss_perception.evaluation.metrics import auroc, Scored, value_of
from moss_perception.evaluation.outputs import FrameScores, NodeOutputs, OUT, summarise_diagnostics
from moss_perception.evaluation.recorded import match, read_timing
from moss_perception.evaluation.records import AttemptRecord
from moss_perception.models.config import ModelConfig
from moss_perception.ros.observer import Observer
from moss_perception.runtime.frame_status import FrameStatus, STATUSES
import numpy as np
from tqdm import tqdm

HEADER = 'attempt  object      motion        score   +/-   outcome   at 0.5'
# Without a terminal, print ten lines of progress.
_LINES = 10

_PACKAGES = ('moss_perception', 'onnxruntime', 'numpy', 'opencv-python-headless',
             'opencv-python', 'rosbags', 'rclpy')


def count_frames(outputs: NodeOutputs, source: Source) -> dict[str, int | None]:
    """
    Count the frames by their status.

    :returns: counts by name; ``None`` for those from diagnostics if there were none.
    """
    statuses = outputs.statuses
    assert statuses is not None  # an observer hears them
    kinds = Counter(kind for _, kind in statuses)
    values = {name: outputs.newest.get(name) for name in ('dropped', 'missing')}
    return {
        'in_recording': source.frames, 'in': len(statuses),
        **{kind: kinds[kind] for kind in STATUSES},
        **{name: None if value is None else int(value) for name, value in values.items()}}


def summarise_auroc(attempts: Sequence[AttemptRecord]) -> dict[str, Any]:
    """
    Compute how well the scores rank the attempts.

    :returns: AUROC or ``None``, the number of attempts, and a note.
    """
    scored = [a for a in attempts if math.isfinite(a.score)]
    labels = np.array([a.success for a in scored], bool)
    held = int(labels.sum())
    result = {'auroc': None, 'attempts': len(scored), 'held': held,
              'note': f'an illustration on {len(scored)} attempts, not evidence'}
    if not attempts:
        result['note'] = 'null: the recording has no outcomes'
    elif not 0 < held < len(scored):
        result['note'] = (f'null: {held} of {len(scored)} scored attempts succeeded: expected '
                          'successes and failures')
    else:
        sample = Scored.of(np.array([a.score for a in scored]), labels)
        result['auroc'] = round(value_of(auroc, sample), 4)
    return result


def summarise_latency(timing_log: Path, scores: Sequence[FrameScores]) -> dict[str, Any]:
    """
    Compute the time from an image's publication to the arrival of its scores.

    :param timing_log: the player's CSV file.
    :param scores: received scores; matched by stamp.
    :returns: p50 and p95 in milliseconds, ``None`` without any, and the number of frames.
    """
    published = read_timing(timing_log)
    times_ms = [(s.received_ns - published[s.stamp_ns]) / 1e6
                for s in scores if s.stamp_ns in published]
    p50, p95 = np.percentile(times_ms, [50, 95]) if times_ms else (None, None)
    return {'p50_ms': None if p50 is None else round(float(p50), 2),
            'p95_ms': None if p95 is None else round(float(p95), 2), 'frames': len(times_ms),
            'meaning': 'image published to score received, monotonic clock, matched by stamp'}


def unfamiliar(share: float | None) -> str:
    """
    Say that images were out of distribution; empty if they were not, or it is not known.

    :param share: share of the time with an alarm, in [0, 1]; ``None`` if it is not known.
    """
    return '' if not share else (
        f'out of distribution in {share:.0%} of the time: the images are unlike those of '
        'training, so do not trust the scores')


def describe_attempt(record: AttemptRecord, domain: str) -> dict[str, Any]:
    """Return an attempt as plain values, NaN as ``None``."""
    return {
        'attempt': record.attempt, 'object': record.object, 'motion': record.motion,
        'domain': domain, 'decision_ns': record.decision_ns, 'scored_ns': record.scored_ns,
        'source': record.source, 'score': _finite(record.score),
        'uncertainty': _finite(record.uncertainty), 'executed': record.executed,
        'success': record.success}


def describe_machine() -> dict[str, Any]:
    """Return a description of this machine."""
    return {'cpu': cpu_name(), 'cores': os.cpu_count(), 'system': platform.platform(),
            'python': platform.python_version(), 'ros_distro': os.environ.get('ROS_DISTRO'),
            'versions': {name: found for name in _PACKAGES if (found := _version(name))}}


def summarise(source: Source, outputs: NodeOutputs, states: Sequence[str],
              attempts: Sequence[AttemptRecord], timing_log: Path, pace: str) -> dict[str, Any]:
    """
    Summarise a run.

    :param outputs: outputs of the predictor.
    :param states: states of the gate.
    :param pace: pace in words.
    :returns: the contents of summary.json.
    """
    ranking, values = summarise_auroc(attempts), outputs.newest
    domains = {x.outcome.attempt: x.outcome.domain for x in source.attempts}
    return {
        'recording': source.shown, 'image_topic': source.image_topic, 'pace': pace,
        'frames': count_frames(outputs, source), 'auroc': ranking['auroc'],
        'auroc_note': ranking['note'], 'attempts_scored': ranking['attempts'],
        'attempts_held': ranking['held'],
        'attempts_not_executed': sum(not a.executed for a in attempts),
        'latency': summarise_latency(timing_log, outputs.scores),
        'out_of_distribution_share': _finite(summarise_diagnostics(outputs.diagnostics)[OUT]),
        'gate_selected': 'selected' in states,
        'attempts': [describe_attempt(a, domains[a.attempt]) for a in attempts],
        'model_sha256': values.get('model_sha256'), 'engine': values.get('engine'),
        'budget_level': values.get('budget_level'), 'machine': describe_machine()}


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


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
        self._tenth = self._seen = self._newest = 0
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
        self._newest = max((stamp for stamp, _ in news), default=self._newest)
        awaited = min(self._observer.awaited, default=math.inf)
        while self._waiting and self._newest >= self._waiting[0].outcome.end_ns < awaited:
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
    mark += ', not at its grasp' if known and attempt.scored_elsewhere else ''
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


def print_summary(summary: dict[str, Any], written: list[Path]) -> None:
    """Print the results and the paths of the files."""
    frames, latency = summary['frames'], summary['latency']
    if line := unfamiliar(summary['out_of_distribution_share']):
        print(f'WARNING: {line}')
    print('frames: ' + ', '.join(
        f'{count} {kind}' for kind, count in frames.items() if count is not None))
    value = summary['auroc']
    print(f'AUROC: {"-" if value is None else f"{value:.3f}"} ({summary["auroc_note"]})')
    print(f'published to scored: p50 {latency["p50_ms"]} ms, p95 {latency["p95_ms"]} ms '
          f'on {summary["machine"]["cpu"]}')
    for path in written:
        print(f'wrote {path}')
