"""What is wrong with the labels of a recording, each in one line."""

from collections.abc import Sequence
import shlex

from moss_perception.core.errors import BagError
from moss_perception.data.labels.clock import in_words
from moss_perception.data.labels.conflicts import numbers_before
from moss_perception.data.labels.label import Label, Labels, time_name
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
    label = labels.rows[0]
    return (
        f'outcomes {labels.table.path}: none of {len(labels.rows)} rows is within '
        f'{_of_recording(labels, bag)}: {labels.table.at} {label.row.line} is at '
        f'{in_words(label.outcome.start_ns)}; '
        + (labels.hint.text if labels.hint else
           'no offset of hours and no other unit would match'))


def another_clock(labels: Labels, bag: str) -> str:
    """
    Return what to say of a table of which another reading matches clearly more rows; else empty.

    If no row matches at all, :func:`foreign` says so.

    :param bag: name of the recording.
    """
    if labels.hint is None or not labels.hint.clear or foreign(labels, bag):
        return ''
    there = len(labels.rows) - len(labels.outside) - len(labels.lost)
    lacking = lacking_rows(labels)
    return (
        f'outcomes {labels.table.path}: {there} of {len(labels.rows)} rows match '
        f'{_of_recording(labels, bag)}'
        + (f', and {len(lacking)} attempts found {labels.found.how} have no row'
           if labels.found and lacking else '') + f': {labels.hint.text}')


def refuse_another_clock(labels: Labels, bag: str) -> None:
    """
    Refuse a table whose times are of another clock, though some of them lie in the recording.

    :param bag: path of the recording.
    :raises BagError: if another reading of the times matches clearly more rows.
    """
    if why := another_clock(labels, bag):
        raise BagError(f'{why}; {remedy(labels, bag)}; if the times are right, name the recording '
                       'of each row in a column bag')


def remedy(labels: Labels, bag: str) -> str:
    """Return the command that writes a table with the times of its hint; empty without one."""
    if labels.hint is None:
        return ''
    path = labels.table.path
    return 'write the table again: ' + shlex.join([
        'moss', 'label', bag, '--outcomes', str(path), *labels.hint.options, '--out',
        f'{path.stem}_stamps.csv'])


def _of_recording(labels: Labels, bag: str) -> str:
    assert labels.clock is not None  # only rows of a recording can be outside of it
    return f'{bag}, from {in_words(labels.clock.first_ns)} to {in_words(labels.clock.last_ns)}'


def within(labels: Labels) -> list[Label]:
    """
    Return the rows within the recording that are of an attempt.

    :raises BagError: if two of them have the same number.
    """
    kept = [x for x in labels.rows if not (labels.is_outside(x) or labels.is_lost(x))]
    lines: dict[int, int] = {}
    for label in kept:
        number, line = label.outcome.attempt, label.row.line
        if lines.setdefault(number, line) != line:
            raise labels.table.error(label.row, f'attempt is {number}, which {labels.table.at} '
                                     f'{lines[number]} has already: expected one row for each '
                                     'attempt')
    return kept


def lacking_rows(labels: Labels) -> list[int]:
    """List the numbers of the attempts found in the recording that no row is of."""
    if labels.found is None:
        return []
    # The end of an attempt may be the decision of the next one.
    having = {n for x in labels.rows if not labels.is_outside(x)
              for n in ([x.found - 1] if x.found else labels.found.within(
                  x.outcome.start_ns, x.outcome.end_ns))}
    return [n + 1 for n in range(len(labels.found.spans)) if n not in having]


def findings(labels: Labels, kept: Sequence[Label], stamps: np.ndarray) -> list[str]:
    """
    List what a user should know of a recording's labels, a line each.

    :param kept: rows within the recording, in the order of the table.
    :param stamps: int64, header stamps of all images, nanoseconds, ascending.
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
    hint = [labels.hint.text] if labels.hint and not labels.hint.clear else []
    return [f'{table.path}: {line}' for line in [
        *_first(said), *hint, *_of_numbers(kept), *of_attempts(labels)]]


def of_attempts(labels: Labels) -> list[str]:
    """List what may be wrong with the attempts to which rows belong, a line each."""
    table, found = labels.table, labels.found
    placed = found is not None and any(x.found or x.taken for x in labels.rows)
    lost = [*(found.doubts if found is not None and placed else ()), *_first([
        f'{table.at} {x.row.line}: no attempt of the recording is decided shortly before '
        f'{in_words(x.outcome.start_ns)}, and the row is left out' for x in labels.lost])]
    starts = [str(x.row.line) for x in labels.rows
              if x.is_whole and not x.decided and not labels.is_outside(x)]
    if starts:
        closings = found is not None and not found.decided
        lost.append(
            f'{len(starts)} rows have no decision, and '
            + ('only the gripper tells when it closes' if closings else
               'not exactly one was found within them')
            + f' ({table.at} {_names(starts)}): their start is taken for it, though the robot '
            'decides later; expected a column decision, or a topic of executed grasps'
            + (', or the time from decision to closing (moss label --lead-time)' * closings))
    if lacking := lacking_rows(labels):
        assert found is not None  # else none is lacking
        lost.append(f'{len(lacking)} attempts found {found.how} have no row: '
                    + _names([str(x) for x in lacking]))
    return lost


def readings(labels: Labels) -> list[str]:
    """List how the rows were brought together with the attempts of the recording, a line each."""
    found, said = labels.found, []
    if found is None:
        return []
    if before := numbers_before(labels):
        said.append(f'its numbers count {before} attempts before those of this recording')
    if taken := sum(x.taken is not None for x in labels.rows):
        said.append(f'{taken} rows have no decision: it is taken from the attempts found '
                    f'{found.how}')
    for name, which in (('time', 'last decision before it'), ('end', 'last decision before it'),
                        ('start', 'next decision')):
        late_s = [(x.at_ns - x.outcome.decision_ns) / 1e9 for x in labels.rows
                  if x.at_ns is not None and x.found and time_name(x.row) == name]
        if late_s:
            middle_s = float(np.median(late_s))
            said.append(f'each {name} belongs to the {which}: it is {abs(middle_s):.3f} s '
                        f'{"after" if middle_s >= 0 else "before"} it (median; '
                        f'{min(late_s):.3f} to {max(late_s):.3f} s)')
    return said


def _of_numbers(kept: Sequence[Label]) -> list[str]:
    said = []
    executed = [x.outcome.success for x in kept if x.outcome.executed]
    if executed and len(set(executed)) == 1:
        word = 'successes' if executed[0] else 'failures'
        said.append(f'all {len(executed)} attempts are {word}: the AUROC is undefined, and '
                    'nothing can be learnt from them; expected some of both')
    if len(executed) < FEWEST:
        said.append(f'{len(executed)} attempts are few: expected at least {FEWEST}, and a hundred '
                    'for intervals that say something')
    return said


def _first(lines: list[str]) -> list[str]:
    more = len(lines) - _NAMED
    return lines[:_NAMED] + [f'{more} more lines of this kind'] * (more > 0)


def _names(names: Sequence[str]) -> str:
    return ', '.join(names[:_NAMED]) + ' ...' * (len(names) > _NAMED)


def _images_in(stamps: np.ndarray, label: Label) -> bool:
    at = np.searchsorted(stamps, label.outcome.start_ns)
    return bool(at < len(stamps) and stamps[at] <= label.outcome.end_ns)
