"""The table of all attempts, which the page's script sorts and filters."""

from collections.abc import Iterable
import math
from typing import Any

from moss_perception.evaluation.records import AttemptRecord
from moss_perception.evaluation.report.recordings import name_of, Pool
from moss_perception.evaluation.report.summary import Summary
from moss_perception.evaluation.report.warnings import ALARM

HEAD = ('attempt', 'domain', 'object', 'motion', 'outcome', 'score', '±', 'verdict', 'scored at',
        'OOD score', 'decision', 'why not scored')
MOST = 2000
"""Largest number of attempts in the table; attempts.csv has all."""

# Columns of text, which are aligned to the left.
TEXT = (1, 2, 3, 4, 7, 8, 11)
_PLACES = {'executed': 'executed grasp', 'nearest': 'nearest candidate',
           'default': 'default point', 'none': ''}


def values(summary: Summary) -> dict[str, Any]:
    """Return the template's values; empty without attempts."""
    rows = [_row(one.pool, attempt, bag.path, name_of(bag), summary.threshold)
            for one in summary.domains for bag in one.pool.bags for attempt in bag.attempts]
    if not rows:
        return {}
    head = HEAD
    if not any(row['cells'][-1][0] for row in rows):
        # An empty column would make the table too wide.
        head, rows = HEAD[:-1], [row | {'cells': row['cells'][:-1]} for row in rows]
    return {'head': head, 'text': TEXT, 'rows': rows[:MOST], 'total': len(rows),
            'domains': _each(row['domain'] for row in rows),
            'outcomes': _each(row['outcome'] for row in rows),
            'verdicts': _each(row['verdict'] for row in rows),
            'places': _each(row['source'] for row in rows if row['source'])}


def _each(names: Iterable[str]) -> list[str]:
    return sorted(set(names))


def _row(pool: Pool, attempt: AttemptRecord, path: str, domain: str,
         threshold: float) -> dict[str, Any]:
    """Return a row: what the filters compare, and each cell as its text and its sorting key."""
    known = attempt.executed and math.isfinite(attempt.score)
    outcome = 'not executed' if not attempt.executed else 'held' if attempt.success else 'failed'
    verdict = 'none' if not known else (
        'right' if (attempt.score >= threshold) == attempt.success else 'wrong')
    place = _PLACES.get(attempt.source, attempt.source) if known else ''
    start_ns = min(x.start_ns for bag in pool.bags if bag.path == path for x in bag.attempts)
    since_s = (attempt.decision_ns - start_ns) / 1e9
    cells = [
        (str(attempt.attempt), attempt.attempt), (domain, domain),
        *((text.replace('_', ' '), text) for text in (attempt.object, attempt.motion)),
        (outcome, outcome), *map(_number, (attempt.score, attempt.uncertainty)),
        (verdict if known else '–', verdict if known else ''), (place or '–', place),
        _number(attempt.ood_score), (f'{since_s:.1f} s', f'{since_s:.3f}'),
        (attempt.why, attempt.why)]
    return {'domain': domain.lower(), 'outcome': outcome, 'verdict': verdict,
            'source': place, 'path': path, 'cells': cells,
            'elsewhere': attempt.scored_elsewhere, 'unfamiliar': attempt.ood_score > ALARM}


def _number(value: float) -> tuple[str, str]:
    return (f'{value:.2f}', f'{value:.9g}') if math.isfinite(value) else ('–', '')
