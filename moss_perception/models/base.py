"""What a model is to the rest of the package: inputs, step and export; and the registry."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module, util
from pathlib import Path
import pkgutil
from typing import Any, cast, ClassVar, Generic, Protocol, TYPE_CHECKING, TypeVar

from moss_perception.core.errors import ConfigError, ShapeError
from moss_perception.models.config import ModelConfig
import numpy as np

if TYPE_CHECKING:
    from moss_perception.models.checkpoint import Network
    from torch import nn

C = TypeVar('C', bound=ModelConfig)

ENTRY_POINTS = 'moss_perception.models'
"""Entry points of this group are loaded before a type of model counts as unknown."""


@dataclass(frozen=True)
class InputSpec:
    """
    One named array of an observation.

    :ivar shape: its shape; ``None`` for an axis of any length.
    :ivar dtype: name of its NumPy type.
    """

    shape: tuple[int | None, ...]
    dtype: str = 'float32'

    def check(self, name: str, array: np.ndarray) -> None:
        """
        Refuse an array that does not fit.

        :raises ShapeError: naming the array, and what was expected.
        """
        if (array.dtype != self.dtype or len(array.shape) != len(self.shape)
                or any(n is not None and n != m for n, m in zip(
                    self.shape, array.shape, strict=True))):
            raise ShapeError(f'{name}: expected {self.dtype} {self.shape}, got {array.dtype} '
                             f'{array.shape}')


@dataclass(frozen=True)
class Scores:
    """
    What a model finds at one sample.

    :ivar scores: float32, shape ``(K,)``, probabilities in [0, 1].
    :ivar uncertainties: float32, shape ``(K,)``, standard deviation over the ensemble.
    :ivar motion_features: float32, shape ``(h, w, D)``.
    :ivar appearance: float32, shape ``(F,)``: what this sample looks like, whatever the level. The
        OOD score is measured on it.
    :ivar level: the budget's level that the scores are of.
    :ivar state_finite: whether what the sample added to the state is neither NaN nor infinite.
    """

    scores: np.ndarray
    uncertainties: np.ndarray
    motion_features: np.ndarray
    appearance: np.ndarray
    level: int = 1
    state_finite: bool = True

    @property
    def finite(self) -> bool:
        """Whether nothing of it is NaN or infinite."""
        return self.state_finite and all(np.isfinite(values).all() for values in (
            self.scores, self.uncertainties, self.motion_features))


class Runner(Protocol):
    """What computes a model's graphs: ONNX Runtime, or torch."""

    def run(self, graph: int, feeds: Mapping[str, Any]) -> Sequence[Any]:
        """
        Run one of the model's graphs.

        :param graph: its number.
        :param feeds: arrays by the names of its inputs; those that a run returned may be given
            back as they are.
        :returns: its results, in their order.
        """
        ...

    def numpy(self, array: Any) -> np.ndarray:
        """Return a result as a NumPy array."""
        ...


