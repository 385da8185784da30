"""Latency and losses of recordings, and all metrics for requirements."""

from collections.abc import Sequence

from moss_perception.evaluation.intervals import Interval
from moss_perception.evaluation.records import BagRecord
from moss_perception.evaluation.report.summary import Domain, GAPS, Summary
from moss_perception.runtime.frame_status import FrameStatus
import numpy as np


def figures_of(summary: Summary) -> dict[str, dict[str, tuple[float, str]]]:
    """Return all metrics by domain and name, each with the reason if it is undefined."""
    return {one.name: _figures(one) for one in summary.domains}


def _figures(one: Domain) -> dict[str, tuple[float, str]]:
    nothing = Interval(why='there is no reference domain to compare with')
    intervals = dict(one.measures)
    for name in GAPS:
        intervals[f'{name}_gap'] = one.gaps.get(name, nothing)
    intervals['ood_auroc'] = one.ood.auroc if one.ood else Interval(
        why='the checkpoint has no training distribution, or there is no reference domain')
    found: dict[str, tuple[float, str]] = {}
    for name, of in intervals.items():
        for suffix, value in (('', of.value), ('_low', of.low), ('_high', of.high)):
            found[name + suffix] = (value, of.why)
    for name, value in costs(one.pool.bags).items():
        found[name] = (value, 'nothing was scored')
    found['attempts'] = (one.counts.attempts, '')
    found['scored_attempts'] = (one.counts.scored, '')
    # A score at a different point than the executed grasp may not fit the outcome.
    at_its_grasp = one.counts.scored - one.counts.elsewhere
    found['scored_share'] = (at_its_grasp / one.counts.attempts if one.counts.attempts
                             else float('nan'), 'there are no attempts')
    alarms = one.ood.false_alarms if one.ood else intervals['ood_auroc']
    found['false_alarm_rate'] = (alarms.value, alarms.why)
    return found


def costs(bags: Sequence[BagRecord]) -> dict[str, float]:
    """
    Compute latency and losses.

    :returns: percentiles of decoding and inference, milliseconds per sample (from diagnostics for
        runs over topics, the slowest of several runs); ``missing_share``, the share of samples
        without an image; ``lost_share``, the share of the recordings that can't be read. NaN if
        nothing was scored.
    """
    found = {}
    for kind in ('decode', 'inference'):
        times = np.concatenate([getattr(bag, f'{kind}_ms') for bag in bags]) if bags else []
        for share in (50, 95):
            name = f'{kind}_p{share}_ms'
            summaries = [value for value in (bag.diagnostics.get(name, np.nan) for bag in bags)
                         if np.isfinite(value)]
            found[name] = (float(np.percentile(times, share)) if len(times)
                           else max(summaries, default=float('nan')))
    of_samples = FrameStatus.SCORED.value, FrameStatus.STORED.value
    samples = sum(sum(bag.by_status.get(one, 0) for one in of_samples) + bag.missing
                  for bag in bags)
    found['missing_share'] = (sum(bag.missing for bag in bags) / samples if samples
                              else float('nan'))
    length = sum(bag.duration_s for bag in bags)
    found['lost_share'] = float(np.average(
        [bag.lost_share for bag in bags],
        weights=[bag.duration_s for bag in bags] if length > 0 else None)) if bags else float(
            'nan')
    return found
