"""The model with MOSS between backbone and head: a graph for each prefix of its orders."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, TYPE_CHECKING

from moss_perception.models.base import InputSpec, register, Scores
from moss_perception.models.graph_model import (
    gap_inputs,
    Graph,
    GraphModel,
    image_inputs,
    StreamState,
    Tap,
)
from moss_perception.models.grasp_config import MossConfig, order_names
import numpy as np

if TYPE_CHECKING:
    from moss_perception.models.moss_grasp.network import MossGraspNetwork
    from torch import nn

COMPARES = ('features', 'pixels', 'both')


@dataclass(frozen=True)
class MossGraspConfig(MossConfig):
    """
    MOSS on the backbone's maps; a level of the budget is a prefix of its orders.

    Displacements are looked for on the maps of the backbone's stage of ``map_stride``; encodings
    of strides 4 and 8 see what the deeper stage adds as well. At stride 2 what MOSS finds is
    averaged over 2 x 2 positions.

    :ivar compares: what MOSS compares: ``features`` of the backbone, ``pixels``, which are the
        colours averaged over each cell, or ``both``. Pixels stay alike from frame to frame where
        features of few channels differ by noise, in particular on images unlike the training's.
    """

    strides = (2, 4, 8)

    compares: str = 'features'

    def __post_init__(self):
        super().__post_init__()
        self._expect('compares', self.compares in COMPARES, f'one of {COMPARES}')

    @property
    def map_size(self) -> int:
        """Height and width of the maps that the head reads, of stride 4 at least."""
        return self.image_size // max(self.map_stride, 4)

    @property
    def compared_size(self) -> int:
        """Height and width of the maps that are compared."""
        return self.image_size // self.map_stride

    @property
    def compared_channels(self) -> int:
        """Channels of the maps that are compared."""
        features = self.channels[(2, 4, 8).index(self.map_stride)]
        return {'features': features, 'pixels': 3, 'both': features + 3}[self.compares]

    @property
    def velocity_orders(self) -> int:
        """All, if displacements are read and the time is known."""
        return self.orders if self.displaces and self.time_inputs else 0

    @property
    def levels(self) -> tuple[str, ...]:
        """Name the prefixes of the orders."""
        return order_names(self.orders)

    def lowest_level(self, notes: Mapping[str, Any]) -> int:
        """
        Tell which prefixes of its orders a checkpoint was trained for.

        :returns: 1 if any prefix can be run, or nothing is known of the training; else the
            highest order, without which its scores mean nothing.
        """
        always_all = notes.get('recipe', {}).get('full_orders', 0) >= 1
        return self.orders if always_all else 1


@dataclass(frozen=True)
class ActiveOrders:
    """
    Which orders a stream computes, and which count.

    An order that returns is computed at once, but counts only when its caches and the head's
    temporal taps hold what they would hold had it never been away.

    :ivar active: orders 1 to this one are computed.
    :ivar warm: of these, orders 1 to this one count.
    :ivar samples: until ``warm`` is ``active``; 0 if it is.
    """

    active: int
    warm: int
    samples: int = 0

    def towards(self, target: int, config: MossGraspConfig) -> 'ActiveOrders':
        """Return what a sample computes when orders 1 to ``target`` are wanted."""
        if target < self.active:
            warm = min(self.warm, target)
            return ActiveOrders(target, warm, self.samples if warm < target else 0)
        if target == self.active:
            return self
        caches = (target - self.warm) * (config.moss_window[0] - 1)
        return ActiveOrders(target, self.warm, caches + config.head_receptive_field - 1)

    def stepped(self) -> 'ActiveOrders':
        """Return what holds after a sample."""
        if not self.samples:
            return self
        left = self.samples - 1
        return ActiveOrders(self.active, self.warm if left else self.active, left)


@register('moss_grasp')
class MossGrasp(GraphModel[MossGraspConfig, 'MossGraspNetwork']):
    """Scores grasps by the backbone's maps and their self-similarities; looks back only."""

    Config = MossGraspConfig

    def __init__(self, config: MossGraspConfig, runner=None):
        super().__init__(config, runner)
        self._taps = cache(partial(_taps, config))

    @classmethod
    def build(cls, config: MossGraspConfig) -> 'MossGraspNetwork':
        from moss_perception.models.moss_grasp.network import MossGraspNetwork
        return MossGraspNetwork(config)

    @classmethod
    def describe(cls, config: MossGraspConfig) -> tuple[Graph, ...]:
        """Describe the graph of each prefix of the orders."""
        inputs = image_inputs(config) | {'used': InputSpec((1,), 'int64')}
        length, numbers = config.moss_window[0], range(1, config.orders + 1)
        return tuple(Graph(
            graph_name(highest), inputs, _taps(config, highest, highest),
            (*(f'newest_{n}' for n in numbers[:highest] if length > 1),
             *(f'map_{n}' for n in numbers[:highest]),
             *(['velocities'] if config.velocity_history else [])), {'orders': str(highest)},
            gap_inputs(config)) for highest in numbers)

    @classmethod
    def steps(cls, network: 'MossGraspNetwork') -> 'list[nn.Module]':
        """Return the step of each prefix of the orders."""
        from moss_perception.models.moss_grasp.network import GraspStep
        return [GraspStep(network, n) for n in range(1, network.config.orders + 1)]

    def step(self, observation: Mapping[str, np.ndarray] | None, grasps: np.ndarray,
             state: StreamState, budget: int) -> tuple[Scores, StreamState]:
        """
        Take one sample.

        :param budget: orders 1 to this one are wanted. At the first sample they count at once,
            later once they have warmed up.
        """
        newest = self.take(observation, state)
        clock = self.tick(observation, state)
        feeds, _ = self.prepare(newest, state, clock)
        orders = state.extra or ActiveOrders(budget, budget)
        orders = orders.towards(budget, self.config)
        feeds['used'] = np.array([orders.warm])
        feeds |= self.tapped(self._taps(orders.active, orders.warm), state)
        found, kept = self.run(orders.active - 1, feeds, grasps)
        found = replace(found, level=orders.warm,
                        motion_features=self._counting(found.motion_features, orders.warm))
        return found, self.advanced(state, newest, kept, orders.stepped(), clock)

    def _counting(self, motion: np.ndarray, warm: int) -> np.ndarray:
        """Keep the encodings of the orders that count, and set those of all others to zero."""
        each, orders = self.config.moss_channels, self.config.orders
        if motion.shape[-1] == warm * each == orders * each:
            return motion
        whole = np.zeros((*motion.shape[:-1], orders * each), np.float32)
        whole[..., :warm * each] = motion[..., :warm * each]
        return whole


