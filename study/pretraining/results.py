"""The results of pretraining: tables, and a yes or no that the interval decides."""

from collections.abc import Mapping
from typing import Any

from moss_perception.core.tables import markdown

from study.goals import difference
from study.pretraining.plan import ORDINARY, PRETRAINED, STARTS
from study.texts import in_points, read_digits, to_points

FORMAT = 'moss_perception.pretraining/2'
_SHIFTED = 'shifted'


def tables(result: Mapping[str, Any]) -> dict[str, str]:
    """
    Write the results in Markdown.

    :returns: ``answer``, ``success`` and ``tasks``.
    """
    return {'answer': answer(result['comparison']), 'success': _success(result),
            'tasks': _tasks(result)}


def answer(comparison: dict[str, Any]) -> str:
    """
    Say whether pretraining helps under the shift.

    Help and harm take an interval of the paired difference that excludes 0, which is over scenes,
    and seeds that all differ to the same side, since trainings differ too. Else no help is shown.

    :param comparison: as study.compare stores it; its set ``shifted`` decides, or its last one.
    """
    name = _SHIFTED if _SHIFTED in comparison['sets'] else list(comparison['sets'])[-1]
    gap = difference(comparison, PRETRAINED, ORDINARY, name, 'all')
    if gap is None or gap['low'] is None:
        return '**Not known**: there is no interval.'
    seeds = seed_differences(comparison, name)
    text = (f'{in_points(gap)} points of success on {name}, p = {gap["p"]:.3f}; '
            f'by seed: {_by_seed(seeds)}')
    sides = {(value > 0) - (value < 0) for value in seeds.values()}
    if len(seeds) < 2:
        return f'**It cannot be told**: that takes two seeds or more. {text}.'
    if gap['low'] > 0 and sides == {1}:
        return f'**Yes**: pretraining on real clips helps. {text}.'
    if gap['high'] < 0 and sides == {-1}:
        return f'**No**: pretraining on real clips harms. {text}.'
    why = ('the interval has 0' if gap['low'] <= 0 <= gap['high'] else
           'the seeds differ to both sides')
    return f'**No**: no help can be shown, {why}. {text}.'


def seed_differences(comparison: Mapping[str, Any], name: str) -> dict[int, float]:
    """
    Return the paired difference of success on a set by seed, pretrained minus ordinary.

    :param comparison: as study.compare stores it.
    :returns: shares, of the seeds that were trained from both starts.
    """
    found: dict[str, dict[int, float]] = {start: {} for start in STARTS}
    for run in comparison['runs']:
        if run['variant'] not in found:
            # One with fewer orders of a network that was trained for that.
            continue
        found[run['variant']][run['seed']] = float(
            read_digits(run['sets'][name]['chosen']).mean())
    both = sorted(found[PRETRAINED].keys() & found[ORDINARY].keys())
    return {seed: found[PRETRAINED][seed] - found[ORDINARY][seed] for seed in both}


def _by_seed(seeds: Mapping[int, float]) -> str:
    return ', '.join(f'{seed}: {to_points(value, "+")}' for seed, value in seeds.items())


def _success(result: Mapping[str, Any]) -> str:
    comparison = result['comparison']
    seeds = min(len(one['seeds']) for one in comparison['variants'].values())
    rows = []
    for name in comparison['sets']:
        gap = difference(comparison, PRETRAINED, ORDINARY, name, 'all')
        rows.append([name, str(comparison['sets'][name]['scenes']), *(
            f'{100 * comparison["variants"][start]["sets"][name]["all"]["success"]:.1f}'
            for start in STARTS), in_points(gap) if gap else '-',
            _by_seed(seed_differences(comparison, name))])
    return (f'Success of the chosen grasp of `{result["variant"]}` in %, mean over {seeds} '
            f'trainings from each start, of one pretraining; difference in points [95 %, by '
            'scene].\n\n' + markdown(
                ['set', 'scenes', *STARTS, 'difference', 'difference by seed'], rows))


def _tasks(result: Mapping[str, Any]) -> str:
    on, accuracy = (result['pretraining'][key] for key in ('on', 'accuracy'))
    rows = [[name, str(one['questions']), '-' if one['right'] is None else
             f'{100 * one["right"]:.1f}', f'{100 * one["blind"]:.1f}']
            for name, one in accuracy.items()]
    return (f'Pretraining: {on["seen"]} clips seen, of {on["clips"]}; asked about '
            f'{on["held_out"]} clips of other groups. Right answers in %.\n\n' + markdown(
                ['task', 'questions', 'right', 'most frequent answer'], rows))
