"""Recordings: attempts pooled by domain, latency, losses, and how each was evaluated."""

from collections.abc import Sequence
from dataclasses import dataclass
import math
import re
from typing import Any

from moss_perception.evaluation.intervals import wilson
from moss_perception.evaluation.metrics import Scored
from moss_perception.evaluation.outputs import DURATIONS, OUT
from moss_perception.evaluation.records import AttemptRecord, BagRecord, Evaluation
from moss_perception.runtime.frame_status import FrameStatus, STATUSES
import numpy as np

# A domain that shifts one factor alone, such as shifted.motion_blur.
_FACTOR = re.compile(r'\w+\.([a-z_]+)')


@dataclass(frozen=True)
class Pool:
    """
    One domain's recordings.

    :ivar name: name of the domain.
    :ivar bags: recordings, in the order given.
    :ivar attempts: all attempts with an executed grasp, in the order of the recordings.
    :ivar episodes: group of each attempt, shape ``(N,)``. Attempts of a recording that overlap in
        time share frames, so they are drawn together.
    :ivar not_executed: number of attempts without an executed grasp.
    """

    name: str
    bags: tuple[BagRecord, ...]
    attempts: tuple[AttemptRecord, ...]
    episodes: np.ndarray
    not_executed: int

    @property
    def labels(self) -> np.ndarray:
        """Outcomes: bool, shape ``(N,)``."""
        return np.array([one.success for one in self.attempts], bool)

    @property
    def known(self) -> np.ndarray:
        """Which attempts have a score: bool, shape ``(N,)``."""
        return np.isfinite(np.array([one.score for one in self.attempts], float))

    @property
    def scored(self) -> Scored:
        """The attempts that have a score."""
        known = self.known
        return Scored(self.values('score'), self.labels[known], self.episodes[known])

    @property
    def shares(self) -> dict[str, float]:
        """
        Return what the scores rest on: shares in [0, 1]; NaN without attempts.

        ``executed_share`` has a score of the executed grasp. ``scored_share`` has a score that may
        belong to the outcome: not one of the default grasp point if another grasp was executed.
        Both are shares of all executed grasps, also of those that match no image.
        ``default_share`` is that of the attempts with images which have a score of the default
        grasp point.
        """
        of, lost = self.attempts, self.unmatched
        scored = sum(math.isfinite(x.score) and not x.scored_elsewhere for x in of)
        return {
            'executed_share': _share(sum(x.scored_executed for x in of), len(of) + lost),
            'default_share': _share(sum(x.source == 'default' for x in of), len(of)),
            'scored_share': _share(scored, len(of) + lost)}

    @property
    def unmatched(self) -> int:
        """Number of executed grasps whose outcome matches no image."""
        return sum(one.executed for bag in self.bags for one in bag.unmatched)

    def values(self, name: str) -> np.ndarray:
        """Return ``score``, ``uncertainty`` or ``ood_score`` of each attempt with a score."""
        return np.array([getattr(one, name) for one in self.attempts], float)[self.known]


def pool(evaluation: Evaluation, reference: str) -> list[Pool]:
    """
    Group recordings by domain.

    :param reference: domain to put first, before other domains and single factors of a shift.
    """
    names = list(dict.fromkeys(name_of(bag) for bag in evaluation.bags))
    names.sort(key=lambda name: (name != reference, bool(factor_of(name))))
    return [_pool(name, [bag for bag in evaluation.bags if name_of(bag) == name])
            for name in names]


def _pool(name: str, bags: Sequence[BagRecord]) -> Pool:
    episodes, count = [np.zeros(0, int)], 0
    for bag in bags:
        mine = overlapping(executed(bag)) + count
        count += len(np.unique(mine))
        episodes.append(mine)
    attempts = tuple(one for bag in bags for one in executed(bag))
    return Pool(name, tuple(bags), attempts, np.concatenate(episodes),
                sum(len(bag.attempts) for bag in bags) - len(attempts))


def _share(count: int, of: int) -> float:
    return count / of if of else math.nan


def factor_of(domain: str) -> str:
    """
    Return the factor of a domain that shifts only one, such as ``shifted.motion_blur``.

    :returns: empty for all other domains, even if their names contain dots and numbers.
    """
    found = _FACTOR.fullmatch(domain)
    return found[1] if found else ''


def name_of(bag: BagRecord) -> str:
    """Return the name of a recording's domain, with a default if it is unknown."""
    return bag.domain or 'unnamed'


def executed(bag: BagRecord) -> tuple[AttemptRecord, ...]:
    """Return the attempts in which a grasp was executed."""
    return tuple(one for one in bag.attempts if one.executed)


