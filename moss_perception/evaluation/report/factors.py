"""What each single factor of a shift costs, beside all of them together."""

from collections.abc import Sequence
import math

from moss_perception.evaluation.intervals import Interval
from moss_perception.evaluation.report import figures, html
from moss_perception.evaluation.report.pooling import factor_of
from moss_perception.evaluation.report.quality import MEASURES, split
from moss_perception.evaluation.report.summary import Domain, Summary

# Of each, on which side of no gap it is worse.
_SHOWN = {'auroc': 'left', 'success': 'left', 'accuracy': 'left', 'brier': 'right',
          'ece': 'right'}
_DRAWN = ('auroc', 'success', 'accuracy', 'brier')


def section(summary: Summary) -> list[html.Markup]:
    """Show by how much each factor alone, and all together, change what is measured."""
    whole, single = split(summary.domains)
    parts: list[html.Markup] = []
    for shift in dict.fromkeys(_shift_of(one) for one, _ in single):
        mine = _sorted([one for one, _ in single if _shift_of(one) == shift])
        together = [pair for pair in whole if pair[0].name == shift and not pair[0].reference]
        parts += _shift(summary, shift, mine, together)
    title = html.tag('h2', 'Each shift alone, and all together', id='factors')
    return [title, *parts] if parts else []


def _shift_of(one: Domain) -> str:
    return one.name.partition('.')[0]


def _sorted(domains: Sequence[Domain]) -> list[Domain]:
    """Put first what costs most AUROC, and last what can't be told."""
    def cost(one: Domain) -> float:
        gap = one.gaps.get('auroc', Interval())
        return gap.value if gap.defined else math.inf
    return sorted(domains, key=cost)


def _shift(summary: Summary, shift: str, single: list[Domain],
           together: list[tuple[Domain, int]]) -> list[html.Markup]:
    shown = [*single, *(one for one, _ in together)]
    compared = any(one.gaps for one in shown)
    head = ['factor', 'attempts', *(MEASURES[name][0] for name in _SHOWN)]
    rows = [[_name(one, shift), one.counts.attempts,
             *(_cell(one, name, compared) for name in _SHOWN)] for one in shown]
    parts = [html.tag('p', line) for line in _words(summary, shift, single, bool(together))]
    parts.append(html.table(head, rows, _caption(summary, compared), dense=True,
                            wide=True))
    if compared:
        colours = dict.fromkeys((one.name for one in single), 0) | {
            one.name: number for one, number in together}
        parts.append(html.tag('div', *(
            _plot(summary, shift, shown, name, colours) for name in _DRAWN), class_='figures'))
    return parts


def _name(one: Domain, shift: str) -> html.Markup:
    if one.name == shift:
        return html.tag('strong', 'all together', html.tag('span', shift, class_='hint'))
    return html.safe(factor_of(one.name).replace('_', ' '))


def _cell(one: Domain, name: str, compared: bool) -> html.Markup:
    percent = MEASURES[name][2]
    return html.figure(one.gaps[name] if compared else one.measures[name], percent, compared,
                       digits=2, brief=True)


def _caption(summary: Summary, compared: bool) -> str:
    if not compared:
        return (f'There is no recording of {summary.reference}, so these are the figures '
                'themselves and not their gaps.')
    base = summary.domains[0].measures
    own = ', '.join(f'{MEASURES[name][0]} {html.number(base[name].value, 2, MEASURES[name][2])}'
                    for name in _SHOWN)
    return (f'Gaps from {summary.reference}, each with its 95 % interval: shares by Newcombe, '
            f'the others by drawing episodes with replacement. In {summary.reference} itself: '
            f'{own}. Success is that of all attempts, whatever their score.')


def _words(summary: Summary, shift: str, single: list[Domain], together: bool) -> list[str]:
    """Say which factors alone cost AUROC beyond chance, and what is missing."""
    gaps = {factor_of(one.name).replace('_', ' '): one.gaps['auroc'] for one in single
            if one.gaps and one.gaps['auroc'].defined}
    lines = []
    if gaps:
        sure = [f'{name} ({html.number(of.value, 2, sign=True)})' for name, of in gaps.items()
                if of.high < 0]
        lines.append(f'Alone, {", ".join(sure)} cost{"s" * (len(sure) == 1)} AUROC beyond chance.'
                     if sure else 'Of no factor alone can these attempts tell its gap of AUROC '
                     'from chance.')
    if not together:
        lines.append(f'There is no recording of {shift}, which has all of them together.')
    return lines


def _plot(summary: Summary, shift: str, shown: list[Domain], name: str,
          colours: dict[str, int]) -> html.Markup:
    title, _, percent = MEASURES[name]
    rows = [('all together' if one.name == shift else factor_of(one.name).replace('_', ' '),
             _in_points(one.gaps[name]) if percent else one.gaps[name], colours[one.name])
            for one in shown]
    axis = f'{title} − that of {summary.reference}' + ', percentage points' * percent
    return html.plot(
        figures.svg(figures.forest, rows, axis, 0.0, True),
        f'gap of {title} by single factor',
        f'{title}: {_SHOWN[name]} of the dotted line is worse than {summary.reference}; hollow '
        'where the interval reaches it.')


def _in_points(of: Interval) -> Interval:
    return Interval(100 * of.value, 100 * of.low, 100 * of.high, of.why)
