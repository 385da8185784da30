"""
What may look over time: one module an arm, between the same backbone and the same head.

Every module takes a clip of the backbone's maps and gives one map, the context, from which the
head learns what happened. They are made to be compared with the MOSS that is shipped
(:class:`moss_perception.models.network.GraspNetwork`), so they see clips only.
"""

from moss_perception.models.config import GraspConfig
from moss_perception.models.flow import clip_flow
import torch
from torch import nn, Tensor
import torch.nn.functional as F

# TSM shifts an eighth of the channels where it only looks back.
_SHIFT_SHARE = 8


class Temporal(nn.Module):
    """
    Looks at the window through the head's own eyes: maps of some frames, mixed position-wise.

    By itself it knows nothing of motion but what the mixing of the maps tells; the arms say how
    the maps are made.

    :param config: sizes and window.
    :param channels: of the clip's maps.
    """

    def __init__(self, config: GraspConfig, channels: int):
        super().__init__()
        self.config = config
        self.channels = channels
        self.look = nn.Linear(channels, config.head_channels)
        self.over_time = nn.Linear(len(self.looks) * config.head_channels, config.head_channels)

    @property
    def looks(self) -> tuple[int, ...]:
        """Frames at which the head looks, counted back from the newest: 0 or less, ascending."""
        last = self.config.head_span - 1
        return tuple(n - last for n in self.config.head_looks)

    needs_images = False
    """Whether it looks at the images themselves, and not only at the backbone's maps."""

    @property
    def frames(self) -> int:
        """How many frames the backbone has to be run on."""
        return self.config.window_frames

    def features(self, backbone: nn.Module, fine: Tensor) -> Tensor:
        """
        Run the backbone's last stage on a clip.

        :param fine: maps of all frames at stride 4, shape ``(B, T, C, H, W)``.
        :returns: those at stride 8, shape ``(B, T, C', H / 2, W / 2)``.
        """
        return backbone.late(fine.flatten(0, 1)).unflatten(0, fine.shape[:2])

    def maps(self, clip: Tensor, images: Tensor, used: int | None = None) -> Tensor:
        """
        Make the map of each frame.

        :param clip: the backbone's maps, shape ``(B, T, C, H, W)``.
        :param images: the frames themselves, uint8, shape ``(B, T, S, S, 3)``.
        :param used: self-similarity orders up to this one only, where there are any.
        :returns: of the last frames, at least those that are looked at, ``(B, T', H, W, R)``.
        """
        return F.relu(self.look(clip.movedim(2, -1)))

    def context(self, maps: Tensor) -> Tensor:
        """Turn the maps into what the head gets, shape ``(B, R, H, W)``."""
        seen = torch.cat([maps[:, n - 1] for n in self.looks], dim=-1)
        return self.over_time(seen).movedim(-1, 1)


class Spatial(Temporal):
    """
    Looks around in each map with two residual blocks, as the arms do that look over time.

    So that what those gain is not that they see further within a frame.
    """

    def __init__(self, config: GraspConfig, channels: int):
        super().__init__(config, channels)
        wide = config.temporal_channels
        self.blocks = nn.ModuleList(nn.Sequential(
            nn.Conv2d(channels, wide, 3, padding=1), nn.ReLU(), nn.Conv2d(wide, channels, 1))
            for _ in range(2))

    def maps(self, clip: Tensor, images: Tensor, used: int | None = None) -> Tensor:
        for block in self.blocks:
            clip = clip + block(self.mixed(clip).flatten(0, 1)).unflatten(0, clip.shape[:2])
        return super().maps(clip, images)

    def mixed(self, clip: Tensor) -> Tensor:
        """Return what a block sees of a clip."""
        return clip


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


class Recurrent(Temporal):
    """A convolutional GRU over the maps; the head gets its last state."""

    looks = (0,)

    def __init__(self, config: GraspConfig, channels: int):
        super().__init__(config, channels)
        seen, self.kept = config.head_channels, config.temporal_channels
        self.gates = nn.Conv2d(seen + self.kept, 2 * self.kept, 3, padding=1)
        self.candidate = nn.Conv2d(seen + self.kept, self.kept, 3, padding=1)
        self.over_time = nn.Linear(self.kept, config.head_channels)

    def maps(self, clip: Tensor, images: Tensor, used: int | None = None) -> Tensor:
        seen = super().maps(clip, images).movedim(-1, 2)
        state = seen.new_zeros(len(seen), self.kept, *seen.shape[-2:])
        states = []
        for frame in seen.unbind(1):
            reset, update = torch.sigmoid(
                self.gates(torch.cat([frame, state], dim=1))).chunk(2, dim=1)
            new = torch.tanh(self.candidate(torch.cat([frame, reset * state], dim=1)))
            state = state + update * (new - state)
            states.append(state)
        return torch.stack(states, dim=1).movedim(2, -1)


class FlowStream(nn.Sequential):
    """
    Maps of optical flow (OpenCV's DIS), of the backbone's size and channels.

    The flow that led to the last few frames is stacked, as many as lie between two looks, so that
    no motion is missed. The flow itself is computed from the images and has no gradient.

    :param config: sizes and window.
    :param channels: of the maps.
    """

    def __init__(self, config: GraspConfig, channels: int):
        self.stacked = config.moss_window[0]
        wide = config.temporal_channels
        sizes = [2 * self.stacked, wide // 2, wide, channels]
        if config.map_stride == 4:
            sizes = [2 * self.stacked, wide, channels]
        layers: list[nn.Module] = []
        for one, other in zip(sizes, sizes[1:], strict=False):
            layers += [nn.Conv2d(one, other, 3, stride=2, padding=1, bias=False),
                       nn.BatchNorm2d(other), nn.ReLU()]
        super().__init__(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """
        Make the map of each frame.

        :param images: uint8, shape ``(B, T, S, S, 3)``.
        :returns: shape ``(B, T, C, H, W)``.
        """
        flow = clip_flow(images)
        before = F.pad(flow, (0, 0, 0, 0, 0, 0, self.stacked - 1, 0))
        stacked = torch.cat([before[:, n:n + flow.shape[1]] for n in range(self.stacked)], dim=2)
        return super().forward(stacked.flatten(0, 1)).unflatten(0, images.shape[:2])


class TwoStream(Spatial):
    """Optical flow as a second stream, added to the backbone's maps."""

    needs_images = True

    def __init__(self, config: GraspConfig, channels: int):
        super().__init__(config, channels)
        self.stream = FlowStream(config, channels)

    def maps(self, clip: Tensor, images: Tensor, used: int | None = None) -> Tensor:
        return super().maps(clip + self.stream(images), images)
