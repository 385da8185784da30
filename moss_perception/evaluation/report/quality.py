"""Quality of the scores: measures of each domain with their gaps, and ROC curves."""

from dataclasses import dataclass
from typing import Any

from moss_perception.evaluation.report import figures
from moss_perception.evaluation.report.summary import split, Summary


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


def values(summary: Summary) -> dict[str, Any]:
    """Return the template's values: measures and gaps by domain, and ROC curves."""
    whole, _ = split(summary.domains)
    columns = []
    for one, _ in whole:
        columns += [one.name, f'{one.name} − {summary.reference}'] if one.gaps else [one.name]
    return {'columns': columns, 'measures': list(MEASURES.values()),
            'domains': [one for one, _ in whole], 'reference': summary.reference,
            **_plots(whole, summary.reference)}


def _plots(whole: list, reference: str) -> dict[str, bytes | None]:
    areas = [(one.name, one.measures['auroc'], number) for one, number in whole]
    if not any(area.defined for _, area, _ in areas):
        return {'roc': None, 'areas': None, 'gaps': None}
    gaps = [(one.name, one.gaps['auroc'], number) for one, number in whole if one.gaps]
    return {'roc': figures.svg(figures.roc, whole),
            'areas': figures.svg(figures.forest, areas, 'AUROC', 0.5),
            'gaps': figures.svg(figures.forest, gaps, f'AUROC − AUROC of {reference}', 0.0)
            if any(gap.defined for _, gap, _ in gaps) else None}
