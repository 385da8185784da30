"""MOSS on a clip of maps: of any orders, at any stride, of features or of optical flow."""

from typing import TYPE_CHECKING

from moss_perception.models.layers.config import MossConfig
from moss_perception.models.layers.flow_stream import FlowStream
from moss_perception.models.layers.temporal import Temporal
from moss_perception.moss import MOSS
import torch
from torch import nn, Tensor
import torch.nn.functional as F

if TYPE_CHECKING:
    from moss_perception.models.moss_flow_grasp.config import MossFlowGraspConfig


class MossClip(Temporal):
    """
    MOSS on the maps of a clip.

    :param lowest: fuse orders from this one to the configuration's highest; lower ones are
        computed, since the higher build on them, and not seen.
    :param causal: look back only; else the window is centred, as its authors have it, and ends
        where the clip does: the newest frames have no motion yet.
    """

    def __init__(self, config: MossConfig, channels: int, lowest: int = 1, causal: bool = True):
        self.causal = causal
        self.length = config.moss_window[0]
        self.delay = 0 if causal else config.orders * (config.moss_window[0] // 2)
        super().__init__(config, channels)
        self.moss = MOSS(channels, tuple(range(lowest, config.orders + 1)), config.moss_window,
                         causal, channels=config.moss_channels,
                         projection=config.projection_channels,
                         hidden=config.moss_channels // 2, learning=config.learning,
                         fusion='concat')
        self.share = nn.Linear(self.moss.motion_channels, config.head_channels, bias=False)

    @property
    def looks(self) -> tuple[int, ...]:
        """As the head does; if centred, at the last frames whose windows are full, and now."""
        if self.causal:
            return super().looks
        # Frames from the first full window to the last.
        first = self.delay + 1 - self.config.window_frames
        full = range(-self.delay, first - 1, -self.length)
        return tuple(sorted({*full, 0}))

    def maps(self, clip: Tensor, images: Tensor, used: int | None = None) -> Tensor:
        return self.joined(clip, clip, used)

    def joined(self, clip: Tensor, compared: Tensor, used: int | None) -> Tensor:
        """
        Join features with what MOSS finds, as :meth:`maps`.

        :param compared: the maps that MOSS compares, shape ``(B, T, C, H, W)``.
        """
        if self.causal:
            motion = self.moss.motion(compared, used, last=self.config.head_receptive_field)
            clip = clip[:, -motion.shape[1]:]
        else:
            motion = self.moss.motion(compared, used)
            there = torch.arange(clip.shape[1], device=clip.device)
            motion = motion * (there < clip.shape[1] - self.delay).view(-1, 1, 1, 1)
        return self.mapped(clip, motion)

    def mapped(self, features: Tensor, motion: Tensor) -> Tensor:
        """Make maps ``(B, T, H, W, R)`` of features and MOSS's encodings, channels third."""
        return F.relu(self.look(features.movedim(2, -1)) + self.share(motion.movedim(2, -1)))


class MossFlow(MossClip):
    """
    A stream of optical flow, as in :class:`TwoStream`, whose maps MOSS compares.

    MOSS is blind to appearance then; the head sees the features and the flow's maps as well.
    """

    needs_images = True

    def __init__(self, config: 'MossFlowGraspConfig', channels: int):
        super().__init__(config, channels)
        self.stream = FlowStream(config, channels, config.stacked_flows)

    def maps(self, clip: Tensor, images: Tensor, used: int | None = None) -> Tensor:
        flow = self.stream(images)
        return self.joined(clip + flow, flow, used)
