"""Compare model variants over seeds and sets of scenes: plain values in, plain values out."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from moss_perception.core.errors import ConfigError
from moss_perception.evaluation import intervals, scene_scores
from moss_perception.evaluation.metrics import auroc, brier, ece, Scored, value_of
import numpy as np

from study.lead_times import LeadTimes, REFERENCES
from study.shift import describe_seeds
from study.texts import read_digits, write_digits

FORMAT = 'moss_perception.comparison/3'
# The interval of AUROC is the slowest part of a comparison.
_AUROC_REPEATS = 300


@dataclass(frozen=True)
class Attempts:
    """
    All attempts of a set of scenes, scene after scene.

    :ivar labels: bool, shape ``(N,)``: whether each attempt succeeded.
    :ivar groups: int, shape ``(N,)``: index of the attempt's scene, from 0.
    :ivar motions: kind of motion of each scene.
    :ivar families: object family of each scene.
    :ivar seeds: seed of each scene.
    :ivar baselines: by name, float, shape ``(scenes,)``: success of a choice without a model.
    :ivar domain: where the images come from; empty if the scenes differ or do not tell.
    :ivar lead_times: what happens at their other lead times; ``None`` if they have one each.
    """

    labels: np.ndarray
    groups: np.ndarray
    motions: np.ndarray
    families: np.ndarray
    seeds: np.ndarray
    baselines: dict[str, np.ndarray]
    domain: str = ''
    lead_times: LeadTimes | None = None

    @classmethod
    def of(cls, scenes: list) -> 'Attempts':
        """Collect the attempts of scenes (:class:`moss_perception.data.schema.Sample`)."""
        counts = [len(scene.outcomes) for scene in scenes]
        domains = {scene.domain for scene in scenes}
        return cls(np.concatenate([scene.outcomes for scene in scenes]),
                   np.repeat(np.arange(len(scenes)), counts),
                   np.array([scene.motion for scene in scenes]),
                   np.array([getattr(scene, 'family', '') or scene.shape for scene in scenes]),
                   np.array([scene.seed for scene in scenes]), scene_scores.baselines(scenes),
                   domains.pop() if len(domains) == 1 else '', LeadTimes.of(scenes))

    def describe(self) -> dict[str, Any]:
        """Describe the set, with the success of the baselines that use no model."""
        kinds = kinds_of(self.motions)
        later = {'lead_times': self.lead_times.describe()} if self.lead_times else {}
        return {'scenes': len(self.motions), 'attempts': len(self.labels), 'domain': self.domain,
                **describe_seeds(self.seeds), **later,
                'choices': {name: write_digits(values) for name, values in self.baselines.items()
                            if name in REFERENCES and np.isfinite(values).all()},
                'success_rate': float(self.labels.mean()), 'motions': self.motions.tolist(),
                'families': self.families.tolist(),
                'baselines': {name: {kind: float(values[where].mean())
                                     for kind, where in kinds.items()}
                              for name, values in self.baselines.items()}}


def kinds_of(motions: np.ndarray) -> dict[str, np.ndarray]:
    """Return a mask of scenes for ``all``, ``moving``, and each kind of motion."""
    motions = np.asarray(motions)
    kinds = {'all': np.ones(len(motions), bool), 'moving': motions != 'still'}
    kinds |= {str(name): motions == name for name in np.unique(motions)}
    return {name: where for name, where in kinds.items() if where.any()}


def measure(scores: np.ndarray, attempts: Attempts) -> dict[str, Any]:
    """
    Measure one network on one set of scenes.

    :param scores: probabilities of success, shape ``(N,)``.
    :returns: ``chosen``, one digit a scene, 1 if the candidate with the best score succeeded;
        ``kinds``, by kind of motion ``success``, ``auroc``, ``brier`` and ``ece``; and the 95 %
        interval ``auroc_low`` to ``auroc_high``.
    """
    chosen = scene_scores.chosen_success(scores, attempts.labels, attempts.groups)
    result: dict[str, Any] = {'chosen': write_digits(chosen), 'kinds': {}}
    for kind, where in kinds_of(attempts.motions).items():
        some = where[attempts.groups]
        sample = Scored.of(scores[some], attempts.labels[some])
        result['kinds'][kind] = {
            'success': float(chosen[where].mean()),
            **{name: value_of(one, sample)
               for name, one in (('auroc', auroc), ('brier', brier), ('ece', ece))}}
    area = intervals.bootstrap_interval(
        auroc, Scored.of(scores, attempts.labels, attempts.groups), repeats=_AUROC_REPEATS)
    return result | {'auroc_low': area.low, 'auroc_high': area.high}


def summarise(runs: list[dict], sets: dict[str, dict]) -> dict[str, Any]:
    """
    Average the seeds of each variant.

    :param runs: each with ``variant``, ``seed`` and ``sets``: what :func:`measure` returned, by
        set.
    :param sets: what :meth:`Attempts.describe` returned, by set.
    :returns: by variant, set and kind of motion: the mean of each metric over the seeds, the 95 %
        interval of success (bootstrap over scenes), and the smallest and largest success of a
        seed. The interval of AUROC is the mean of the seeds' intervals. ``monitoring`` holds the
        mean of each list.
    """
    variants: dict[str, Any] = {}
    for variant, seeds in by_variant(runs).items():
        variants[variant] = {'seeds': sorted(seeds), 'sets': {}}
        for name, described in sets.items():
            found = [run['sets'][name] for run in seeds.values()]
            chosen = np.array([read_digits(one['chosen']) for one in found])
            summary = {kind: _average([one['kinds'][kind] for one in found], chosen[:, where])
                       for kind, where in kinds_of(described['motions']).items()}
            summary['all'] |= {
                key: _mean([one[key] for one in found]) for key in ('auroc_low', 'auroc_high')}
            monitored = [one['monitoring'] for one in found if 'monitoring' in one]
            if monitored:
                summary['monitoring'] = {
                    key: [_mean(values) for values in zip(*(one[key] for one in monitored),
                                                          strict=True)]
                    for key, first in monitored[0].items() if isinstance(first, list)}
            variants[variant]['sets'][name] = summary
    return variants


def _average(found: list[dict], chosen: np.ndarray) -> dict[str, float]:
    mean = intervals.mean_interval(chosen.mean(axis=0))
    each = chosen.mean(axis=1)
    return {**{key: _mean([one[key] for one in found]) for key in found[0]},
            'low': mean.low, 'high': mean.high,
            'least': float(each.min()), 'most': float(each.max())}


def _mean(values: list[float]) -> float:
    """Average the values that are not NaN."""
    values = [value for value in values if not np.isnan(value)]
    return float(np.mean(values)) if values else float('nan')


def by_variant(runs: list[dict]) -> dict[str, dict[int, dict]]:
    """
    Group runs by variant and seed.

    :raises ConfigError: if two runs have the same variant and seed.
    """
    variants: dict[str, dict[int, dict]] = {}
    for run in runs:
        seeds = variants.setdefault(run['variant'], {})
        if run['seed'] in seeds:
            raise ConfigError(f'there are two runs of the variant {run["variant"]} with seed '
                              f'{run["seed"]}: expected one')
        seeds[run['seed']] = run
    return variants


def compare_pairs(runs: list[dict], sets: dict[str, dict],
                  known: Iterable[dict[str, Any]] = ()) -> list[dict[str, Any]]:
    """
    Test every pair of variants on the same scenes and on the seeds that both have.

    :param known: tests of the same runs, which are not done again.
    :returns: ``ours``, ``theirs``, ``set``, ``kind``, ``seeds``, and the result of
        :func:`moss_perception.evaluation.intervals.paired_test`.
    """
    variants, found = by_variant(runs), []
    done = {(one['ours'], one['theirs'], one['set'], one['kind'], *one['seeds']): one
            for one in known}
    for one, other in combinations(variants, 2):
        seeds = sorted(set(variants[one]) & set(variants[other]))
        if not seeds:
            continue
        for name, described in sets.items():
            ours, theirs = (np.array([read_digits(variants[variant][seed]['sets'][name]['chosen'])
                                      for seed in seeds]) for variant in (other, one))
            for kind, where in kinds_of(described['motions']).items():
                found.append(done.get((other, one, name, kind, *seeds)) or {
                    'ours': other, 'theirs': one, 'set': name, 'kind': kind, 'seeds': seeds,
                    **intervals.paired_test(ours[:, where], theirs[:, where])})
    return found


def require_comparison(result: Any) -> None:
    """
    Check that a value is a stored comparison.

    :raises ConfigError: if it has another format.
    """
    found = result.get('format') if isinstance(result, dict) else None
    if found != FORMAT:
        raise ConfigError(f'this is no comparison: its format is {found!r}, expected {FORMAT!r}; '
                          'make it again with compare --runs')


def merge(results: list[dict[str, Any]], variants: Collection[str] = ()) -> dict[str, Any]:
    """
    Merge comparisons of variants that were trained at different times.

    Means and tests are computed again, but for tests of the same runs. Uncertainties need the
    scores, which are not stored: a variant that several comparisons have keeps the values of the
    one with most of its runs.

    :param results: stored comparisons, at least one.
    :param variants: variants to keep; empty for all.
    :returns: a comparison, as ``compare`` stores it.
    :raises ConfigError: if a value is no comparison, two differ in their scenes, two runs have
        the same variant and seed, or a variant to keep has no run.
    """
    for result in results:
        require_comparison(result)
    first = results[0]
    for other in results[1:]:
        _require_same_scenes(first, other)
    runs = [run for result in results for run in result['runs']]
    known = dict.fromkeys(run['variant'] for run in runs)
    for variant in variants:
        if variant not in known:
            raise ConfigError(f'there is no run of the variant {variant!r}: expected one of '
                              f'{", ".join(known)}')
    runs = [_restore_nan(run) for run in runs if not variants or run['variant'] in variants]
    merged: dict[str, dict] = {'costs': {}, 'uncertainty': {}}
    for variant in dict.fromkeys(run['variant'] for run in runs):
        source = _fullest(results, variant)
        for key, values in merged.items():
            if variant in source[key]:
                values[variant] = source[key][variant]
    machines = dict.fromkeys(result['machine'] for result in results)
    return first | merged | {'machine': '; '.join(machines), 'runs': runs,
                             'variants': summarise(runs, first['sets']),
                             'pairs': compare_pairs(runs, first['sets'], [
                                 pair for result in results for pair in result['pairs']])}


def _restore_nan(value: Any) -> Any:
    """Replace ``None`` with NaN: JSON stores undefined numbers as null."""
    if isinstance(value, dict):
        return {key: _restore_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_restore_nan(one) for one in value]
    return float('nan') if value is None else value


def _fullest(results: list[dict[str, Any]], variant: str) -> dict[str, Any]:
    """Return the first of the comparisons that have most runs of a variant."""
    return max(results, key=lambda one: sum(run['variant'] == variant for run in one['runs']))


def _require_same_scenes(one: dict[str, Any], other: dict[str, Any]) -> None:
    if list(one['sets']) != list(other['sets']):
        raise ConfigError(f'comparisons of the sets {list(one["sets"])} and {list(other["sets"])} '
                          'cannot be merged: expected the same sets')
    for name, described in one['sets'].items():
        for key in ('scenes', 'seeds', 'attempts', 'success_rate', 'motions', 'families'):
            if described[key] != other['sets'][name][key]:
                raise ConfigError(f'comparisons whose set {name} differs in {key} cannot be '
                                  'merged: expected the same scenes')
