"""How recordings were evaluated: over topics or offline, losses, latency and closed loop."""

from collections.abc import Sequence
from typing import Any

from moss_perception.evaluation.intervals import wilson
from moss_perception.evaluation.outputs import DURATIONS, OUT
from moss_perception.evaluation.records import BagRecord
from moss_perception.evaluation.report.costs import costs
from moss_perception.evaluation.report.pooling import name_of
from moss_perception.runtime.frame_status import STATUSES
import numpy as np


def values(bags: Sequence[BagRecord]) -> dict[str, Any]:
    """Return the template's values of runs over topics; empty if there are none."""
    over_topics = [bag for bag in bags if bag.pace != 'offline']
    if not over_topics:
        return {}
    rows = []
    for bag in over_topics:
        p50, p95 = _percentiles(bag)
        rows.append({'bag': bag, 'p50': p50, 'p95': p95,
                     'lost': None if bag.pace == 'live' else bag.not_arrived})
    return {'rows': rows, 'verified': [bag for bag in over_topics if bag.verified],
            # Older records have no diagnostics.
            'diagnostics': [(bag, [bag.diagnostics.get(name, np.nan) for name in DURATIONS],
                             bag.diagnostics.get(OUT, np.nan))
                            for bag in over_topics if bag.diagnostics],
            'durations': [name.removesuffix('_ms').replace('_', ' ') for name in DURATIONS]}


def closed_loop(bags: Sequence[BagRecord]) -> dict[str, Any]:
    """Return the outcomes of grasps that the scores selected; empty without any."""
    rows = []
    for bag in bags:
        if bag.closed_loop and bag.pace != 'offline':
            of = executed(bag)
            rows.append((bag.domain, of, wilson(of['succeeded'], of['executed'])))
    return {'rows': rows} if rows else {}


def recordings(bags: Sequence[BagRecord]) -> dict[str, Any]:
    """Return the template's values: frames by status and latency of each recording."""
    return {'rows': [{
        'bag': bag, 'domain': name_of(bag),
        'by_status': [bag.by_status.get(name, 0) for name in STATUSES],
        'resets': ', '.join(f'{count} {name.replace("_", " ")}'
                            for name, count in sorted(bag.resets.items())) or '0',
        'costs': costs([bag]),
        'speed': bag.duration_s / bag.elapsed_s if bag.elapsed_s > 0 else float('nan')}
        for bag in bags]}


def executed(bag: BagRecord) -> dict[str, Any]:
    """Count executed grasps and successes, with Wilson's interval."""
    done = [one for one in bag.attempts if one.executed]
    held = sum(one.success for one in done)
    of = wilson(held, len(done))
    return {'attempts': len(bag.attempts), 'executed': len(done), 'succeeded': held,
            'success': of.value, 'success_low': of.low, 'success_high': of.high}


def as_values(bag: BagRecord) -> dict[str, Any]:
    """Return the JSON values of how a recording was evaluated."""
    p50, p95 = _percentiles(bag)
    return {'pace': bag.pace, 'not_arrived': bag.not_arrived, 'verified': bag.verified,
            'published_to_scored_p50_ms': p50, 'published_to_scored_p95_ms': p95,
            'diagnostics': dict(bag.diagnostics) or None,
            'closed_loop': executed(bag) if bag.closed_loop else None}


def _percentiles(bag: BagRecord) -> tuple[float, float]:
    if not len(bag.latency_ms):
        return float('nan'), float('nan')
    return float(np.percentile(bag.latency_ms, 50)), float(np.percentile(bag.latency_ms, 95))
