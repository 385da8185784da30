"""The tables of a stored comparison."""

from collections.abc import Mapping
from typing import Any

from moss_perception.core.errors import ConfigError
from moss_perception.core.tables import markdown

from study.additions import addition_table, ADDITIONS
from study.comparison import require_comparison
from study.goals import cast, difference, goals, ROLES, seen_from, validated
from study.lead_times import lead_time_table, REFERENCES
from study.monitoring import TIMES_S
from study.shift import factor_table, loss_beyond_true_motion
from study.texts import in_points, to_points


def render(result: dict[str, Any], reference: str = '',
           roles: Mapping[str, str] | None = None) -> str:
    """Return all :func:`tables` of a comparison as text."""
    return '\n\n'.join(tables(result, reference, roles).values()) + '\n'


def tables(result: dict[str, Any], reference: str = '',
           roles: Mapping[str, str] | None = None) -> dict[str, str]:
    """
    Write a comparison as titled Markdown tables.

    :param result: a stored comparison.
    :param reference: the variant that the others are tested against; empty for that of the role
        ``moss``, or for the last.
    :param roles: variants that the goals compare, by role, see :func:`study.goals.cast`.
    :returns: by name: ``success``, ``validation``, ``KIND differences`` for each kind of motion,
        each of ``ADDITIONS``, ``cost``, ``goals``, ``factors``, ``beyond true motion``, for each
        set ``NAME``, ``NAME lead times``, ``NAME tests``, ``NAME under way`` and
        ``NAME uncertainty``, and ``seeds``; tables without rows are left out.
    :raises ConfigError: if ``result`` is no comparison, or has no variant ``reference``.
    """
    require_comparison(result)
    variants = list(result['variants'])
    parts = cast(result, roles)
    reference = reference or parts.get('moss', variants[-1])
    if reference not in variants:
        raise ConfigError(f'there is no variant {reference!r}: expected one of {variants}')
    found = {'success': _success(result), 'cost': _costs(result),
             'validation': _validation(result), 'goals': _goals(result, parts),
             'factors': factor_table(result), 'beyond true motion': _beyond(result),
             **{what: addition_table(result, what) for what in ADDITIONS}}
    for kind in dict.fromkeys(pair['kind'] for pair in result['pairs']):
        found[f'{kind} differences'] = _differences(result, reference, kind)
    for name, described in result['sets'].items():
        found |= {name: _set(result, name, described),
                  f'{name} lead times': lead_time_table(result, name),
                  f'{name} tests': _tests(result, name, reference),
                  f'{name} under way': _monitoring(result, name),
                  f'{name} uncertainty': _uncertainty(result, name)}
    found['seeds'] = _seeds(result)
    return {name: text for name, text in found.items() if text}


def _success(result: dict[str, Any]) -> str:
    rows = []
    for variant in result['costs']:
        totals = [one['all'] for one in result['variants'][variant]['sets'].values()]
        rows.append([variant, str(len(result['variants'][variant]['seeds'])),
                     *map(_percent_with_interval, totals)])
    if any('choices' in described for described in result['sets'].values()):
        for name in REFERENCES:
            found = [_baseline(described, name) for described in result['sets'].values()]
            rows += [[name, '-', *found]] if set(found) != {'-'} else []
    return ('Success of the chosen grasp in %, mean over the seeds [95 % interval, bootstrap over '
            'scenes].\n\n') + markdown(['variant', 'seeds', *result['sets']], rows)


def _differences(result: dict[str, Any], reference: str, kind: str) -> str:
    gaps = {other: [difference(result, reference, other, name, kind) for name in result['sets']]
            for other in result['costs'] if other != reference}
    rows = [[other, *(in_points(gap) if gap else '-' for gap in found)]
            for other, found in gaps.items() if any(found)]
    if not rows:
        return ''
    return (f'Motions: {kind}. Success of {reference} minus success of another variant, points, '
            'on the same scenes and seeds [95 % interval, paired bootstrap].\n\n'
            ) + markdown(['other variant', *result['sets']], rows)


