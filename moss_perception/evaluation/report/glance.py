"""The head of the page: what was required, what was found, and what to know before reading."""

from collections.abc import Sequence
import math

from moss_perception.evaluation.intervals import Interval
from moss_perception.evaluation.records import BagRecord
from moss_perception.evaluation.report import figures, html
from moss_perception.evaluation.report.pooling import factor_of
from moss_perception.evaluation.report.summary import Domain, Summary
from moss_perception.evaluation.thresholds import show, Verdict

# Below this an interval is wider than most differences that matter.
_MANY = 100


def requirements(verdict: Verdict) -> list[html.Markup]:
    """Say whether what was required was reached, row by row."""
    if not verdict.rows:
        return []
    short = [row for row in verdict.rows if not row.met]
    title = (f'{len(short)} of {len(verdict.rows)} requirements fell short' if short else
             'All requirements are met' if len(verdict.rows) > 1 else 'The requirement is met')
    rows = [[row.metric, row.domain, html.join([show(row.value).replace('-', '−'), html.tag(
        'span', row.reason, class_='why') if row.reason else '']), row.required,
        html.tag('span', 'met' if row.met else 'short', class_='held' if row.met else 'failed')]
        for row in [*short, *(row for row in verdict.rows if row.met)]]
    return [html.box('short' if short else 'met', html.tag('h2', title), html.table(
        ['what', 'domain', 'is', 'required', ''], rows, text_columns=(1, 3, 4)))]


def cards(summary: Summary) -> html.Markup:
    """Show each domain's main figures."""
    made = []
    for number, one in enumerate(summary.domains):
        if factor_of(one.name):
            continue
        made.append(_card(one, figures.colour_of(number)))
    return html.tag('div', *made, class_='cards')


def _card(one: Domain, colour: str) -> html.Markup:
    area, counts = one.measures['auroc'], one.counts
    head = html.tag('h3', one.name, html.tag('small', 'reference' if one.reference else ''))
    if area.defined:
        shown = [html.tag('p', html.number(area.value, 2), class_='big'),
                 html.tag('p', f'AUROC, {_ends(area, 2)}', class_='sub')]
    else:
        shown = [html.tag('p', 'AUROC is undefined', class_='big undefined'),
                 html.tag('p', area.why, class_='sub')]
    lines = [('attempts', f'{counts.attempts}, {counts.held} held')]
    if counts.scored:
        lines += [('decided rightly', _share(one.measures['accuracy'])),
                  ('held, of those let pass', _share(one.measures['passed_success'])),
                  ('calibration error (ECE)', html.number(one.measures['ece'].value, 2))]
    if one.gaps and one.gaps['auroc'].defined:
        lines.append(('AUROC gap', html.number(one.gaps['auroc'].value, 2, sign=True)))
    return html.tag('div', head, *shown, html.tag('dl', *(html.join(
        [html.tag('dt', name), html.tag('dd', value)]) for name, value in lines)),
        class_='card', style=f'--colour: {colour}')


def _ends(of: Interval, digits: int) -> str:
    if not math.isfinite(of.low):
        return of.why
    return f'95 % interval {html.number(of.low, digits)} to {html.number(of.high, digits)}'


def _share(of: Interval) -> str:
    return html.number(of.value, percent=True)


def findings(summary: Summary) -> html.Markup:
    """Say in sentences what was found."""
    lines = []
    for one in summary.domains:
        if factor_of(one.name):
            continue
        lines.append(html.join([html.tag('strong', one.name), ': ', _ranks(one), ' ',
                                _gap(one, summary.reference), ' ', _calibrated(one)]))
    return html.bullets(lines)


def _ranks(one: Domain) -> str:
    area = one.measures['auroc']
    if not area.defined:
        return f'whether the score ranks grasps cannot be told: {area.why}.'
    said = (f'of a held and a failed grasp, the held one scored higher in '
            f'{html.number(area.value, percent=True)} of pairs')
    if math.isfinite(area.low) and area.low <= 0.5 <= area.high:
        return said + ', which these attempts cannot tell from guessing (50 %).'
    return said + (', worse than guessing (50 %).' if area.value < 0.5 else '.')


def _gap(one: Domain, reference: str) -> str:
    gap = one.gaps.get('auroc')
    if gap is None or not gap.defined or not math.isfinite(gap.low):
        return ''
    ends = f'{html.number(gap.low, 2, sign=True)} to {html.number(gap.high, 2, sign=True)}'
    said = f'Its AUROC differs from that of {reference} by {html.number(gap.value, 2, sign=True)}'
    if gap.low <= 0 <= gap.high:
        return f'{said} ({ends}): these attempts cannot tell that from no gap.'
    return f'{said} ({ends}): a gap that chance does not explain.'


