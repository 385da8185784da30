"""The goals of the study, as data, and their check against stored results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moss_perception.core.errors import ConfigError
import numpy as np

from study.monitoring import early_auroc, early_difference, EARLY_S
from study.shift import loss_beyond_true_motion
from study.texts import in_points

# First words of the names of variants with MOSS.
_MOSS = ('moss', 'displacement', 'both')


# Variants that may have a role; unless one is named, the best on the validation sets has it.
ROLES: dict[str, Callable[[str], bool]] = {
    'best': lambda variant: True,
    # It learns to see motion: variants of MOSS on optical flow are told it.
    'moss': lambda variant: variant.startswith(_MOSS) and 'flow' not in variant,
    'flow': lambda variant: variant.startswith('flow'),
}


@dataclass(frozen=True)
class AtLeast:
    """Success of the chosen grasp on a set, in percent."""

    role: str
    set: str
    percent: float

    def check(self, result: dict[str, Any], roles: Mapping[str, str]) -> dict[str, Any] | None:
        variant = roles.get(self.role, self.role)
        if not _known(result, self.set, variant):
            return None
        total = result['variants'][variant]['sets'][self.set]['all']
        return {'goal': f'{self.set}: success of {variant}', 'seeds': _seeds(result, variant),
                'found': f'{100 * total["success"]:.1f} %', 'wanted': f'at least {self.percent:g}',
                'met': bool(100 * total['success'] >= self.percent)}


@dataclass(frozen=True)
class Above:
    """
    Success of a variant above another's, paired.

    :ivar points: least difference, points; ``None`` for none.
    :ivar sure: whether the interval must lie above 0.
    """

    ours: str
    theirs: str
    set: str
    kind: str = 'all'
    points: float | None = None
    sure: bool = False

    def check(self, result: dict[str, Any], roles: Mapping[str, str]) -> dict[str, Any] | None:
        ours, theirs = (roles.get(one, one) for one in (self.ours, self.theirs))
        gap = difference(result, ours, theirs, self.set, self.kind)
        if gap is None:
            return None
        enough = self.points is None or 100 * gap['difference'] >= self.points
        certain = gap['low'] is not None and gap['low'] > 0
        wanted = [*([] if self.points is None else [f'at least {self.points:g}']),
                  *(['an interval above 0'] if self.sure else [])]
        return {'goal': f'{self.set}, {self.kind}: {ours} above {theirs}',
                'seeds': _seeds(result, ours, theirs), 'found': f'{in_points(gap)} points',
                'wanted': ', '.join(wanted),
                'met': bool(enough and (certain or not self.sure))}


@dataclass(frozen=True)
class Loss:
    """Points lost from a set to another beyond what the true motion loses."""

    role: str
    before: str
    after: str
    points: float

    def check(self, result: dict[str, Any], roles: Mapping[str, str]) -> dict[str, Any] | None:
        variant = roles.get(self.role, self.role)
        gap = loss_beyond_true_motion(result, variant, self.before, self.after)
        if gap is None:
            return None
        return {'goal': f'points that {variant} loses from {self.before} to {self.after} beyond '
                        'what true motion loses', 'seeds': _seeds(result, variant),
                'found': in_points(gap),
                'wanted': f'at most {self.points:g}',
                'met': bool(100 * gap['difference'] <= self.points)}


@dataclass(frozen=True)
class Early:
    """
    AUROC early in a grasp, above the best variant without MOSS on the same grasps.

    Of the variants without MOSS, those with the most trainings count: see :func:`cast`.
    """

    role: str
    set: str

    def check(self, result: dict[str, Any], roles: Mapping[str, str]) -> dict[str, Any] | None:
        variant = roles.get(self.role, self.role)
        if not _known(result, self.set, variant):
            return None
        others = {one: area for one in result['costs'] if not one.startswith(_MOSS)
                  and (area := early_auroc(result, self.set, one)) is not None}
        able = _most_trained(result, list(others))
        best = max(able, key=lambda one: others[one], default='')
        gap = early_difference(result, self.set, variant, best) if best else None
        if gap is None:
            return None
        return {'goal': f'{self.set}, {EARLY_S:g} s after the decision: AUROC of {variant} above '
                        f'{best}, the best without MOSS',
                'seeds': _seeds(result, variant, best),
                'found': '{difference:+.3f} [{low:+.3f}, {high:+.3f}]'.format(**gap),
                'wanted': 'above 0', 'met': bool(gap['difference'] > 0)}


Goal = AtLeast | Above | Loss | Early
# Variants of one kind with orders {1}, {1, 2} and {1, 2, 3}.
_ORDERS = (('displacement_1_time', 'displacement_12_time', 'displacement_123_time'),
           ('displacement_1', 'displacement_12', 'displacement_123'))
_SETS = ('sim', 'shifted', 'held_out')
GOALS: tuple[Goal, ...] = (
    AtLeast('best', 'sim', 82.0), AtLeast('best', 'shifted', 62.0),
    AtLeast('best', 'held_out', 74.0),
    Above('moss', 'flow', 'shifted', points=3.0, sure=True),
    Above('moss', 'flow', 'sim', points=0.0), Above('moss', 'flow', 'held_out', points=0.0),
    Loss('best', 'sim', 'shifted', 15.0),
    *(Above(two, one, name, 'accelerating', sure=True)
      for one, two, _ in _ORDERS for name in _SETS),
    *(Above(three, two, name, 'oscillating', sure=True)
      for _, two, three in _ORDERS for name in _SETS),
    *(Early('moss', name) for name in _SETS))


def goals(result: dict[str, Any], named: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """
    Check the goals; goals whose variants, sets or motions are missing are left out.

    :param result: a stored comparison.
    :param named: variants by role, see :func:`cast`.
    :returns: ``goal``, ``seeds`` (of the trainings that are compared), ``found`` (text),
        ``wanted`` (text) and ``met``.
    """
    roles = cast(result, named)
    return [row for goal in GOALS if (row := goal.check(result, roles)) is not None]


def cast(result: dict[str, Any], named: Mapping[str, str] | None = None) -> dict[str, str]:
    """
    Give each of ``ROLES`` a variant.

    It is the one that is named, or the only one there is, or the best on the validation sets:
    mean success over the sets and trainings. Among many variants, the best of a single training
    is the luckiest, so only those with the most trainings can be chosen. Test sets never choose.

    :returns: variants by role; roles that no rule fills are left out.
    :raises ConfigError: if a named role or variant does not exist.
    """
    variants, found = list(result['costs']), dict(named or {})
    for role, variant in found.items():
        if role not in ROLES or variant not in variants:
            raise ConfigError(f'--role {role}={variant} is not allowed: expected a role of '
                              f'{list(ROLES)} and a variant of {variants}')
    success = validated(result)
    for role, may in ROLES.items():
        able = [variant for variant in variants if may(variant)]
        measured = _most_trained(result, [variant for variant in able if variant in success])
        if role in found or not able:
            continue
        if len(able) == 1:
            found[role] = able[0]
        elif measured:
            found[role] = max(measured, key=lambda variant: success[variant])
    return found


def validated(result: dict[str, Any]) -> dict[str, float]:
    """Return the success of each variant on the validation sets, mean over sets and trainings."""
    found: dict[str, list[float]] = {}
    for run in result['runs']:
        if run.get('validation'):
            found.setdefault(run['variant'], []).append(
                float(np.mean(list(run['validation'].values()))))
    return {variant: float(np.mean(values)) for variant, values in found.items()}


def _most_trained(result: dict[str, Any], variants: Sequence[str]) -> list[str]:
    count = {variant: len(result['variants'][variant]['seeds']) for variant in variants}
    return [variant for variant in variants if count[variant] == max(count.values())]


def _seeds(result: dict[str, Any], *variants: str) -> list[int]:
    return sorted(set.intersection(*(set(result['variants'][one]['seeds'])
                                     for one in variants)))


def _known(result: dict[str, Any], name: str, variant: str) -> bool:
    return name in result['sets'] and variant in result['variants']


def difference(result: dict[str, Any], ours: str, theirs: str, name: str,
               kind: str) -> dict[str, Any] | None:
    """
    Look up the difference of two variants on a set.

    :param result: a stored comparison.
    :returns: as :func:`seen_from`; ``None`` if the two were not compared.
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

    :returns: ``difference`` of success, its interval ``low`` to ``high``, ``p``, and the
        ``seeds`` that are compared. Both ends are ``None`` if there were fewer than two scenes.
    """
    sign = 1 if pair['ours'] == ours else -1
    low, high = pair['low'], pair['high']
    if low is not None:
        low, high = sorted((sign * low, sign * high))
    return {'difference': sign * pair['difference'], 'low': low, 'high': high, 'p': pair['p'],
            'seeds': pair['seeds']}
