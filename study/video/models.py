"""The study's variants as classifiers of clips: their layers over time, and another head."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moss_perception.core.errors import ConfigError
from moss_perception.models.base import build
from moss_perception.training.derive import start_from
from moss_perception.training.settings import read_settings
import torch
from torch import nn, Tensor

import study.models  # noqa: F401, registers the variants

VARIANTS = Path(__file__).resolve().parents[1] / 'variants'
INITIAL = VARIANTS.parent / 'results/backbone_64/backbone.safetensors'
BACKBONE = 'pooling'
"""The backbone alone: it sees every frame by itself, and takes the mean over time."""
COMPARED = (BACKBONE, 'moss_1', 'moss_12', 'moss_123', 'displacement_1', 'displacement_12',
            'displacement_123', 'both_12', 'tsm', 'recurrent', 'flow')


def config_of(variant: str) -> Any:
    """
    Return the configuration of a variant's network.

    :param variant: name of a file of ``study/variants``.
    :raises ConfigError: if there is no such variant, or it needs the times of the frames.
    """
    path = VARIANTS / f'{variant}.yaml'
    if not path.is_file():
        raise ConfigError(f'{variant!r} is no variant: expected one of '
                          f'{sorted(one.stem for one in VARIANTS.glob("*.yaml"))}')
    config: Any = read_settings(path).config()
    if config.to_dict().get('time_inputs'):
        raise ConfigError(f'{variant!r} needs the times of the frames, and a lead time of a '
                          'grasp: expected a variant without _time')
    return config


def orders_of(variant: str) -> tuple[int, ...]:
    """Return the self-similarity orders of a variant; none if it has no MOSS."""
    if not (VARIANTS / f'{variant}.yaml').is_file():
        return ()
    return tuple(range(1, config_of(variant).to_dict().get('orders', 0) + 1))


def common_size(variants: Sequence[str]) -> int:
    """
    Return the side of the images that all variants see, pixels.

    :raises ConfigError: if there is no such variant, or they see images of several sizes.
    """
    sizes = sorted({config_of(name).image_size for name in variants})
    if len(sizes) != 1:
        raise ConfigError(f'the variants see images of {sizes} pixels: expected one size')
    return sizes[0]


class ClipReader(nn.Module):
    """
    A network of the study up to what the head of grasps reads.

    That is the backbone, the layers over time, and the map of the newest frame's context.

    :param variant: name of a file of ``study/variants``.
    :param initial: checkpoint whose backbone it starts from; empty for random weights.
    :raises ConfigError: as :func:`config_of`.
    """

    def __init__(self, variant: str, initial: str | Path = INITIAL):
        super().__init__()
        config = config_of(variant)
        self.network = build(config)
        if initial:
            start_from(self.network, initial)
        # What reads grasps is not used, and has no weights to train.
        for name in ('head', 'lateral', 'smooth'):
            getattr(self.network, name).requires_grad_(False)
        self.network.__dict__['read'] = lambda fine, context, *_: (fine, context)

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of the newest fine map and of the context."""
        return self.network.config.channels[1], self.network.config.head_channels

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """
        Read clips.

        :param images: uint8, RGB, shape ``(B, T, S, S, 3)``.
        :returns: the newest fine map and the context, ``(B, C, H, W)`` each.
        """
        return self.network(images, images.new_zeros(len(images), 1, 5, dtype=torch.float32))


class ClipClassifier(ClipReader):
    """
    A network of the study, whose head answers one question about the clip.

    The context's mean and maximum over its positions, and the mean of the newest fine map, go to
    one linear layer. They differ little from clip to clip, so they are normalised over the batch.

    :param classes: number of answers.
    """

    def __init__(self, variant: str, classes: int, initial: str | Path = INITIAL):
        super().__init__(variant, initial)
        fine, context = self.channels
        self.normal = nn.BatchNorm1d(2 * context + fine)
        self.answer = nn.Linear(2 * context + fine, classes)

    def forward(self, images: Tensor) -> Tensor:
        """
        Answer.

        :param images: as for :meth:`maps`.
        :returns: logits, shape ``(B, classes)``.
        """
        return self.answer(self.normal(summary(*self.maps(images))))


def summary(fine: Tensor, context: Tensor) -> Tensor:
    """Sum the maps of a clip up over their positions: ``(B, C)``."""
    return torch.cat([context.mean((2, 3)), context.amax((2, 3)), fine.mean((2, 3))], 1)
