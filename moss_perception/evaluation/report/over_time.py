"""Quality over time: measures by the month of the recordings' stamps, for each checkpoint."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from moss_perception.evaluation.intervals import (
    draw,
    few_recordings,
    hull,
    Interval,
    measure_interval,
    percentile_interval,
    wilson,
)
from moss_perception.evaluation.metrics import Scored
from moss_perception.evaluation.records import BagRecord
from moss_perception.evaluation.report import figures
from moss_perception.evaluation.report.checkpoints import domain_of, names_of, pool_difference
from moss_perception.evaluation.report.recordings import executed, Pool
from moss_perception.evaluation.report.summary import split, Summary
import numpy as np

NO_DATE = 'no date'
"""Month of stamps that count from the start of a machine or of a simulation."""
# Of a real clock; nobody recorded for this package before.
_FIRST_YEAR = 2000


@dataclass(frozen=True)
class Month:
    """
    A month of one domain, evaluated with one checkpoint; intervals draw whole recordings.

    :ivar month: such as ``2026-10``, or :data:`NO_DATE`.
    :ivar attempts: attempts with an executed grasp.
    :ivar success: success rate of these attempts.
    :ivar accepted: number of attempts with a score of at least the threshold.
    :ivar passed_success: success rate of these.
    :ivar auroc_less_first: AUROC less that of the first checkpoint, paired; ``None`` for that.
    """

    domain: str
    month: str
    recordings: int
    attempts: int
    success: Interval
    accepted: int
    passed_success: Interval
    auroc: Interval
    auroc_less_first: Interval | None = None


def month_of(bag: BagRecord) -> str:
    """Return the month, in UTC, of a recording's first attempt; empty if it has none."""
    if not bag.attempts:
        return ''
    try:
        date = datetime.fromtimestamp(min(x.start_ns for x in bag.attempts) // 10**9, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return NO_DATE
    return f'{date:%Y-%m}' if date.year >= _FIRST_YEAR else NO_DATE


def by_month(pool: Pool) -> dict[str, Pool]:
    """
    Divide a domain's recordings, in the order of time.

    :returns: by month; the episodes are the recordings, so that intervals draw these.
    """
    bags: dict[str, list[BagRecord]] = defaultdict(list)
    for bag in pool.bags:
        if executed(bag):
            bags[month_of(bag)].append(bag)
    found = {}
    for month in _in_order(bags):
        attempts = [executed(bag) for bag in bags[month]]
        found[month] = Pool(
            pool.name, tuple(bags[month]), tuple(one for ones in attempts for one in ones),
            np.repeat(np.arange(len(attempts)), [len(ones) for ones in attempts]),
            sum(len(bag.attempts) for bag in bags[month]) - sum(map(len, attempts)))
    return found


def _in_order(months: Collection[str]) -> list[str]:
    return sorted(months, key=lambda x: (x == NO_DATE, x))


def measure(summaries: Sequence[Summary]) -> list[list[Month]]:
    """Measure the months of each checkpoint."""
    return [_months(one, summaries[0]) for one in summaries]


def _months(summary: Summary, first: Summary) -> list[Month]:
    """
    Measure each month of each domain, but those that shift a single factor.

    :param first: of the first checkpoint, to compare with.
    """
    found = []
    for domain, _ in split(summary.domains)[0]:
        other = None if summary is first else domain_of(first, domain.name)
        others = by_month(other.pool) if other else {}
        for month, pool in by_month(domain.pool).items():
            one = _measure(month, pool, summary.threshold)
            if other is not None:
                one = replace(one, auroc_less_first=pool_difference(
                    others[month], pool, len(pool.bags)) if month in others else Interval(
                        why='not the same attempts'))
            found.append(one)
    return found


def _measure(month: str, pool: Pool, threshold: float) -> Month:
    sample = pool.scored
    passed = sample.scores >= threshold
    auroc = measure_interval('auroc', sample)
    if auroc.defined and (why := few_recordings(len(pool.bags))):
        auroc = Interval(auroc.value, why=why)
    return Month(pool.name, month, len(pool.bags), len(pool.attempts),
                 share_by_recording(pool.labels, pool.episodes), int(passed.sum()),
                 share_by_recording(sample.labels[passed], sample.episodes[passed]), auroc)


def share_by_recording(labels: np.ndarray, recordings: np.ndarray) -> Interval:
    """
    Bound a share by drawing recordings with replacement; at least as wide as Wilson's interval.

    :param labels: what is counted: bool, shape ``(N,)``.
    :param recordings: number of each one's recording, shape ``(N,)``.
    """
    alone = wilson(int(labels.sum()), len(labels))
    count = len(np.unique(recordings))
    if why := alone.why or few_recordings(count):
        return Interval(alone.value, why=why)
    drawn = draw(Scored(np.zeros(len(labels)), labels, recordings), {'share': _share})['share']
    # Recordings without a failure would leave no width.
    return hull(percentile_interval(alone.value, drawn, count=count), alone.low, alone.high)


def _share(sample: Scored, weights: np.ndarray) -> np.ndarray:
    return weights @ sample.labels / weights.sum(axis=1)


def values(summaries: Sequence[Summary], measured: Sequence[Sequence[Month]]) -> dict[str, Any]:
    """
    Return the template's values; empty if all recordings are of one month.

    :param measured: as of :func:`measure`.
    """
    dates = _in_order({x.month for ones in measured for x in ones})
    if len(dates) < 2:
        return {}
    names = names_of(summaries)
    rows = [{'name': name, 'month': one} for name, ones in zip(names, measured, strict=True)
            for one in ones]
    # The checkpoints of a month stand below one another.
    order = {name: number for number, name in enumerate(dict.fromkeys(
        x['month'].domain for x in rows))}
    rows.sort(key=lambda x: (order[x['month'].domain], dates.index(x['month'].month)))
    return {'rows': rows, 'several': len(summaries) > 1, 'threshold': summaries[0].threshold,
            'plots': [_plot(domain, dates, names, measured) for domain in order]}


def _plot(domain: str, dates: Sequence[str], names: Sequence[str],
          measured: Sequence[Sequence[Month]]) -> tuple[str, bytes]:
    lines = []
    for number, (name, ones) in enumerate(zip(names, measured, strict=True)):
        mine = {x.month: x.passed_success for x in ones if x.domain == domain}
        lines.append((name, [mine.get(date, Interval()) for date in dates], number))
    return domain, figures.svg(figures.months, dates, lines)
