"""Motion in a clip of maps: MOSS of any orders, and optical flow as maps of the same size."""

from collections.abc import Sequence

from moss_perception.models.grasp_config import GraspConfig, MossConfig, TemporalConfig
from moss_perception.models.layers.flow_field import FlowField, grey, SHORTEST_GAP, UNIT_PIXELS
from moss_perception.models.layers.timing import lateness, sample_times
from moss_perception.moss import MOSS
import numpy as np
import torch
from torch import nn, Tensor
import torch.nn.functional as F


def make_moss(config: MossConfig, channels: int) -> MOSS:
    """Make the block that a configuration describes, on maps of so many channels."""
    return MOSS(channels, tuple(range(1, config.orders + 1)), config.moss_window,
                channels=config.moss_channels, projection=config.projection_channels,
                hidden=config.moss_channels // 2, learning=config.learning, fusion='concat',
                readout=config.readout, lags=config.lags or None, norm=config.norm or None,
                patch=config.patch, similarity=config.similarity, refinement=config.refinement,
                borders=config.borders, spacing=config.spacing,
                shortest=0.5 / config.frame_rate_hz if config.displaces else 0.0)


class Velocities(nn.Module):
    """
    From the displacements of all lags to one for each order: how things move, how that changes.

    A mean over the lags, each of which weighs by its similarity and curvature: a long lag is more
    exact while what moves is in the window, a short one still finds what is fast.

    :param config: of the block, whose displacements are divided by the time since the lags.
    """

    def __init__(self, config: MossConfig):
        super().__init__()
        lags = len(config.used_lags)
        self.orders, self.unit = config.orders, 2 / config.compared_size
        self.weigh = nn.ModuleList(nn.Linear(2 * lags, lags) for _ in range(self.orders))

    def forward(self, values: Sequence[Tensor]) -> Tensor:
        """
        Weigh the displacements of a frame.

        :param values: of each order that was run, shape ``(B, H, W, L', 4)``; others count as 0.
        :returns: shape ``(B, 2 n, H, W)`` for ``n`` orders, see
            :meth:`moss_perception.models.layers.head.GraspHead.forward`.
        """
        found = []
        for n, one in enumerate(values):
            found += self.of_order(n, one)
        found += [torch.zeros_like(found[0])] * (2 * self.orders - len(found))
        return torch.stack(found, 1)

    def of_order(self, number: int, values: Tensor) -> list[Tensor]:
        """
        Weigh the displacements of one order.

        :param number: of the order, from 0.
        :param values: shape ``(..., L', 4)``.
        :returns: right and down, each of shape ``(...)``.
        """
        missing = (values[..., 2] == 0).to(values.dtype)
        shares = (self.weigh[number](values[..., 2:].flatten(-2)) - missing * 1e4).softmax(-1)
        # One axis of motion after the other: a sum over the last axis is fast.
        return [(values[..., axis] * shares).sum(-1) * self.unit for axis in (0, 1)]


class VelocityHistory(nn.Module):
    """
    The mean velocity of each frame of the window, weighted towards what moves.

    The places of a frame weigh by their speed and by what else is known of them. So the head
    knows of starts, stops and swings even if they happened elsewhere in the image than where the
    object is now.

    :param config: of the window.
    :param known: number of values that are known of a place beside its velocity.
    """

    def __init__(self, config: GraspConfig, known: int = 0):
        super().__init__()
        self.frames, self.rate_hz = config.history_frames, config.frame_rate_hz
        self.attend = nn.Sequential(nn.Linear(known + 1, 16), nn.ReLU(), nn.Linear(16, 1))

    def pooled(self, velocity: Tensor, *known: Tensor) -> Tensor:
        """
        Average the velocities of frames.

        :param velocity: right and down, in the units of the grasps' x and y a second, shape
            ``(..., H, W, 2)``.
        :param known: what else is known of each place, shapes ``(..., H, W, V)``.
        :returns: the mean, in the same units, shape ``(..., 2)``.
        """
        speed = (velocity.square().sum(-1, keepdim=True) + 1e-8).sqrt()
        shares = self.attend(torch.cat([*known, speed], -1)).flatten(-3).softmax(-1)
        return (shares[..., None] * velocity.flatten(-3, -2)).sum(-2)

    def with_gaps(self, velocities: Tensor, gaps: Tensor) -> Tensor:
        """
        Append how late each frame was.

        :param velocities: of the last frames, at most ``T - 1``, see :meth:`pooled`: shape
            ``(B, T', 2)``.
        :param gaps: seconds since the frame before, shape ``(B, T - 1)``.
        :returns: shape ``(B, T - 1, 3)``: right and down, 0 for frames before those, and the
            lateness, see :func:`moss_perception.models.layers.timing.lateness`.
        """
        found = F.pad(velocities, (0, 0, self.frames - velocities.shape[1], 0))
        return torch.cat([found, lateness(gaps, self.rate_hz)[..., None]], -1)


