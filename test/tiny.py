"""A network small enough for tests, every weight of it random."""

from moss_perception.models.config import GraspConfig
from moss_perception.models.network import GraspNetwork
from moss_perception.runtime.torch_engine import TorchEngine
import torch

TINY = {'image_size': 32, 'channels': (4, 4, 8), 'moss_window': (5, 3, 3), 'moss_channels': 4,
        'projection_channels': 4, 'head_channels': 4, 'ensemble': 2, 'frame_rate_hz': 10.0,
        # Keeps the scores away from 0 and 1, where float32 would round differences away.
        'temperature': 10.0}


def tiny_network(**changes) -> GraspNetwork:
    """Build a network with random weights: a zero layer would make comparisons pass."""
    generator = torch.Generator().manual_seed(3)
    network = GraspNetwork(GraspConfig(**{**TINY, **changes})).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            fan = parameter[0].numel() if parameter.dim() > 1 else 4
            parameter.copy_(2 * torch.randn(parameter.shape, generator=generator) / fan ** 0.5)
        side = network.config.image_size
        images = torch.randint(0, 256, (8, side, side, 3), generator=generator)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        network.backbone.train()(network.normalise(images))
    return network.eval()


def tiny_engine(**changes) -> TorchEngine:
    """Wrap the tiny network."""
    return TorchEngine(tiny_network(**changes), threads=1)
