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
import torch
from torch.utils.data import DataLoader, Dataset

# Largest feature cache of a set and of all sets in memory, bytes.
_MAPS_LIMIT, _ALL_MAPS_LIMIT = 2 << 30, 6 << 30
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
        self._bytes = 0

    def score(self, network: Network, name: Any, orders: int | None = None) -> np.ndarray:
        """
        Score every grasp of a set.

        :param network: in evaluation mode.
        :param orders: highest active self-similarity order; ``None`` for all.
        :returns: probabilities of the ensemble's members, float64, shape ``(N, M)``.
        """
        scenes = self._items(network, name)
        return predict(network, scenes, 16, self.device, orders)[0].double().sigmoid().numpy()

    def score_at(self, network: Network, name: Any, lead_times_s: np.ndarray,
                 orders: int | None = None) -> np.ndarray:
        """
        Score every grasp of a set at several lead times, in one pass over the images.

        :param network: with time inputs; lead times beyond its range are clamped to it.
        :param lead_times_s: float64, shape ``(scenes, T)``, seconds.
        :returns: as :meth:`score`, shape ``(scenes, T, K, M)``: all scenes have ``K`` grasps.
        """
        clips = _ToldClips(self._items(network, name),
                           lead_times_s.clip(*network.config.lead_times_s))
        logits = predict(network, clips, 16, self.device, orders)[0].double().sigmoid().numpy()
        return logits.reshape(*lead_times_s.shape, -1, logits.shape[1])

    def _items(self, network: Network, name: Any) -> GraspClips | list[Clip]:
        """Return the scenes as cached features if these fit in memory, else as images."""
        config = network.config
        key = name, config.image_size, config.window_frames, config.frame_rate_hz
        if key not in self._decoded:
            self._decoded[key] = decode_clips(self._scenes[name], config)
        scenes = GraspClips(self._scenes[name], config, self._decoded[key])
        if frozen_digest(network) != self._backbone:
            self._backbone, self._maps, self._bytes = frozen_digest(network), {}, 0
        key += (config.frames_seen, config.time_inputs and config.lead_times_s)
        if key in self._maps:
            return self._maps[key]
        frame_bytes = (config.image_size // 4) ** 2 * config.channels[1] * 4
        size = len(scenes) * config.frames_seen * frame_bytes
        if network.needs_images or size > _MAPS_LIMIT or self._bytes + size > _ALL_MAPS_LIMIT:
            return scenes
        self._bytes += size
        self._maps[key] = with_features(scenes, network)
        return self._maps[key]


class _ToldClips(Dataset):
    """Clips whose grasps come once for each of their lead times."""

    def __init__(self, clips: GraspClips | list[Clip], lead_times_s: np.ndarray):
        self._clips, self._lead_times_s = clips, lead_times_s

    def __len__(self) -> int:
        return len(self._lead_times_s)

    def __getitem__(self, index: int) -> Clip:
        clip, times = self._clips[index], torch.from_numpy(self._lead_times_s[index]).float()
        grasps = clip.grasps.repeat(len(times), 1)
        grasps[:, 5] = times.repeat_interleave(len(clip.grasps))
        repeated = {name: getattr(clip, name).repeat(len(times), *(1,) * (
            getattr(clip, name).dim() - 1)) for name in ('labels', 'mask', 'places')}
        return clip._replace(grasps=grasps, **repeated)


def with_features(clips: GraspClips, network: Network) -> list[Clip]:
    """
    Compute the items of clips, with the backbone's maps of stride 4 in place of the images.

    :param clips: without augmentation.
    :param network: in evaluation mode; all networks with its first stages can share the items.
    """
    return [clip._replace(images=maps) for items in DataLoader(clips, 16, collate_fn=list)
            for maps, clip in zip(backbone_maps(network, items), items, strict=True)]
