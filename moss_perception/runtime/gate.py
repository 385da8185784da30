"""Selects the grasp to execute: the best acceptable candidate, with hysteresis."""

from dataclasses import dataclass

from moss_perception.core.errors import ConfigError
import numpy as np

WAITING = 'waiting'
CANDIDATE = 'candidate'
SELECTED = 'selected'
STALE = 'stale'
BELOW_THRESHOLD = 'below threshold'

# A conveyor at 0.5 m/s moves a candidate this far between two frames at 10 Hz. A planner that
# samples new candidates usually moves them further.
MAX_MOVE_M = 0.05


RANGES = {
    'min_score': (0.0, 1.0), 'max_uncertainty': (0.0, 0.5), 'hold_time_s': (0.0, 60.0),
    'max_age_s': (0.01, 60.0), 'release_score': (0.0, 1.0), 'switch_margin': (0.0, 1.0),
    'explore': (0.0, 1.0)}
"""Lowest and highest values of the fields of :class:`GateConfig`."""


@dataclass(frozen=True)
class GateConfig:
    """
    When a candidate is selected, kept and replaced.

    :ivar min_score: a candidate is acceptable from this score on, in [0, 1].
    :ivar max_uncertainty: and up to this uncertainty, in [0, 0.5].
    :ivar hold_time_s: how long it must be acceptable without a break, in stamp time, 0 or more.
    :ivar max_age_s: scores older than this, or as far ahead of the clock, are stale; above 0.
    :ivar release_score: the selected candidate is kept down to this score, in
        [0, ``min_score``].
    :ivar switch_margin: and until another candidate, held as long, scores higher by more than
        this, in [0, 1].
    :ivar explore: probability, in [0, 1], that an attempt tries a candidate that is drawn from
        all with a score, whatever their scores. A model is trained best on such attempts. An
        attempt begins with the first scores after a list without candidates.
    """

    min_score: float = 0.5
    max_uncertainty: float = 0.25
    hold_time_s: float = 0.2
    max_age_s: float = 0.5
    release_score: float = 0.4
    switch_margin: float = 0.1
    explore: float = 0.0

    def __post_init__(self):
        """
        Refuse values and combinations that can't work.

        :raises ConfigError: naming the setting, its value and what was expected.
        """
        for name, (low, high) in RANGES.items():
            value, shown = getattr(self, name), f'{high:g}'
            if name == 'release_score':
                high, shown = self.min_score, f'min_score={self.min_score}'
            if not low <= value <= high:
                raise ConfigError(
                    f'{name}={value!r} is not allowed: expected in [{low:g}, {shown}]')


@dataclass(frozen=True)
class Decision:
    """
    The gate's decision on one frame.

    :ivar state: ``waiting``, ``candidate``, ``selected``, ``stale`` or ``below threshold``.
    :ivar index: the selected candidate; in the state ``candidate`` the best acceptable one; else
        ``None``.
    """

    state: str
    index: int | None = None


