"""Third-party networks with random weights, to which MOSS is attached."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

FRAMES = 8


@dataclass(frozen=True)
class Host:
    """
    A host and where MOSS goes.

    :ivar name: what it is, and where it comes from.
    :ivar build: makes it; takes ``quick`` for a small one.
    :ivar at: name of the module to attach to.
    :ivar layout: of that module's output.
    :ivar channels: of that module's output.
    :ivar feed: shape of the input for :data:`FRAMES` frames, batch 1.
    :ivar options: what ``attach`` has to know besides.
    """

    name: str
    build: Any
    at: str
    layout: str
    channels: int
    feed: tuple[int, ...]
    options: dict


def vit(quick: bool) -> nn.Module:
    """Build ViT-B/16 on frames (transformers)."""
    from transformers import ViTConfig, ViTModel
    small = {'num_hidden_layers': 2, 'image_size': 64} if quick else {}
    return ViTModel(ViTConfig(**small), add_pooling_layer=False)


def resnet50(quick: bool) -> nn.Module:
    """Build ResNet-50 on frames (transformers)."""
    from transformers import ResNetConfig, ResNetModel
    return ResNetModel(ResNetConfig(**({'depths': [1, 1, 1, 1]} if quick else {})))


def resnet3d(quick: bool) -> nn.Module:
    """Build a 3D ResNet-50 (MONAI's, which strides over time as over space)."""
    from monai.networks.nets import resnet
    make = resnet.resnet10 if quick else resnet.resnet50
    return make(spatial_dims=3, n_input_channels=3, num_classes=400)


def hosts(quick: bool) -> list[Host]:
    """Return the hosts; small ones for a quick run."""
    side = 64 if quick else 224
    feed = (FRAMES, 3, side, side)
    return [
        Host('ViT-B/16, 8 frames (transformers)', partial(vit, quick),
             'layers.0' if quick else 'layers.6', '(NT)LC+cls', 768, feed, {'frames': FRAMES}),
        Host('ResNet-50, 8 frames, after stage 3 (transformers)', partial(resnet50, quick),
             'encoder.stages.2', '(NT)CHW', 1024, feed, {'frames': FRAMES}),
        Host('3D ResNet-50, 16 frames, after stage 2 (MONAI)', partial(resnet3d, quick),
             'layer2', 'NCTHW', 128 if quick else 512,
             (1, 3, 2 * FRAMES, side // 2, side // 2), {}),
    ]
