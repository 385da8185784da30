"""Quality of the scores: measures and gaps of each domain, and of each factor of a shift."""

from collections.abc import Sequence
from dataclasses import dataclass
import math
from typing import Any

from moss_perception.evaluation.intervals import Interval
from moss_perception.evaluation.report import figures
from moss_perception.evaluation.report.recordings import factor_of
from moss_perception.evaluation.report.summary import Domain, split, Summary


@dataclass(frozen=True)
class Shown:
    """
    A measure on the page.

    :ivar name: key in ``Domain.measures``.
    :ivar title: name on the page.
    :ivar hint: explanation on the page.
    :ivar percent: whether it is shown as a percentage.
    """

    name: str
    title: str
    hint: str
    percent: bool = False


MEASURES = {one.name: one for one in (
    Shown('auroc', 'AUROC', 'how often a success scores higher than a failure; 0.5 is '
                            'guessing'),
    Shown('auprc', 'AUPRC', 'average precision; guessing gives the success rate'),
    Shown('accuracy', 'accuracy', 'share of right decisions', True),
    Shown('balanced_accuracy', 'balanced accuracy',
          'mean of the shares of successful and of failed grasps that are classified correctly'),
    Shown('success', 'success rate', 'of all attempts, whatever their score', True),
    Shown('passed_success', 'success of accepted grasps',
          'of attempts at or above the threshold', True),
    Shown('brier', 'Brier score', 'mean squared error of the probability; lower is better'),
    Shown('ece', 'ECE', 'calibration error over ten bins; lower is better'),
    Shown('error_auroc', 'uncertainty finds errors',
          'AUROC of finding wrong decisions by the spread; 0.5 is guessing'))}
# Measures of single factors, and on which side of no gap each is worse.
_WORSE = {'auroc': 'left', 'success': 'left', 'accuracy': 'left', 'brier': 'right',
          'ece': 'right'}
_DRAWN = ('auroc', 'success', 'accuracy', 'brier')


def by_domain(summary: Summary) -> dict[str, Any]:
    """Return the template's values: measures and gaps by domain, and ROC curves."""
    whole, _ = split(summary.domains)
    columns = []
    for one, _ in whole:
        columns += [one.name, f'{one.name} − {summary.reference}'] if one.gaps else [one.name]
    return {'columns': columns, 'measures': list(MEASURES.values()),
            'domains': [one for one, _ in whole], 'reference': summary.reference,
            **_plots(whole, summary.reference)}


def _plots(whole: list[tuple[Domain, int]], reference: str) -> dict[str, bytes | None]:
    areas = [(one.name, one.measures['auroc'], number) for one, number in whole]
    if not any(area.defined for _, area, _ in areas):
        return {'roc': None, 'areas': None, 'gaps': None}
    gaps = [(one.name, one.gaps['auroc'], number) for one, number in whole if one.gaps]
    return {'roc': figures.svg(figures.roc, whole),
            'areas': figures.svg(figures.forest, areas, 'AUROC', 0.5),
            'gaps': figures.svg(figures.forest, gaps, f'AUROC − AUROC of {reference}', 0.0)
            if any(gap.defined for _, gap, _ in gaps) else None}


def by_factor(summary: Summary) -> dict[str, Any]:
    """
    Return the template's values: the gaps of each factor and of all together.

    :returns: empty if no domain shifts a single factor.
    """
    whole, single = split(summary.domains)
    if not single:
        return {}
    shifts = []
    for shift in dict.fromkeys(one.name.partition('.')[0] for one, _ in single):
        mine = sorted([one for one, _ in single if one.name.startswith(f'{shift}.')], key=_cost)
        together = [pair for pair in whole if pair[0].name == shift and not pair[0].reference]
        shifts.append(_shift(summary, shift, mine, together))
    base = summary.domains[0].measures
    return {'shifts': shifts, 'reference': summary.reference,
            'measures': [(MEASURES[name], base[name].value) for name in _WORSE]}


def _cost(one: Domain) -> float:
    """Return the key that puts the largest loss of AUROC first and undefined gaps last."""
    gap = one.gaps.get('auroc', Interval())
    return gap.value if gap.defined else math.inf


def _shift(summary: Summary, shift: str, single: list[Domain],
           together: list[tuple[Domain, int]]) -> dict[str, Any]:
    shown = [*single, *(one for one, _ in together)]
    compared = any(one.gaps for one in shown)
    rows = [{'name': _name(one), 'together': one.name == shift, 'attempts': one.counts.attempts,
             'cells': [((one.gaps if compared else one.measures)[name], MEASURES[name].percent)
                       for name in _WORSE]} for one in shown]
    gaps = [(_name(one), one.gaps['auroc']) for one in single
            if one.gaps and one.gaps['auroc'].defined]
    colours = {one.name: colour for one, colour in together}
    plots = [_forest(summary.reference, shown, name, colours)
             for name in _DRAWN] if compared else []
    return {'name': shift, 'compared': compared, 'rows': rows, 'plots': plots,
            'together': bool(together), 'gaps': gaps,
            'beyond_chance': [(name, of) for name, of in gaps if of.high < 0]}


def _name(one: Domain) -> str:
    return factor_of(one.name).replace('_', ' ')


def _forest(reference: str, shown: Sequence[Domain], name: str,
            colours: dict[str, int]) -> dict[str, Any]:
    title, percent = MEASURES[name].title, MEASURES[name].percent
    rows = [(_name(one) or 'all together',
             _in_points(one.gaps[name]) if percent else one.gaps[name],
             colours.get(one.name, 0)) for one in shown]
    axis = f'{title} − that of {reference}' + ', percentage points' * percent
    return {'svg': figures.svg(figures.forest, rows, axis, 0.0, True), 'title': title,
            'worse': _WORSE[name]}


def _in_points(of: Interval) -> Interval:
    return Interval(100 * of.value, 100 * of.low, 100 * of.high, of.why)
