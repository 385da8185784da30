"""Reliability of the scores: calibration, distributions, earliness and OOD detection."""

from typing import Any

from moss_perception.evaluation.report import figures
from moss_perception.evaluation.report.pooling import factor_of
from moss_perception.evaluation.report.summary import ALARM, FALSE_ALARMS, split, Summary
import numpy as np

# In the order of the page.
_KINDS = ('undone', 'before', 'after')


def calibration(summary: Summary) -> dict[str, Any]:
    """Return the calibration before and after scaling by the reference's temperature."""
    scored = [one for one, _ in split(summary.domains)[0] if one.counts.scored]
    return {'own': summary.evaluation.temperature, 'temperature': summary.temperature,
            'reference': summary.reference,
            'rows': [(one.name, kind, one.calibration[kind]) for one in scored for kind in _KINDS
                     if kind in one.calibration],
            'plots': [(one.name, figures.svg(figures.reliability, [
                (name, one.calibration[kind]) for kind, name in (('before', 'as it is'),
                                                                 ('after', 'refitted'))
                if kind in one.calibration])) for one in scored]}


def distributions(summary: Summary) -> dict[str, Any]:
    """Return plots of the scores of successful and failed grasps; empty without scores."""
    plots = [(one.name, figures.svg(figures.distribution, one, summary.threshold))
             for one, _ in split(summary.domains)[0] if one.counts.scored]
    return {'plots': plots} if plots else {}


def early(summary: Summary) -> dict[str, Any]:
    """Return plots of the quality over time since the decision and to the outcome."""
    whole = split(summary.domains)[0]
    since = [(one.name, one.since_decision, number) for one, number in whole
             if len(one.since_decision.times_s) > 1]
    left = [(one.name, one.to_outcome, number) for one, number in whole
            if len(one.to_outcome.times_s) > 1]
    return {'since': figures.svg(figures.curves, since, 'auroc', 'AUROC',
                                 'seconds since the decision', False) if since else None,
            'left': [(name, figures.svg(figures.curves, left, measure, name,
                                        'lead: seconds left to the outcome', True))
                     for measure, name in (('auroc', 'AUROC'),
                                           ('balanced_accuracy', 'balanced accuracy'))]
            if left else []}


def ood(summary: Summary) -> dict[str, Any]:
    """Return how well OOD scores detect each domain, and the rate of false alarms."""
    watched = [one for one in summary.domains if one.ood]
    first = watched[0].ood if watched else None
    if first is None:
        return {'why_not': _why_not(summary)}
    curves = [(one.name, one.pool.values('ood_score'), number)
              for number, one in enumerate(summary.domains)
              if number == 0 or one.ood and not factor_of(one.name)]
    return {'why_not': '', 'alarm': ALARM, 'rate': FALSE_ALARMS, 'base': summary.domains[0].name,
            'false_alarms': first.false_alarms, 'level': first.level, 'domains': watched,
            'svg': figures.svg(figures.ood_scores, [
                (name, values[np.isfinite(values)], number)
                for name, values, number in curves], ALARM)}


def _why_not(summary: Summary) -> str:
    """Return why OOD detection can't be evaluated."""
    if summary.temperature is None:
        return f'there is no recording of {summary.reference}'
    if not any(np.isfinite(one.pool.values('ood_score')).any() for one in summary.domains):
        return ('the OOD scores of these frames are unknown: the checkpoint has no training '
                'distribution, or a live run was not scored again')
    return f'there is no other domain than {summary.reference}'
