"""What a check of ``moss doctor`` found, and how it is shown."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
import json
from typing import Any

from moss_perception.core.text import one_line

FORMAT = 'moss_perception.doctor/1'
FINE, WARNING, ERROR = 'ok', 'warning', 'error'
LEVELS = (FINE, WARNING, ERROR)
_MARKS = {FINE: 'ok', WARNING: 'WARNING', ERROR: 'ERROR'}
_WIDTH = 8


@dataclass(frozen=True)
class Check:
    """
    One thing that was checked.

    :ivar area: what it belongs to, such as ``installation``.
    :ivar level: one of :data:`LEVELS`.
    :ivar what: what was found, in one line.
    :ivar remedy: what to do; empty if nothing is wrong.
    """

    area: str
    level: str
    what: str
    remedy: str = ''


class Checks:
    """
    Collects the checks of one area.

    :ivar found: in the order of the checks.
    """

    def __init__(self, area: str):
        self.area = area
        self.found: list[Check] = []

    def __iter__(self) -> Iterator[Check]:
        return iter(self.found)

    def fine(self, what: str) -> None:
        """Note that something is as it should be."""
        self.found.append(Check(self.area, FINE, what))

    def warn(self, what: str, remedy: str) -> None:
        """Note what may lead to wrong or missing results, and what to do."""
        self.found.append(Check(self.area, WARNING, what, remedy))

    def fail(self, what: str, remedy: str) -> None:
        """Note what does not work, and what to do."""
        self.found.append(Check(self.area, ERROR, what, remedy))

    def decide(self, problem: str, fine: str, remedy: str) -> None:
        """Warn of a problem, or note that there is none."""
        if problem:
            self.warn(problem, remedy)
        else:
            self.fine(fine)


def screen(checks: Sequence[Check]) -> str:
    """Write checks for a terminal: each area, each check, and below it what to do."""
    lines, area = [], ''
    for one in checks:
        if one.area != area:
            area = one.area
            lines += ['', one_line(area)] if lines else [one_line(area)]
        lines.append(f'  {_MARKS[one.level]:{_WIDTH}} {one_line(one.what)}')
        if one.remedy:
            lines.append(f'  {"":{_WIDTH}} -> {one_line(one.remedy)}')
    return '\n'.join([*lines, '', summary(checks)])


def summary(checks: Iterable[Check]) -> str:
    """Return the numbers of errors and warnings in words."""
    levels = [one.level for one in checks]
    errors, warnings = levels.count(ERROR), levels.count(WARNING)
    if not errors + warnings:
        return 'nothing is wrong'
    return (f'{errors} error{"" if errors == 1 else "s"}, '
            f'{warnings} warning{"" if warnings == 1 else "s"}')


def as_json(checks: Sequence[Check]) -> str:
    """Write checks for programs."""
    values: dict[str, Any] = {
        'format': FORMAT, 'errors': sum(x.level == ERROR for x in checks),
        'warnings': sum(x.level == WARNING for x in checks), 'checks': list(map(asdict, checks))}
    return json.dumps(values, indent=2)
