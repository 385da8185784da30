"""A model that is ready to run: bound to what computes it, with its measured costs."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
import threading
import time
from typing import Any
from weakref import WeakValueDictionary

from moss_perception.core.errors import ConfigError
from moss_perception.models.base import model_type, Scores
from moss_perception.models.config import ModelConfig
from moss_perception.models.manifest import Checkpoint, read_checkpoint, verify
from moss_perception.runtime.ood import read_distribution, TrainingDistribution
import numpy as np

ENGINES = ('onnxruntime', 'torch')

_WARM_UP_STEPS = 2
_TIMED_STEPS = 5


class Engine(ABC):
    """
    Runs the model of a checkpoint, a sample at a time.

    It is the :class:`moss_perception.models.base.Runner` of its model.

    :param config: the checkpoint's configuration.
    :param sha256: the checkpoint's digest; empty if it did not come from a file.
    :ivar name: as in the parameter ``engine``.
    :ivar model: the :class:`moss_perception.models.base.StreamingModel`.
    :ivar costs: seconds of a step at each of the budget's levels, the lowest first; empty before
        :meth:`measure`.
    :ivar distribution: of the features in training; ``None`` if the checkpoint keeps none.
    :ivar lowest_level: the checkpoint can be run from this level of the budget on.
    :raises ConfigError: if the model can't be stepped.
    """

    name: str

    def __init__(self, config: ModelConfig, sha256: str = ''):
        kind = model_type(config.model)
        if not kind.streams:
            raise ConfigError(f'model {config.model!r} sees whole clips only and cannot run on '
                              f'the engine {self.name}: expected a model that can be stepped')
        self.config = config
        self.sha256 = sha256
        self.model = kind(config, self)
        self.costs: tuple[float, ...] = ()
        self.distribution: TrainingDistribution | None = None
        self.lowest_level = 1

    @abstractmethod
    def run(self, graph: int, feeds: Mapping[str, Any]) -> Sequence[Any]:
        """Run one of the model's graphs; see :class:`moss_perception.models.base.Runner`."""

    @abstractmethod
    def numpy(self, array: Any) -> np.ndarray:
        """Return a result as a NumPy array."""

    @classmethod
    @abstractmethod
    def of(cls, checkpoint: Checkpoint, device: str = 'cpu', threads: int = 0) -> 'Engine':
        """Load a checkpoint that has been read; see :func:`load_engine`."""

    def initial_state(self) -> Any:
        """Return the state before the first sample."""
        return self.model.initial_state()

    def step(self, observation: Mapping[str, np.ndarray] | None, grasps: np.ndarray, state: Any,
             budget: int) -> tuple[Scores, Any]:
        """Take one sample; see :meth:`moss_perception.models.base.StreamingModel.step`."""
        return self.model.step(observation, grasps, state, budget)

    def measure(self) -> None:
        """Run each level of the budget a few times, which also warms it up, and note its cost."""
        config, costs = self.config, []
        observation = {name: np.zeros([n or 1 for n in spec.shape], spec.dtype)
                       for name, spec in self.model.inputs.items()}
        if 'interval' in observation:
            observation['interval'][:] = 1 / config.frame_rate_hz
        grasps = np.array([[0, 0, config.default_depth_m, 0.1, 0.1, config.default_lead_time_s]],
                          np.float32)[:, :config.grasp_values]
        for level in range(1, len(config.levels) + 1):
            state, times = self.initial_state(), []
            for _ in range(_WARM_UP_STEPS + _TIMED_STEPS):
                started = time.perf_counter()
                _, state = self.step(observation, grasps, state, level)
                times.append(time.perf_counter() - started)
            # The shortest: what else the machine did meanwhile is not this engine's cost.
            costs.append(min(times[_WARM_UP_STEPS:]))
        self.costs = tuple(costs)


def load_engine(path: str, sha256: str = '', engine: str = ENGINES[0], device: str = 'cpu',
                threads: int = 0) -> Engine:
    """
    Load a checkpoint into an engine, and measure what each level of the budget costs.

    :param path: the checkpoint file.
    :param sha256: its expected digest; empty to take it from SHA256SUMS beside the file.
    :param engine: one of :data:`ENGINES`.
    :param device: ``cpu``, or a device that the engine knows.
    :param threads: threads of the engine; 0 leaves it to the engine.
    :raises ConfigError: if the engine or the device is unknown or absent.
    :raises CheckpointError: if a file is missing, damaged, foreign or another one.
    """
    if engine not in ENGINES:
        raise ConfigError(f'engine {engine!r} is not available: expected one of {ENGINES}')
    kind = _engine_class(engine)
    # Once, so that all of it is what was verified.
    checkpoint = read_checkpoint(path, sha256)
    loaded = kind.of(checkpoint, device, threads)
    loaded.distribution = read_distribution(checkpoint)
    loaded.lowest_level = loaded.config.lowest_level(checkpoint.notes)
    loaded.measure()
    return loaded


class EngineStore:
    """
    Loads each checkpoint once for all predictors of a process.

    An engine keeps nothing of a stream, so that several streams can be stepped on it at the same
    time. It is freed with the last predictor that uses it.
    """

    def __init__(self):
        self._engines: WeakValueDictionary[tuple, Engine] = WeakValueDictionary()
        self._lock = threading.Lock()

    def load(self, path: str, sha256: str = '', engine: str = ENGINES[0], device: str = 'cpu',
             threads: int = 0) -> Engine:
        """Return the engine of a checkpoint; see :func:`load_engine`."""
        # By its digest: the file may have been replaced since it was loaded.
        digest = verify(Path(path).expanduser(), sha256)
        key = (str(path), digest, engine, device, threads)
        with self._lock:
            loaded = self._engines.get(key)
            if loaded is None:
                loaded = self._engines[key] = load_engine(path, digest, engine, device, threads)
            return loaded


Loader = Callable[[str, str, str, str, int], Engine]
"""A function such as :func:`load_engine`."""


def _engine_class(name: str) -> type[Engine]:
    """Import an engine, and with it what it computes with."""
    try:
        if name == 'torch':
            from moss_perception.runtime.torch_engine import TorchEngine
            return TorchEngine
        from moss_perception.runtime.onnx_engine import OnnxEngine
        return OnnxEngine
    except ImportError as error:
        if (error.name or '').split('.')[0] != name:
            raise
        others = ' or '.join(other for other in ENGINES if other != name)
        raise ConfigError(f'engine {name!r} needs the package {name}, which is not installed: '
                          f'expected pip install {name}, or engine {others}') from error
