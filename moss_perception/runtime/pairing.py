"""Brings scores together with the candidates they are of, whichever of the two came first."""

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

_KEPT = 64
_PENDING = 16


@dataclass(frozen=True)
class Pair:
    """
    Scores, and the candidates that were scored.

    :ivar scores: what was handed over with the positions.
    :ivar candidates: likewise; ``None`` where none have these positions.
    """

    scores: Any
    candidates: Any | None


@dataclass(frozen=True)
class _Pending:
    positions: np.ndarray
    scores: Any
    due_s: float


class Pairing:
    """
    Two topics keep no order between them: scores may come before their candidates.

    Such scores wait for a moment; newer ones that find their candidates put an end to that.
    What waits in vain is of no candidates: the default grasp point. That is known at once where
    the position isn't, or where the newest candidates are an empty list.

    :param patience_s: how long scores wait, seconds.
    """

    def __init__(self, patience_s: float = 0.2):
        self._patience_s = patience_s
        self._known: deque[tuple[np.ndarray, Any]] = deque(maxlen=_KEPT)
        self._pending: deque[_Pending] = deque()

    def candidates(self, positions: np.ndarray, candidates: Any) -> list[Pair]:
        """
        Take candidates.

        :param positions: float32, shape ``(K, 3)``, metres.
        :param candidates: what is to be paired.
        :returns: the scores that had waited for them, or none.
        """
        self._known.append((positions, candidates))
        for index in reversed(range(len(self._pending))):
            if _same(positions, self._pending[index].positions):
                found = self._pending[index].scores
                for _ in range(index + 1):
                    self._pending.popleft()
                return [Pair(found, candidates)]
        return []

    def scores(self, positions: np.ndarray, scores: Any, now_s: float) -> list[Pair]:
        """
        Take scores.

        :param positions: float32, shape ``(K, 3)``, as the candidates had them, metres.
        :param scores: what is to be paired.
        :param now_s: seconds that never go back.
        :returns: them with their candidates; none if they have to wait. Scores that have waited
            too long come first.
        """
        for known, candidates in reversed(self._known):
            if _same(known, positions):
                self._pending.clear()
                return [Pair(scores, candidates)]
        ended = self.expired(now_s)
        emptied = bool(self._known) and not len(self._known[-1][0])
        if emptied or not np.isfinite(positions).all() or not len(positions):
            self._pending.clear()
            return [*ended, Pair(scores, None)]
        if len(self._pending) == _PENDING:
            ended.append(Pair(self._pending.popleft().scores, None))
        self._pending.append(_Pending(positions, scores, now_s + self._patience_s))
        return ended

    def expired(self, now_s: float) -> list[Pair]:
        """
        End waiting in vain; to be called now and then.

        :param now_s: seconds that never go back.
        :returns: the scores that are of no candidates, in order.
        """
        ended = []
        while self._pending and self._pending[0].due_s <= now_s:
            ended.append(Pair(self._pending.popleft().scores, None))
        return ended


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return len(other) > 0 and np.array_equal(one, other, equal_nan=True)
