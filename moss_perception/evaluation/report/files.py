"""The report's values for requirements, JSON and CSV; files written all at once or not at all."""

from collections.abc import Iterator, Mapping, Sequence
import csv
from dataclasses import asdict
import io
import json
import math
from pathlib import Path
from typing import Any

from moss_perception.core.files import OutputFolder
from moss_perception.core.text import cell
from moss_perception.evaluation.intervals import Interval
from moss_perception.evaluation.record_files import plain
from moss_perception.evaluation.records import AttemptRecord, BagRecord
from moss_perception.evaluation.report.checkpoints import (
    difference,
    domain_of,
    is_closed_loop,
    least_gain,
    rankings,
    success_less_first,
    task_success,
)
from moss_perception.evaluation.report.over_time import Month
from moss_perception.evaluation.report.recordings import costs, name_of, played_values
from moss_perception.evaluation.report.summary import Domain, GAPS, Summary
from moss_perception.evaluation.report.warnings import warnings
from moss_perception.evaluation.thresholds import Verdict

# Different from the format of evaluation records.
FORMAT = 'moss_perception.report/1'
# Values of a recording that the format names differently.
_KEYS = {'by_status': 'fates'}
COLUMNS = ('model', 'sha256', 'domain', 'recording', 'attempt', 'start_s', 'decision_s', 'end_s',
           'executed', 'success', 'source', 'score', 'scaled_score', 'uncertainty', 'ood_score',
           'predicted', 'correct', 'scored_s', 'motion', 'object')


def figures_of(summaries: Sequence[Summary]) -> dict[str, dict[str, tuple[float, str]]]:
    """
    Return all metrics of the first checkpoint, each with the reason if it is undefined.

    :param summaries: of all checkpoints, for the difference to the others.
    :returns: by domain and name.
    """
    first, *others = summaries
    return {one.name: _figures(one, least_gain(one, others)) for one in first.domains}


def _figures(one: Domain, gain: Interval) -> dict[str, tuple[float, str]]:
    nothing = Interval(why='there is no reference domain to compare with')
    intervals = dict(one.measures) | {'auroc_gain': gain}
    for name in GAPS:
        intervals[f'{name}_gap'] = one.gaps.get(name, nothing)
    intervals['ood_auroc'] = one.ood.auroc if one.ood else Interval(
        why='the checkpoint has no training distribution, or there is no reference domain')
    alarms = one.ood.false_alarms if one.ood else intervals['ood_auroc']
    return {
        **{name + suffix: (value, of.why) for name, of in intervals.items()
           for suffix, value in (('', of.value), ('_low', of.low), ('_high', of.high))},
        **{name: (value, 'nothing was scored') for name, value in costs(one.pool.bags).items()},
        'attempts': (one.counts.attempts, ''), 'scored_attempts': (one.counts.scored, ''),
        **{name: (value, 'there are no attempts') for name, value in one.pool.shares.items()},
        'false_alarm_rate': (alarms.value, alarms.why)}


def as_json(summaries: Sequence[Summary], months: Sequence[Sequence[Month]], verdict: Verdict,
            written: str) -> str:
    """
    Return the report's values as JSON, with ``null`` for undefined values.

    :param months: of each checkpoint.
    :param written: date and time in words.
    """
    first = summaries[0]
    content = {
        'format': FORMAT, 'written': written, 'reference_domain': first.reference,
        'threshold': first.threshold,
        'intervals': '95 %: episodes drawn with replacement; shares by Wilson',
        'warnings': warnings([one.pool for one in first.domains]),
        'requirements': {'met': verdict.met, 'rows': [asdict(row) for row in verdict.rows]},
        'checkpoints': [_checkpoint(one, first, its_months) for one, its_months in zip(
            summaries, months, strict=True)],
        'rankings': [asdict(one) for one in rankings(summaries)]}
    return json.dumps(plain(content), indent=1, allow_nan=False) + '\n'


