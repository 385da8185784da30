"""Variants without MOSS: one frame, pooling, and temporal shift."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moss_perception.models.base import register
from moss_perception.models.config import ModelConfig
from moss_perception.models.layers.config import GraspConfig
from moss_perception.models.layers.temporal import Spatial
import torch
from torch import nn, Tensor
import torch.nn.functional as F

from study.models.clip_model import ClipModel

# TSM shifts an eighth of the channels where it only looks back.
_SHIFT_SHARE = 8


@dataclass(frozen=True)
class SpatialConfig(GraspConfig):
    """
    Two residual blocks on each map.

    :ivar temporal_channels: inside of the blocks.
    """

    temporal_channels: int = 32

    def __post_init__(self):
        super().__post_init__()
        self._expect('temporal_channels', self.temporal_channels >= 8, '8 or more')


class LastFrameConfig(SpatialConfig):
    """Of :class:`LastFrameGrasp`."""

    @property
    def frames_seen(self) -> int:
        """The newest alone."""
        return 1


class PoolingConfig(SpatialConfig):
    """Of :class:`PoolingGrasp`."""


@dataclass(frozen=True)
class ShiftConfig(SpatialConfig):
    """
    Of :class:`ShiftGrasp`.

    :ivar tap_frames: samples between two of the head's temporal taps.
    """

    tap_frames: int = 3

    def __post_init__(self):
        super().__post_init__()
        self._expect('tap_frames', self.tap_frames >= 1, '1 or more')

    @property
    def tap_stride(self) -> int:
        """As configured."""
        return self.tap_frames

    @classmethod
    def from_grasp2(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Read a header of format 2, in which ``moss_window`` said how far taps are apart."""
        window = values.get('moss_window')
        return super().from_grasp2({**values, **({'tap_frames': window[0]} if window else {})})


class LastFrame(Spatial):
    """Sees the newest frame and no other."""

    looks = (0,)
    frames = 1


class Pooling(Spatial):
    """Sees every frame by itself, and takes the mean over time."""

    looks = (0,)

    def context(self, maps: Tensor) -> Tensor:
        """Average before the mixing, so that the order of the frames is lost."""
        return self.over_time(maps.mean(dim=1)).movedim(-1, 1)


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


@register('last_grasp')
class LastFrameGrasp(ClipModel):
    """See :class:`LastFrame`."""

    Config = LastFrameConfig
    temporal = LastFrame


@register('pool_grasp')
class PoolingGrasp(ClipModel):
    """See :class:`Pooling`."""

    Config = PoolingConfig
    temporal = Pooling


@register('tsm_grasp')
class ShiftGrasp(ClipModel):
    """See :class:`ShiftModule`."""

    Config = ShiftConfig
    temporal = ShiftModule
