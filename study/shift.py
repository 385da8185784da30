"""What each factor of the shift costs: sets of the same seeds in several domains, paired."""

from typing import Any

from moss_perception.core.errors import ConfigError
from moss_perception.core.tables import markdown
from moss_perception.evaluation.intervals import (
    draw,
    mean_interval,
    percentile_interval,
)
from moss_perception.evaluation.metrics import auroc, Scored, value_of
import numpy as np

from study.texts import in_points, read_digits

# The interval of AUROC is the slowest part of a comparison.
_REPEATS = 300
# Choices without a model that the losses of networks are compared with.
CEILINGS = ('true_motion', 'oracle')


def describe_seeds(seeds: np.ndarray) -> dict[str, list[int]]:
    """
    Describe the seeds of scenes so that :func:`seeds_of` can tell them again.

    :param seeds: int, shape ``(N,)``.
    :returns: ``seeds``, the lowest and the highest; and ``left_out``, those between that no scene
        has, if the seeds are ascending.
    """
    low, high = int(seeds.min()), int(seeds.max())
    described = {'seeds': [low, high]}
    if (np.diff(seeds) > 0).all():
        described['left_out'] = np.setdiff1d(np.arange(low, high + 1), seeds).tolist()
    return described


def seeds_of(described: dict[str, Any]) -> np.ndarray | None:
    """Return the seed of each scene of a described set; ``None`` if it does not tell."""
    if 'left_out' not in described:
        return None
    low, high = described['seeds']
    return np.setdiff1d(np.arange(low, high + 1), described['left_out'])