def _checkpoint(summary: Summary, first: Summary, months: Sequence[Month]) -> dict[str, Any]:
    of = summary.evaluation
    return {'model': of.model, 'sha256': of.sha256, 'temperature': of.temperature,
            'engine': of.engine, 'threads': of.threads, 'model_type': of.model_type,
            'budget_level': of.budget_level,
            'fitted_temperature': asdict(summary.temperature) if summary.temperature else None,
            'domains': {one.name: _domain(one, summary, first) for one in summary.domains},
            'months': [asdict(one) for one in months],
            'recordings': [_recording(bag) for bag in of.bags]}


def _domain(one: Domain, summary: Summary, first: Summary) -> dict[str, Any]:
    found = {'reference': one.reference, 'counts': asdict(one.counts),
             'not_executed': one.pool.not_executed, 'shares': one.pool.shares,
             'task_success': asdict(task_success(one)) if is_closed_loop([one]) else None,
             'measures': {name: asdict(of) for name, of in one.measures.items()},
             'gaps': {name: asdict(of) for name, of in one.gaps.items()},
             'calibration': {kind: {name: value for name, value in asdict(of).items()
                                    if name != 'scores'}
                             for kind, of in one.calibration.items()},
             'since_decision': asdict(one.since_decision), 'to_outcome': asdict(one.to_outcome),
             'ood': asdict(one.ood) if one.ood else None,
             'costs': costs(one.pool.bags)}
    other = domain_of(first, one.name)
    if summary is not first and other is not None:
        found['auroc_less_first'] = asdict(difference(other, one))
        success = success_less_first(other, one)
        found['success_less_first'] = asdict(success) if success else None
    return found


def _recording(bag: BagRecord) -> dict[str, Any]:
    names = ('path', 'domain', 'image_topic', 'duration_s', 'frames', 'by_status', 'refused',
             'missing', 'resets', 'elapsed_s', 'warnings', 'notes', 'lost_share')
    return {**{_KEYS.get(name, name): getattr(bag, name) for name in names},
            'unmatched': [str(one) for one in bag.unmatched], 'attempts': len(bag.attempts),
            'decisions_guessed': sum(one.decision_guessed for one in bag.attempts),
            'latency': costs([bag]), **played_values(bag)}


def as_csv(summaries: Sequence[Summary]) -> str:
    """Return a CSV with a line per attempt and checkpoint, and empty undefined values."""
    written = io.StringIO()
    lines = csv.writer(written, lineterminator='\n')
    lines.writerow(COLUMNS)
    for summary in summaries:
        for one in summary.domains:
            scaled = iter(one.calibration['after'].scores if 'after' in one.calibration else ())
            for bag in one.pool.bags:
                for attempt in bag.attempts:
                    lines.writerow(map(cell, _row(summary, bag, attempt, scaled)))
    return written.getvalue()


def _row(summary: Summary, bag: BagRecord, attempt: AttemptRecord,
         scaled: Iterator[float]) -> list[Any]:
    """Return a line of the CSV; ``scaled`` has the next score with the fitted temperature."""
    known = math.isfinite(attempt.score) and attempt.executed
    says = attempt.score >= summary.threshold
    times = [f'{stamp // 10**9}.{stamp % 10**9:09d}' if stamp is not None else '' for stamp in (
        attempt.start_ns, attempt.decision_ns, attempt.end_ns, attempt.scored_ns)]
    numbers = ['' if not math.isfinite(value) else f'{value:.9g}' for value in (
        attempt.score, next(scaled, math.nan) if known else math.nan, attempt.uncertainty,
        attempt.ood_score)]
    return [summary.evaluation.model, summary.evaluation.sha256, name_of(bag), bag.path,
            attempt.attempt, *times[:3], int(attempt.executed), int(attempt.success),
            attempt.source, *numbers, int(says) if known else '',
            int(says == attempt.success) if known else '', times[3], attempt.motion,
            attempt.object]


def publish(folder: Path, files: Mapping[str, str]) -> None:
    """
    Write files into a folder, all of them or none.

    :param folder: created if missing, and removed again after an error.
    :raises MossError: if they can't be written, such as on a full disk; existing files stay.
    """
    with OutputFolder(folder, 'the report cannot be written to') as out:
        for name, text in files.items():
            out.write(name, text)
        out.publish()