def _taps(config: MossGraspConfig, active: int, warm: int) -> dict[str, Tap]:
    """
    Say what a graph takes of earlier samples: maps, each by itself, so that none is copied.

    :param active: orders that the graph computes.
    :param warm: the head reads the maps of this prefix.
    :returns: order by order, MOSS's maps of the samples at its lags; then the maps at the head's
        temporal taps before this one; both oldest first.
    """
    length, compared = config.moss_window[0], config.compared_size ** 2
    read, newest = (config.map_size ** 2, config.head_channels), config.temporal_taps[-1]
    taps: dict[str, Any] = {
        f'cache_{n}_{length - lag}': Tap(f'newest_{n}', lag,
                                         (1, compared, config.kept_channels(n)))
        for n in range(1, active + 1) for lag in reversed(config.used_lags)}
    for k, tap in enumerate(config.temporal_taps[:-1], start=1):
        taps[f'recent_{k}'] = Tap(f'map_{warm}', newest - tap, read)
    if config.velocity_history:
        shape = (config.history_frames, len(config.used_lags), 2)
        taps['velocities_before'] = Tap('velocities', 1, shape)
    return taps


def graph_name(orders: int) -> str:
    """Name the graph that computes orders 1 to ``orders``."""
    return '_'.join(['orders', *map(str, range(1, orders + 1))])
