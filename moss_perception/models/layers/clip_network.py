"""A network of backbone, a module that sees a clip of maps, and head."""

from collections.abc import Callable
from typing import Generic, TypeVar

from moss_perception.models.layers.backbone import Backbone
from moss_perception.models.layers.reading import GraspReader, R
from moss_perception.models.layers.temporal import Temporal
from torch import Tensor

T = TypeVar('T', bound=Temporal)


class ClipNetwork(GraspReader[R], Generic[R, T]):
    """
    Scores grasps at the last frame of a clip.

    :param config: sizes, window and preprocessing.
    :param temporal: makes the module between backbone and head, from the configuration and the
        number of the maps' channels.
    """

    def __init__(self, config: R, temporal: Callable[[R, int], T]):
        super().__init__()
        self.config = config
        self.backbone = Backbone(config.channels)
        self.add_merging(config)
        self.temporal = temporal(config, config.map_channels)
        self.add_reading(config)

    @property
    def needs_images(self) -> bool:
        """Whether it needs the images themselves, as optical flow does."""
        return self.temporal.needs_images

    def forward(self, images: Tensor, grasps: Tensor,
                used: int | None = None) -> tuple[Tensor, Tensor]:
        """
        Score grasps at the last frame of a clip.

        :param images: uint8 tensor, RGB, shape ``(B, T, S, S, 3)``; or see :meth:`fine_maps`.
        :param grasps: float tensor, shape ``(B, K, 5)``.
        :param used: self-similarity orders up to this one only, where there are any.
        :returns: logits and the object's places, see :meth:`GraspHead.forward`.
        """
        fine, maps = self.encode(images, used)
        return self.read(fine, self.temporal.context(maps), grasps)

    def encode(self, images: Tensor, used: int | None = None) -> tuple[Tensor, Tensor]:
        """
        Compute what depends on no grasp.

        :param images: uint8 tensor, RGB, shape ``(B, T, S, S, 3)``; or see :meth:`fine_maps`,
            but for optical flow, which needs the images themselves.
        :returns: the newest fine map, ``(B, C, H, W)``, and the temporal module's maps.
        """
        images = images[:, -self.temporal.frames:]
        fine = self.fine_maps(images)
        deep = self.temporal.features(self.backbone, fine)
        clip = self.merged(fine.flatten(0, 1), deep.flatten(0, 1)).unflatten(0, fine.shape[:2])
        return fine[:, -1], self.temporal.maps(clip, images, used)

    def see(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """
        Compute the maps of one frame of a stream.

        :param image: uint8, shape ``(B, S, S, 3)``.
        :returns: the fine map, and the map that the temporal module takes, ``(B, C, H, W)``.
        """
        fine, deep = self.backbone(self.normalise(image))
        return fine, self.merged(fine, deep)
