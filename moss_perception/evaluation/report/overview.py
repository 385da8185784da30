"""The head of the page: each domain's main values and their limitations."""

from dataclasses import dataclass
from typing import Any

from moss_perception.evaluation.records import BagRecord
from moss_perception.evaluation.report.colours import colour_of
from moss_perception.evaluation.report.pooling import factor_of
from moss_perception.evaluation.report.summary import Domain, split, Summary

# With fewer attempts, an interval is wider than most relevant differences.
_MANY = 100


@dataclass(frozen=True)
class Caution:
    """
    A limitation of the values.

    :ivar text: a sentence.
    :ivar domain: domain concerned; empty for none.
    :ivar recording: recording concerned; empty for none.
    """

    text: str
    domain: str = ''
    recording: str = ''


def values(summary: Summary) -> dict[str, Any]:
    """Return the template's values: domains with their colours, and limitations."""
    return {'whole': [(one, colour_of(number)) for one, number in split(summary.domains)[0]],
            'reference': summary.reference, 'lines': cautions(summary)}


def cautions(summary: Summary) -> list[Caution]:
    """List the limitations of the values."""
    found = []
    if summary.temperature is None:
        found.append(Caution(
            f'There is no recording of the domain “{summary.reference}” to compare with, so there '
            'are no gaps, no fitted temperature and no values of the shift monitor.'))
    elif not summary.temperature.fitted:
        found.append(Caution(f'Temperature not fitted: {summary.temperature.why}.'))
    found += [Caution(line, domain=one.name) for one in summary.domains for line in _limits(one)]
    found += [Caution(line, recording=bag.path) for bag in summary.evaluation.bags
              for line in _damage(bag)]
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
    if bag.lost_share > 0 and not bag.notes:
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
