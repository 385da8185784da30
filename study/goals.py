"""The goals of the study, checked against stored results."""

from typing import Any

# Points of success on the shifted scenes above the best variant without MOSS, and the share of
# that variant's loss from simulation to the shifted scenes that is allowed.
MOVING_POINTS, ALL_POINTS, LOSS_SHARE = 10.0, 4.7, 0.5
# Each order, with the motions on which it should improve on the orders below.
_ORDERS = (('moss_12', 'moss_1', 'accelerating'), ('moss_12', 'moss_1', 'braking'),
           ('moss_123', 'moss_12', 'oscillating'))


def difference(result: dict[str, Any], ours: str, theirs: str, name: str,
               kind: str) -> dict[str, Any] | None:
    """
    Look up the difference of two variants on a set.

    :param result: a stored comparison.
    :returns: success of ``ours`` minus success of ``theirs``, its interval ``low`` to ``high``,
        and ``p``; ``None`` if the two were not compared.
    """
    for pair in result['pairs']:
        if (pair['set'], pair['kind']) != (name, kind) or {ours, theirs} != {
                pair['ours'], pair['theirs']}:
            continue
        return seen_from(pair, ours)
    return None


def seen_from(pair: dict[str, Any], ours: str) -> dict[str, Any]:
    """
    Return a stored difference with the sign of one of its variants.

    :returns: ``difference``, its interval ``low`` to ``high``, and ``p``. Both ends are ``None``
        if there were fewer than two scenes.
    """
    sign = 1 if pair['ours'] == ours else -1
    low, high = pair['low'], pair['high']
    if low is not None:
        low, high = sorted((sign * low, sign * high))
    return {'difference': sign * pair['difference'], 'low': low, 'high': high, 'p': pair['p']}


def best_without(result: dict[str, Any], name: str, kind: str) -> str | None:
    """Return the variant without MOSS with the highest success; ``None`` if there is none."""
    others = [variant for variant in result['costs'] if not variant.startswith('moss')]
    return max(others, default=None,
               key=lambda variant: result['variants'][variant]['sets'][name][kind]['success'])


def goals(result: dict[str, Any], ours: str, shifted: str = 'shifted') -> list[dict[str, Any]]:
    """
    Check the goals; goals whose variants or motions are missing are left out.

    :param result: a stored comparison; losses are relative to its first set.
    :param ours: the variant with MOSS that the goals refer to.
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


def in_points(gap: dict[str, Any]) -> str:
    """Write a difference from :func:`seen_from` and its interval, in points."""
    if gap['low'] is None:
        return f'{to_points(gap["difference"], "+")} [-, -]'
    middle, low, high = (to_points(gap[key], '+') for key in ('difference', 'low', 'high'))
    return f'{middle} [{low}, {high}]'


def to_points(share: float, sign: str = '') -> str:
    """
    Write a share in points, with one decimal; 0.0 has no sign.

    :param sign: ``+`` to give positive numbers a sign.
    """
    text = f'{100 * share:{sign}.1f}'
    return '0.0' if float(text) == 0 else text


def _row(goal: str, gap: dict[str, Any], points: float) -> dict[str, Any]:
    found = f'{in_points(gap)} points'
    if points:
        return {'goal': goal, 'found': found, 'wanted': f'at least {points:g}',
                'met': 100 * gap['difference'] >= points}
    # "Better at all" is met only where chance does not explain the difference.
    return {'goal': goal, 'found': found, 'wanted': 'an interval above 0',
            'met': gap['low'] is not None and gap['low'] > 0}


def _loss(result: dict[str, Any], ours: str, first: str, shifted: str) -> list[dict[str, Any]]:
    other = best_without(result, shifted, 'all')
    if other is None or ours not in result['variants']:
        return []
    mine, theirs = (100 * (sets[first]['all']['success'] - sets[shifted]['all']['success'])
                    for sets in (result['variants'][one]['sets'] for one in (ours, other)))
    return [{'goal': f'points lost from {first} to {shifted}: {ours} against {other}',
             'found': f'{mine:.1f} against {theirs:.1f}',
             'wanted': f'at most {LOSS_SHARE:g} of it', 'met': mine <= LOSS_SHARE * theirs}]
