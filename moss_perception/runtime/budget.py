"""Which self-similarity orders to run: a fixed prefix, or the highest the time allows."""

from collections import deque
from collections.abc import Sequence
from itertools import accumulate

from moss_perception.core.errors import ConfigError
import numpy as np


def parse_orders(text: str, highest: int, lowest: int = 1) -> int | None:
    """
    Read the parameter ``orders``.

    :param text: ``auto``, or a prefix such as ``1,2`` (blanks and brackets allowed).
    :param highest: the checkpoint's highest order.
    :param lowest: orders 1 to this one are the shortest prefix that it was trained for.
    :returns: the highest order of the prefix, or ``None`` for ``auto``.
    :raises ConfigError: if it is neither.
    """
    if text.strip() == 'auto':
        return None
    prefixes = {tuple(range(1, n + 1)): n for n in range(lowest, highest + 1)}
    try:
        return prefixes[tuple(int(part) for part in text.strip(' []()').split(','))]
    except (KeyError, ValueError):
        allowed = ', '.join(repr(','.join(map(str, p))) for p in prefixes)
        raise ConfigError(f"orders {text!r} is not allowed: expected 'auto', {allowed}") from None


class OrderSelector:
    """
    Chooses the highest order whose 95th percentile of step time stays under a budget.

    It goes down as soon as a full history is over budget. It goes up where the 95th percentile
    that the costs predict stays below a share of the budget, so that it doesn't swing. An order
    that soon had to be given up again is tried again after a pause only, each time a longer one.

    :param costs: what a step with orders 1 to 1, 1 to 2 and so on costs, ascending, in any unit;
        only their ratios count.
    :param budget_s: seconds a step may take, above 0.
    :param order: the order to begin with.
    :param history: steps that are looked at.
    """

    MARGIN = 0.8
    """Share of the budget up to which a higher order is expected to fit."""
    TRIAL = 10
    """An order is on trial for so many histories; given up in that time, it was tried too soon."""
    LONGEST_PAUSE = 64
    """No pause is longer than so many histories."""

    def __init__(self, costs: Sequence[float], budget_s: float, order: int, history: int = 40):
        self.budget_s = budget_s
        self.order = order
        self._costs = costs
        self._history = history
        self._times: deque[float] = deque(maxlen=history)
        self._steps = self._risen_at = 0
        self._pause = dict.fromkeys(range(2, len(costs) + 1), 1)
        self._not_before = dict.fromkeys(self._pause, 0)

    def update(self, step_s: float) -> int:
        """
        Take the time of one step.

        :param step_s: seconds.
        :returns: the order to run from now on.
        """
        self._steps += 1
        self._times.append(step_s)
        if len(self._times) == self._history:
            p95 = float(np.percentile(self._times, 95))
            if p95 > self.budget_s and self.order > 1:
                self._give_up(p95)
            else:
                self._try(p95)
        return self.order

    def _predicted(self, order: int, p95: float) -> float:
        return p95 * self._costs[order - 1] / self._costs[self.order - 1]

    def _give_up(self, p95: float) -> None:
        """Go down to the highest order that is expected to fit."""
        soon = self._steps - self._risen_at <= self.TRIAL * self._history
        given_up = self.order
        fitting = [n for n in range(1, self.order) if self._predicted(n, p95) <= self.budget_s]
        self._change(max(fitting, default=1))
        for order in range(self.order + 1, given_up + 1):
            self._pause[order] = min(2 * self._pause[order], self.LONGEST_PAUSE) if soon else 1
            self._not_before[order] = self._steps + self._pause[order] * self._history

    def _try(self, p95: float) -> None:
        """Go up to the highest order that is expected to fit and has paused long enough."""
        fitting = [n for n in range(self.order + 1, len(self._costs) + 1)
                   if self._predicted(n, p95) <= self.MARGIN * self.budget_s
                   and self._steps >= self._not_before[n]]
        if fitting:
            self._risen_at = self._steps
            self._change(max(fitting))

    def _change(self, order: int) -> None:
        self.order = order
        self._times.clear()


class OrderPlan:
    """
    Keeps track of which orders are run, and of which count.

    An order that returns is run at once, but counts only when its caches, and the maps that the
    head looks at, hold what they would hold had it never been away.

    :param highest: the checkpoint's highest order.
    :param length: temporal size ``L`` of the similarity window.
    :param span: samples that the head looks at itself.
    :param costs: seconds of a step with orders 1 to 1, 1 to 2 and so on; empty if nobody
        measured them, which counts as equal shares.
    :param lowest: orders 1 to this one are the shortest prefix that was trained: with
        ``highest`` there is nothing to choose.
    :ivar computed: orders 1 to this one are run.
    :ivar used: of these, orders 1 to this one count.
    """

    def __init__(self, highest: int, length: int, span: int, costs: Sequence[float] = (),
                 lowest: int = 1):
        self.highest = highest
        self._lowest = lowest
        self.computed = self.used = highest
        self._length = length
        self._span = span
        self._costs = tuple(costs)
        self._wanted = highest
        self._warm_up = 0
        self._selector: OrderSelector | None = None

    @property
    def wanted(self) -> int:
        """The highest order that is to count, once it has warmed up."""
        return self._selector.order if self._selector else self._wanted

    def want(self, highest: int | None, budget_s: float) -> None:
        """
        Choose the orders: 1 to ``highest``, or with ``None`` as many as the budget allows.

        :param budget_s: seconds that a step may take, with ``None``.
        :raises ConfigError: if the checkpoint has no such order, or was not trained to do with
            so few.
        """
        if highest is not None and not 1 <= highest <= self.highest:
            raise ConfigError(f'order {highest} is not in the checkpoint: '
                              f'expected 1 to {self.highest}')
        if highest is not None and highest < self._lowest:
            raise ConfigError(f'orders 1 to {highest} alone mean nothing in a checkpoint that was '
                              f'always trained with more: expected 1 to {self._lowest} at least')
        self._wanted = highest or self.highest
        chooses = highest is None and self._lowest < self.highest
        self._selector = self._make_selector(budget_s) if chooses else None

    def _make_selector(self, budget_s: float) -> OrderSelector:
        """Begin with the highest order that fits when nothing else disturbs it."""
        if not self._costs:
            return OrderSelector(range(1, self.highest + 1), budget_s, self.highest)
        costs = tuple(accumulate(self._costs, max))
        fitting = [n for n, cost in enumerate(costs, start=1) if cost <= budget_s]
        return OrderSelector(costs, budget_s, max(fitting, default=1))

    def restart(self) -> None:
        """Begin a new window: every wanted order counts from its first sample."""
        self.computed = self.used = self.wanted
        self._warm_up = 0

    def stepped(self) -> None:
        """Note that one sample was stepped."""
        if self._warm_up:
            self._warm_up -= 1
            if not self._warm_up:
                self.used = self.computed

    def update(self, step_s: float) -> None:
        """Follow what is wanted, after a step that took so many seconds."""
        wanted = self._selector.update(step_s) if self._selector else self._wanted
        if wanted < self.computed:
            self.computed = wanted
            self.used = min(self.used, wanted)
            self._warm_up = self._warm_up if self.used < wanted else 0
        elif wanted > self.computed:
            self.computed = wanted
            self._warm_up = (wanted - self.used) * (self._length - 1) + self._span - 1
