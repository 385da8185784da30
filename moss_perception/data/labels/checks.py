"""What is wrong with the labels of a recording, each in one line."""

from collections.abc import Sequence
from dataclasses import replace

from moss_perception.data.labels.attempts import Found
from moss_perception.data.labels.clock import Clock, in_words
from moss_perception.data.labels.matching import Label, Labels
import numpy as np

FEWEST = 20
"""With fewer attempts, most figures say nothing."""

_NAMED = 5


def foreign(labels: Labels, bag: str) -> str:
    """
    Return what to say of a table of which no row is within the recording; empty if one is.

    :param bag: name of the recording.
    :returns: one line, with the offset that would match if there is one.
    """
    if len(labels.outside) < len(labels.rows) or labels.clock is None:
        return ''
    label, clock = labels.rows[0], labels.clock
    return (
        f'outcomes {labels.table.path}: none of {len(labels.rows)} rows is within {bag}, from '
        f'{in_words(clock.first_ns)} to {in_words(clock.last_ns)}: {labels.table.at} '
        f'{label.row.line} is at {in_words(label.outcome.start_ns)}; '
        + (labels.hint or 'no offset of hours and no other unit would match'))


def within(labels: Labels) -> list[Label]:
    """
    Return the rows within the recording.

    :raises BagError: if two of them have the same number.
    """
    outside = {id(x) for x in labels.outside}
    kept = [x for x in labels.rows if id(x) not in outside]
    lines: dict[int, int] = {}
    for label in kept:
        number, line = label.outcome.attempt, label.row.line
        if lines.setdefault(number, line) != line:
            raise labels.table.error(label.row, f'attempt is {number}, which {labels.table.at} '
                                     f'{lines[number]} has already: expected one row for each '
                                     'attempt')
    return kept


def with_decisions(labels: Sequence[Label], found: Found | None) -> tuple[list[Label], int]:
    """
    Take the decisions of rows without one from the attempts of the recording.

    :returns: the rows, and how many took a decision. A row takes it if it holds exactly one.
    """
    done, taken = [], 0
    for label in labels:
        one = label.outcome
        inside = [] if found is None or 'decision' in label.row.times or label.found else [
            x.decision_ns for x in found.spans if one.start_ns <= x.decision_ns <= one.end_ns]
        if len(inside) == 1:
            label = replace(label, outcome=replace(one, decision_ns=inside[0]))
            taken += 1
        done.append(label)
    return done, taken


def findings(labels: Labels, kept: Sequence[Label], stamps: np.ndarray, clock: Clock,
             found: Found | None) -> list[str]:
    """
    List what a user should know of a recording's labels.

    :param kept: rows within the recording, in the order of the table.
    :param stamps: int64, header stamps of all images, nanoseconds, ascending.
    :param found: attempts of the recording; ``None`` if none were found.
    """
    table = labels.table
    said = [f'{table.at} {x.row.line}: attempt {x.outcome.attempt} at '
            f'{in_words(x.outcome.start_ns)} is outside of the recording, and is left out'
            for x in labels.outside]
    said += [f'{table.at} {x.row.line}: no image is stamped within attempt {x.outcome.attempt}, '
             f'from {in_words(x.outcome.start_ns)} to {in_words(x.outcome.end_ns)}'
             for x in kept if not _images_in(stamps, x)]
    ordered = sorted(kept, key=lambda x: x.outcome.start_ns)
    said += [f'{table.at} {later.row.line}: attempt {later.outcome.attempt} begins at '
             f'{in_words(later.outcome.start_ns)}, before attempt {one.outcome.attempt} '
             f'({table.at} {one.row.line}) ends at {in_words(one.outcome.end_ns)}: they overlap'
             for one, later in zip(ordered, ordered[1:], strict=False)
             if later.outcome.start_ns < one.outcome.end_ns]
    shown = said[:_NAMED] + [f'{len(said) - _NAMED} more lines of this kind'] * (
        len(said) > _NAMED)
    return [f'{table.path}: {line}' for line in [*shown, *_of_all(kept, found)]]


def _of_all(kept: Sequence[Label], found: Found | None) -> list[str]:
    said = []
    executed = [x.outcome.success for x in kept if x.outcome.executed]
    if executed and len(set(executed)) == 1:
        word = 'successes' if executed[0] else 'failures'
        said.append(f'all {len(executed)} attempts are {word}: the AUROC is undefined, and '
                    'nothing can be learnt from them; expected some of both')
    if len(executed) < FEWEST:
        said.append(f'{len(executed)} attempts are few: expected at least {FEWEST}, and a hundred '
                    'for intervals that say something')
    if found is not None:
        lacking = [n for n, span in enumerate(found.spans, start=1) if not any(
            x.outcome.start_ns <= span.decision_ns <= x.outcome.end_ns for x in kept)]
        if lacking:
            said.append(f'{len(lacking)} attempts found {found.how} have no row: '
                        + ', '.join(map(str, lacking[:_NAMED])) + ' ...' * (
                            len(lacking) > _NAMED))
    return said


def _images_in(stamps: np.ndarray, label: Label) -> bool:
    at = np.searchsorted(stamps, label.outcome.start_ns)
    return bool(at < len(stamps) and stamps[at] <= label.outcome.end_ns)
