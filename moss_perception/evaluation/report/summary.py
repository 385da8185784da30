"""What a report says, as values: measures by domain, gaps, calibration, the shift monitor."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from moss_perception.evaluation import early, metrics, reliability
from moss_perception.evaluation.intervals import (
    difference_of_shares,
    draw,
    hull,
    Interval,
    measure_interval,
    measure_of,
    percentile_interval,
    REPEATS,
    wilson,
)
from moss_perception.evaluation.metrics import Scored
from moss_perception.evaluation.records import Evaluation
from moss_perception.evaluation.report.recordings import factor_of, Pool, pool
from moss_perception.evaluation.report.warnings import ALARM
from moss_perception.evaluation.small_counts import LEAST_OF_EACH
from moss_perception.runtime.ood import FALSE_ALARMS
import numpy as np

GAPS = ('auroc', 'auprc', 'accuracy', 'balanced_accuracy', 'success', 'brier', 'ece')


@dataclass(frozen=True)
class Counts:
    """
    Counts of a domain.

    :ivar attempts: attempts with an executed grasp; ``held`` of them were successes.
    :ivar episodes: groups of overlapping attempts.
    :ivar scored: attempts with a score; ``scored_held`` of them were successes.
    :ivar elsewhere: attempts scored at the default grasp point although the executed pose is
        known.
    :ivar sources: attempts by scored grasp: ``executed``, ``nearest``, ``default`` or ``none``.
    :ivar passed: attempts with a score of at least the threshold; ``passed_held`` of them were
        successes.
    """

    attempts: int
    held: int
    episodes: int
    scored: int
    scored_held: int
    elsewhere: int
    sources: dict[str, int]
    passed: int
    passed_held: int

    @property
    def one_class(self) -> str:
        """Why AUROC is undefined: all scored attempts have the same outcome; else empty."""
        if not self.scored:
            return 'no attempt has a score'
        if self.scored_held in (0, self.scored):
            return (f'all {self.scored} scored attempts are '
                    f'{"successes" if self.scored_held else "failures"}')
        return ''


@dataclass(frozen=True)
class Calibration:
    """
    Calibration of the scores, for one temperature.

    :ivar scores: scores of the domain's scored attempts.
    :ivar brier: Brier score with interval.
    :ivar ece: expected calibration error with interval.
    :ivar cross_entropy: mean cross-entropy, nats.
    :ivar bins: bins of the reliability diagram.
    :ivar chance_ece: mean and 95th percentile of the ECE of perfectly calibrated scores.
    """

    scores: np.ndarray
    brier: Interval
    ece: Interval
    cross_entropy: float
    bins: tuple[reliability.Bin, ...]
    chance_ece: tuple[float, float]


@dataclass(frozen=True)
class OodDetection:
    """
    How well OOD scores separate a domain from the reference.

    :ivar auroc: how often the OOD score of an attempt of the domain is above one of the reference.
    :ivar false_alarms: share of the reference's attempts above the checkpoint's limit.
    :ivar found: share of the domain's attempts above this limit.
    :ivar level: OOD score that one in twenty attempts of the reference exceeds.
    :ivar found_at_equal: share of the domain's attempts above ``level``.
    """

    auroc: Interval
    false_alarms: Interval
    found: Interval
    level: float
    found_at_equal: Interval


@dataclass(frozen=True)
class Domain:
    """
    One domain, evaluated with one checkpoint.

    :ivar measures: by name: ``metrics.MEASURES`` with bootstrap intervals over episodes;
        ``accuracy``, ``success`` and ``passed_success`` with Wilson's interval; ``error_auroc``,
        how well the uncertainty finds wrong decisions.
    :ivar gaps: this domain minus the reference, by measure; empty for the reference.
    :ivar calibration: ``before``; ``after`` if a temperature was fitted; ``undone`` if the
        checkpoint has a temperature.
    :ivar ood: ``None`` for the reference, or if the checkpoint has no OOD scores.
    """

    pool: Pool
    reference: bool
    counts: Counts
    measures: dict[str, Interval]
    gaps: dict[str, Interval]
    calibration: dict[str, Calibration]
    since_decision: early.Curve
    to_outcome: early.Curve
    ood: OodDetection | None

    @property
    def name(self) -> str:
        """Return the domain's name."""
        return self.pool.name


