"""Comparison of checkpoints: differences on the same attempts, and rankings by domain."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from moss_perception.evaluation.comparison import Agreement, compare_rankings
from moss_perception.evaluation.intervals import (
    difference_of_shares,
    draw,
    few_recordings,
    Interval,
    percentile_interval,
    REPEATS,
    wilson,
)
from moss_perception.evaluation.metrics import auroc, Scored, value_of
from moss_perception.evaluation.report import figures
from moss_perception.evaluation.report.recordings import executed, factor_of, Pool
from moss_perception.evaluation.report.summary import Domain, split, Summary
from moss_perception.evaluation.small_counts import too_few
import numpy as np

TITLES = {'auroc': 'AUROC', 'success': 'success of the executed',
          'task_success': 'success of all attempts'}


@dataclass(frozen=True)
class Ranking:
    """
    The performance of checkpoints in the reference and in another domain.

    :ivar domain: name of the other domain.
    :ivar measure: one of :data:`TITLES`; success only if each checkpoint made its own attempts.
    :ivar simulated: value in the reference for each checkpoint.
    :ivar real: value in the other domain for each checkpoint.
    """

    domain: str
    measure: str
    simulated: np.ndarray
    real: np.ndarray
    agreement: Agreement


def domain_of(summary: Summary, name: str) -> Domain | None:
    """Find a domain by name."""
    return next((one for one in summary.domains if one.name == name), None)


def difference(first: Domain, other: Domain, repeats: int = REPEATS) -> Interval:
    """
    Compare the AUROC of two checkpoints on the attempts that both have scored.

    :returns: the other minus the first, with a paired interval.
    """
    return pool_difference(first.pool, other.pool, repeats=repeats)


def pool_difference(first: Pool, other: Pool, count: int | None = None, *,
                    repeats: int = REPEATS) -> Interval:
    """
    Compare the AUROC of two checkpoints on the attempts of pools that both have scored.

    :param count: number of recordings that are drawn, to widen the interval of few; ``None`` if
        episodes are drawn.
    :returns: the other minus the first, with a paired interval.
    """
    pools = first, other
    mine, theirs = ([(bag.path, one.attempt, one.start_ns, one.success)
                     for bag in pool.bags for one in executed(bag)] for pool in pools)
    if mine != theirs:
        return Interval(why='not the same attempts')
    both = first.known & other.known
    samples = [Scored(np.array([one.score for one in pool.attempts])[both], pool.labels[both],
                      pool.episodes[both]) for pool in pools]
    if why := too_few(samples[0]):
        return Interval(why=why)
    before, after = (value_of(auroc, one) for one in samples)
    # Both use the same draws of episodes, so that the difference is paired.
    drawn = [draw(one, {'auroc': auroc}, repeats=repeats)['auroc'] for one in samples]
    if count is not None and (why := few_recordings(count)):
        return Interval(after - before, why=why)
    return percentile_interval(after - before, drawn[1] - drawn[0], count=count)


def least_gain(first: Domain, others: Sequence[Summary]) -> Interval:
    """
    Compare the AUROC of the first checkpoint with the one that it gains the least on.

    :param others: the other checkpoints.
    :returns: the first minus that other, with a paired interval; undefined if any difference is.
    """
    found = []
    for summary in others:
        other = domain_of(summary, first.name)
        found.append(difference(other, first) if other else Interval(
            why=f'{summary.evaluation.model} was not evaluated on this domain'))
    undefined = [one for one in found if not one.defined]
    if undefined or not found:
        return undefined[0] if undefined else Interval(
            why='there is no other checkpoint to compare with')
    return min(found, key=lambda one: one.low)


def task_success(one: Domain) -> Interval:
    """Return the success rate; attempts without an executed grasp count as failures."""
    return wilson(one.counts.held, one.counts.attempts + one.pool.not_executed)


def is_closed_loop(domains: Iterable[Domain]) -> bool:
    """Return whether the scores selected all grasps (closed loop)."""
    return all(bag.closed_loop for one in domains for bag in one.pool.bags)


def success_less_first(first: Domain, other: Domain) -> Interval | None:
    """
    Compare the success rates of executed grasps, with separate attempts of each checkpoint.

    :returns: the other minus the first, not paired; ``None`` without a closed loop.
    """
    if not is_closed_loop((first, other)):
        return None
    return difference_of_shares(other.measures['success'], first.measures['success'])


def rankings(summaries: Sequence[Summary]) -> list[Ranking]:
    """
    Compare the ranking of checkpoints in the reference with that in each other domain.

    :returns: empty for a single checkpoint, or if the reference is missing.
    """
    if len(summaries) < 2:
        return []
    reference = summaries[0].reference
    found = []
    for one in summaries[0].domains:
        pairs = [(domain_of(each, reference), domain_of(each, one.name)) for each in summaries]
        known = [(x, y) for x, y in pairs if x is not None and y is not None]
        if one.reference or len(known) < len(pairs):
            continue
        for measure in _ranked([x for pair in known for x in pair]):
            values = np.array([[_value(x, measure), _value(y, measure)] for x, y in known])
            found.append(Ranking(one.name, measure, values[:, 0], values[:, 1],
                                 compare_rankings(values[:, 0], values[:, 1])))
    return found


def _ranked(domains: list[Domain]) -> list[str]:
    # On recorded attempts, success does not depend on the checkpoint.
    if not is_closed_loop(domains):
        return ['auroc']
    declined = any(one.pool.not_executed for one in domains)
    return ['auroc', 'success', *(['task_success'] if declined else [])]


def _value(one: Domain, measure: str) -> float:
    return task_success(one).value if measure == 'task_success' else one.measures[measure].value


def names_of(summaries: Sequence[Summary]) -> list[str]:
    """Name the checkpoints; equal names get the digests of their checkpoints."""
    names = [one.evaluation.model for one in summaries]
    return [name if names.count(name) == 1 else f'{name} ({one.evaluation.sha256[:8]})'
            for name, one in zip(names, summaries, strict=True)]


def values(summaries: Sequence[Summary]) -> dict[str, Any]:
    """Return the template's values; empty for a single checkpoint."""
    if len(summaries) < 2:
        return {}
    found = rankings(summaries)
    names = names_of(summaries)
    rows, closed = [], []
    for first, _ in split(summaries[0].domains)[0]:
        for name, summary in zip(names, summaries, strict=True):
            mine = domain_of(summary, first.name)
            if mine is None:
                continue
            other = None if summary is summaries[0] else first
            rows.append({'name': name, 'domain': mine.name, 'measures': mine.measures,
                         'difference': difference(other, mine) if other else None})
            if is_closed_loop([mine]):
                closed.append(_success(name, other, mine))
    plots = [(one.domain, figures.svg(
        figures.ranking, names, one.simulated, one.real, (summaries[0].reference, one.domain),
        TITLES[one.measure])) for one in found
        if not factor_of(one.domain) and np.isfinite(one.simulated + one.real).all()]
    return {'names': names, 'reference': summaries[0].reference, 'measures': TITLES,
            'rows': rows, 'closed': closed, 'rankings': found, 'plots': plots}


def _success(name: str, first: Domain | None, mine: Domain) -> dict[str, Any]:
    """Return a row of the outcomes of grasps that a checkpoint selected."""
    return {'name': name, 'domain': mine.name,
            'attempts': mine.counts.attempts + mine.pool.not_executed,
            'executed': mine.counts.attempts, 'success': mine.measures['success'],
            'difference': success_less_first(first, mine) if first else None,
            'task_success': task_success(mine)}
