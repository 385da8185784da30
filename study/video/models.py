"""The study's variants as readers of clips: a map of each frame, and one read-out for all."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from moss_perception.core.errors import ConfigError
from moss_perception.models.base import build
from moss_perception.models.manifest import read_header
from moss_perception.models.moss_grasp.network import MossGraspNetwork
from moss_perception.training.derive import start_from
from moss_perception.training.settings import read_settings
import torch
from torch import nn, Tensor

from study.kept import digest_of, file_digest
import study.models  # noqa: F401, registers the variants

VARIANTS = Path(__file__).resolve().parents[1] / 'variants'
# Of this study alone: baselines that no grasp model needs.
OWN_VARIANTS = Path(__file__).resolve().parent / 'variants'
INITIAL = VARIANTS.parent / 'results/backbone_64/backbone.safetensors'
BACKBONE = 'pooling'
"""The backbone alone: it sees every frame by itself."""
FINE_BACKBONE = 'pooling_fine'
"""The same with maps as fine as those of the variants that read displacements."""
COMPARED = (BACKBONE, FINE_BACKBONE, 'moss_1', 'moss_12', 'moss_123', 'displacement_1',
            'displacement_12', 'displacement_123', 'both_12', 'tsm', 'recurrent', 'flow')
LOWER_ORDER = {'moss_12': 'moss_1', 'moss_123': 'moss_12', 'displacement_12': 'displacement_1',
               'displacement_123': 'displacement_12'}
"""Of each variant of several orders the one without the highest."""
# Raise it if ClipReader computes something else: what was kept before is then not used.
_READER = 2


def variant_path(variant: str) -> Path:
    """
    Return the file of a variant.

    :raises ConfigError: if there is none.
    """
    paths = _paths()
    if variant not in paths:
        raise ConfigError(f'{variant!r} is no variant: expected one of {sorted(paths)}')
    return paths[variant]


@cache
def _paths() -> dict[str, Path]:
    """Return the file of each variant by its name."""
    return {path.stem: path for folder in (OWN_VARIANTS, VARIANTS)
            for path in folder.glob('*.yaml')}


@cache
def config_of(variant: str) -> Any:
    """
    Return the configuration of a variant's network.

    :param variant: name of a file of ``study/variants`` or ``study/video/variants``.
    :raises ConfigError: if there is no such variant, or it needs the times of the frames.
    """
    config: Any = read_settings(variant_path(variant)).config()
    if config.to_dict().get('time_inputs'):
        raise ConfigError(f'{variant!r} needs the times of the frames, and a lead time of a '
                          'grasp: expected a variant without _time')
    return config


def exists(variant: str) -> bool:
    """Tell whether there is a variant of this name."""
    return variant in _paths()


def orders_of(variant: str) -> tuple[int, ...]:
    """Return the self-similarity orders of a variant; none if it has no MOSS."""
    if not exists(variant):
        return ()
    return tuple(range(1, config_of(variant).to_dict().get('orders', 0) + 1))


def displaces(variant: str) -> bool:
    """Tell whether a variant reads displacements."""
    return exists(variant) and getattr(config_of(variant), 'displaces', False)


def common_size(variants: Sequence[str]) -> int:
    """
    Return the side of the images that all variants see, pixels.

    :raises ConfigError: if there is no such variant, or they see images of several sizes.
    """
    sizes = sorted({config_of(name).image_size for name in variants})
    if len(sizes) != 1:
        raise ConfigError(f'the variants see images of {sizes} pixels: expected one size')
    return sizes[0]


def initial_of(initial: str | Path, variant: str) -> str:
    """
    Return the checkpoint that a variant begins with.

    :param initial: a checkpoint for all; or a folder with one for each variant,
        ``NAME.safetensors`` or, as ``scripts/reproduce.sh`` writes it,
        ``NAME_seed_0/NAME.safetensors``; empty for none.
    :raises ConfigError: if a folder has none for the variant.
    """
    if not initial or not Path(initial).is_dir():
        return str(initial)
    choices = [Path(initial) / f'{variant}.safetensors',
               Path(initial) / f'{variant}_seed_0' / f'{variant}.safetensors']
    for path in choices:
        if path.is_file():
            return str(path)
    raise ConfigError(f'--initial {initial} has no checkpoint of {variant}: expected '
                      f'{" or ".join(str(path.relative_to(initial)) for path in choices)}')


def variant_digest(variant: str, initial: str | Path) -> str:
    """
    Hash all that a variant is: its configuration, the checkpoint it begins with, and the reader.

    :param initial: as for :func:`initial_of`.
    :raises ConfigError: as :func:`config_of` and :func:`initial_of`.
    """
    parts = [_READER, config_of(variant).to_dict(), file_digest(initial_of(initial, variant))]
    return digest_of([repr(parts).encode()])


class ClipReader(nn.Module):
    """
    A network of the study up to its map of each frame, and a read-out that is the same for all.

    The backbone and the layers over time make a map of each frame; that is all in which variants
    differ. The mean of these maps over time, and the newest one, then go through one linear
    layer. So all frames reach every variant's answer, their look and their motion. What a layer
    over time sees before the first frame counts as missing: there MOSS has similarities of 0, and
    the flow is 0.

    Images are normalised as those that the initial backbone was trained with.

    :param variant: name of a file of ``study/variants`` or ``study/video/variants``.
    :param initial: checkpoint that it starts from: all weights, if it is of the same variant, else
        those of the backbone; empty for random weights.
    :raises ConfigError: as :func:`config_of`.
    """

    def __init__(self, variant: str, initial: str | Path = INITIAL):
        super().__init__()
        self.network: Any = build(config_of(variant))
        if initial:
            start_from(self.network, initial)
            _take_normalisation(self.network, initial)
        wide = self.network.config.head_channels
        # A recurrent network's map of a frame is its state.
        temporal = getattr(self.network, 'temporal', None)
        self.over_time = nn.Linear(2 * getattr(temporal, 'kept', wide), wide)
        self._freeze_unused()

    def _freeze_unused(self) -> None:
        """Take what only grasps need out of the training."""
        network = self.network
        unused = [network.head, network.lateral, network.smooth,
                  getattr(network, 'temporal', network).over_time]
        if isinstance(network, MossGraspNetwork):
            # It adds what MOSS sees to the features of another host.
            unused.append(network.moss.out)
        for part in unused:
            part.requires_grad_(False)

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of the newest fine map and of the context."""
        return self.network.config.channels[1], self.network.config.head_channels

    def frame_maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """
        Make the map of each frame.

        :param images: uint8, RGB, shape ``(B, T, S, S, 3)``.
        :returns: the newest fine map, ``(B, C, H, W)``, and the maps, ``(B, T, H', W', R)``.
        """
        if isinstance(self.network, MossGraspNetwork):
            return _moss_maps(self.network, images)
        fine, maps, _ = self.network.encode(images)
        return fine, maps

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """
        Read clips.

        :param images: uint8, RGB, shape ``(B, T, S, S, 3)``.
        :returns: the newest fine map and the context, ``(B, C, H, W)`` each.
        """
        fine, maps = self.frame_maps(images)
        seen = torch.cat([maps.mean(1), maps[:, -1]], -1)
        return fine, self.over_time(seen).movedim(-1, 1)