@dataclass(frozen=True)
class Summary:
    """
    All measures of one checkpoint's evaluation.

    :ivar reference: name of the domain that others are compared with.
    :ivar threshold: lowest score that predicts a success.
    :ivar temperature: temperature fitted to the reference; ``None`` if that was not evaluated.
    """

    evaluation: Evaluation
    reference: str
    threshold: float
    temperature: reliability.Temperature | None
    domains: tuple[Domain, ...]


def split(domains: Sequence[Domain]) -> tuple[list[tuple[Domain, int]], list[tuple[Domain, int]]]:
    """Separate whole domains from single factors of a shift, with their colours' numbers."""
    numbered = [(one, number) for number, one in enumerate(domains)]
    return ([pair for pair in numbered if not factor_of(pair[0].name)],
            [pair for pair in numbered if factor_of(pair[0].name)])


def summarise(evaluation: Evaluation, reference: str = 'sim', threshold: float = 0.5,
              repeats: int = REPEATS) -> Summary:
    """
    Compute all values of a checkpoint for the report.

    :param reference: the simulated domain, to compare others with and to fit the temperature to.
    :param threshold: lowest score that predicts a success, in [0, 1].
    :param repeats: number of bootstrap draws.
    """
    pools = pool(evaluation, reference)
    base = pools[0] if pools and pools[0].name == reference else None
    temperature = reliability.reference_temperature(base.scored, reference) if base else None
    domains, base_draws, first = [], {}, {}
    for number, one in enumerate(pools):
        counts = _count(one, threshold)
        found, draws = _measure(one, counts, threshold, number, repeats)
        if one is base:
            base_draws, first = draws, found
        domains.append(Domain(
            one, one is base, counts, found,
            _gaps(found, draws, first, base_draws) if base and one is not base else {},
            _calibrate(one, found, temperature, evaluation.temperature, repeats),
            early.since_decision(one.attempts, one.episodes, threshold),
            early.to_outcome(one.attempts, one.episodes, threshold),
            _ood(one, base, repeats) if base and one is not base else None))
    return Summary(evaluation, reference, threshold, temperature, tuple(domains))


def _count(one: Pool, threshold: float) -> Counts:
    sample = one.scored
    passed = sample.scores >= threshold
    return Counts(len(one.attempts), int(one.labels.sum()), len(np.unique(one.episodes)),
                  len(sample), int(sample.labels.sum()),
                  sum(attempt.scored_elsewhere for attempt in one.attempts),
                  dict(Counter(attempt.source for attempt in one.attempts)),
                  int(passed.sum()), int(sample.labels[passed].sum()))


def _measure(one: Pool, counts: Counts, threshold: float, seed: int,
             repeats: int) -> tuple[dict[str, Interval], dict[str, np.ndarray]]:
    sample = one.scored
    functions = {name: measure_of(name, threshold) for name in metrics.MEASURES}
    draws = draw(sample, functions, repeats=repeats, seed=seed)
    found = {name: measure_interval(name, sample, threshold=threshold, drawn=draws[name])
             for name in functions}
    right = int(((sample.scores >= threshold) == sample.labels).sum())
    found['accuracy'] = wilson(right, len(sample))
    found['success'] = wilson(counts.held, counts.attempts)
    found['passed_success'] = wilson(counts.passed_held, counts.passed)
    found['error_auroc'] = _error_auroc(one, threshold, repeats)
    return found, draws


