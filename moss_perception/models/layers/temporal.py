"""Networks that see a clip: a backbone, a module that looks over its maps, and a head."""

from collections.abc import Callable
from typing import Generic, TypeVar

from moss_perception.models.grasp_config import GraspConfig, TemporalConfig
from moss_perception.models.layers.reading import Backbone, GraspReader, R
from moss_perception.models.layers.timing import window_gaps
import torch
from torch import nn, Tensor
import torch.nn.functional as F


class Temporal(nn.Module):
    """
    Mixes the maps at the head's temporal taps, position by position.

    Subclasses say how the map of a frame is made.

    :param config: sizes and window.
    :param channels: of the clip's maps.
    """

    needs_images = False
    """Whether it needs the images themselves, and not only the backbone's maps."""

    def __init__(self, config: GraspConfig, channels: int):
        super().__init__()
        self.config = config
        self.look = nn.Linear(channels, config.head_channels)
        self.over_time = nn.Linear(len(self.taps) * config.head_channels, config.head_channels)

    @property
    def taps(self) -> tuple[int, ...]:
        """The head's temporal taps, counted back from the newest frame: 0 or less, ascending."""
        last = self.config.head_receptive_field - 1
        return tuple(n - last for n in self.config.temporal_taps)

    def features(self, backbone: Backbone, fine: Tensor) -> Tensor:
        """
        Run the backbone's last stage on a clip.

        :param fine: maps of all frames at stride 4, shape ``(B, T, C, H, W)``.
        :returns: those at stride 8, shape ``(B, T, C', H / 2, W / 2)``.
        """
        return backbone.late(fine.flatten(0, 1)).unflatten(0, fine.shape[:2])

    def observed(self, images: Tensor, gaps: Tensor | None) -> Tensor:
        """
        Return what it takes of the images themselves, computed once for :meth:`maps` and more.

        :param images: the frames, uint8, shape ``(B, T, S, S, 3)``.
        :param gaps: as for :meth:`maps`; there may be more of them, these frames being the last.
        :returns: the images, unless a subclass says otherwise.
        """
        return images

    def maps(self, clip: Tensor, observed: Tensor, used: int | None = None,
             gaps: Tensor | None = None) -> Tensor:
        """
        Make the map of each frame.

        :param clip: the backbone's maps, shape ``(B, T, C, H, W)``.
        :param observed: see :meth:`observed`.
        :param used: self-similarity orders up to this one only, where there are any.
        :param gaps: with time inputs, see :mod:`moss_perception.models.layers.timing`.
        :returns: of the last frames, at least those at the taps, ``(B, T', H, W, R)``.
        """
        return F.relu(self.look(clip.movedim(2, -1)))

    def motion(self, observed: Tensor,
               gaps: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """
        Return what the head reads of motion, besides the maps.

        :param observed: as for :meth:`maps`, and ``gaps``.
        :returns: motion at the newest frame and its history, see
            :meth:`moss_perception.models.layers.head.GraspHead.forward`; ``None`` for nothing.
        """
        return None, None

    def context(self, maps: Tensor) -> Tensor:
        """Turn the maps into the head's context, shape ``(B, R, H, W)``."""
        seen = torch.cat([maps[:, n - 1] for n in self.taps], dim=-1)
        return self.over_time(seen).movedim(-1, 1)


class Spatial(Temporal):
    """
    Adds two residual blocks that see the neighbours in each map.

    Every model variant has as many, so none gains by seeing further within a frame.
    """

    def __init__(self, config: TemporalConfig, channels: int):
        super().__init__(config, channels)
        wide = config.temporal_channels
        self.blocks = nn.ModuleList(nn.Sequential(
            nn.Conv2d(channels, wide, 3, padding=1), nn.ReLU(), nn.Conv2d(wide, channels, 1))
            for _ in range(2))

    def maps(self, clip: Tensor, observed: Tensor, used: int | None = None,
             gaps: Tensor | None = None) -> Tensor:
        for block in self.blocks:
            clip = clip + block(self.mixed(clip).flatten(0, 1)).unflatten(0, clip.shape[:2])
        return super().maps(clip, observed)

    def mixed(self, clip: Tensor) -> Tensor:
        """Return what a block sees of a clip."""
        return clip


T = TypeVar('T', bound=Temporal)


class ClipNetwork(GraspReader[R], Generic[R, T]):
    """
    Scores grasps at the last frame of a clip.

    :param config: sizes, window and preprocessing.
    :param temporal: makes the module between backbone and head, from the configuration and the
        number of the maps' channels.
    """

    def __init__(self, config: R, temporal: Callable[[R, int], T]):
        super().__init__(config)
        self.temporal = temporal(config, config.map_channels)
        self.needs_images = self.temporal.needs_images
        self.add_reading()

    def forward(self, images: Tensor, grasps: Tensor, used: int | None = None,
                intervals: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Score grasps at the last frame of a clip; see :class:`GraspReader`."""
        gaps = window_gaps(self.config, intervals, images)
        fine, maps, observed = self.encode(images, used, gaps)
        return self.read(fine, self.temporal.context(maps), grasps, gaps,
                         *self.temporal.motion(observed, gaps))

    def encode(self, images: Tensor, used: int | None = None,
               gaps: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """
        Compute what depends on no grasp.

        :param images: as in :meth:`forward`.
        :param gaps: with time inputs, see :mod:`moss_perception.models.layers.timing`.
        :returns: the newest fine map, ``(B, C, H, W)``, the temporal module's maps, and what it
            observed.
        """
        images = images[:, -self.config.frames_seen:]
        fine = self.fine_maps(images)
        deep = self.temporal.features(self.backbone, fine)
        clip = self.merged(fine.flatten(0, 1), deep.flatten(0, 1)).unflatten(0, fine.shape[:2])
        observed = self.temporal.observed(images, gaps)
        return fine[:, -1], self.temporal.maps(clip, observed, used, gaps), observed
