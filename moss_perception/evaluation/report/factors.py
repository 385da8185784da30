"""The effect of each single factor of a shift, and of all together."""

from collections.abc import Sequence
import math
from typing import Any

from moss_perception.evaluation.intervals import Interval
from moss_perception.evaluation.report import figures
from moss_perception.evaluation.report.numbers import number
from moss_perception.evaluation.report.pooling import factor_of, shift_of
from moss_perception.evaluation.report.quality import MEASURES
from moss_perception.evaluation.report.summary import Domain, split, Summary

# Of each, on which side of no gap it is worse.
_WORSE = {'auroc': 'left', 'success': 'left', 'accuracy': 'left', 'brier': 'right',
          'ece': 'right'}
_DRAWN = ('auroc', 'success', 'accuracy', 'brier')


def values(summary: Summary) -> dict[str, Any]:
    """
    Return the template's values: the gaps of each factor and of all together.

    :returns: empty if no domain shifts a single factor.
    """
    whole, single = split(summary.domains)
    if not single:
        return {}
    shifts = []
    for shift in dict.fromkeys(shift_of(one.name) for one, _ in single):
        mine = _sorted([one for one, _ in single if shift_of(one.name) == shift])
        together = [pair for pair in whole if pair[0].name == shift and not pair[0].reference]
        shifts.append(_shift(summary, shift, mine, together))
    base = summary.domains[0].measures
    return {'shifts': shifts, 'reference': summary.reference,
            'titles': [MEASURES[name].title for name in _WORSE],
            'own': [f'{MEASURES[name].title} '
                    f'{number(base[name].value, 2, MEASURES[name].percent)}' for name in _WORSE]}


def _sorted(domains: Sequence[Domain]) -> list[Domain]:
    """Sort by the gap of the AUROC, the largest loss first and undefined gaps last."""
    def cost(one: Domain) -> float:
        gap = one.gaps.get('auroc', Interval())
        return gap.value if gap.defined else math.inf
    return sorted(domains, key=cost)


def _shift(summary: Summary, shift: str, single: list[Domain],
           together: list[tuple[Domain, int]]) -> dict[str, Any]:
    shown = [*single, *(one for one, _ in together)]
    compared = any(one.gaps for one in shown)
    rows = [{'name': _name(one), 'together': one.name == shift, 'attempts': one.counts.attempts,
             'cells': [{'of': (one.gaps if compared else one.measures)[name],
                        'percent': MEASURES[name].percent} for name in _WORSE]} for one in shown]
    colours = dict.fromkeys((one.name for one in single), 0) | {
        one.name: colour for one, colour in together}
    plots = [_plot(summary, shown, name, colours) for name in _DRAWN] if compared else []
    return {'name': shift, 'words': _words(summary, shift, single, bool(together)),
            'compared': compared, 'rows': rows, 'plots': plots}


def _name(one: Domain) -> str:
    return factor_of(one.name).replace('_', ' ')


def _words(summary: Summary, shift: str, single: list[Domain], together: bool) -> list[str]:
    """Describe which single factors reduce the AUROC significantly, and what is missing."""
    gaps = {_name(one): one.gaps['auroc'] for one in single
            if one.gaps and one.gaps['auroc'].defined}
    lines = []
    if gaps:
        sure = [f'{name} ({number(of.value, 2, sign=True)})' for name, of in gaps.items()
                if of.high < 0]
        lines.append(f'Alone, {", ".join(sure)} cost{"s" * (len(sure) == 1)} AUROC beyond chance.'
                     if sure else 'No single factor alone reduces the AUROC beyond chance.')
    if not together:
        lines.append(f'There is no recording of {shift}, which combines all factors.')
    return lines


def _plot(summary: Summary, shown: list[Domain], name: str,
          colours: dict[str, int]) -> dict[str, Any]:
    title, percent = MEASURES[name].title, MEASURES[name].percent
    rows = [(_name(one) or 'all together',
             _in_points(one.gaps[name]) if percent else one.gaps[name], colours[one.name])
            for one in shown]
    axis = f'{title} − that of {summary.reference}' + ', percentage points' * percent
    return {'svg': figures.svg(figures.forest, rows, axis, 0.0, True), 'title': title,
            'worse': _WORSE[name]}


def _in_points(of: Interval) -> Interval:
    return Interval(100 * of.value, 100 * of.low, 100 * of.high, of.why)