def _error_auroc(one: Pool, threshold: float, repeats: int) -> Interval:
    sample, spread = one.scored, one.values('uncertainty')
    known = np.isfinite(spread)
    if not known.any():
        return Interval(why='the checkpoint gives no uncertainty' if len(sample)
                        else 'no attempt has a score')
    wrong = ((sample.scores >= threshold) != sample.labels)[known]
    if wrong.all() or not wrong.any():
        return Interval(why='all decisions are ' + ('wrong' if wrong.all() else 'right'))
    found = measure_interval(
        'auroc', Scored(spread[known], wrong, sample.episodes[known]), repeats=repeats)
    few = (f'it needs at least {LEAST_OF_EACH} wrong and {LEAST_OF_EACH} right decisions, and '
           f'there are {int(wrong.sum())} and {int((~wrong).sum())}')
    return found if found.defined else Interval(why=few)


def _gaps(mine: dict[str, Interval], draws: dict[str, np.ndarray], base: dict[str, Interval],
          base_draws: dict[str, np.ndarray]) -> dict[str, Interval]:
    found = {}
    for name in GAPS:
        if name in draws:
            gap = percentile_interval(
                mine[name].value - base[name].value, draws[name] - base_draws[name],
                mine[name].why or f'undefined in the reference: {base[name].why}')
            # The intervals of both hold for few attempts, the draws of their difference do not.
            both = difference_of_shares(mine[name], base[name])
            known = gap.defined and np.isfinite(both.low)
            found[name] = hull(gap, both.low, both.high) if known else replace(
                gap, low=np.nan, high=np.nan, why=gap.why or 'too few attempts for an interval')
        else:
            found[name] = difference_of_shares(mine[name], base[name])
    return found


def _calibrate(one: Pool, own_measures: dict[str, Interval],
               fitted: reliability.Temperature | None, own: float,
               repeats: int) -> dict[str, Calibration]:
    sample = one.scored
    found = {'before': _calibration(sample, repeats, own_measures)}
    if fitted and fitted.fitted:
        scores = (reliability.scale_across(sample) if one.name == fitted.domain
                  else reliability.scale(sample.scores, fitted.value))
        found['after'] = _calibration(Scored(scores, sample.labels, sample.episodes), repeats)
    if own != 1 and len(sample):
        found['undone'] = _calibration(Scored(
            reliability.scale(sample.scores, 1 / own), sample.labels, sample.episodes), repeats)
    return found


def _calibration(sample: Scored, repeats: int,
                 known: dict[str, Interval] | None = None) -> Calibration:
    brier, ece = (known[name] if known else measure_interval(name, sample, repeats=repeats)
                  for name in ('brier', 'ece'))
    return Calibration(sample.scores, brier, ece,
                       reliability.cross_entropy(sample.scores, sample.labels),
                       tuple(reliability.reliability_bins(sample)),
                       reliability.chance_ece(sample.scores))


def _ood(one: Pool, base: Pool, repeats: int) -> OodDetection | None:
    in_distribution, shifted = (x[np.isfinite(x)] for x in (
        pooled.values('ood_score') for pooled in (base, one)))
    if not len(in_distribution) or not len(shifted):
        return None
    level = float(np.quantile(in_distribution, 1 - FALSE_ALARMS))
    both = np.concatenate([shifted, in_distribution])
    of = np.repeat([True, False], [len(shifted), len(in_distribution)])
    episodes = np.concatenate([
        one.episodes[one.known][np.isfinite(one.values('ood_score'))] + len(base.episodes),
        base.episodes[base.known][np.isfinite(base.values('ood_score'))]])
    area = measure_interval('auroc', Scored(both, of, episodes), repeats=repeats)
    if not area.defined:
        area = Interval(why=f'it needs at least {LEAST_OF_EACH} attempts of each domain')
    return OodDetection(area, _share(in_distribution > ALARM), _share(shifted > ALARM), level,
                        _share(shifted > level))


def _share(which: np.ndarray) -> Interval:
    return wilson(int(which.sum()), len(which))
