"""How good the score is: measures side by side with their gaps, and ROC curves."""

from collections.abc import Sequence

from moss_perception.evaluation.report import figures, html
from moss_perception.evaluation.report.pooling import factor_of
from moss_perception.evaluation.report.summary import Domain, Summary

# Name, what it says, and whether it is shown as a percentage.
MEASURES = {
    'auroc': ('AUROC', 'how often a held grasp outscores a failed one; 0.5 is guessing', False),
    'auprc': ('AUPRC', 'average precision; guessing gives the success rate', False),
    'accuracy': ('accuracy', 'decisions that were right', True),
    'balanced_accuracy': ('balanced accuracy', 'mean of held and failed told rightly', False),
    'success': ('success rate', 'of all attempts, whatever their score', True),
    'passed_success': ('success if let pass', 'of attempts at or above the threshold', True),
    'brier': ('Brier score', 'mean squared error of the probability; lower is better', False),
    'ece': ('ECE', 'calibration error over ten bins; lower is better', False),
    'error_auroc': ('uncertainty finds errors', 'AUROC of wrong decisions by the spread; 0.5 is '
                    'guessing', False)}


def split(domains: Sequence[Domain]) -> tuple[list[tuple[Domain, int]], list[tuple[Domain, int]]]:
    """Tell whole domains from single factors of a shift, each with its colour's number."""
    numbered = [(one, number) for number, one in enumerate(domains)]
    return ([pair for pair in numbered if not factor_of(pair[0].name)],
            [pair for pair in numbered if factor_of(pair[0].name)])


def section(summary: Summary) -> list[html.Markup]:
    """Show measures by domain, the gap to the reference, and ROC curves."""
    whole, _ = split(summary.domains)
    parts = [html.tag('h2', 'How good the score is', id='quality')]
    if whole:
        parts += [_side_by_side(summary, [one for one, _ in whole]),
                  _plots(whole, summary.reference)]
    return parts


def _side_by_side(summary: Summary, domains: list[Domain]) -> html.Markup:
    head: list[object] = ['']
    for one in domains:
        head.append(one.name)
        if one.gaps:
            head.append(f'{one.name} − {summary.reference}')
    rows = []
    for name, (title, hint, percent) in MEASURES.items():
        row: list[object] = [html.join([title, html.tag('span', hint, class_='hint')])]
        for one in domains:
            row.append(html.figure(one.measures[name], percent))
            if one.gaps:
                row.append(_gap(one, name, percent))
        rows.append(row)
    return html.table(head, rows, 'Each figure with its 95 % interval: shares by Wilson (their '
                      'differences by Newcombe), the others by drawing episodes with '
                      'replacement.')


def _gap(one: Domain, name: str, percent: bool) -> html.Markup:
    if name not in one.gaps:
        return html.Markup('')
    gap = one.gaps[name]
    return html.figure(gap, percent, sign=True) if gap.defined else html.Markup('undefined')


def _plots(whole: list[tuple[Domain, int]], reference: str) -> html.Markup:
    rows = [(one.name, one.measures['auroc'], number) for one, number in whole]
    if not any(one.measures['auroc'].defined for one, _ in whole):
        return html.Markup('')
    made = [html.plot(
        figures.svg(figures.roc, whole), 'ROC curves by domain',
        'What is let pass at each threshold. Along the dotted line the score says nothing.')]
    beside = [html.plot(
        figures.svg(figures.forest, rows, 'AUROC', 0.5), 'AUROC by domain, with intervals',
        'AUROC with its 95 % interval; dotted: guessing.')]
    gaps = [(one.name, one.gaps['auroc'], number) for one, number in whole if one.gaps]
    if any(gap.defined for _, gap, _ in gaps):
        beside.append(html.plot(
            figures.svg(figures.forest, gaps, f'AUROC − AUROC of {reference}', 0.0),
            f'gap of AUROC to {reference}',
            f'The gap with its interval; left of the dotted line it is worse than {reference}.'))
    return html.tag('div', *made, html.tag('div', *beside, class_='column'), class_='figures')
