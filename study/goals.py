"""What the arms were to show, held against what was stored of them."""

from typing import Any

# Points of success on the shifted scenes above the best arm without MOSS, and how much of that
# arm's loss from simulation may remain.
MOVING_POINTS, ALL_POINTS, LOSS_SHARE = 10.0, 4.7, 0.5
# Each order, where it should add to those below.
_ORDERS = (('moss_12', 'moss_1', 'accelerating'), ('moss_12', 'moss_1', 'braking'),
           ('moss_123', 'moss_12', 'oscillating'))


def difference(result: dict[str, Any], ours: str, theirs: str, name: str,
               kind: str) -> dict[str, float] | None:
    """
    Look up how two arms differ in a set.

    :param result: as ``compare`` stores it.
    :returns: success of ``ours`` less that of ``theirs``, its interval ``low`` to ``high``, and
        ``p``; ``None`` if they were not compared.
    """
    for pair in result['pairs']:
        if (pair['set'], pair['kind']) != (name, kind) or {ours, theirs} != {
                pair['ours'], pair['theirs']}:
            continue
        return seen_from(pair, ours)
    return None


def seen_from(pair: dict[str, Any], ours: str) -> dict[str, float]:
    """Return the difference of a stored pair, its interval and ``p``, from one of its arms."""
    sign = 1 if pair['ours'] == ours else -1
    low, high = sorted((sign * pair['low'], sign * pair['high']))
    return {'difference': sign * pair['difference'], 'low': low, 'high': high, 'p': pair['p']}


def best_without(result: dict[str, Any], name: str, kind: str) -> str | None:
    """Return the arm without MOSS that succeeds most often; ``None`` if there is none."""
    others = [arm for arm in result['costs'] if not arm.startswith('moss')]
    return max(others, default=None,
               key=lambda arm: result['arms'][arm]['sets'][name][kind]['success'])


def goals(result: dict[str, Any], ours: str, shifted: str = 'shifted') -> list[dict[str, Any]]:
    """
    Hold the goals against the results; those whose arms or motions are missing are left out.

    :param result: as ``compare`` stores it; losses count from its first set.
    :param ours: the arm with MOSS that the goals are about.
    :param shifted: name of the shifted set.
    :returns: ``goal``, ``found`` (text), ``wanted`` (text) and ``met``.
    """
    first = next(iter(result['sets']))
    rows = []
    if shifted in result['sets']:
        for kind, points in (('moving', MOVING_POINTS), ('all', ALL_POINTS)):
            other = best_without(result, shifted, kind)
            gap = difference(result, ours, other, shifted, kind) if other else None
            if gap:
                rows.append(_row(f'{shifted}, {kind}: {ours} above {other}, the best without '
                                 'MOSS', gap, points))
        rows += _loss(result, ours, first, shifted)
    for one, other, kind in _ORDERS:
        for name in result['sets']:
            gap = difference(result, one, other, name, kind)
            if gap:
                rows.append(_row(f'{name}, {kind}: {one} above {other}', gap, 0.0))
    return rows


def _row(goal: str, gap: dict[str, float], points: float) -> dict[str, Any]:
    low, middle, high = (100 * gap[key] for key in ('low', 'difference', 'high'))
    if points:
        return {'goal': goal, 'found': f'{middle:+.1f} [{low:+.1f}, {high:+.1f}] points',
                'wanted': f'at least {points:g}', 'met': middle >= points}
    # Above nothing: only what chance does not explain counts.
    return {'goal': goal, 'found': f'{middle:+.1f} [{low:+.1f}, {high:+.1f}] points',
            'wanted': 'an interval above 0', 'met': low > 0}


def _loss(result: dict[str, Any], ours: str, first: str, shifted: str) -> list[dict[str, Any]]:
    other = best_without(result, shifted, 'all')
    if other is None or ours not in result['arms']:
        return []
    mine, theirs = (100 * (sets[first]['all']['success'] - sets[shifted]['all']['success'])
                    for sets in (result['arms'][arm]['sets'] for arm in (ours, other)))
    return [{'goal': f'points lost from {first} to {shifted}: {ours} against {other}',
             'found': f'{mine:.1f} against {theirs:.1f}',
             'wanted': f'at most {LOSS_SHARE:g} of it', 'met': mine <= LOSS_SHARE * theirs}]
