"""Comparisons of arms that were trained at different times, put together as one."""

from collections.abc import Collection
from typing import Any

from moss_perception.core.errors import ConfigError

from study.comparison import compare_pairs, summarise
from study.table import require_comparison


def merge(results: list[dict[str, Any]], arms: Collection[str] = ()) -> dict[str, Any]:
    """
    Put the runs of several comparisons together, and summarise and test them anew.

    What uncertainties find needs the scores, which are not stored: an arm that is in several
    comparisons keeps that of the one with most of its trainings.

    :param results: as ``compare`` stores them, at least one.
    :param arms: keep these only; empty for all.
    :returns: as ``compare`` stores it.
    :raises ConfigError: if one is no comparison, two are of other scenes, there are two runs of
        one arm and seed, or none of an arm to be kept.
    """
    for result in results:
        require_comparison(result)
    first = results[0]
    for other in results[1:]:
        _require_same_scenes(first, other)
    runs = [run for result in results for run in result['runs']]
    known = {run['arm']: None for run in runs}
    for arm in arms:
        if arm not in known:
            raise ConfigError(f'there is no run of the arm {arm!r}: expected some of '
                              f'{", ".join(known)}')
    runs = [_numbers(run) for run in runs if not arms or run['arm'] in arms]
    machines = list(dict.fromkeys(result['machine'] for result in results))
    merged = {key: {arm: _fullest(results, arm)[key][arm] for arm in dict.fromkeys(
        run['arm'] for run in runs) if arm in _fullest(results, arm)[key]}
        for key in ('costs', 'uncertainty')}
    return first | merged | {'machine': '; '.join(machines), 'runs': runs,
                             'arms': summarise(runs, first['sets']),
                             'pairs': compare_pairs(runs, first['sets'])}


def _numbers(value: Any) -> Any:
    """Make what is undefined NaN again; as JSON it is null."""
    if isinstance(value, dict):
        return {key: _numbers(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_numbers(one) for one in value]
    return float('nan') if value is None else value


def _fullest(results: list[dict[str, Any]], arm: str) -> dict[str, Any]:
    """Return the comparison with most trainings of an arm, the first of several."""
    return max(results, key=lambda one: sum(run['arm'] == arm for run in one['runs']))


def _require_same_scenes(one: dict[str, Any], other: dict[str, Any]) -> None:
    if list(one['sets']) != list(other['sets']):
        raise ConfigError(f'comparisons of the sets {list(one["sets"])} and {list(other["sets"])} '
                          'cannot be put together: expected the same')
    for name, described in one['sets'].items():
        for key in ('scenes', 'seeds', 'attempts', 'success_rate', 'motions', 'families'):
            if described[key] != other['sets'][name][key]:
                raise ConfigError(f'comparisons whose set {name} differs in {key} cannot be put '
                                  'together: expected the same scenes')
