"""Whether the score may be trusted: calibration, distributions, how early, the shift monitor."""

from moss_perception.evaluation.report import figures, html
from moss_perception.evaluation.report.pooling import factor_of
from moss_perception.evaluation.report.quality import split
from moss_perception.evaluation.report.summary import (
    ALARM,
    Calibration,
    Domain,
    FALSE_ALARMS,
    Summary,
)
import numpy as np

_KINDS = {'undone': 'without the checkpoint’s own temperature', 'before': 'as the robot gets it',
          'after': 'refitted temperature'}


def calibration(summary: Summary) -> list[html.Markup]:
    """Show calibration before and after a temperature that was fitted to the reference only."""
    parts = [html.tag('h2', 'Is the score a probability?', id='calibration'),
             html.tag('p', _temperatures(summary))]
    rows = [_calibration_row(one, kind, one.calibration[kind]) for one, _ in split(
        summary.domains)[0] for kind in _KINDS if kind in one.calibration and one.counts.scored]
    if rows:
        parts.append(html.table(
            ['domain', 'ECE', 'by chance', 'Brier score', 'cross-entropy'], rows,
            'By chance: the ECE that perfectly calibrated scores would show on so many attempts, '
            'and what 95 % of them stay below. Intervals of an ECE lean upwards.'))
    plots = [html.plot(figures.svg(figures.reliability, [
        (name, one.calibration[kind]) for kind, name in (('before', 'as it is'),
                                                         ('after', 'refitted'))
        if kind in one.calibration]), f'reliability diagram of {one.name}',
        html.join([html.tag('strong', one.name), ': how often grasps of about one score held. '
                   'Bars are 95 % intervals, larger marks more attempts; on the dotted line the '
                   'score is a probability.']))
        for one, _ in split(summary.domains)[0] if one.counts.scored]
    return [*parts, html.tag('div', *plots, class_='figures')]


def _temperatures(summary: Summary) -> str:
    own = summary.evaluation.temperature
    said = f'The checkpoint divides its logits by a temperature of its own, {own:.3g}. '
    fitted = summary.temperature
    if fitted is None:
        return said + f'No temperature was refitted: there is no recording of {summary.reference}.'
    if not np.isfinite(fitted.value):
        return said + f'No temperature was refitted: {fitted.why.removeprefix("not fitted: ")}.'
    return (said + f'Refitted on the {fitted.attempts} scored attempts of {fitted.domain} only, '
            f'it would be {fitted.value:.3g} times that'
            + (' (scores less sure)' if fitted.value > 1.005 else ' (scores surer)'
               if fitted.value < 0.995 else '')
            + f'. In {fitted.domain} itself each attempt is scaled by the temperature of the '
            'others. The scaling acts on the logit of the score, the mean of the ensemble.')


def _calibration_row(one: Domain, kind: str, of: Calibration) -> list[object]:
    mean, most = of.chance_ece
    chance = html.join([html.number(mean), html.tag(
        'span', f'below {html.number(most)}', class_='ci')])
    return [html.join([one.name, html.tag('span', _KINDS[kind], class_='hint')]),
            html.figure(of.ece), chance, html.figure(of.brier), html.number(of.cross_entropy)]


def distributions(summary: Summary) -> list[html.Markup]:
    """Show the scores of what held and of what failed."""
    plots = [html.plot(
        figures.svg(figures.distribution, one, summary.threshold),
        f'scores of held and failed grasps, {one.name}',
        html.join([html.tag('strong', one.name), ': held grasps upwards, failed ones downwards; '
                   'dotted: the threshold.']))
        for one, _ in split(summary.domains)[0] if one.counts.scored]
    if not plots:
        return []
    return [html.tag('h2', 'Scores of held and failed grasps', id='scores'),
            html.tag('div', *plots, class_='figures')]


