"""How recordings came over topics, and what came of grasps that were really executed."""

from collections.abc import Sequence
from typing import Any

from moss_perception.evaluation.beats import DURATIONS, OUT
from moss_perception.evaluation.intervals import wilson
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
                (1,), dense=True), *_told(over_topics), *_compared(over_topics)]


def _told(bags: Sequence[BagRecord]) -> list[html.Markup]:
    """Show what the node's diagnostics told; nothing of records from before that was kept."""
    rows = [[html.join([bag.path, html.tag('span', bag.domain, class_='hint')]),
             *(_known(bag.told.get(name, np.nan)) for name in DURATIONS),
             _known(bag.told.get(OUT, np.nan), percent=True)] for bag in bags if bag.told]
    head = [name.removesuffix('_ms').replace('_', ' ') for name in DURATIONS]
    return [html.table(
        ['recording', *head, 'out of distribution'], rows, 'As the node’s diagnostics told once '
        'a second: milliseconds, the median over the run of what they said of the newest 200 '
        'samples. Age: from an image’s stamp to its scores, unless a recording’s stamps are old. '
        'Out of distribution: the share of the time in which the shift monitor said so.',
        dense=True)] if rows else []


def _known(value: float, percent: bool = False) -> str:
    return html.number(value, 1, percent) if np.isfinite(value) else '–'


def _compared(bags: Sequence[BagRecord]) -> list[html.Markup]:
    lines = [html.join([html.tag('code', bag.path), f': {bag.verified}.'])
             for bag in bags if bag.verified]
    return [html.bullets(lines)] if lines else []


def executed(bag: BagRecord) -> dict[str, Any]:
    """Count what was executed, and how often it succeeded, with Wilson's interval."""
    done = [one for one in bag.attempts if one.executed]
    held = sum(one.success for one in done)
    of = wilson(held, len(done))
    return {'attempts': len(bag.attempts), 'executed': len(done), 'succeeded': held,
            'success': of.value, 'success_low': of.low, 'success_high': of.high}


def as_values(bag: BagRecord) -> dict[str, Any]:
    """List what the JSON says of how a recording came."""
    p50, p95 = _percentiles(bag)
    return {'pace': bag.pace, 'not_arrived': bag.not_arrived, 'verified': bag.verified,
            'published_to_scored_p50_ms': p50, 'published_to_scored_p95_ms': p95,
            'diagnostics': dict(bag.told) or None,
            'closed_loop': executed(bag) if bag.closed_loop else None}


def _closed_loop(bags: Sequence[BagRecord]) -> list[html.Markup]:
    if not bags:
        return []
    rows = []
    for bag in bags:
        of = executed(bag)
        rate = wilson(of['succeeded'], of['executed'])
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
    return [_known(value) for value in _percentiles(bag)]


def _percentiles(bag: BagRecord) -> tuple[float, float]:
    if not len(bag.latency_ms):
        return float('nan'), float('nan')
    return float(np.percentile(bag.latency_ms, 50)), float(np.percentile(bag.latency_ms, 95))
