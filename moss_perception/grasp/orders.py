"""Which self-similarity orders to run: a fixed prefix, or the highest the time allows."""

from collections import deque

from moss_perception.errors import ConfigError
import numpy as np


def parse_orders(text: str, highest: int) -> int | None:
    """
    Read the parameter ``orders``.

    :param text: ``auto``, or a prefix such as ``1,2`` (blanks and brackets allowed).
    :param highest: the checkpoint's highest order.
    :returns: the highest order of the prefix, or ``None`` for ``auto``.
    :raises ConfigError: if it is neither.
    """
    if text.strip() == 'auto':
        return None
    prefixes = {tuple(range(1, n + 1)): n for n in range(1, highest + 1)}
    try:
        return prefixes[tuple(int(part) for part in text.strip(' []()').split(','))]
    except (KeyError, ValueError):
        allowed = ', '.join(repr(','.join(map(str, p))) for p in prefixes)
        raise ConfigError(f"orders {text!r} is not allowed: expected 'auto', {allowed}") from None


class OrderSelector:
    """
    Chooses the highest order whose 95th percentile of step time stays under a budget.

    It steps down as soon as a full history is over budget, and up only after a whole history
    below 60 % of it, so that it doesn't swing.

    :param highest: the checkpoint's highest order.
    :param budget_s: seconds a step may take, above 0.
    :param history: steps that are looked at.
    """

    def __init__(self, highest: int, budget_s: float, history: int = 40):
        self.highest = highest
        self.budget_s = budget_s
        self.order = highest
        self._times: deque[float] = deque(maxlen=history)

    def update(self, step_s: float) -> int:
        """
        Take the time of one step.

        :param step_s: seconds.
        :returns: the order to run from now on.
        """
        self._times.append(step_s)
        if len(self._times) < self._times.maxlen:
            return self.order
        p95 = float(np.percentile(self._times, 95))
        if p95 > self.budget_s and self.order > 1:
            self.order -= 1
            self._times.clear()
        elif p95 < 0.6 * self.budget_s and self.order < self.highest:
            self.order += 1
            self._times.clear()
        return self.order


class OrderPlan:
    """
    Keeps track of which orders are run, and of which count.

    An order that returns is run at once, but counts only when its caches, and the maps that the
    head looks at, hold what they would hold had it never been away.

    :param highest: the checkpoint's highest order.
    :param length: temporal size ``L`` of the similarity window.
    :param span: samples that the head looks at itself.
    :ivar computed: orders 1 to this one are run.
    :ivar used: of these, orders 1 to this one count.
    """

    def __init__(self, highest: int, length: int, span: int):
        self.highest = highest
        self.computed = self.used = highest
        self._length = length
        self._span = span
        self._wanted = highest
        self._warm_up = 0
        self._selector: OrderSelector | None = None

    def want(self, highest: int | None, budget_s: float) -> None:
        """
        Choose the orders: 1 to ``highest``, or with ``None`` as many as the budget allows.

        :param budget_s: seconds that a step may take, with ``None``.
        :raises ConfigError: if the checkpoint has no such order.
        """
        if highest is not None and not 1 <= highest <= self.highest:
            raise ConfigError(f'order {highest} is not in the checkpoint: '
                              f'expected 1 to {self.highest}')
        self._selector = None if highest else OrderSelector(self.highest, budget_s)
        self._wanted = highest or self.highest

    def restart(self) -> None:
        """Begin a new window: every wanted order counts from its first sample."""
        wanted = self._selector.order if self._selector else self._wanted
        self.computed = self.used = wanted
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