def early(summary: Summary) -> list[html.Markup]:
    """Show quality over time: since the decision, and by the time left to the outcome."""
    whole = split(summary.domains)[0]
    since = [(one.name, one.since_decision, number) for one, number in whole
             if len(one.since_decision.times_s) > 1]
    left = [(one.name, one.to_outcome, number) for one, number in whole
            if len(one.to_outcome.times_s) > 1]
    title = html.tag('h2', 'How early the outcome is seen', id='early')
    if not since and not left:
        return [title, html.tag('p', 'There are too few attempts whose scores were followed over '
                                'time: four of each outcome at each of two times are the least.')]
    plots = []
    if since:
        plots.append(html.plot(
            figures.svg(figures.curves, since, 'auroc', 'AUROC', 'seconds since the decision',
                        False), 'AUROC against time since the decision',
            'AUROC of the executed grasp’s score by time since the decision, of attempts that '
            'have not ended.'))
    if left:
        for measure, name in (('auroc', 'AUROC'), ('balanced_accuracy', 'balanced accuracy')):
            plots.append(html.plot(
                figures.svg(figures.curves, left, measure, name,
                            'lead: seconds left to the outcome', True),
                f'{name} against time to the outcome',
                f'{name[0].upper()}{name[1:]} by lead time: what was known so long before the '
                'outcome.'))
    return [title, html.tag('div', *plots, class_='figures three'), html.tag(
        'p', 'Bands are 95 % intervals; dotted: guessing. A failed attempt may end sooner than '
        'one that holds, so at one lead time the two can be at different stages of the grasp; '
        'the plot by time since the decision is free of that.', class_='note')]


def _why_not(summary: Summary) -> str:
    """Say why no domain can be told from the reference by how far it is from training."""
    if summary.temperature is None:
        return f'there is no recording of {summary.reference}'
    if not any(np.isfinite(one.pool.values('novelty')).any() for one in summary.domains):
        return ('how far these frames are from training is not known, be it that the checkpoint '
                'does not say what is usual, or that a live run was not scored once more')
    return f'there is no domain beside {summary.reference}'


def novelty(summary: Summary) -> list[html.Markup]:
    """Show how well the shift monitor flags each domain, and at what false-alarm rate."""
    watched = [(one, number) for number, one in enumerate(summary.domains) if one.novelty]
    title = html.tag('h2', 'Does it know when it is lost?', id='novelty')
    errors = html.tag('p', 'Whether the ensemble’s spread finds wrong decisions stands in the '
                      'table of measures, as “uncertainty finds errors”.', class_='note')
    if not watched:
        return [title, html.tag('p', f'The shift monitor is not shown: {_why_not(summary)}.'),
                errors]
    base = summary.domains[0]
    first = watched[0][0].novelty
    rows = [[one.name, html.figure(one.novelty.auroc), html.figure(one.novelty.found, True),
             html.figure(one.novelty.found_at_equal, True)] for one, _ in watched]
    false = first.false_alarms
    curves = [(one.name, one.pool.values('novelty'), number) for one, number in
              [(base, 0), *((one, number) for one, number in watched if not factor_of(one.name))]]
    curves = [(name, values[np.isfinite(values)], number) for name, values, number in curves]
    return [
        title, html.tag(
            'p', 'The monitor compares the features of the frame that was decided on with those '
            f'of training, and raises an alarm above a novelty of {ALARM:g}. Of the attempts of '
            f'{base.name}, {html.number(false.value, percent=True)} '
            f'({html.number(false.low, percent=True)} to '
            f'{html.number(false.high, percent=True)}) are false alarms.'),
        html.table(['domain', 'AUROC of flagging it', 'flagged', f'flagged above '
                    f'{first.level:.2f}'], rows, f'The last column takes the level that '
                   f'{100 * FALSE_ALARMS:.0f} % of these attempts of {base.name} exceed, so that '
                   'checkpoints can be compared at one rate of false alarms.'),
        html.tag('div', html.plot(
            figures.svg(figures.novelties, curves, ALARM), 'novelty by domain',
            'Share of attempts beyond each novelty; dotted: the alarm.'), class_='figures'),
        errors]
