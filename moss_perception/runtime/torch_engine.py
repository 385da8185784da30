"""The engine that runs the network in torch, eagerly."""

from moss_perception.core.errors import ConfigError
from moss_perception.models.build import require_steps
from moss_perception.models.checkpoint import load_checkpoint
from moss_perception.models.network import ensemble_probability, GraspNetwork
from moss_perception.runtime.engine import Engine, NO_GRASP, StepResult
import numpy as np
import torch


def usable_device(name: str) -> torch.device:
    """
    Return a device on which a tensor can be made.

    :param name: a device that torch knows.
    :raises ConfigError: if it is unknown or absent.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {name!r} can't be used: {reason}") from error
    return device


class TorchEngine(Engine):
    """
    Steps a :class:`GraspNetwork`; its state is ``(features, caches, recent)``, see
    :meth:`Engine.recent_maps` for the last.

    :param network: the network, moved to ``device`` and set to evaluation.
    :param device: a device that torch knows.
    :param threads: torch's threads in this process; 0 leaves them as they are.
    :raises ConfigError: if the device is unknown or absent, or the network sees clips only.
    """

    name = 'torch'

    def __init__(self, network: GraspNetwork, device: str = 'cpu', threads: int = 0):
        require_steps(network.config, 'the engine torch')
        self.device = usable_device(device)
        if threads:
            torch.set_num_threads(threads)
        self.network = network.to(self.device).eval()
        self.config = network.config
        self._absent = network.initial_state()[1][0] if network.config.head_span > 1 else None
        self.sha256 = getattr(network, 'sha256', '')

    @classmethod
    def load(cls, path: str, sha256: str = '', device: str = 'cpu',
             threads: int = 0) -> 'TorchEngine':
        """Load a checkpoint; see :func:`moss_perception.models.checkpoint.load_checkpoint`."""
        return cls(load_checkpoint(path, sha256), device, threads)

    def initial_state(self):
        """Return the state before the first sample."""
        caches, recent = self.network.initial_state()
        return None, caches, ((),) * len(recent)

    @torch.inference_mode()
    def step(self, image: np.ndarray | None, grasps: np.ndarray, state, *,
             computed: int, used: int) -> StepResult:
        """Take one sample; see :class:`Engine`."""
        features, caches, recent = state
        self.check_image(image, features is None)
        if image is not None:
            pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device)
            features = self.network.backbone(self.network.normalise(pixels[None]))
        chosen = torch.from_numpy(grasps if len(grasps) else NO_GRASP).to(self.device)
        logits, motion, caches, maps = self.network.step(
            features, chosen[None], caches, self.recent_maps(recent, used, self._absent),
            computed=computed, used=used)
        scores, uncertainties = ensemble_probability(logits[0, :len(grasps)])
        new = (*(cache[-1] for cache in caches if cache), *maps)
        side = (self.config.map_size,) * 2
        return StepResult(
            scores.cpu().numpy(), uncertainties.cpu().numpy(),
            self.in_use(motion.view(*side, -1).cpu().numpy(), used),
            (features, caches, (*recent, tuple(maps))[1:]),
            all(bool(torch.isfinite(part).all()) for part in new),
            tuple(kept.view(*side, -1).cpu().numpy() for kept in maps))
