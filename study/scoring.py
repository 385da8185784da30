"""Score the same sets of scenes with several networks, one after another."""

from typing import Any

from moss_perception.data.schema import Sample
from moss_perception.models.layers.temporal import ClipNetwork
from moss_perception.models.moss_grasp.network import MossGraspNetwork
from moss_perception.training.dataset import Clip, GraspClips
from moss_perception.training.decoding import decode_clips, DecodedClips
from moss_perception.training.feature_cache import backbone_maps, frozen_digest
from moss_perception.training.trainer import predict
import numpy as np
from torch.utils.data import DataLoader

# Largest feature cache of a set in memory, bytes.
_MAPS_LIMIT = 2 << 30
Network = MossGraspNetwork | ClipNetwork


class Scorer:
    """
    Scores sets of scenes as clips; networks share decoded images and frozen features.

    :param scenes: lists of scenes, by any hashable name.
    :param device: device of the networks.
    """

    def __init__(self, scenes: dict[Any, list[Sample]], device: str):
        self.device = device
        self._scenes = scenes
        self._decoded: dict[tuple, DecodedClips] = {}
        self._backbone = ''
        self._maps: dict[tuple, list[Clip]] = {}

    def score(self, network: Network, name: Any, orders: int | None = None) -> np.ndarray:
        """
        Score every grasp of a set.

        :param network: in evaluation mode.
        :param orders: highest active self-similarity order; ``None`` for all.
        :returns: probabilities of the ensemble's members, float64, shape ``(N, M)``.
        """
        scenes = self._items(network, name)
        return predict(network, scenes, 16, self.device, orders)[0].double().sigmoid().numpy()

    def _items(self, network: Network, name: Any) -> GraspClips | list[Clip]:
        """Return the scenes as cached features if these fit in memory, else as images."""
        config = network.config
        key = name, config.image_size, config.window_frames, config.frame_rate_hz
        if key not in self._decoded:
            self._decoded[key] = decode_clips(self._scenes[name], config)
        scenes = GraspClips(self._scenes[name], config, self._decoded[key])
        frame_bytes = (config.image_size // 4) ** 2 * config.channels[1] * 4
        if (network.needs_images
                or len(scenes) * config.frames_seen * frame_bytes > _MAPS_LIMIT):
            return scenes
        if frozen_digest(network) != self._backbone:
            self._backbone, self._maps = frozen_digest(network), {}
        key += (config.frames_seen, config.time_inputs and config.lead_times_s)
        if key not in self._maps:
            self._maps[key] = with_features(scenes, network)
        return self._maps[key]


def with_features(clips: GraspClips, network: Network) -> list[Clip]:
    """
    Compute the items of clips, with the backbone's maps of stride 4 in place of the images.

    :param clips: without augmentation.
    :param network: in evaluation mode; all networks with its first stages can share the items.
    """
    return [clip._replace(images=maps) for items in DataLoader(clips, 16, collate_fn=list)
            for maps, clip in zip(backbone_maps(network, items), items, strict=True)]
