"""A comparison as text, from what was stored of it."""

from typing import Any

from moss_perception.core.errors import ConfigError
from moss_perception.core.tables import markdown

from study.goals import goals, seen_from
from study.monitoring import TIMES_S

FORMAT = 'moss_perception.comparison/2'


def render(result: dict[str, Any], reference: str = '') -> str:
    """Print a comparison: all of its :func:`tables`."""
    return '\n\n'.join(tables(result, reference).values()) + '\n'


def require_comparison(result: Any) -> None:
    """
    Refuse what ``compare`` did not store.

    :raises ConfigError: saying which format was expected.
    """
    if not isinstance(result, dict) or result.get('format') != FORMAT:
        raise ConfigError(f'this is no comparison: expected format {FORMAT!r}')


def tables(result: dict[str, Any], reference: str = '') -> dict[str, str]:
    """
    Write a comparison as titled tables, which are also Markdown.

    :param result: as ``compare`` stores it.
    :param reference: the arm that the others are tested against; empty for ``moss_123``, or
        the last if that is not among them.
    :returns: by name: ``cost``, ``goals``, for each set ``NAME``, ``NAME tests``,
        ``NAME under way``, ``NAME uncertainty``, and ``seeds``, as far as there are results.
    :raises ConfigError: if it is no comparison, or there is no such arm.
    """
    require_comparison(result)
    arms = list(result['arms'])
    reference = reference or ('moss_123' if 'moss_123' in arms else arms[-1])
    if reference not in arms:
        raise ConfigError(f'there is no arm {reference!r}: expected one of {arms}')
    found = {'cost': _costs(result), 'goals': _goals(result, reference)}
    for name, described in result['sets'].items():
        found |= {name: _set(result, name, described), f'{name} tests': _tests(
                      result, name, reference),
                  f'{name} under way': _monitoring(result, name),
                  f'{name} uncertainty': _uncertainty(result, name)}
    found['seeds'] = _seeds(result)
    return {name: text for name, text in found.items() if text}


def _costs(result: dict[str, Any]) -> str:
    rows = []
    for arm, cost in result['costs'].items():
        rows.append([arm, ','.join(map(str, result['arms'][arm]['seeds'])),
                     f'{cost["parameters"]:.0f}', f'{cost["mflop_a_frame"]:.1f}',
                     f'{cost["ms_a_frame"]:.2f}', f'{cost["ms_a_window"]:.1f}'])
    return 'Cost on ' + result['machine'] + '\n\n' + markdown(
        ['arm', 'seeds', 'parameters', 'MFLOP a frame', 'ms a frame', 'ms a window'], rows)


def _goals(result: dict[str, Any], reference: str) -> str:
    rows = [[row['goal'], row['found'], row['wanted'], 'yes' if row['met'] else 'no']
            for row in goals(result, reference)]
    return 'Goals\n\n' + markdown(['goal', 'found', 'wanted', 'met'], rows) if rows else ''


def _set(result: dict[str, Any], name: str, described: dict[str, Any]) -> str:
    kinds = list(next(iter(described['baselines'].values())))
    first = next(iter(result['sets']))
    rows = []
    for arm, summary in result['arms'].items():
        mine = summary['sets'][name]
        total, before = mine['all'], summary['sets'][first]['all']
        rows.append([arm, f'{_percent(total)} [{100 * total["low"]:.1f}, '
                          f'{100 * total["high"]:.1f}]',
                     *(_percent(mine[kind]) for kind in kinds[1:]),
                     f'{_area(total["auroc"])} [{_area(total["auroc_low"])}, '
                     f'{_area(total["auroc_high"])}]',
                     f'{total["brier"]:.3f}', f'{total["ece"]:.3f}',
                     f'{100 * (before["success"] - total["success"]):.1f}'])
    for baseline, values in described['baselines'].items():
        rows.append([baseline, *('-' if values[kind] is None else f'{100 * values[kind]:.1f}'
                                 for kind in kinds), *'-' * 4])
    title = (f'{name}: {described["scenes"]} scenes, {described["attempts"]} attempts, '
             f'{100 * described["success_rate"]:.1f} % of them successful. Success of the chosen '
             'grasp in %, mean over the seeds [95 % interval, scenes drawn with replacement].')
    return title + '\n\n' + markdown(
        ['arm', *kinds, 'AUROC', 'Brier', 'ECE', f'lost since {first}'], rows)


