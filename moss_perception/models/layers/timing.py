"""
How time enters a network with time inputs.

Each sample has a gap, see :mod:`moss_perception.models.clock`. Displacements and optical flow are
divided by the time between their images, which makes velocities of them. What else a network looks
at is only told how late each sample of the window was, as numbers that are added to a map.

Lead times enter the head alone, see :class:`moss_perception.models.layers.head.GraspHead`.
"""

from moss_perception.models.config import ModelConfig
import torch
from torch import nn, Tensor
import torch.nn.functional as F

# Of a gap in periods that are more or less than one.
_LATEST = 4.0


class Timing(nn.Module):
    """
    From the window's gaps to what is added to each position of a map.

    :param config: of the window.
    :param channels: of the map.
    """

    def __init__(self, config: ModelConfig, channels: int):
        super().__init__()
        self.rate_hz = config.frame_rate_hz
        self.late = nn.Linear(config.window_frames - 1, channels, bias=False)

    def forward(self, gaps: Tensor) -> Tensor:
        """
        Tell how late each sample was.

        :param gaps: seconds, of all samples of the window but the first, shape ``(B, T - 1)``.
        :returns: shape ``(B, R, 1, 1)``.
        """
        return self.late(lateness(gaps, self.rate_hz))[:, :, None, None]


def lateness(gaps: Tensor, rate_hz: float) -> Tensor:
    """
    Return gaps in periods, less one, at most 4: by how much each sample was late.

    :param gaps: seconds, shape ``(B, T - 1)``.
    :param rate_hz: nominal rate of the samples.
    :returns: the same shape; 0 for a sample in time, and -1 at least.
    """
    return (gaps * rate_hz - 1).clamp(max=_LATEST)


def sample_times(gaps: Tensor) -> Tensor:
    """
    Sum gaps, shape ``(B, T - 1)``, to times of all samples, shape ``(B, T)``.

    They count from the newest sample, so that a sample that leaves the window changes no sum.
    """
    return -F.pad(gaps.flip(1).cumsum(1).flip(1), (0, 1))


def window_gaps(config: ModelConfig, intervals: Tensor | None, images: Tensor) -> Tensor | None:
    """
    Return the gaps of a clip's window.

    :param config: of the network.
    :param intervals: of all samples, shape ``(B, T)``, of which the first means nothing;
        ``None``: each takes the nominal period.
    :param images: of the clips.
    :returns: shape ``(B, T - 1)``; ``None`` for a network without time inputs.
    """
    if not config.time_inputs:
        return None
    if intervals is None:
        return torch.full((len(images), config.window_frames - 1), 1 / config.frame_rate_hz,
                          device=images.device)
    return intervals[:, 1 - config.window_frames:].float()
