"""Several checkpoints: their differences on the same attempts, and whether domains agree."""

from collections.abc import Sequence
from dataclasses import dataclass

from moss_perception.evaluation import resampling
from moss_perception.evaluation.agreement import Agreement, agreement
from moss_perception.evaluation.report.pooling import executed, Pool
from moss_perception.evaluation.report.summary import Domain, Summary
from moss_perception.evaluation.resampling import Interval, Scored
import numpy as np


@dataclass(frozen=True)
class Ranking:
    """
    How checkpoints perform in the reference and in another domain.

    :ivar domain: the other one.
    :ivar measure: ``auroc``, or ``success`` where each checkpoint made attempts of its own.
    :ivar simulated: one value a checkpoint; ``real`` likewise.
    """

    domain: str
    measure: str
    simulated: np.ndarray
    real: np.ndarray
    agreement: Agreement


def names_of(summaries: Sequence[Summary]) -> list[str]:
    """Name the checkpoints, by their digest too where names are the same."""
    names = [one.evaluation.model for one in summaries]
    return [name if names.count(name) == 1 else f'{name} ({one.evaluation.sha256[:8]})'
            for name, one in zip(names, summaries, strict=True)]


def domain_of(summary: Summary, name: str) -> Domain | None:
    """Find a domain by name."""
    return next((one for one in summary.domains if one.name == name), None)


def _keys(pool: Pool) -> list[tuple]:
    return [(bag.path, one.attempt, one.start_ns, one.success)
            for bag in pool.bags for one in executed(bag)]


def difference(first: Domain, other: Domain, repeats: int = resampling.REPEATS) -> Interval:
    """
    Compare the AUROC of two checkpoints on the attempts that both have scored.

    :returns: the other less the first, with its paired interval.
    """
    mine, theirs = first.pool, other.pool
    if _keys(mine) != _keys(theirs):
        return Interval(why='not the same attempts')
    both = mine.known & theirs.known
    samples = [Scored(np.array([one.score for one in pool.attempts])[both], pool.labels[both],
                      pool.episodes[both]) for pool in (mine, theirs)]
    measures = {'auroc': resampling.auroc}
    before, after = (resampling.value_of(resampling.auroc, one) for one in samples)
    drawn = [resampling.draw(one, measures, repeats=repeats)['auroc'] for one in samples]
    return resampling.percentile_interval(
        after - before, drawn[1] - drawn[0],
        other.counts.one_class or 'the scored attempts have one outcome')


def rankings(summaries: Sequence[Summary]) -> list[Ranking]:
    """
    Compare the ranking of checkpoints in the reference with that in each other domain.

    :returns: none for a single checkpoint, or where the reference is missing.
    """
    if len(summaries) < 2:
        return []
    reference = summaries[0].reference
    found = []
    for one in summaries[0].domains:
        pairs = [(domain_of(each, reference), domain_of(each, one.name)) for each in summaries]
        if one.reference or any(x is None or y is None for x, y in pairs):
            continue
        # On the same attempts all checkpoints have the same success: it was not theirs.
        own = any(_keys(y.pool) != _keys(pairs[0][1].pool) for _, y in pairs[1:])
        for measure in ('auroc', 'success') if own else ('auroc',):
            values = np.array([[x.measures[measure].value, y.measures[measure].value]
                               for x, y in pairs])
            found.append(Ranking(one.name, measure, values[:, 0], values[:, 1],
                                 agreement(values[:, 0], values[:, 1])))
    return found