def _costs(result: dict[str, Any]) -> str:
    rows = []
    for variant, cost in result['costs'].items():
        rows.append([variant, ','.join(map(str, result['variants'][variant]['seeds'])),
                     f'{cost["parameters"]:.0f}', f'{cost["mflop_a_frame"]:.1f}',
                     f'{cost["mflop_a_step"]:.1f}', f'{cost["ms_a_step"]:.2f}',
                     f'{cost["ms_a_window"]:.1f}'])
    title = (f'Cost on {result["machine"]}: of a frame of a window, of a step of the stream, and '
             'of a whole window; processor times, in torch.\n\n')
    return title + markdown(
        ['variant', 'seeds', 'parameters', 'MFLOP a frame', 'MFLOP a step', 'ms a step',
         'ms a window'], rows)


def _goals(result: dict[str, Any], parts: Mapping[str, str]) -> str:
    rows = [[row['goal'], ','.join(map(str, row['seeds'])), row['found'], row['wanted'],
             'yes' if row['met'] else 'no'] for row in goals(result, parts)]
    missing = [role for role, may in ROLES.items() if role not in parts
               and any(map(may, result['costs']))]
    sentences = ['Goals, with the seeds of the trainings that are compared. Intervals draw '
                 'scenes anew, and not trainings.']
    if parts:
        named = ', '.join(f'{role} is {variant}' for role, variant in parts.items())
        sentences.append(f'Of the roles, {named}.')
    if missing:
        sentences.append(f'Goals of {" and ".join(missing)} are left out: choose variants by '
                         '--validation or --role.')
    text = ' '.join(sentences) + '\n\n' + markdown(
        ['goal', 'seeds', 'found', 'wanted', 'met'], rows)
    return text if rows else ' '.join(sentences) if missing else ''


def _validation(result: dict[str, Any]) -> str:
    success = validated(result)
    rows = [[variant, to_points(value)] for variant, value in sorted(
        success.items(), key=lambda pair: -pair[1])]
    if not rows:
        return ''
    return ('Success of the chosen grasp on the validation sets in %, mean over '
            f'{", ".join(result["validation"])} and the seeds. It chooses variants.\n\n'
            ) + markdown(['variant', 'success'], rows)


def _beyond(result: dict[str, Any]) -> str:
    """Write what each variant loses from the first set beyond what true motion loses."""
    first, *others = result['sets']
    rows = []
    for variant in result['costs']:
        gaps = [loss_beyond_true_motion(result, variant, first, name) for name in others]
        if any(gaps):
            rows.append([variant, *(in_points(gap) if gap else '-' for gap in gaps)])
    if not rows:
        return ''
    return (f'Points of success lost since {first}, minus what the candidate nearest to the true '
            'future place loses [95 % interval, bootstrap over scenes].\n\n'
            ) + markdown(['variant', *others], rows)


def _set(result: dict[str, Any], name: str, described: dict[str, Any]) -> str:
    kinds = list(next(iter(described['baselines'].values())))
    first = next(iter(result['sets']))
    rows = []
    for variant, summary in result['variants'].items():
        mine = summary['sets'][name]
        total, before = mine['all'], summary['sets'][first]['all']
        rows.append([variant, _percent_with_interval(total),
                     *(_percent(mine[kind]) for kind in kinds[1:]),
                     f'{_area(total["auroc"])} [{_area(total["auroc_low"])}, '
                     f'{_area(total["auroc_high"])}]',
                     f'{total["brier"]:.3f}', f'{total["ece"]:.3f}',
                     to_points(before['success'] - total['success'])])
    for baseline, values in described['baselines'].items():
        base = result['sets'][first]['baselines'].get(baseline, {}).get('all')
        lost = '-' if base is None or values['all'] is None or 'choices' not in described else (
            to_points(base - values['all']))
        rows.append([baseline, *('-' if values[kind] is None else f'{100 * values[kind]:.1f}'
                                 for kind in kinds), *'-' * 3, lost])
    title = (f'{name}: {described["scenes"]} scenes, {described["attempts"]} attempts, '
             f'{100 * described["success_rate"]:.1f} % of them successful. Success of the chosen '
             'grasp in %, mean over the seeds [95 % interval, bootstrap over scenes].')
    return title + '\n\n' + markdown(
        ['variant', *kinds, 'AUROC', 'Brier', 'ECE', f'lost since {first}'], rows)


