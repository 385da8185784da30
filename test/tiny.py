"""Models small enough for tests, every weight of them random."""

from dataclasses import fields

from moss_perception.models.base import build, model_type
from moss_perception.runtime.torch_engine import TorchEngine
import torch

TINY = {'image_size': 32, 'channels': (4, 4, 8), 'head_channels': 4, 'ensemble': 2,
        'frame_rate_hz': 10.0,
        # Keeps the scores away from 0 and 1, where float32 would round differences away.
        'temperature': 10.0}
MOSS = {'moss_window': (5, 3, 3), 'moss_channels': 4, 'projection_channels': 4}
OWN = {'moss_grasp': MOSS, 'recurrent_grasp': {'temporal_channels': 8},
       'flow_grasp': {'temporal_channels': 8}, 'tsm_grasp': {'temporal_channels': 8},
       'moss_flow_grasp': {**MOSS, 'orders': 2, 'temporal_channels': 8}}
"""What a model has besides, by its type."""

MODELS = [*OWN]
DISPLACEMENT = {'readout': 'displacement', 'moss_window': (5, 5, 5), 'lags': (1, 2, 4),
                'map_stride': 4, 'patch': 3, 'norm': 'layer'}
TIME = {'time_inputs': True, 'lead_times_s': (0.6, 0.9), 'default_lead_time_s': 0.7}


def tiny_config(model: str = 'moss_grasp', **changes):
    """Make the configuration of a small model."""
    return model_type(model).Config(**{**TINY, **OWN.get(model, {}), **changes})


def as_model(config, model: str, **changes):
    """Make the configuration of another model, with the values of all fields that both have."""
    kind = model_type(model).Config
    known = {field.name for field in fields(kind)}
    return kind(**{**{k: v for k, v in vars(config).items() if k in known}, **changes})


def tiny_network(model: str = 'moss_grasp', **changes) -> torch.nn.Module:
    """Build a network with random weights: a zero layer would make comparisons pass."""
    generator = torch.Generator().manual_seed(3)
    network = build(tiny_config(model, **changes)).eval()
    randomise(network, generator)
    with torch.no_grad():
        side = network.config.image_size
        images = torch.randint(0, 256, (8, side, side, 3), generator=generator)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        network.backbone.train()(network.normalise(images))
    return network.eval()


@torch.no_grad()
def randomise(network: torch.nn.Module, generator: torch.Generator) -> None:
    """Draw every weight anew, so that signals keep their size from layer to layer."""
    for parameter in network.parameters():
        fan = parameter[0].numel() if parameter.dim() > 1 else 4
        parameter.copy_(2 * torch.randn(parameter.shape, generator=generator) / fan ** 0.5)


def tiny_engine(model: str = 'moss_grasp', **changes) -> TorchEngine:
    """Wrap a tiny network."""
    return TorchEngine(tiny_network(model, **changes), threads=1)
