"""The attempts of a domain, over all its recordings."""

from collections.abc import Sequence
from dataclasses import dataclass
import re

from moss_perception.evaluation.metrics import Scored
from moss_perception.evaluation.records import AttemptRecord, BagRecord, Evaluation
import numpy as np

# A domain that shifts one factor alone, such as shifted.motion_blur.
_FACTOR = re.compile(r'\w+\.([a-z_]+)')


@dataclass(frozen=True)
class Pool:
    """
    One domain's recordings.

    :ivar name: name of the domain.
    :ivar bags: recordings, in the order given.
    :ivar attempts: all attempts with an executed grasp, in the order of the recordings.
    :ivar episodes: group of each attempt, shape ``(N,)``. Attempts of a recording that overlap in
        time share frames, so they are drawn together.
    :ivar not_executed: number of attempts without an executed grasp.
    """

    name: str
    bags: tuple[BagRecord, ...]
    attempts: tuple[AttemptRecord, ...]
    episodes: np.ndarray
    not_executed: int = 0

    @property
    def labels(self) -> np.ndarray:
        """Outcomes: bool, shape ``(N,)``."""
        return np.array([one.success for one in self.attempts], bool)

    @property
    def known(self) -> np.ndarray:
        """Which attempts have a score: bool, shape ``(N,)``."""
        return np.isfinite([one.score for one in self.attempts]) if self.attempts else np.zeros(
            0, bool)

    @property
    def scored(self) -> Scored:
        """The attempts that have a score."""
        known = self.known
        return Scored(np.array([one.score for one in self.attempts], float)[known],
                      self.labels[known], self.episodes[known])

    def values(self, name: str) -> np.ndarray:
        """Return ``uncertainty`` or ``ood_score`` of each attempt with a score."""
        return np.array([getattr(one, name) for one in self.attempts], float)[self.known]


def pool(evaluation: Evaluation, reference: str) -> list[Pool]:
    """
    Group recordings by domain.

    :param reference: domain to put first, before other domains and single factors of a shift.
    """
    names = list(dict.fromkeys(name_of(bag) for bag in evaluation.bags))
    names.sort(key=lambda name: (name != reference, bool(factor_of(name))))
    return [_pool(name, [bag for bag in evaluation.bags if name_of(bag) == name])
            for name in names]


def factor_of(domain: str) -> str:
    """
    Return the factor of a domain that shifts only one, such as ``shifted.motion_blur``.

    :returns: empty for all other domains, even if their names contain dots and numbers.
    """
    found = _FACTOR.fullmatch(domain)
    return found[1] if found else ''


def shift_of(domain: str) -> str:
    """Return the shift that a domain belongs to: ``shifted`` of ``shifted.motion_blur``."""
    return domain.partition('.')[0] if factor_of(domain) else domain


def name_of(bag: BagRecord) -> str:
    """Return the name of a recording's domain, with a default if it is unknown."""
    return bag.domain or 'unnamed'


def executed(bag: BagRecord) -> tuple[AttemptRecord, ...]:
    """Return the attempts in which a grasp was executed."""
    return tuple(one for one in bag.attempts if one.executed)


def _pool(name: str, bags: Sequence[BagRecord]) -> Pool:
    episodes, count = [np.zeros(0, int)], 0
    for bag in bags:
        mine = overlapping(executed(bag)) + count
        count += len(np.unique(mine))
        episodes.append(mine)
    attempts = tuple(one for bag in bags for one in executed(bag))
    return Pool(name, tuple(bags), attempts, np.concatenate(episodes),
                sum(len(bag.attempts) for bag in bags) - len(attempts))


def overlapping(attempts: Sequence[AttemptRecord]) -> np.ndarray:
    """
    Number groups of attempts that overlap in time.

    :returns: one number per attempt, from 0; overlapping attempts have the same number.
    """
    groups = np.zeros(len(attempts), int)
    group, until = -1, None
    for index in sorted(range(len(attempts)), key=lambda n: attempts[n].start_ns):
        one = attempts[index]
        if until is None or one.start_ns >= until:
            group, until = group + 1, one.end_ns
        groups[index], until = group, max(until, one.end_ns)
    return groups