def _tests(result: dict[str, Any], name: str, reference: str) -> str:
    rows = []
    for pair in result['pairs']:
        if pair['set'] != name or reference not in (pair['ours'], pair['theirs']):
            continue
        other = pair['theirs'] if pair['ours'] == reference else pair['ours']
        gap = seen_from(pair, reference)
        rows.append([other, pair['kind'], in_points(gap), f'{gap["p"]:.4f}'])
    if not rows:
        return ''
    title = (f'{name}: success of {reference} minus success of another variant, in points, on the '
             'same scenes and seeds [95 % interval, paired bootstrap], and p (sign-flip test).')
    return title + '\n\n' + markdown(['other variant', 'motion', 'difference', 'p'], rows)


def _monitoring(result: dict[str, Any], name: str) -> str:
    rows = []
    for variant, summary in result['variants'].items():
        monitored = summary['sets'][name].get('monitoring')
        if monitored:
            rows += [[variant, 'all', *map(_area, monitored['auroc'])],
                     [variant, 'not lost yet', *map(_area, monitored['auroc_not_lost'])]]
            lost_later = monitored['lost_later']
    if not rows:
        return ''
    rows.append(['', 'lost later', *(f'{count:.0f}' for count in lost_later)])
    title = (f'{name}: AUROC of the score while a grasp is executed, by the time since the '
             'decision: of all monitored grasps, and of those not lost by then.')
    return title + '\n\n' + markdown(
        ['variant', 'grasps', *(f'{time_s:.1f} s' for time_s in TIMES_S)], rows)


def _uncertainty(result: dict[str, Any], name: str) -> str:
    kinds = ('margin', 'spread', 'information')
    columns = [(key, kind) for key in ('errors', 'beyond_margin', 'shift') for kind in kinds
               if (key, kind) != ('beyond_margin', 'margin')]
    rows = []
    for variant, sets in result['uncertainty'].items():
        mine = sets[name]
        covered = [f'{100 * mine["conformal"][key]:.1f}' for key in ('coverage', 'undecided')]
        for source in ('heads', 'trainings'):
            if source in mine:
                rows.append([variant, source, *(_area(mine[source][kind][key])
                                                for key, kind in columns),
                             *(covered if source == 'heads' else '--')])
    title = (f'{name}: AUROC of each uncertainty for detecting wrong decisions, wrong decisions '
             'among attempts of equal margin, and attempts of this set among those of the first '
             'set. Split conformal sets at 90 %: share that contain the outcome, and share that '
             'leave it open, in %.')
    return title + '\n\n' + markdown(
        ['variant', 'members', *(f'{key.replace("_", " ")}: {kind}' for key, kind in columns),
         'covered', 'open'], rows)


def _seeds(result: dict[str, Any]) -> str:
    rows = [[run['variant'], str(run['seed']), *(_percent(run['sets'][name]['kinds']['all'])
                                                 for name in result['sets'])]
            for variant in result['variants']
            for run in sorted(result['runs'], key=lambda run: run['seed'])
            if run['variant'] == variant]
    return 'Success of the chosen grasp of each training, in %.\n\n' + markdown(
        ['variant', 'seed', *result['sets']], rows)


def _baseline(described: dict[str, Any], name: str) -> str:
    value = described['baselines'].get(name, {}).get('all')
    return '-' if value is None else f'{100 * value:.1f}'


def _area(value: float | None) -> str:
    return '-' if value is None else f'{value:.3f}'


def _percent(values: dict[str, Any]) -> str:
    return f'{100 * values["success"]:.1f}'


def _percent_with_interval(total: dict[str, Any]) -> str:
    if total['low'] is None:
        return f'{_percent(total)} [-, -]'
    return f'{_percent(total)} [{100 * total["low"]:.1f}, {100 * total["high"]:.1f}]'