def pairings(sets: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return for each set the first set before it that has some of its seeds, if there is one."""
    seeds = {name: seeds_of(described) for name, described in sets.items()}
    found: dict[str, str] = {}
    for number, (name, mine) in enumerate(seeds.items()):
        for other in list(seeds)[:number]:
            theirs = seeds[other]
            if (other not in found and mine is not None and theirs is not None
                    and len(np.intersect1d(mine, theirs))):
                found[name] = other
                break
    return found


def common(sets: dict[str, dict[str, Any]], name: str,
           base: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the scenes of two sets that have the same seeds, in one order."""
    mine, theirs = seeds_of(sets[name]), seeds_of(sets[base])
    if mine is None or theirs is None:
        raise ConfigError(f'the sets {name} and {base} do not tell the seeds of their scenes: '
                          'expected results of compare --runs')
    _, ours, other = np.intersect1d(mine, theirs, return_indices=True)
    return ours, other


def auroc_since(scores: dict[str, np.ndarray], attempts: dict[str, Any],
                sets: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """
    Measure how much AUROC each set loses or wins since the set that it is paired with.

    :param scores: by set, shape ``(attempts,)``.
    :param attempts: by set, with ``labels`` and ``groups``.
    :param sets: descriptions of the sets.
    :returns: by paired set, ``auroc`` with its 95 % interval ``low`` to ``high`` (bootstrap over
        the scenes that both have).
    """
    found = {}
    for name, base in pairings(sets).items():
        samples = [_part(scores[one], attempts[one], where) for one, where in zip(
            (name, base), common(sets, name, base), strict=True)]
        drawn = [draw(sample, {'it': auroc}, repeats=_REPEATS)['it'] for sample in samples]
        values = [value_of(auroc, sample) for sample in samples]
        gap = percentile_interval(values[0] - values[1], drawn[0] - drawn[1])
        found[name] = {'auroc': gap.value, 'low': gap.low, 'high': gap.high}
    return found


def _part(scores: np.ndarray, attempts: Any, where: np.ndarray) -> Scored:
    """Take the attempts of some scenes; a scene's number is its place among them."""
    place = np.full(attempts.groups.max() + 1, -1)
    place[where] = np.arange(len(where))
    episodes = place[attempts.groups]
    kept = episodes >= 0
    return Scored.of(scores[kept], attempts.labels[kept], episodes[kept])


def losses(result: dict[str, Any], variant: str) -> dict[str, dict[str, Any]]:
    """
    Return what each paired set costs a variant, or one of ``CEILINGS``.

    :param result: a stored comparison.
    :returns: by set: ``base``, the set it is paired with; ``scenes`` that both have; the
        ``difference`` of success with its interval ``low`` to ``high`` (paired bootstrap); and
        ``auroc``, ``auroc_low`` and ``auroc_high``, mean over the trainings, ``None`` for
        ceilings.
    """
    sets, found = result['sets'], {}
    for name, base in pairings(sets).items():
        mine, theirs = common(sets, name, base)
        chosen = [success_of(result, variant, one) for one in (name, base)]
        if chosen[0] is None or chosen[1] is None:
            continue
        gap = mean_interval(chosen[0][mine] - chosen[1][theirs])
        areas = [run['sets'][name]['since'] for run in result['runs']
                 if run['variant'] == variant and 'since' in run['sets'][name]]
        found[name] = {'base': base, 'scenes': len(mine), 'difference': gap.value, 'low': gap.low,
                       'high': gap.high,
                       **{key: _mean([one[source] for one in areas]) for key, source in (
                           ('auroc', 'auroc'), ('auroc_low', 'low'), ('auroc_high', 'high'))}}
    return found


def loss_beyond_true_motion(result: dict[str, Any], variant: str, before: str,
                            after: str) -> dict[str, float] | None:
    """
    Return what a variant loses from a set to another, minus what ``true_motion`` loses.

    :returns: ``difference`` of success with its 95 % interval ``low`` to ``high`` (bootstrap over
        the scenes, of each set by itself unless they have the same seeds); ``None`` if a set or
        the choices of true motion are not stored.
    """
    sets = result['sets']
    if before not in sets or after not in sets:
        return None
    beyond = []
    for name in (before, after):
        mine, truth = (success_of(result, one, name) for one in (variant, 'true_motion'))
        if mine is None or truth is None:
            return None
        beyond.append(mine - truth)
    paired = pairings({name: sets[name] for name in (before, after)})
    if paired:
        after_where, before_where = common(sets, after, before)
        gap = mean_interval(beyond[0][before_where] - beyond[1][after_where])
    else:
        first, second = (draw(Scored.of(values, np.zeros(len(values))), {'it': _mean_of},
                              seed=number)['it'] for number, values in enumerate(beyond))
        gap = percentile_interval(beyond[0].mean() - beyond[1].mean(), first - second)
    return {'difference': gap.value, 'low': gap.low, 'high': gap.high}


def _mean_of(sample: Scored, weights: np.ndarray) -> np.ndarray:
    return weights @ sample.scores / weights.sum(axis=1)


def success_of(result: dict[str, Any], variant: str, name: str) -> np.ndarray | None:
    """
    Return the success of a variant or baseline in each scene, mean over the trainings.

    :returns: float64, shape ``(scenes,)``; ``None`` if it is not stored.
    """
    choices = result['sets'][name].get('choices', {})
    if variant in choices:
        return read_digits(choices[variant])
    found = [read_digits(run['sets'][name]['chosen']) for run in result['runs']
             if run['variant'] == variant]
    return np.mean(found, axis=0) if found else None


def _mean(values: list) -> float | None:
    values = [value for value in values if value is not None and not np.isnan(value)]
    return float(np.mean(values)) if values else None


def factor_name(described: dict[str, Any], name: str) -> str:
    """Name what a set shifts: ``all`` for everything, else the factor or group of its domain."""
    shift, _, factor = described.get('domain', '').partition('.')
    return factor.replace('_', ' ') or ('everything' if shift == 'shifted' else name)


def factor_table(result: dict[str, Any]) -> str:
    """Write what each paired set costs each variant; empty if no sets are paired."""
    rows = []
    for variant in (*result['costs'], *CEILINGS):
        for name, one in losses(result, variant).items():
            rows.append([factor_name(result['sets'][name], name), variant, str(one['scenes']),
                         in_points(one), _area(one)])
    if not rows:
        return ''
    order = list(dict.fromkeys(row[0] for row in rows))
    rows.sort(key=lambda row: order.index(row[0]))
    bases = ', '.join(dict.fromkeys(pairings(result['sets']).values()))
    title = (f'Change since {bases} of the same seeds: success of the chosen grasp in points, and '
             'AUROC [95 % interval, paired bootstrap over scenes].')
    return title + '\n\n' + markdown(['shifted', 'variant', 'scenes', 'success', 'AUROC'], rows)


def _area(one: dict[str, Any]) -> str:
    if one['auroc'] is None:
        return '-'
    ends = ', '.join('-' if one[key] is None else f'{one[key]:+.3f}'
                     for key in ('auroc_low', 'auroc_high'))
    return f'{one["auroc"]:+.3f} [{ends}]'
