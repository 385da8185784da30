"""Optical flow as maps of the backbone's size, for clips and for streams."""

from moss_perception.models.layers.config import TemporalConfig
from moss_perception.models.layers.flow_field import FlowField, grey
import numpy as np
import torch
from torch import from_numpy, nn, Tensor
import torch.nn.functional as F


def clip_flow(images: Tensor) -> Tensor:
    """
    Compute the flow that led to each frame from the one before.

    :param images: uint8, RGB, shape ``(B, T, S, S, 3)``.
    :returns: float32 on the images' device, shape ``(B, T, 2, S, S)``: right and down, in units
        of 4 pixels; 0 at the first frame.
    """
    pixels, field = images.cpu().numpy(), FlowField()
    flow = np.zeros((*pixels.shape[:2], 2, *pixels.shape[2:4]), np.float32)
    for clip, out in zip(pixels, flow, strict=True):
        frames = [grey(frame) for frame in clip]
        for n in range(1, len(frames)):
            out[n] = field.between(frames[n - 1], frames[n])
    return from_numpy(flow).to(images.device)


class FlowStream(nn.Sequential):
    """
    Maps of optical flow (OpenCV's DIS), of the backbone's size and channels.

    The flows that led to the last few frames are stacked, as many as lie between two temporal
    taps, so that no motion is missed. The flow is computed from the images and has no gradient.

    :param config: sizes and window.
    :param channels: of the maps.
    :param stacked: how many flows, the newest among them, a map sees.
    """

    def __init__(self, config: TemporalConfig, channels: int, stacked: int):
        self.stacked = stacked
        wide = config.temporal_channels
        sizes = [2 * self.stacked, wide // 2, wide, channels]
        if config.map_stride == 4:
            sizes = [2 * self.stacked, wide, channels]
        layers: list[nn.Module] = []
        for one, other in zip(sizes, sizes[1:], strict=False):
            layers += [nn.Conv2d(one, other, 3, stride=2, padding=1, bias=False),
                       nn.BatchNorm2d(other), nn.ReLU()]
        super().__init__(*layers)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  the name of Sequential's
        """
        Make the map of each frame of a clip.

        :param input: images, uint8, shape ``(B, T, S, S, 3)``.
        :returns: shape ``(B, T, C, H, W)``.
        """
        flow = clip_flow(input)
        before = F.pad(flow, (0, 0, 0, 0, 0, 0, self.stacked - 1, 0))
        stacked = torch.cat([before[:, n:n + flow.shape[1]] for n in range(self.stacked)], dim=2)
        return super().forward(stacked.flatten(0, 1)).unflatten(0, input.shape[:2])

    def encode(self, stacked: Tensor, valid: tuple[int, ...]) -> Tensor:
        """
        Make maps of one frame of a stream, as if the window had begun shortly before.

        At the first frames of a window the clip knows fewer flows than are stacked. A stream
        knows them all, and must not use them.

        :param stacked: the newest flows, oldest first, shape ``(1, 2 * stacked, S, S)``.
        :param valid: for each map, how many of the newest flows it may use.
        :returns: shape ``(len(valid), C, H, W)``.
        """
        oldest = torch.arange(self.stacked, 0, -1, device=stacked.device).repeat_interleave(2)
        used = torch.stack([oldest <= n for n in valid])
        return super().forward(stacked * used[..., None, None])