def overlapping(attempts: Sequence[AttemptRecord]) -> np.ndarray:
    """
    Number groups of attempts that overlap in time.

    :returns: one number per attempt, from 0; overlapping attempts have the same number.
    """
    groups = np.zeros(len(attempts), int)
    group, until = -1, None
    for index in sorted(range(len(attempts)), key=lambda n: attempts[n].start_ns):
        one = attempts[index]
        if until is None or one.start_ns >= until:
            group, until = group + 1, one.end_ns
        groups[index], until = group, max(until, one.end_ns)
    return groups


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
        times = np.concatenate([getattr(bag, f'{kind}_ms') for bag in bags] or [[]])
        for share in (50, 95):
            name = f'{kind}_p{share}_ms'
            summaries = [value for value in (bag.diagnostics.get(name, np.nan) for bag in bags)
                         if np.isfinite(value)]
            found[name] = (float(np.percentile(times, share)) if len(times)
                           else max(summaries, default=math.nan))
    of_samples = FrameStatus.SCORED.value, FrameStatus.STORED.value
    missing = sum(bag.missing for bag in bags)
    samples = missing + sum(bag.by_status.get(one, 0) for bag in bags for one in of_samples)
    found['missing_share'] = missing / samples if samples else math.nan
    lengths = [bag.duration_s for bag in bags]
    found['lost_share'] = float(np.average(
        [bag.lost_share for bag in bags],
        weights=lengths if sum(lengths) > 0 else None)) if bags else math.nan
    return found


def count_executed(bag: BagRecord) -> dict[str, Any]:
    """Count executed grasps and successes, with Wilson's interval."""
    done = executed(bag)
    held = sum(one.success for one in done)
    of = wilson(held, len(done))
    return {'attempts': len(bag.attempts), 'executed': len(done), 'succeeded': held,
            'success': of.value, 'success_low': of.low, 'success_high': of.high}


def played_values(bag: BagRecord) -> dict[str, Any]:
    """Return the JSON values of how a recording was evaluated."""
    p50, p95 = _latency(bag)
    return {'pace': bag.pace, 'not_arrived': bag.not_arrived, 'verified': bag.verified,
            'published_to_scored_p50_ms': p50, 'published_to_scored_p95_ms': p95,
            'diagnostics': dict(bag.diagnostics) or None,
            'closed_loop': count_executed(bag) if bag.closed_loop else None}


def _latency(bag: BagRecord) -> tuple[float, float]:
    if not len(bag.latency_ms):
        return math.nan, math.nan
    return float(np.percentile(bag.latency_ms, 50)), float(np.percentile(bag.latency_ms, 95))


def over_topics(bags: Sequence[BagRecord]) -> dict[str, Any]:
    """Return the template's values of runs over topics; empty if there are none."""
    played = [bag for bag in bags if bag.pace != 'offline']
    if not played:
        return {}
    return {'rows': [{'bag': bag, 'p50': _latency(bag)[0], 'p95': _latency(bag)[1],
                      'lost': None if bag.pace == 'live' else bag.not_arrived} for bag in played],
            'verified': [bag for bag in played if bag.verified],
            # Older records have no diagnostics.
            'diagnostics': [(bag, [bag.diagnostics.get(name, np.nan) for name in DURATIONS],
                             bag.diagnostics.get(OUT, np.nan))
                            for bag in played if bag.diagnostics],
            'durations': [name.removesuffix('_ms').replace('_', ' ') for name in DURATIONS]}


def closed_loop(bags: Sequence[BagRecord]) -> dict[str, Any]:
    """Return the outcomes of grasps that the scores selected; empty without any."""
    counted = [(bag.domain, count_executed(bag)) for bag in bags
               if bag.closed_loop and bag.pace != 'offline']
    return {'rows': [(domain, of, wilson(of['succeeded'], of['executed']))
                     for domain, of in counted]} if counted else {}


def frames(bags: Sequence[BagRecord]) -> dict[str, Any]:
    """Return the template's values: frames by status and latency of each recording."""
    return {'rows': [{
        'bag': bag, 'domain': name_of(bag),
        'by_status': [bag.by_status.get(name, 0) for name in STATUSES],
        'resets': ', '.join(f'{count} {name.replace("_", " ")}'
                            for name, count in sorted(bag.resets.items())) or '0',
        'costs': costs([bag]),
        'speed': bag.duration_s / bag.elapsed_s if bag.elapsed_s > 0 else math.nan}
        for bag in bags]}
