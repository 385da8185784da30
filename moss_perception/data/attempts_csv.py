"""Outcomes of grasp attempts from a CSV file, for recordings without outcomes."""

import csv
from pathlib import Path

from moss_perception.core.errors import BagError
from moss_perception.data.outcomes import candidate_index, Outcome, seconds_to_ns

REQUIRED = ('start', 'end', 'success')
OPTIONAL = ('attempt', 'decision', 'executed', 'candidate', 'motion', 'object', 'domain')
_FLAGS = {'true': True, '1': True, 'yes': True, 'false': False, '0': False, 'no': False}


def read_attempts(path: Path | str) -> list[Outcome]:
    """
    Read attempts from CSV with a heading.

    Columns: ``start``, ``end`` and, optionally, ``decision`` (the start without) in seconds of the
    images' header stamps; ``success`` (true or false, 1 or 0, yes or no); optionally ``attempt``
    (the row's number without), ``executed`` (whether a grasp was executed, yes without; written
    as ``success`` is), ``candidate`` (the executed grasp's index in the PoseArray of candidates,
    or nothing), ``motion``, ``object`` and ``domain``.

    :returns: outcomes in the order of the file.
    :raises BagError: if the file can't be read, lacks a column or has an invalid value.
    """
    path = Path(path)
    try:
        with path.open(newline='', encoding='utf-8-sig') as file:
            return _read(path, csv.DictReader(file, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, 'strerror', None) or ' '.join(str(error).split())
        raise BagError(f"outcomes {path} can't be read: {reason}") from error


def _read(path: Path, rows: csv.DictReader) -> list[Outcome]:
    columns = [name.strip() for name in rows.fieldnames or ()]
    rows.fieldnames = columns
    missing = [name for name in REQUIRED if name not in columns]
    unknown = [name for name in columns if name not in REQUIRED + OPTIONAL]
    if missing or unknown:
        wrong = [f'lacks the column {", ".join(missing)}'] * bool(missing) + [
            f'has a column {", ".join(map(repr, unknown))}'] * bool(unknown)
        raise BagError(f'outcomes {path} {" and ".join(wrong)}: expected {", ".join(REQUIRED)} '
                       f'and, if wanted, {", ".join(OPTIONAL)}')
    outcomes = []
    for number, row in enumerate(rows, start=1):
        try:
            outcomes.append(_outcome({k: (v or '').strip() for k, v in row.items()}, number))
        except (ValueError, AttributeError) as error:
            said = 'more values than columns' if None in row else str(error)
            raise BagError(f'outcomes {path}, line {rows.line_num}: {said}') from error
    if not outcomes:
        raise BagError(f'outcomes {path} holds no attempt: expected a line each')
    return outcomes


def _outcome(values: dict[str, str], number: int) -> Outcome:
    start_ns, end_ns = seconds_to_ns(values['start']), seconds_to_ns(values['end'])
    decision_ns = seconds_to_ns(values['decision']) if values.get('decision') else start_ns
    if not start_ns <= decision_ns <= end_ns:
        raise ValueError(
            f'start {values["start"]}, decision {values.get("decision") or values["start"]} and '
            f'end {values["end"]}: expected them in this order')
    success = _flag('success', values['success'])
    executed = _flag('executed', values['executed']) if values.get('executed') else True
    attempt = values.get('attempt') or str(number)
    if not attempt.isdecimal():
        raise ValueError(f'attempt is {attempt!r}, expected a whole number')
    domain, motion, thing = (values.get(name, '') for name in ('domain', 'motion', 'object'))
    return Outcome(int(attempt), start_ns, decision_ns, end_ns, success, domain, motion, thing,
                   executed=executed,
                   candidate=candidate_index(values['candidate']) if values.get('candidate')
                   else None)


def _flag(name: str, text: str) -> bool:
    value = _FLAGS.get(text.lower())
    if value is None:
        raise ValueError(f'{name} is {text!r}, expected true or false')
    return value
