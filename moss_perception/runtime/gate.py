"""Which grasp to execute: the best fresh candidate, held for a while, kept by hysteresis."""

from dataclasses import dataclass

from moss_perception.core.errors import ConfigError
import numpy as np

WAITING = 'waiting'
CANDIDATE = 'candidate'
SELECTED = 'selected'
STALE = 'stale'
BELOW_THRESHOLD = 'below threshold'

# A conveyor at 0.5 m/s, scored ten times a second, moves its candidates this far from one set of
# scores to the next; a planner that draws its candidates anew usually moves them further.
MAX_MOVE_M = 0.05


@dataclass(frozen=True)
class GateConfig:
    """
    What a grasp must show before it is selected.

    :ivar min_score: lowest score that is selected, in [0, 1].
    :ivar max_uncertainty: highest uncertainty that is selected or kept, in [0, 0.5].
    :ivar hold_time_s: how long a candidate must stay the best, in stamp time, 0 or more.
    :ivar max_age_s: scores older or further ahead than this are stale, above 0.
    :ivar release_score: a selected candidate is kept down to this score, in [0, ``min_score``].
    """

    min_score: float = 0.5
    max_uncertainty: float = 0.25
    hold_time_s: float = 0.2
    max_age_s: float = 0.5
    release_score: float = 0.4

    def __post_init__(self):
        """
        Refuse values and combinations that can't work.

        :raises ConfigError: naming the setting, its value and what was expected.
        """
        self._expect('min_score', 0 <= self.min_score <= 1, 'in [0, 1]')
        self._expect('max_uncertainty', 0 <= self.max_uncertainty <= 0.5, 'in [0, 0.5]')
        self._expect('hold_time_s', 0 <= self.hold_time_s <= 60, 'in [0, 60]')
        self._expect('max_age_s', 0.01 <= self.max_age_s <= 60, 'in [0.01, 60]')
        self._expect('release_score', 0 <= self.release_score <= self.min_score,
                     f'in [0, min_score={self.min_score}]')

    def _expect(self, name: str, allowed: bool, expected: str) -> None:
        if not allowed:
            raise ConfigError(
                f'{name}={getattr(self, name)!r} is not allowed: expected {expected}')


@dataclass(frozen=True)
class Decision:
    """
    What the gate says.

    :ivar state: ``waiting``, ``candidate``, ``selected``, ``stale`` or ``below threshold``.
    :ivar index: the candidate that is held or selected, or ``None``.
    """

    state: str
    index: int | None = None


class Gate:
    """
    Follows the scores of a list of candidates and selects one.

    A candidate is the same one in the next list if the list is as long, it stands at the same
    place in it, and it moved by at most 5 cm.

    :param config: what a grasp must show.
    """

    def __init__(self, config: GateConfig):
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Forget all scores."""
        self._stamp_ns: int | None = None
        self._forget_candidate()

    def _forget_candidate(self) -> None:
        self._index: int | None = None
        self._position = np.zeros(3)
        self._length = 0
        self._since_ns = 0
        self._selected = False

    def update(self, stamp_ns: int, now_ns: int, positions: np.ndarray, scores: np.ndarray,
               uncertainties: np.ndarray) -> Decision:
        """
        Take the scores of one frame.

        :param stamp_ns: the frame's stamp; one below the last starts again, nanoseconds.
        :param now_ns: the time by the same clock, nanoseconds.
        :param positions: shape ``(K, 3)``, metres; ``K`` = 0 where there are no candidates.
        :param scores: shape ``(K,)``, in [0, 1]; NaN where a candidate has none.
        :param uncertainties: shape ``(K,)``, in [0, 0.5]; NaN likewise.
        :returns: state, and the candidate it is about.
        """
        if self._stamp_ns is not None and stamp_ns < self._stamp_ns:
            self.reset()
        self._stamp_ns = stamp_ns
        if self._is_stale(now_ns):
            self._forget_candidate()
            return Decision(STALE)
        if not len(scores):
            self._forget_candidate()
            return Decision(WAITING)
        self._follow(positions)
        self._choose(stamp_ns, positions, scores, uncertainties)
        if self._index is None:
            return Decision(BELOW_THRESHOLD)
        if stamp_ns - self._since_ns >= round(self.config.hold_time_s * 1e9):
            self._selected = True
        return Decision(SELECTED if self._selected else CANDIDATE, self._index)

    def watch(self, now_ns: int) -> Decision | None:
        """
        Look whether the last scores have gone stale; to be called now and then.

        :param now_ns: the time by the clock of the stamps, nanoseconds.
        :returns: ``stale``, or ``None`` where nothing changes.
        """
        if self._stamp_ns is None or not self._is_stale(now_ns):
            return None
        self._forget_candidate()
        return Decision(STALE)

    def _is_stale(self, now_ns: int) -> bool:
        # Scores from the future come from another clock: their age can't be known.
        return abs(now_ns - self._stamp_ns) > round(self.config.max_age_s * 1e9)

    def _follow(self, positions: np.ndarray) -> None:
        """Lose the held candidate where the new list doesn't hold it."""
        if self._index is None:
            return
        moved = (np.linalg.norm(positions[self._index] - self._position)
                 if len(positions) == self._length else np.inf)
        if not moved <= MAX_MOVE_M:
            self._forget_candidate()

    def _choose(self, stamp_ns: int, positions: np.ndarray, scores: np.ndarray,
                uncertainties: np.ndarray) -> None:
        """Keep the selected candidate while it may be kept, else hold the best."""
        certain = uncertainties <= self.config.max_uncertainty
        kept = self._selected and certain[self._index] and (
            scores[self._index] >= self.config.release_score)
        if not kept:
            eligible = certain & (scores >= self.config.min_score)
            if not eligible.any():
                self._forget_candidate()
                return
            best = int(np.argmax(np.where(eligible, scores, -np.inf)))
            if best != self._index:
                self._forget_candidate()
                self._index, self._since_ns = best, stamp_ns
        self._position, self._length = positions[self._index], len(positions)
