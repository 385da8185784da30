"""What the predictor asks of whatever runs the network: one step, with explicit state."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
import time
from typing import Any

from moss_perception.core.errors import ConfigError, ShapeError
from moss_perception.models.config import GraspConfig
from moss_perception.models.manifest import lowest_prefix, read_header
from moss_perception.runtime.ood import Novelty, read_novelty
import numpy as np

ENGINES = ('onnxruntime', 'torch')

# Stands in where a sample has no grasps: not every operator takes an empty list.
NO_GRASP = np.array([[0.0, 0.0, 1.0, 1.0, 0.0]], np.float32)

_WARM_UP_STEPS = 2
_TIMED_STEPS = 5


@dataclass(frozen=True)
class StepResult:
    """
    Output of one step.

    :ivar scores: float32, shape ``(K,)``, probabilities in [0, 1].
    :ivar uncertainties: float32, shape ``(K,)``, standard deviation over the ensemble.
    :ivar motion_features: float32, shape ``(h, w, D)``, the MOSS map.
    :ivar state: what the next step needs.
    :ivar state_finite: whether what the sample added to the state is neither NaN nor infinite.
    :ivar maps: float32, shape ``(h, w, R)`` each: the head's map of this sample, for each prefix
        of orders that was run, the first order's first; novelty is measured on that.
    """

    scores: np.ndarray
    uncertainties: np.ndarray
    motion_features: np.ndarray
    state: Any
    state_finite: bool = True
    maps: tuple[np.ndarray, ...] = ()

    @property
    def finite(self) -> bool:
        """Whether nothing of it is NaN or infinite."""
        return self.state_finite and all(np.isfinite(values).all() for values in (
            self.scores, self.uncertainties, self.motion_features))


class Engine(ABC):
    """
    Runs the network of a checkpoint, a sample at a time.

    :ivar config: the checkpoint's configuration.
    :ivar name: as in the parameter ``engine``.
    :ivar sha256: the checkpoint's digest; empty if it did not come from a file.
    :ivar costs: seconds of a step with orders 1 to 1, 1 to 2 and so on; empty before
        :meth:`measure`.
    :ivar novelty: the distribution of training; ``None`` if the checkpoint keeps none.
    :ivar lowest_order: orders 1 to this one are the shortest prefix that was trained.
    """

    config: GraspConfig
    name: str
    sha256: str
    costs: tuple[float, ...] = ()
    novelty: Novelty | None = None
    lowest_order: int = 1

    def in_use(self, motion: np.ndarray, used: int) -> np.ndarray:
        """
        Leave of the MOSS map the orders that count, and make the others zero.

        :param motion: float32, shape ``(h, w, N * D')``, of the orders that were run.
        :param used: orders 1 to this one count.
        :returns: shape ``(h, w, D)``, for all orders of the network.
        """
        each = self.config.moss_channels
        if motion.shape[-1] == used * each == self.config.orders * each:
            return motion
        whole = np.zeros((*motion.shape[:-1], self.config.orders * each), np.float32)
        whole[..., :used * each] = motion[..., :used * each]
        return whole

    def recent_maps(self, samples: Sequence[Sequence], used: int, absent: Any) -> list:
        """
        Choose the maps that the head looks at, but for the newest.

        :param samples: for each of the ``head_span - 1`` samples before the maps of the prefixes
            of orders that were run, the first order's first.
        :param used: the prefix of orders 1 to this one is wanted.
        :param absent: stands for the map of a sample at which it was not run.
        """
        looks = (samples[n] for n in self.config.head_looks[:-1])
        return [maps[used - 1] if len(maps) >= used else absent for maps in looks]

    @abstractmethod
    def initial_state(self) -> Any:
        """Return the state before the first sample."""

    @abstractmethod
    def step(self, image: np.ndarray | None, grasps: np.ndarray, state: Any, *,
             computed: int, used: int) -> StepResult:
        """
        Take one sample.

        :param image: uint8, RGB, shape ``(S, S, 3)`` with ``S`` the configuration's image_size;
            ``None`` repeats the sample before.
        :param grasps: float32, shape ``(K, 5)``, see
            :func:`moss_perception.core.geometry.encode_grasps`.
        :param state: from :meth:`initial_state` or the step before; not changed.
        :param computed: orders 1 to ``computed`` are run and their state kept up; that of the
            others becomes zero.
        :param used: orders 1 to ``used`` count, at most ``computed``.
        :returns: scores, uncertainties, motion features and the new state.
        :raises ShapeError: if the image has another size, or a window begins with a repeat.
        """

    def measure(self) -> None:
        """Run each prefix of orders a few times, which also warms it up, and note its cost."""
        size = self.config.image_size
        image, grasps = np.zeros((size, size, 3), np.uint8), np.zeros((1, 5), np.float32)
        grasps[:, 2:] = self.config.default_depth_m, 0.1, 0.1
        costs = []
        for orders in range(1, self.config.orders + 1):
            state, times = self.initial_state(), []
            for _ in range(_WARM_UP_STEPS + _TIMED_STEPS):
                started = time.perf_counter()
                state = self.step(image, grasps, state, computed=orders, used=orders).state
                times.append(time.perf_counter() - started)
            # The shortest: what else the machine did meanwhile is not this engine's cost.
            costs.append(min(times[_WARM_UP_STEPS:]))
        self.costs = tuple(costs)

    def check_image(self, image: np.ndarray | None, first: bool) -> None:
        """
        Refuse what can't be stepped.

        :param first: whether no image came before.
        :raises ShapeError: saying what was expected.
        """
        size = self.config.image_size
        if image is None and first:
            raise ShapeError('the first sample of a window needs an image, got a repeat')
        if image is not None and (image.shape != (size, size, 3) or image.dtype != np.uint8):
            raise ShapeError(f'expected an image uint8 ({size}, {size}, 3), got {image.dtype} '
                             f'{image.shape}')


def load_engine(path: str, sha256: str = '', engine: str = ENGINES[0], device: str = 'cpu',
                threads: int = 0) -> Engine:
    """
    Load a checkpoint into an engine, and measure what each prefix of its orders costs.

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
    loaded = _engine_class(engine).load(path, sha256, device=device, threads=threads)
    loaded.novelty = read_novelty(path, loaded.config.head_channels)
    loaded.lowest_order = lowest_prefix(*read_header(path))
    loaded.measure()
    return loaded


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
