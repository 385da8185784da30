"""The configurations of MOSS that are measured."""


import checkout  # noqa: F401 (makes moss_perception importable)
from moss_perception.core.resources import model_path
from moss_perception.models.manifest import read_header
from moss_perception.models.moss_grasp import MossGraspConfig
from moss_perception.moss import MOSS
import torch
from torch import nn

WINDOW = (5, 9, 9)
# A small block that encodes similarities. The shipped predictor reads displacements instead.
LIGHT = {'channels': 32, 'projection': 16, 'hidden': 16, 'learning': 'mlp', 'fusion': 'concat'}
# MOSS attached to somebody else's network: what keeps within the paper's overhead.
SMALL_HOST = {'channels': 64, 'projection': 32, 'hidden': 32, 'learning': 'depthwise'}


def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give every zero-initialised weight a value, so that nothing is computed with zeros."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.any():
                parameter.normal_(std=0.05, generator=generator)
    return module.eval()


def like_peer(channels: int = 128, orders: int = 2, causal: bool = True,
              learning: str = 'shared') -> MOSS:
    """
    Build MOSS with the sizes of vit-pytorch's: every projection, every 3 x 3 convolution.

    :param learning: ``shared`` has vit-pytorch's layers; ``conv`` the authors', with one more
        3 x 3 convolution over all offsets.
    """
    return randomise(MOSS(
        channels, tuple(range(1, orders + 1)), WINDOW, causal, projection=channels, hidden=64,
        channels=channels, learning=learning))


def read_config(path: str) -> MossGraspConfig:
    """
    Read the configuration of a checkpoint.

    :param path: of the file; empty for the checkpoint that comes with the package.
    """
    return read_header(model_path(path))[0]


def light(channels: int = 128, orders: int = 2, causal: bool = True, **options) -> MOSS:
    """
    Build MOSS in the light configuration, :data:`LIGHT`.

    :param options: of MOSS, in place of those.
    """
    return randomise(MOSS(channels, tuple(range(1, orders + 1)), WINDOW, causal,
                          **(LIGHT | options)))
