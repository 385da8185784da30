"""What the predictor asks of whatever runs the network: one step, with explicit state."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from moss_perception.errors import ConfigError
from moss_perception.grasp.config import GraspConfig
import numpy as np

ENGINES = ('torch',)


@dataclass(frozen=True)
class StepResult:
    """
    Output of one step.

    :ivar scores: float32, shape ``(K,)``, probabilities in [0, 1].
    :ivar uncertainties: float32, shape ``(K,)``, standard deviation over the ensemble.
    :ivar motion_features: float32, shape ``(h, w, D)``, the MOSS map.
    :ivar state: what the next step needs.
    """

    scores: np.ndarray
    uncertainties: np.ndarray
    motion_features: np.ndarray
    state: Any


class Engine(ABC):
    """
    Runs the network of a checkpoint, a sample at a time.

    :ivar config: the checkpoint's configuration.
    :ivar name: as in the parameter ``engine``.
    :ivar sha256: the checkpoint's digest; empty if it did not come from a file.
    """

    config: GraspConfig
    name: str
    sha256: str

    @abstractmethod
    def initial_state(self) -> Any:
        """Return the state before the first sample."""

    @abstractmethod
    def step(self, image: np.ndarray | None, grasps: np.ndarray, state: Any, *,
             computed: int, used: int) -> StepResult:
        """
        Take one sample.

        :param image: uint8, RGB, shape ``(S, S, 3)`` with ``S`` the configuration's image_size;
            ``None`` repeats the sample before, without running the backbone again.
        :param grasps: float32, shape ``(K, 5)``, see
            :func:`moss_perception.grasp.geometry.encode_grasps`.
        :param state: from :meth:`initial_state` or the step before; not changed.
        :param computed: orders 1 to ``computed`` are run and their state kept up.
        :param used: orders 1 to ``used`` count, at most ``computed``.
        :returns: scores, uncertainties, motion features and the new state.
        """


def load_engine(path: str, sha256: str = '', engine: str = 'torch', device: str = 'cpu',
                threads: int = 0) -> Engine:
    """
    Load a checkpoint into an engine.

    :param path: the checkpoint file.
    :param sha256: its expected digest; empty to take it from SHA256SUMS beside the file.
    :param engine: one of :data:`ENGINES`.
    :param device: ``cpu``, or a device that torch knows.
    :param threads: threads of the engine; 0 leaves it to the engine.
    :raises ConfigError: if the engine or the device is unknown or absent.
    :raises CheckpointError: if the file is missing, damaged, foreign or another one.
    """
    if engine not in ENGINES:
        raise ConfigError(f'engine {engine!r} is not available: expected one of {ENGINES}')
    from moss_perception.grasp.torch_engine import TorchEngine
    return TorchEngine.load(path, sha256, device=device, threads=threads)