class DisplacementHistory(VelocityHistory):
    """
    A history of velocities from MOSS's displacements of order 1.

    Their similarity and curvature are known of each place.

    :param config: of the block, and of the window.
    """

    def __init__(self, config: MossConfig):
        super().__init__(config, 2 * len(config.used_lags))
        self.lags, self.spacing = config.used_lags, config.spacing

    def of_frames(self, values: Tensor, velocities: Velocities) -> Tensor:
        """
        Return the mean velocity of each frame.

        :param values: of order 1, shape ``(..., H, W, L', 4)``.
        :param velocities: weighs their lags.
        :returns: shape ``(..., 2)``, see :meth:`pooled`.
        """
        # Places between repeat what was found beside them.
        values = values[..., ::self.spacing, ::self.spacing, :, :]
        velocity = torch.stack(velocities.of_order(0, values), -1)
        return self.pooled(velocity, values[..., 2:].flatten(-2))

    def of_step(self, values: Tensor, velocities: Velocities) -> Tensor:
        """
        Return a frame's mean velocity, for each number of lags that may count when it is read.

        :param values: of order 1, shape ``(1, H, W, L', 4)``.
        :param velocities: weighs their lags.
        :returns: shape ``(1, L', 2)``: from the shortest lag alone to all lags.
        """
        number = torch.arange(1, len(self.lags) + 1, device=values.device)
        counts = (number[None] <= number[:, None]).to(values.dtype)
        return self.of_frames(values * counts[:, None, None, :, None], velocities)[None]

    def of_stream(self, kept: Tensor) -> Tensor:
        """
        Choose what counts of a stream's frames: at the first ones of a window, only short lags.

        :param kept: of :meth:`of_step`, of all frames that count, shape ``(T - 1, L', 2)``.
        :returns: shape ``(1, T - 1, 2)``.
        """
        counts = [sum(lag <= age for lag in self.lags) for age in range(1, self.frames + 1)]
        # A window begins where even the shortest lag looks before it.
        return torch.stack([kept[n, count - 1] if count else torch.zeros_like(kept[n, 0])
                            for n, count in enumerate(counts)])[None]


def moss_times(displaces: bool, gaps: Tensor | None) -> Tensor | None:
    """Return the times that MOSS divides displacements by, ``(B, T)``; ``None`` for none."""
    return sample_times(gaps) if gaps is not None and displaces else None


class FlowStream(nn.Sequential):
    """
    Maps of optical flow (OpenCV's DIS), of the backbone's size and channels.

    The flows that led to the last few frames are stacked, as many as lie between two temporal
    taps, so that no motion is missed. The flow is computed from the images and has no gradient.

    :param config: sizes and window.
    :param channels: of the maps.
    """

    def __init__(self, config: TemporalConfig, channels: int):
        self.stacked, self.rate_hz = config.tap_stride, config.frame_rate_hz
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

        :param input: from :meth:`flows`.
        :returns: shape ``(B, T, C, H, W)``.
        """
        before = F.pad(input, (0, 0, 0, 0, 0, 0, self.stacked - 1, 0))
        stacked = torch.cat([before[:, n:n + input.shape[1]] for n in range(self.stacked)], dim=2)
        return super().forward(stacked.flatten(0, 1)).unflatten(0, input.shape[:2])

    def flows(self, images: Tensor, gaps: Tensor | None) -> Tensor:
        """
        Compute the flows of a clip, with time inputs divided by the periods that they took.

        :param images: uint8, shape ``(B, T, S, S, 3)``.
        :param gaps: with time inputs, see :mod:`moss_perception.models.layers.timing`; there may
            be more of them, these frames being the last.
        :returns: shape ``(B, T, 2, S, S)``.
        """
        flow = clip_flow(images)
        if gaps is None:
            return flow
        shares = 1 / (gaps[:, 1 - flow.shape[1]:] * self.rate_hz).clamp(min=SHORTEST_GAP)
        return flow * F.pad(shares, (1, 0))[:, :, None, None, None]

    def velocity(self, flows: Tensor, cell: int) -> Tensor:
        """
        Return the velocities that flows show.

        :param flows: shape ``(..., 2, S, S)``, divided by their periods.
        :param cell: pixels that the side of a cell has.
        :returns: shape ``(..., S / cell, S / cell, 2)``, in the units of the grasps' x and y a
            second.
        """
        pooled = F.avg_pool2d(self._scaled(flows).flatten(0, -4), cell)
        return pooled.unflatten(0, flows.shape[:-3]).movedim(-3, -1)

    def motion(self, newest: Tensor, cell: int) -> Tensor:
        """
        Return velocity and acceleration as the newest flows show them.

        :param newest: oldest first, shape ``(B, stacked, 2, S, S)``, divided by their periods.
        :param cell: pixels that the side of a cell has.
        :returns: shape ``(B, 4, S / cell, S / cell)``, see
            :meth:`moss_perception.models.layers.head.GraspHead.forward`.
        """
        velocity = self._scaled(newest)
        change = (velocity[:, -1] - velocity[:, 0]) * (self.rate_hz / (self.stacked - 1))
        return F.avg_pool2d(torch.cat([velocity.mean(dim=1), change], dim=1), cell)

    def _scaled(self, flows: Tensor) -> Tensor:
        """Turn flows into velocities, in the units of the grasps' x and y a second."""
        return flows * (UNIT_PIXELS * 2 / flows.shape[-1] * self.rate_hz)

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
    return torch.from_numpy(flow).to(images.device)
