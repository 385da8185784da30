"""The demo's results: the values of a run, and the folder for them."""

from collections import Counter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
import math
import os
from pathlib import Path
import platform
from typing import Any

from moss_perception.cli.common import cpu_name
from moss_perception.cli.demo.source import Source
from moss_perception.evaluation.metrics import auroc, Scored, value_of
from moss_perception.evaluation.outputs import FrameScores, NodeOutputs
from moss_perception.evaluation.recorded import read_timing
from moss_perception.evaluation.records import AttemptRecord
from moss_perception.runtime.frame_status import STATUSES
import numpy as np

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
