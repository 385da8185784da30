"""Which level of a model's budget to run: a fixed one, or the highest that the time allows."""

from collections import deque
from collections.abc import Sequence
from itertools import accumulate

from moss_perception.core.errors import ConfigError
import numpy as np


def level_name(text: str) -> str:
    """Return a level's name without blanks and brackets, such as ``1,2`` of ``[1, 2]``."""
    return ','.join(part.strip() for part in text.strip(' []()').split(','))


def parse_level(name: str, text: str, levels: Sequence[str], lowest: int = 1) -> int | None:
    """
    Read a parameter that chooses a level.

    :param name: of the parameter, for the error.
    :param text: ``auto``, or a level's name (blanks and brackets allowed).
    :param levels: names of the levels, the cheapest first.
    :param lowest: the lowest level that is allowed, counted from 1.
    :returns: the level, counted from 1, or ``None`` for ``auto``.
    :raises ConfigError: if it is neither.
    """
    if text.strip() == 'auto':
        return None
    allowed = levels[lowest - 1:]
    given = level_name(text)
    if given not in allowed:
        names = ', '.join(map(repr, allowed))
        raise ConfigError(f"{name} {text!r} is not allowed: expected 'auto', {names}")
    return lowest + allowed.index(given)


class LevelSelector:
    """
    Chooses the highest level whose 95th percentile of step time stays under a budget.

    It goes down as soon as a full history is over budget. It goes up where the 95th percentile
    that the costs predict stays below a share of the budget, so that it doesn't swing. A level
    that soon had to be given up again is tried again only after a pause, each time a longer one.

    :param costs: what a step costs at each level, ascending, in any unit; only their ratios
        count.
    :param budget_s: seconds a step may take, above 0.
    :param level: the level to begin with, 1 or more.
    :param history: number of newest steps that count.
    :param lowest: the lowest level that is allowed.
    """

    MARGIN = 0.8
    """Share of the budget up to which a higher level is expected to fit."""
    TRIAL = 10
    """A level is on trial for this many histories; given up within them, it was tried too soon."""
    LONGEST_PAUSE = 64
    """No pause is longer than this many histories."""

    def __init__(self, costs: Sequence[float], budget_s: float, level: int, history: int = 40,
                 lowest: int = 1):
        self.budget_s = budget_s
        self.level = level
        self._costs = costs
        self._history = history
        self._lowest = lowest
        self._times: deque[float] = deque(maxlen=history)
        self._steps = self._risen_at = 0
        self._pause = dict.fromkeys(range(2, len(costs) + 1), 1)
        self._not_before = dict.fromkeys(self._pause, 0)

    def update(self, step_s: float) -> int:
        """
        Take the time of one step.

        :param step_s: seconds.
        :returns: the level to run from now on.
        """
        self._steps += 1
        self._times.append(step_s)
        if len(self._times) == self._history:
            p95 = float(np.percentile(self._times, 95))
            if p95 > self.budget_s and self.level > self._lowest:
                self._give_up(p95)
            else:
                self._try(p95)
        return self.level

    def _predicted(self, level: int, p95: float) -> float:
        return p95 * self._costs[level - 1] / self._costs[self.level - 1]

    def _give_up(self, p95: float) -> None:
        """Go down to the highest level that is expected to fit."""
        soon = self._steps - self._risen_at <= self.TRIAL * self._history
        given_up = self.level
        fitting = [n for n in range(self._lowest, self.level)
                   if self._predicted(n, p95) <= self.budget_s]
        self._change(max(fitting, default=self._lowest))
        for level in range(self.level + 1, given_up + 1):
            self._pause[level] = min(2 * self._pause[level], self.LONGEST_PAUSE) if soon else 1
            self._not_before[level] = self._steps + self._pause[level] * self._history

    def _try(self, p95: float) -> None:
        """Go up to the highest level that is expected to fit and has paused long enough."""
        fitting = [n for n in range(self.level + 1, len(self._costs) + 1)
                   if self._predicted(n, p95) <= self.MARGIN * self.budget_s
                   and self._steps >= self._not_before[n]]
        if fitting:
            self._risen_at = self._steps
            self._change(max(fitting))

    def _change(self, level: int) -> None:
        self.level = level
        self._times.clear()


class Budget:
    """
    Says which level a model is to run: the target.

    :param levels: names of the model's levels, the cheapest first.
    :param costs: seconds of a step at each; empty if they were not measured, which counts as
        equal shares.
    :param lowest: the lowest level that the checkpoint was trained for: where that is the highest
        there is nothing to choose.
    """

    def __init__(self, levels: Sequence[str], costs: Sequence[float] = (), lowest: int = 1):
        self.levels = tuple(levels)
        self._lowest = lowest
        self._costs = tuple(costs)
        self._fixed = len(levels)
        self._selector: LevelSelector | None = None

    @property
    def target(self) -> int:
        """The level that the model is to run, counted from 1; it may have to warm up to it."""
        return self._selector.level if self._selector else self._fixed

    def set_level(self, level: int | None, budget_s: float) -> None:
        """
        Fix the level, or with ``None`` choose as high a one as the budget allows.

        :param budget_s: seconds that a step may take, with ``None``.
        :raises ConfigError: if the model has no such level, or was not trained for it.
        """
        highest = len(self.levels)
        if level is not None and not self._lowest <= level <= highest:
            allowed = ', '.join(map(repr, self.levels[self._lowest - 1:]))
            name = repr(self.levels[level - 1]) if 1 <= level <= highest else f'number {level}'
            raise ConfigError(f'level {name} of the budget is not in this checkpoint, or it was '
                              f'not trained for it: expected {allowed}')
        self._fixed = level or highest
        chooses = level is None and self._lowest < highest
        self._selector = self._make_selector(budget_s) if chooses else None

    def _make_selector(self, budget_s: float) -> LevelSelector:
        """Begin with the highest level that fits when nothing else disturbs it."""
        highest = len(self.levels)
        if not self._costs:
            return LevelSelector(range(1, highest + 1), budget_s, highest, lowest=self._lowest)
        costs = tuple(accumulate(self._costs, max))
        fitting = [n for n, cost in enumerate(costs, start=1)
                   if cost <= budget_s and n >= self._lowest]
        first = max(fitting, default=self._lowest)
        return LevelSelector(costs, budget_s, first, lowest=self._lowest)

    def update(self, step_s: float) -> None:
        """Take the time of a step, seconds."""
        if self._selector:
            self._selector.update(step_s)
