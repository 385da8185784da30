"""The study's variants as classifiers of clips: their layers over time, and another head."""

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
COMPARED = (BACKBONE, 'moss_12', 'displacement_1', 'displacement_12', 'displacement_123',
            'both_12', 'tsm', 'recurrent', 'flow')


class ClipClassifier(nn.Module):
    """
    A network of the study, whose head answers a question about the clip.

    Everything up to what the head of grasps reads is the network's own: the backbone, the layers
    over time, and the map of the newest frame's context. The map's mean and maximum over its
    positions, and the mean of the newest fine map, go to one linear layer.

    :param variant: name of a file of ``study/variants``.
    :param classes: number of answers.
    :param initial: checkpoint whose backbone it starts from; empty for random weights.
    :raises ConfigError: if there is no such variant, or it needs the times of the frames.
    """

    def __init__(self, variant: str, classes: int, initial: str | Path = INITIAL):
        super().__init__()
        path = VARIANTS / f'{variant}.yaml'
        if not path.is_file():
            raise ConfigError(f'{variant!r} is no variant: expected one of '
                              f'{sorted(one.stem for one in VARIANTS.glob("*.yaml"))}')
        config: Any = read_settings(path).config()
        if config.to_dict().get('time_inputs'):
            raise ConfigError(f'{variant!r} needs the times of the frames, and a lead time of a '
                              'grasp: expected a variant without _time')
        self.network = build(config)
        if initial:
            start_from(self.network, initial)
        # What reads grasps is not used, and has no weights to train.
        for name in ('head', 'lateral', 'smooth'):
            getattr(self.network, name).requires_grad_(False)
        self.network.__dict__['read'] = self._answer
        self.answer = nn.Linear(2 * config.head_channels + config.channels[1], classes)

    @property
    def size(self) -> int:
        """Height and width of its images."""
        return self.network.config.image_size

    def forward(self, images: Tensor) -> Tensor:
        """
        Answer.

        :param images: uint8, RGB, shape ``(B, T, S, S, 3)``.
        :returns: logits, shape ``(B, classes)``.
        """
        return self.network(images, images.new_zeros(len(images), 1, 5, dtype=torch.float32))

    def _answer(self, fine: Tensor, context: Tensor, grasps: Tensor, gaps: Tensor | None = None,
                motion: Tensor | None = None) -> Tensor:
        """Stand in for the head of grasps; see :meth:`GraspReader.read`."""
        return self.answer(torch.cat([context.mean((2, 3)), context.amax((2, 3)),
                                      fine.mean((2, 3))], 1))
