"""Model variants that are only compared on clips: importing this module registers them."""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from moss_perception.core.errors import ConfigError
from moss_perception.models.base import register, StreamingModel
from moss_perception.models.grasp_config import (
    GraspConfig,
    MossConfig,
    order_names,
    TemporalConfig,
)
from moss_perception.models.layers.motion import MossClip
from moss_perception.models.layers.temporal import ClipNetwork, Spatial, Temporal
import torch
from torch import nn, Tensor
import torch.nn.functional as F

# TSM shifts an eighth of the channels where it only looks back.
_SHIFT_SHARE = 8


class ClipModel(StreamingModel):
    """
    A variant that is trained and compared on clips, and cannot be stepped.

    :cvar temporal: makes its module between backbone and head.
    """

    streams = False
    temporal: ClassVar[Any] = Temporal

    @classmethod
    def build(cls, config: GraspConfig) -> ClipNetwork:
        return ClipNetwork(config, cls.temporal)

    def initial_state(self) -> None:
        """Return nothing: there is no stream."""

    def step(self, observation, grasps, state, budget):
        """Refuse."""
        raise ConfigError(f'model {self.config.model!r} sees whole clips only: expected a model '
                          'that can be stepped')


class MossClipConfig(MossConfig):
    """Of :class:`MossClipGrasp`."""

    @property
    def levels(self) -> tuple[str, ...]:
        """Name the prefixes of the orders, of which training draws one for each step."""
        return order_names(self.orders)


@register('moss_clip_grasp')
class MossClipGrasp(ClipModel):
    """The shipped model's MOSS, written for clips alone."""

    Config = MossClipConfig
    temporal = MossClip


class MossUpperConfig(MossConfig):
    """Of :class:`MossUpperGrasp`."""

    def __post_init__(self):
        super().__post_init__()
        self._expect('orders', self.orders >= 2, '2 or more with upper orders alone')


@register('moss_upper_grasp')
class MossUpperGrasp(ClipModel):
    """Orders from 2 on; order 1 is computed, since they build on it, and not read."""

    Config = MossUpperConfig
    temporal = partial(MossClip, lowest=2)


class MossCentredConfig(MossConfig):
    """Of :class:`MossCentredGrasp`."""

    def __post_init__(self):
        super().__post_init__()
        if self.moss_window[0] % 2 == 0:
            raise ConfigError(f'moss_window={self.moss_window} is not allowed with a centred '
                              'window: expected an odd first size')


@register('moss_centred_grasp')
class MossCentredGrasp(ClipModel):
    """A centred window, as MOSS's authors have it: the newest frames have no motion yet."""

    Config = MossCentredConfig
    temporal = partial(MossClip, causal=False)


class LastFrameConfig(TemporalConfig):
    """Of :class:`LastFrameGrasp`."""

    @property
    def frames_seen(self) -> int:
        """The newest alone."""
        return 1


class LastFrame(Spatial):
    """Sees the newest frame and no other."""

    taps = (0,)


@register('last_grasp')
class LastFrameGrasp(ClipModel):
    """See :class:`LastFrame`."""

    Config = LastFrameConfig
    temporal = LastFrame


class PoolingConfig(TemporalConfig):
    """Of :class:`PoolingGrasp`."""


class Pooling(Spatial):
    """Sees every frame by itself, and takes the mean over time."""

    taps = (0,)

    def context(self, maps: Tensor) -> Tensor:
        """Average before the mixing, so that the order of the frames is lost."""
        return self.over_time(maps.mean(dim=1)).movedim(-1, 1)


@register('pool_grasp')
class PoolingGrasp(ClipModel):
    """See :class:`Pooling`."""

    Config = PoolingConfig
    temporal = Pooling


@dataclass(frozen=True)
class ShiftConfig(TemporalConfig):
    """
    Of :class:`ShiftGrasp`.

    :ivar tap_frames: samples between two of the head's temporal taps.
    """

    tap_frames: int = 3

    grasp2_window = 'tap_frames'

    def __post_init__(self):
        super().__post_init__()
        self._expect('tap_frames', self.tap_frames >= 1, '1 or more')

    @property
    def tap_stride(self) -> int:
        """As configured."""
        return self.tap_frames


class ShiftModule(Spatial):
    """
    Causal TSM: some channels come from the frame before, in the backbone and on its map.

    The shift stands before each convolution at stride 8 of the backbone, and before two residual
    blocks on the map. Source: arXiv 1811.08383 (its one-directional form).
    """

    def features(self, backbone: nn.Module, fine: Tensor) -> Tensor:
        """Run the backbone's last stage, with the shift before its convolutions."""
        shape, x = fine.shape[:2], fine.flatten(0, 1)
        for layer in backbone.stages[2]:
            if isinstance(layer, nn.Conv2d):
                x = shift(x.unflatten(0, shape)).flatten(0, 1)
            x = layer(x)
        return x.unflatten(0, shape)

    def mixed(self, clip: Tensor) -> Tensor:
        return shift(clip)


def shift(clip: Tensor) -> Tensor:
    """Take the first channels of ``(B, T, C, H, W)`` from the frame before, 0 at the first."""
    fold = clip.shape[2] // _SHIFT_SHARE
    # Position-major, as convolutions that keep channels last give it: nothing is laid out anew.
    clip = clip.movedim(2, -1)
    before = F.pad(clip[:, :-1, ..., :fold], (0, 0, 0, 0, 0, 0, 1, 0))
    return torch.cat([before, clip[..., fold:]], dim=-1).movedim(-1, 2)


@register('tsm_grasp')
class ShiftGrasp(ClipModel):
    """See :class:`ShiftModule`."""

    Config = ShiftConfig
    temporal = ShiftModule