class StreamingModel(ABC, Generic[C]):
    """
    A model that scores grasps one sample at a time, with explicit state.

    A model is one such class, registered under a name by :func:`register`. Importing it must not
    import torch: :meth:`build` and :meth:`export` do so when they are called.

    :param config: its configuration.
    :param runner: what computes its graphs.
    """

    Config: ClassVar[type[ModelConfig]]
    streams: ClassVar[bool] = True
    """Whether it can be stepped; a model that is only compared on clips cannot."""

    def __init__(self, config: C, runner: Runner | None = None):
        self.config = config
        self.runner = runner

    @property
    def inputs(self) -> Mapping[str, InputSpec]:
        """
        The arrays of an observation; by default one RGB image.

        With time inputs there is also ``interval``, shape ``(1,)``: seconds since the sample
        before, 0 at the first of a window.
        """
        side = self.config.image_size
        time = {'interval': InputSpec((1,))} if self.config.time_inputs else {}
        return {'rgb': InputSpec((side, side, 3), 'uint8'), **time}

    def observation(self, rgb: np.ndarray, interval_s: float) -> dict[str, np.ndarray]:
        """
        Build an observation from an image and the time since the sample before.

        :param rgb: the image, as :attr:`inputs` says.
        :param interval_s: seconds; 0 at the first sample of a window. Only models with time
            inputs take it.
        """
        if not self.config.time_inputs:
            return {'rgb': rgb}
        return {'rgb': rgb, 'interval': np.array([interval_s], np.float32)}

    @classmethod
    @abstractmethod
    def build(cls, config: C) -> 'nn.Module':
        """Build the :class:`moss_perception.models.checkpoint.Network` with random weights."""

    @abstractmethod
    def initial_state(self) -> Any:
        """Return the state before the first sample."""

    @abstractmethod
    def step(self, observation: Mapping[str, np.ndarray] | None, grasps: np.ndarray, state: Any,
             budget: int) -> tuple[Scores, Any]:
        """
        Take one sample.

        :param observation: arrays as :attr:`inputs` says; ``None`` repeats the sample before,
            a period of the frame rate later.
        :param grasps: float32, shape ``(K, V)`` with ``V`` = :attr:`ModelConfig.grasp_values`;
            ``K`` may be 0.
        :param state: from :meth:`initial_state` or the step before; it is not changed.
        :param budget: the level that is wanted, 1 to the number of
            :attr:`ModelConfig.levels`; the model may first have to warm up to it.
        :returns: the scores, and the new state.
        :raises ShapeError: if an array does not fit, or a window begins with a repeat.
        """

    def export(self, folder: Path, network: 'Network', name: str,
               progress: Callable[[str], None] = lambda _: None) -> list[Path]:
        """
        Write what the engine onnxruntime needs.

        :param folder: where to write.
        :param network: loaded from a checkpoint.
        :param name: the checkpoint's name, with which all files begin.
        :param progress: is told the name of each file before it is made.
        :returns: the files, in the order of the model's graphs.
        :raises ConfigError: if the model can't be exported.
        """
        raise ConfigError(f'model {self.config.model!r} is not exported: expected the engine '
                          'torch')


_registered: dict[str, type[StreamingModel]] = {}


def register(name: str) -> Callable[[type[StreamingModel]], type[StreamingModel]]:
    """
    Register a model under a name, which its checkpoints carry.

    :raises ConfigError: if another model has this name, or this configuration.
    """
    def decorate(cls: type[StreamingModel]) -> type[StreamingModel]:
        other = _registered.get(name)
        if other is not None and (other.__module__, other.__qualname__) != (
                cls.__module__, cls.__qualname__):
            raise ConfigError(f'model type {name!r} is registered by {other.__module__} already: '
                              'expected another name')
        config = cls.Config
        taken = vars(config).get('model', name)
        if taken != name:
            raise ConfigError(f'model type {name!r} has the configuration {config.__name__} of '
                              f'{taken!r}: expected a Config of its own, such as '
                              f'class MyConfig({config.__name__})')
        _registered[name] = cls
        config.model = name
        return cls
    return decorate


def model_types() -> dict[str, type[StreamingModel]]:
    """Return the registered models by name: those of this package, and others imported so far."""
    models = import_module('moss_perception.models')
    for module in pkgutil.iter_modules(models.__path__):
        if module.ispkg:
            import_module(f'{models.__name__}.{module.name}')
    return dict(_registered)


def model_type(name: str) -> type[StreamingModel]:
    """
    Find a registered model.

    :raises ConfigError: naming those that there are.
    """
    if name not in _registered and name.isidentifier() and util.find_spec(
            f'moss_perception.models.{name}') is not None:
        # A folder has the name that its model is registered under; the others stay unloaded.
        import_module(f'moss_perception.models.{name}')
    if name not in _registered and name not in model_types():
        # It takes longer to import than all models.
        from importlib.metadata import entry_points
        for entry in entry_points(group=ENTRY_POINTS):
            entry.load()
    if name not in _registered:
        raise ConfigError(
            f'model type {name!r} is not registered: expected one of {sorted(_registered)}; '
            'import the module that registers it first')
    return _registered[name]


def build(config: ModelConfig) -> 'Network':
    """Build the network that a configuration describes, with random weights."""
    return cast('Network', model_type(config.model).build(config))