def _calibrated(one: Domain) -> str:
    of = one.calibration['before']
    if not of.ece.defined:
        return ''
    mean, held = float(of.scores.mean()), one.counts.scored_held / one.counts.scored
    if of.ece.value <= of.chance_ece[1]:
        return ('Its calibration error is no larger than chance gives perfectly calibrated '
                'scores.')
    side = ('too optimistic' if mean > held + 0.02 else
            'too pessimistic' if mean < held - 0.02 else 'wrong in places, though not on average')
    return (f'As a probability the score is {side}: {html.number(mean, 2)} on average, while '
            f'{html.number(held, percent=True)} held.')


def read_first(summary: Summary) -> list[html.Markup]:
    """List what limits the figures; nothing if nothing does."""
    lines: list[object] = []
    if summary.temperature is None:
        lines.append(f'No recording of the domain “{summary.reference}” was given, so there is '
                     'nothing to compare with: no gap, no fitted temperature, and no figures of '
                     'the shift monitor.')
    elif summary.temperature.why:
        lines.append(f'Temperature {summary.temperature.why}.')
    for one in summary.domains:
        lines += [html.join([html.tag('strong', one.name), f': {line}'])
                  for line in _limits(one)]
    for bag in summary.evaluation.bags:
        lines += [html.join([html.tag('code', bag.path), f': {line}']) for line in _damage(bag)]
    if not lines:
        return []
    return [html.box('warn', html.tag('h2', 'Before you rely on these figures'),
                     html.bullets(lines))]


def _limits(one: Domain) -> list[str]:
    counts, found = one.counts, []
    if one.pool.unexecuted:
        found.append(f'in {one.pool.unexecuted} more attempts no grasp was executed; they count '
                     'nowhere here, as there is no outcome of a grasp.')
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
                 'may be of a place where the gripper never closed; scored_share does not count '
                 'them.' if counts.elsewhere else '')
        found.append(f'for {default} of {counts.attempts} attempts the default grasp point was '
                     f'scored, as the executed grasp is not among the candidates.{known}')
    if counts.episodes < counts.attempts:
        found.append(f'some attempts overlap in time; {counts.attempts} attempts are '
                     f'{counts.episodes} episodes, which is what intervals are drawn from.')
    if 0 < counts.scored < _MANY and not factor_of(one.name):
        found.append(f'{counts.scored} scored attempts are few: look at the intervals, not only '
                     'at the figures.')
    return found


def _damage(bag: BagRecord) -> list[str]:
    found = [note.rstrip('.') + '.' for note in bag.notes]
    if bag.lost_share > 0 and not bag.notes:
        found.append(f'{100 * bag.lost_share:.1f} % of the recording could not be read.')
    found += [f'{outcome.rstrip(".")}.' for outcome in bag.unmatched]
    guessed = sum(attempt.decision_guessed for attempt in bag.attempts)
    if guessed:
        found.append(f'of {guessed} of {len(bag.attempts)} attempts nobody noted the decision: '
                     'the end stands for it, so their scores may have seen the outcome.')
    if not bag.attempts:
        found.append('it has no attempt with an outcome.')
    refused = sum(bag.refused.values())
    if refused:
        reasons = ', '.join(f'{name}: {count}' for name, count in sorted(bag.refused.items()))
        found.append(f'{refused} of {bag.frames} images were refused ({reasons}).')
    return found


def counted(summary: Summary, success_definition: str) -> list[html.Markup]:
    """Say what a success is, and what was counted."""
    usual = ('An attempt is a success if the recording says so: value “success” of its outcome, '
             'or the column “success” of the CSV. In the simulated cell both fingers still hold '
             'the object after lift and shake; on a robot it is what its operator noted.')
    decision = ('An attempt’s score is that of the executed grasp in the newest scored frame from '
                'the attempt’s start to its decision. A score of '
                f'{summary.threshold:g} or more lets a grasp pass.')
    return [html.tag('h2', 'What was counted', id='counted'),
            html.tag('p', html.tag('strong', 'Success. '), success_definition or usual),
            html.tag('p', html.tag('strong', 'Score. '), decision), _counts(summary.domains)]


def _counts(domains: Sequence[Domain]) -> html.Markup:
    rows = []
    for one in domains:
        of = one.counts
        rows.append([one.name, len(one.pool.bags), of.attempts, of.episodes, of.held,
                     of.attempts - of.held, of.scored, of.passed])
    return html.table(['domain', 'bags', 'attempts', 'episodes', 'held', 'failed', 'scored',
                       'let pass'], rows, dense=True)