def _tests(result: dict[str, Any], name: str, reference: str) -> str:
    rows = []
    for pair in result['pairs']:
        if pair['set'] != name or reference not in (pair['ours'], pair['theirs']):
            continue
        other = pair['theirs'] if pair['ours'] == reference else pair['ours']
        gap = seen_from(pair, reference)
        rows.append([other, pair['kind'], f'{100 * gap["difference"]:+.1f} '
                     f'[{100 * gap["low"]:+.1f}, {100 * gap["high"]:+.1f}]', f'{gap["p"]:.4f}'])
    if not rows:
        return ''
    title = (f'{name}: success of {reference} less that of another arm, in points, on the same '
             'scenes and seeds [95 % interval, paired bootstrap], and p (signs flipped).')
    return title + '\n\n' + markdown(['other arm', 'motion', 'difference', 'p'], rows)


def _monitoring(result: dict[str, Any], name: str) -> str:
    rows = []
    for arm, summary in result['arms'].items():
        watched = summary['sets'][name].get('monitoring')
        if watched:
            rows += [[arm, 'all', *map(_area, watched['auroc'])],
                     [arm, 'not lost yet', *map(_area, watched['ahead'])]]
            still = watched['lost_later']
    if not rows:
        return ''
    rows.append(['', 'to be lost', *(f'{count:.0f}' for count in still)])
    title = (f'{name}: AUROC of a grasp under way, by the time since its decision: of all that '
             'were watched, and of those that were not lost by then.')
    return title + '\n\n' + markdown(
        ['arm', 'grasps', *(f'{time_s:.1f} s' for time_s in TIMES_S)], rows)


def _uncertainty(result: dict[str, Any], name: str) -> str:
    kinds = ('margin', 'spread', 'information')
    columns = [(key, kind) for key in ('errors', 'beyond_margin', 'shift') for kind in kinds
               if (key, kind) != ('beyond_margin', 'margin')]
    rows = []
    for arm, sets in result['uncertainty'].items():
        mine = sets[name]
        covered = [f'{100 * mine["sets"][key]:.1f}' for key in ('coverage', 'undecided')]
        for source in ('heads', 'trainings'):
            if source in mine:
                rows.append([arm, source, *(_area(mine[source][kind][key])
                                            for key, kind in columns),
                             *(covered if source == 'heads' else '--')])
    title = (f'{name}: what uncertainties find, as AUROC: wrong decisions; wrong decisions among '
             'those of equal margin; attempts of this set among those of the first. And sets that '
             'are to hold the outcome in 90 % (split conformal): how many do, how many leave it '
             'open, in %.')
    return title + '\n\n' + markdown(
        ['arm', 'members', *(f'{key.replace("_", " ")}: {kind}' for key, kind in columns),
         'covered', 'open'], rows)


def _seeds(result: dict[str, Any]) -> str:
    rows = [[run['arm'], str(run['seed']), *(_percent(run['sets'][name]['kinds']['all'])
                                             for name in result['sets'])]
            for arm in result['arms']
            for run in sorted(result['runs'], key=lambda run: run['seed']) if run['arm'] == arm]
    return 'Success of the chosen grasp of each training, in %.\n\n' + markdown(
        ['arm', 'seed', *result['sets']], rows)


def _area(value: float | None) -> str:
    return '-' if value is None else f'{value:.3f}'


def _percent(values: dict[str, float]) -> str:
    return f'{100 * values["success"]:.1f}'
