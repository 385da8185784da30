"""Limits and reliability of the scores: calibration, distributions, earliness, OOD detection."""

from typing import Any

from moss_perception.evaluation.records import BagRecord
from moss_perception.evaluation.report import figures
from moss_perception.evaluation.report.recordings import factor_of
from moss_perception.evaluation.report.summary import Domain, split, Summary
from moss_perception.evaluation.report.warnings import ALARM
from moss_perception.evaluation.small_counts import LEAST_OF_EACH
from moss_perception.runtime.ood import FALSE_ALARMS
import numpy as np

# With fewer attempts, an interval is wider than most relevant differences.
_MANY = 100
# Kinds of calibration, in the order of the page.
_KINDS = ('undone', 'before', 'after')


def overview(summary: Summary) -> dict[str, Any]:
    """Return the template's values: domains with their colours, and limits of the values."""
    return {'whole': [(one, figures.colour_of(number))
                      for one, number in split(summary.domains)[0]],
            'reference': summary.reference, 'lines': cautions(summary)}


def cautions(summary: Summary) -> list[tuple[str, str, str]]:
    """List the limits of the values: text, and the domain or the recording concerned, or none."""
    found = []
    if summary.temperature is None:
        found.append((
            f'There is no recording of the domain “{summary.reference}” to compare with, so there '
            'are no gaps, no fitted temperature and no values of the shift monitor.', '', ''))
    elif not summary.temperature.fitted:
        found.append((f'Temperature not fitted: {summary.temperature.why}.', '', ''))
    found += [(line, one.name, '') for one in summary.domains for line in _limits(one)]
    found += [(line, '', bag.path) for bag in summary.evaluation.bags for line in _damage(bag)]
    return found


def _limits(one: Domain) -> list[str]:
    counts, found = one.counts, []
    if one.pool.not_executed:
        found.append(f'in {one.pool.not_executed} more attempts no grasp was executed; they '
                     'are not included, because they have no outcome of a grasp.')
    if not counts.attempts:
        return [*found, 'there are no attempts with an outcome, so nothing can be measured.']
    if counts.one_class:
        found.append(f'{counts.one_class}, so AUROC, AUPRC and balanced accuracy are undefined.')
    if counts.scored < counts.attempts:
        lost = counts.attempts - counts.scored
        held = counts.held - counts.scored_held
        found.append(f'{lost} of {counts.attempts} attempts have no score and are left out of '
                     f'all but the success rate; {held} of these held.')
    default = sum(attempt.source == 'default' for attempt in one.pool.attempts)
    if default:
        known = (f' The executed pose of {counts.elsewhere} of these is known, so their scores '
                 'may belong to a place where the gripper never closed; scored_share does not '
                 'count them.' if counts.elsewhere else '')
        found.append(f'for {default} of {counts.attempts} attempts the default grasp point was '
                     f'scored, because the executed grasp is unknown or was not scored.{known}')
    if counts.episodes < counts.attempts:
        found.append(f'some attempts overlap in time; {counts.attempts} attempts are '
                     f'{counts.episodes} episodes, from which the intervals are drawn.')
    if 0 < counts.scored < _MANY and not factor_of(one.name):
        found.append(f'{counts.scored} scored attempts are few: look at the intervals, not only '
                     'at the values.')
    return found


def _damage(bag: BagRecord) -> list[str]:
    found = [note.rstrip('.') + '.' for note in bag.notes]
    if bag.repeats:
        found.append(f'{bag.repeats}.')
    if bag.lost_share > 0 and not bag.warnings:
        found.append(f'{100 * bag.lost_share:.1f} % of the recording could not be read.')
    found += [f'{outcome}.' for outcome in bag.unmatched]
    guessed = sum(attempt.decision_guessed for attempt in bag.attempts)
    if guessed:
        found.append(f'the decisions of {guessed} of {len(bag.attempts)} attempts were not '
                     'recorded: their ends are used instead, so their scores may use images that '
                     'already show the outcome.')
    if not bag.attempts:
        found.append('it has no attempt with an outcome.')
    refused = sum(bag.refused.values())
    if refused:
        reasons = ', '.join(f'{name}: {count}' for name, count in sorted(bag.refused.items()))
        found.append(f'{refused} of {bag.frames} images were refused ({reasons}).')
    return found


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
    return {'least': LEAST_OF_EACH, 'threshold': summary.threshold,
            'since': figures.svg(figures.curves, since, 'auroc', 'AUROC',
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
