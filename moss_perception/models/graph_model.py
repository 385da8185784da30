"""Models whose step is a graph and whose state is what the graph gave at earlier samples."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Generic, TYPE_CHECKING, TypeVar

from moss_perception.core.errors import ShapeError
from moss_perception.models.base import C, InputSpec, Runner, Scores, StreamingModel
from moss_perception.models.clock import Clock
from moss_perception.models.config import ModelConfig
import numpy as np

if TYPE_CHECKING:
    from moss_perception.models.checkpoint import Network
    from torch import nn

N = TypeVar('N', bound='nn.Module')

RESULTS = ('scores', 'uncertainties', 'motion_features', 'appearance', 'health')
"""
What every graph gives first: scores and uncertainties, shape ``(K,)``; motion features,
``(h * w, D)``; what the sample looks like, ``(F,)``, with ``F`` =
:attr:`moss_perception.models.config.ModelConfig.appearance_values`; and a scalar that is not
finite if anything it keeps is not.
"""

_NO_GRASP = np.array([[0.0, 0.0, 1.0, 1.0, 0.0, 0.0]], np.float32)


@dataclass(frozen=True)
class Tap:
    """
    A graph's input that is the result of an earlier sample.

    :ivar result: the result's name.
    :ivar age: how many samples before this one, 1 or more.
    :ivar shape: its shape, float32; zeros stand in where there was no such sample.
    """

    result: str
    age: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """
    What one graph takes and gives, by name.

    :ivar name: its file is ``<checkpoint>.<name>.onnx``.
    :ivar inputs: those that are made anew for each sample; ``None`` in a shape is the number of
        grasps.
    :ivar taps: those that come from earlier samples.
    :ivar keeps: its results after :data:`RESULTS`, for later samples.
    :ivar notes: what the file's metadata says beside format and checkpoint.
    :ivar gaps: its inputs after the taps: with time inputs ``gaps``, the window's times between
        samples, see :mod:`moss_perception.models.layers.timing`.
    """

    name: str
    inputs: Mapping[str, InputSpec]
    taps: Mapping[str, Tap]
    keeps: tuple[str, ...]
    notes: Mapping[str, str] = field(default_factory=dict)
    gaps: Mapping[str, InputSpec] = field(default_factory=dict)

    @property
    def takes(self) -> tuple[str, ...]:
        """Names of all inputs, in their order."""
        return (*self.inputs, *self.taps, *self.gaps)

    @property
    def results(self) -> tuple[str, ...]:
        """Names of all results, in their order."""
        return (*RESULTS, *self.keeps)


@dataclass(frozen=True)
class StreamState:
    """
    What a step leaves for the next one.

    :ivar observation: the newest, for repeats; ``None`` before the first.
    :ivar history: what earlier samples kept, by name, oldest first.
    :ivar extra: what the model itself keeps beside it.
    :ivar clock: the time between samples.
    """

    observation: Mapping[str, np.ndarray] | None = None
    history: tuple[Mapping[str, Any], ...] = ()
    extra: Any = None
    clock: Clock = field(default_factory=Clock)


class GraphModel(StreamingModel[C], Generic[C, N]):
    """
    A model whose step is one graph, or one of several for the budget's levels.

    Nothing of the state is ever copied: what a graph gave is handed to later ones as it is.
    The configuration has a ``map_size``, the height and width of the motion features.
    """

    def __init__(self, config: C, runner: Runner | None = None):
        super().__init__(config, runner)
        self.graphs = self.describe(config)
        self._depth = max((tap.age for graph in self.graphs for tap in graph.taps.values()),
                          default=0)
        described: Any = config  # a ModelConfig need not have a map_size, but this one has
        self._map_size: int = described.map_size

    @classmethod
    @abstractmethod
    def describe(cls, config: C) -> tuple[Graph, ...]:
        """Describe the graphs of a configuration, that of the lowest level first."""

    @classmethod
    @abstractmethod
    def steps(cls, network: N) -> 'list[nn.Module]':
        """
        Return the graphs as torch modules that share the network's weights.

        Each is called with the tensors of :attr:`Graph.inputs`, in their order, a list of those
        of :attr:`Graph.taps`, and those of :attr:`Graph.gaps`; it returns the tensors of
        :attr:`Graph.results`.
        """

    def initial_state(self) -> StreamState:
        """Return the state before the first sample."""
        return StreamState()

    def step(self, observation: Mapping[str, np.ndarray] | None, grasps: np.ndarray,
             state: StreamState, budget: int) -> tuple[Scores, StreamState]:
        """Take one sample; see :meth:`StreamingModel.step`."""
        newest = self.take(observation, state)
        clock = self.tick(observation, state)
        feeds, extra = self.prepare(newest, state, clock)
        feeds |= self.tapped(self.graphs[0].taps, state)
        scores, kept = self.run(0, feeds, grasps)
        return scores, self.advanced(state, newest, kept, extra, clock)

    def take(self, observation: Mapping[str, np.ndarray] | None,
             state: StreamState) -> Mapping[str, np.ndarray]:
        """
        Check an observation and copy it, since the caller may write to it again.

        :param observation: ``None`` for the state's, once more and a period later.
        :raises ShapeError: if there is none, or an array is missing or does not fit.
        """
        if observation is None:
            if state.observation is None:
                raise ShapeError('the first sample of a window needs an observation, such as an '
                                 'image, got a repeat')
            period = {'interval': np.array([1 / self.config.frame_rate_hz], np.float32)}
            return {**state.observation, **(period if self.config.time_inputs else {})}
        newest = {}
        for name, spec in self.inputs.items():
            if name not in observation:
                raise ShapeError(f'{name} is missing in an observation of {sorted(observation)}: '
                                 f'expected {spec.dtype} {spec.shape}')
            spec.check(name, observation[name])
            newest[name] = np.array(observation[name], order='C')
        return newest

    def tick(self, observation: Mapping[str, np.ndarray] | None, state: StreamState) -> Clock:
        """
        Take the time since the sample before.

        :param observation: ``None`` for a repeat.
        :raises ShapeError: if it is below 0 or not finite.
        """
        first = state.observation is None
        if not self.config.time_inputs or first and observation is None:
            return state.clock
        if observation is None:
            return state.clock.ticked(None, self.config)
        interval_s = float(observation['interval'][0])
        if not 0 <= interval_s < float('inf'):
            raise ShapeError(f'interval={interval_s} s is not allowed: expected 0 s or more since '
                             'the sample before')
        return state.clock if first else state.clock.ticked(interval_s, self.config)

    def prepare(self, observation: Mapping[str, np.ndarray], state: StreamState,
                clock: Clock) -> tuple[dict[str, Any], Any]:
        """
        Make a graph's inputs from an observation; what is no graph is computed here.

        :param state: before this sample.
        :param clock: with this sample.
        :returns: arrays by input; and what the model keeps beside the history.
        """
        feeds = {'image': observation['rgb'][None]}
        if self.config.time_inputs:
            feeds['gaps'] = clock.window(self.config)
        return feeds, None

    def tapped(self, taps: Mapping[str, Tap], state: StreamState) -> dict[str, Any]:
        """Find the results of earlier samples, or zeros where there are none."""
        history, feeds = state.history, {}
        for name, tap in taps.items():
            kept = history[-tap.age].get(tap.result) if tap.age <= len(history) else None
            feeds[name] = _zeros(tap.shape) if kept is None else kept
        return feeds

    def run(self, number: int, feeds: dict[str, Any],
            grasps: np.ndarray) -> tuple[Scores, dict[str, Any]]:
        """
        Run a graph on its inputs and some grasps.

        :returns: the scores, and what is kept of the sample.
        """
        runner = self.runner
        assert runner is not None  # who steps has given one
        count, to_numpy = len(grasps), runner.numpy
        points = np.array(grasps if count else no_grasp(self.config), np.float32, order='C')
        if points.shape[1:] != (self.config.grasp_values,):
            raise ShapeError(f'grasps of shape {grasps.shape}: expected '
                             f'(K, {self.config.grasp_values}), as time_inputs='
                             f'{self.config.time_inputs}')
        results = runner.run(number, {**feeds, 'grasps': points[None]})
        scores, uncertainties, motion, appearance, health = map(to_numpy, results[:len(RESULTS)])
        kept = dict(zip(self.graphs[number].keeps, results[len(RESULTS):], strict=True))
        motion = motion.reshape(self._map_size, self._map_size, -1)
        return Scores(scores[:count], uncertainties[:count], motion, appearance, number + 1,
                      bool(np.isfinite(health))), kept

    def advanced(self, state: StreamState, observation: Mapping[str, np.ndarray],
                 kept: Mapping[str, Any], extra: Any, clock: Clock) -> StreamState:
        """Return the state after a sample."""
        history = (*state.history, kept)[-self._depth:] if self._depth else ()
        return StreamState(observation, history, extra, clock)

    def export(self, folder: Path, network: 'Network', name: str,
               progress: Callable[[str], None] = lambda _: None) -> list[Path]:
        """Write each graph as ONNX, compared with torch; see :meth:`StreamingModel.export`."""
        from moss_perception.models.export import write_graphs
        return write_graphs(self, network, folder, name, progress)


@cache
def _zeros(shape: tuple[int, ...]) -> np.ndarray:
    return np.zeros(shape, np.float32)


def no_grasp(config: ModelConfig) -> np.ndarray:
    """
    Return what stands in where a sample has no grasps: not every operator takes an empty list.

    :returns: float32, shape ``(1, V)`` with ``V`` = :attr:`ModelConfig.grasp_values`.
    """
    return _NO_GRASP[:, :config.grasp_values]


def image_inputs(config: ModelConfig) -> dict[str, InputSpec]:
    """Describe the inputs that most graphs have: an image and some grasps."""
    side = config.image_size
    return {'image': InputSpec((1, side, side, 3), 'uint8'),
            'grasps': InputSpec((1, None, config.grasp_values))}


def gap_inputs(config: ModelConfig) -> dict[str, InputSpec]:
    """Describe :attr:`Graph.gaps`: none without time inputs."""
    return {'gaps': InputSpec((1, config.window_frames - 1))} if config.time_inputs else {}
