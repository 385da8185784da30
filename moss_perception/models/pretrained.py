"""Weights to start from: the MOSS block and the backbone of a checkpoint, each as a module."""

from pathlib import Path

from moss_perception.core.errors import CheckpointError, ConfigError, ShapeError
from moss_perception.core.resources import model_path
from moss_perception.models.checkpoint import load_checkpoint, Network
from moss_perception.models.layers.reading import Backbone
from moss_perception.moss import MOSS
import torch
from torch import nn, Tensor

PARTS = ('moss', 'backbone')


class PretrainedBackbone(nn.Module):
    """
    A backbone with the normalisation that it was trained with.

    :param backbone: three stages at strides 2, 4 and 8.
    :param mean: of each channel of RGB in [0, 1].
    :param std: of each channel.
    :ivar channels: of the maps at strides 4 and 8.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, mean: Tensor, std: Tensor):
        super().__init__()
        self.backbone = backbone
        self.register_buffer('mean', mean.clone().view(3, 1, 1))
        self.register_buffer('std', std.clone().view(3, 1, 1))
        self.channels = tuple(_channels(stage) for stage in list(backbone.stages)[1:])

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """
        Compute the features of each image by itself.

        :param images: RGB, float in [0, 1] or uint8, shape ``(N, 3, H, W)``.
        :returns: features at strides 4 and 8.
        :raises ShapeError: if the images have another shape.
        """
        if images.dim() != 4 or images.shape[1] != 3:
            raise ShapeError('expected images of shape (N, 3, H, W), got '
                             f'{tuple(images.shape)}')
        if images.dtype == torch.uint8:
            images = images.to(self.mean.dtype) / 255
        return self.backbone((images - self.mean) / self.std)


def _channels(stage: nn.Module) -> int:
    return next(module.out_channels for module in reversed(list(stage.modules()))
                if isinstance(module, nn.Conv2d))


def from_pretrained(path: str | Path = '', part: str = 'moss',
                    sha256: str = '') -> MOSS | PretrainedBackbone:
    """
    Take a part of a checkpoint to start from.

    :param path: a checkpoint, such as ``moss train`` writes; empty for the shipped one.
    :param part: ``moss`` or ``backbone``.
    :param sha256: the file's expected digest; empty to take it from SHA256SUMS beside the file.
    :returns: the part in evaluation mode, which shares no memory with another one. The output
        layer of a block is zero, as of a new one: its ``motion`` is trained, and a model that you
        attach it to does not change.
    :raises ConfigError: if there is no such part.
    :raises CheckpointError: if the file is missing, damaged or another one, or its network has
        no such part.
    """
    if part not in PARTS:
        raise ConfigError(f'part={part!r} is not allowed: expected one of {PARTS}')
    path = model_path(str(path))
    network = load_checkpoint(path, sha256)
    found = _block(network) if part == 'moss' else _backbone(network)
    if found is None:
        raise CheckpointError(f'checkpoint {path} has no {part}: expected a network with one, its '
                              f'model is {network.config.model!r}')
    return found.eval()


def _block(network: Network) -> MOSS | None:
    """Return the block; its output layer adds nothing, since the network reads its motion."""
    block = next((module for module in network.modules() if isinstance(module, MOSS)), None)
    if block is not None:
        nn.init.zeros_(block.out.weight)
        nn.init.zeros_(block.out.bias)
    return block


def _backbone(network: Network) -> PretrainedBackbone | None:
    backbone = getattr(network, 'backbone', None)
    if not isinstance(backbone, Backbone):
        return None
    return PretrainedBackbone(backbone, torch.tensor(network.config.mean),
                              torch.tensor(network.config.std))