class Gate:
    """
    Selects the best of the candidates that have been acceptable for the whole hold time.

    A candidate is the same one in the next list if the list is as long, it has the same index,
    and it moved by at most 5 cm.

    :param config: when a candidate is selected, kept and replaced.
    """

    def __init__(self, config: GateConfig):
        self.config = config
        # The same attempts in the same order get the same draws.
        self._draws = np.random.default_rng(0)
        self.reset()

    def reset(self) -> None:
        """Forget all scores."""
        self._stamp_ns: int | None = None
        self._forget_candidates()

    def _forget_candidates(self) -> None:
        self._begun_ns: int | None = None
        self._explores = False
        self._positions = np.zeros((0, 3))
        self._since_ns: list[int | None] = []
        self._selected: int | None = None

    def update(self, stamp_ns: int, now_ns: int, positions: np.ndarray, scores: np.ndarray,
               uncertainties: np.ndarray) -> Decision:
        """
        Take the scores of one frame.

        :param stamp_ns: the frame's stamp, nanoseconds; one below the last, or more than the
            highest age above it, starts again.
        :param now_ns: the time by the same clock, nanoseconds.
        :param positions: of the candidates, shape ``(K, 3)``, metres.
        :param scores: shape ``(K,)``, in [0, 1]; NaN for a candidate without one.
        :param uncertainties: shape ``(K,)``, in [0, 0.5]; NaN for a candidate without one.
        """
        # Across a gap the scores were stale, whether or not :meth:`watch` saw it.
        since_ns = 0 if self._stamp_ns is None else stamp_ns - self._stamp_ns
        if since_ns < 0 or since_ns > self._max_age_ns:
            self._forget_candidates()
        self._stamp_ns = stamp_ns
        if self._is_stale(now_ns):
            self._forget_candidates()
            return Decision(STALE)
        if not len(scores):
            self._forget_candidates()
            return Decision(WAITING)
        self._follow(positions)
        if self._begun_ns is None:
            self._begin(stamp_ns)
        if self._explores:
            return self._explored(stamp_ns, scores)
        # Comparisons with NaN are false: a candidate without a score is never acceptable.
        certain = uncertainties <= self.config.max_uncertainty
        acceptable = certain & (scores >= self.config.min_score)
        self._since_ns = [(stamp_ns if since is None else since) if good else None
                          for since, good in zip(self._since_ns, acceptable, strict=True)]
        self._select(stamp_ns, scores, certain)
        if self._selected is not None:
            return Decision(SELECTED, self._selected)
        best = _best(scores, acceptable)
        return Decision(BELOW_THRESHOLD) if best is None else Decision(CANDIDATE, best)

    def _begin(self, stamp_ns: int) -> None:
        """Begin an attempt, and draw whether it tries any candidate."""
        self._begun_ns = stamp_ns
        self._explores = bool(self._draws.random() < self.config.explore)

    def _explored(self, stamp_ns: int, scores: np.ndarray) -> Decision:
        """Draw one of the candidates after the hold time, and keep it while it is listed."""
        assert self._begun_ns is not None  # since _begin
        known = np.flatnonzero(np.isfinite(scores))
        if self._selected is not None and self._selected in known:
            return Decision(SELECTED, self._selected)
        if not len(known):
            return Decision(BELOW_THRESHOLD)
        if stamp_ns - self._begun_ns < round(self.config.hold_time_s * 1e9):
            return Decision(CANDIDATE, int(known[np.argmax(scores[known])]))
        self._selected = int(self._draws.choice(known))
        return Decision(SELECTED, self._selected)

    def watch(self, now_ns: int) -> Decision | None:
        """
        Check whether the last scores have become stale; call it regularly.

        :param now_ns: the time by the clock of the stamps, nanoseconds.
        :returns: ``stale``, or ``None`` where nothing changes.
        """
        if self._stamp_ns is None or not self._is_stale(now_ns):
            return None
        self._forget_candidates()
        return Decision(STALE)

    def _is_stale(self, now_ns: int) -> bool:
        # Scores from the future come from another clock: their age can't be known.
        assert self._stamp_ns is not None  # scores have come
        return abs(now_ns - self._stamp_ns) > self._max_age_ns

    @property
    def _max_age_ns(self) -> int:
        return round(self.config.max_age_s * 1e9)

    def _follow(self, positions: np.ndarray) -> None:
        """Forget the candidates that are not in the new list."""
        if len(positions) != len(self._positions):
            self._since_ns, self._selected = [None] * len(positions), None
        else:
            same = np.linalg.norm(positions - self._positions, axis=1) <= MAX_MOVE_M
            self._since_ns = [since if stays else None
                              for since, stays in zip(self._since_ns, same, strict=True)]
            if self._selected is not None and not same[self._selected]:
                self._selected = None
        self._positions = positions

    def _select(self, stamp_ns: int, scores: np.ndarray, certain: np.ndarray) -> None:
        """Keep, replace or release the selected candidate, or select one."""
        hold_ns = round(self.config.hold_time_s * 1e9)
        best = _best(scores, np.array([since is not None and stamp_ns - since >= hold_ns
                                       for since in self._since_ns]))
        selected = self._selected
        if selected is not None and certain[selected] and (
                scores[selected] >= self.config.release_score):
            margin = self.config.switch_margin
            if best is None or not scores[best] > scores[selected] + margin:
                return
        self._selected = best


def _best(scores: np.ndarray, among: np.ndarray) -> int | None:
    """Return the first index of the highest score among those chosen, ``None`` for none."""
    return int(np.argmax(np.where(among, scores, -np.inf))) if among.any() else None
