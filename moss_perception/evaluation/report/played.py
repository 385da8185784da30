"""How recordings came over topics, and what came of grasps that were really executed."""

from collections.abc import Sequence
from typing import Any

from moss_perception.evaluation import resampling
from moss_perception.evaluation.records import BagRecord
from moss_perception.evaluation.report import html
import numpy as np


def section(bags: Sequence[BagRecord]) -> list[html.Markup]:
    """Write the section; nothing where all recordings were read offline."""
    over_topics = [bag for bag in bags if bag.pace != 'offline']
    if not over_topics:
        return []
    rows = [[html.join([bag.path, html.tag('span', bag.domain, class_='hint')]), bag.pace,
             bag.frames, _lost(bag), *_latency(bag)]
            for bag in over_topics]
    return [*_closed_loop([bag for bag in over_topics if bag.closed_loop]),
            html.tag('h2', 'Over topics: what arrived', id='played'), html.table(
                ['recording', 'played', 'images', 'did not arrive', 'latency p50, ms', 'p95'],
                rows, 'Latency: from an image’s publication to its scores, where played in time.',
                (1,), dense=True), *_compared(over_topics)]


def _compared(bags: Sequence[BagRecord]) -> list[html.Markup]:
    lines = [html.join([html.tag('code', bag.path), f': {bag.verified}.'])
             for bag in bags if bag.verified]
    return [html.bullets(lines)] if lines else []


def executed(bag: BagRecord) -> dict[str, Any]:
    """Count what was executed, and how often it succeeded, with Wilson's interval."""
    done = [one for one in bag.attempts if one.executed]
    held = sum(one.success for one in done)
    of = resampling.wilson(held, len(done))
    return {'attempts': len(bag.attempts), 'executed': len(done), 'succeeded': held,
            'success': of.value, 'success_low': of.low, 'success_high': of.high}


def as_values(bag: BagRecord) -> dict[str, Any]:
    """List what the JSON says of how a recording came."""
    p50, p95 = _percentiles(bag)
    return {'pace': bag.pace, 'not_arrived': bag.not_arrived, 'verified': bag.verified,
            'published_to_scored_p50_ms': p50, 'published_to_scored_p95_ms': p95,
            'closed_loop': executed(bag) if bag.closed_loop else None}


def _closed_loop(bags: Sequence[BagRecord]) -> list[html.Markup]:
    if not bags:
        return []
    rows = []
    for bag in bags:
        of = executed(bag)
        rate = resampling.wilson(of['succeeded'], of['executed'])
        rows.append([bag.domain, of['attempts'], of['attempts'] - of['executed'], of['executed'],
                     of['succeeded'], html.figure(rate, True)])
    return [html.tag('h2', 'The closed loop: grasps that were executed', id='closed-loop'),
            html.table(
                ['domain', 'attempts', 'no grasp selected', 'executed', 'succeeded',
                 'success of the executed'], rows,
                'The gate selected by these scores, and physics decided. Intervals are Wilson’s, '
                '95 %.', dense=True)]


def _lost(bag: BagRecord) -> str:
    return str(bag.not_arrived) if bag.pace != 'live' else 'unknown'


def _latency(bag: BagRecord) -> list[str]:
    return [html.number(value, 1) if np.isfinite(value) else '–' for value in _percentiles(bag)]


def _percentiles(bag: BagRecord) -> tuple[float, float]:
    if not len(bag.latency_ms):
        return float('nan'), float('nan')
    return float(np.percentile(bag.latency_ms, 50)), float(np.percentile(bag.latency_ms, 95))