def _take_normalisation(network: Any, initial: str | Path) -> None:
    """Normalise images as those that a checkpoint was trained with."""
    config, _ = read_header(initial)
    network.config = replace(network.config, mean=config.mean, std=config.std)
    for name in ('mean', 'std'):
        getattr(network, name).copy_(torch.tensor(getattr(config, name)).view(3, 1, 1))


def _moss_maps(network: MossGraspNetwork, images: Tensor) -> tuple[Tensor, Tensor]:
    """
    Make the map of each frame, as the network does for those that the head of grasps reads.

    That head skips the first frames, whose highest order looks before the clip. Here all count:
    else MOSS would take away what they look like, and what moves in them.
    """
    normal = network.normalise(images.flatten(0, 1))
    first, flat, deep = network.backbone.all_stages(normal)
    compared, coarse = (x.unflatten(0, images.shape[:2])
                        for x in network.looked_over(normal, first, flat, deep))
    motion = network.moss.motion(compared)
    motion = network.pooled(motion.flatten(0, 1)).movedim(1, -1)
    coarse = coarse.movedim(2, -1)
    maps = network.prefixes(coarse.flatten(0, -2), [
        one.flatten(0, -2) for one in motion.split(network.config.moss_channels, -1)])[-1]
    return flat.unflatten(0, images.shape[:2])[:, -1], maps.view(*coarse.shape[:-1], -1)


@cache
def parameters_of(variant: str) -> int | None:
    """Count the weights of a :class:`ClipReader` that are trained; ``None`` for no variant."""
    if not exists(variant):
        return None
    return sum(one.numel() for one in ClipReader(variant, '').parameters() if one.requires_grad)


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
