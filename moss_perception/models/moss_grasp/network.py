"""The grasp-success network: backbone, MOSS, and what reads grasps from their maps."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import cast

from moss_perception.models.layers.motion import make_moss
from moss_perception.models.layers.reading import (
    ensemble_probability,
    GraspReader,
    StreamStep,
)
from moss_perception.models.moss_grasp.model import MossGraspConfig
from moss_perception.moss import MossState
import torch
from torch import nn, Tensor
import torch.nn.functional as F


class MossGraspNetwork(GraspReader[MossGraspConfig]):
    """
    Scores grasps at the last frame of a clip; :class:`GraspStep` does one frame at a time.

    There is a map for each prefix of the orders. They build upon one another: each order adds its
    share to the map of the orders below, so a stream keeps all of them at little more than the
    cost of one.

    :param config: sizes, window and preprocessing.
    """

    def __init__(self, config: MossGraspConfig):
        super().__init__(config)
        coarse, wide = config.map_channels, config.head_channels
        self.moss = make_moss(config, coarse)
        self.look = nn.Linear(coarse, wide)
        self.shares = nn.ModuleList(nn.Linear(config.moss_channels, wide, bias=False)
                                    for _ in range(config.orders))
        self.over_time = nn.Linear(len(config.temporal_taps) * wide, wide)
        self.add_reading()

    def forward(self, images: Tensor, grasps: Tensor,
                used: int | None = None) -> tuple[Tensor, Tensor]:
        """Score grasps at the last frame of a clip; see :class:`GraspReader`."""
        fine = self.fine_maps(images)
        flat = fine.flatten(0, 1)
        coarse = self.merged(flat, self.backbone.late(flat)).unflatten(0, fine.shape[:2])
        span = self.config.head_receptive_field
        motion = self.moss.motion(coarse, used, last=span)
        encodings = motion.movedim(2, -1).split(self.config.moss_channels, dim=-1)[:used]
        coarse = coarse[:, -span:].movedim(2, -1)
        maps = self.prefixes(coarse.flatten(0, -2), [x.flatten(0, -2) for x in encodings])[-1]
        maps = maps.view(*coarse.shape[:-1], -1)
        maps = F.pad(maps, (0, 0, 0, 0, 0, 0, span - maps.shape[1], 0))
        taps = [maps[:, n].flatten(0, -2) for n in self.config.temporal_taps]
        return self.score(fine[:, -1], taps, grasps)

    def prefixes(self, coarse: Tensor, encodings: Sequence[Tensor]) -> list[Tensor]:
        """Build each prefix's map, ``(N, R)``, of the features and encodings at N positions."""
        maps, summed = [], self.look(coarse)
        shares = cast(Iterable[nn.Linear], self.shares)
        for share, encoding in zip(shares, encodings, strict=False):
            summed = torch.addmm(summed, encoding, share.weight.T)
            maps.append(F.relu(summed))
        return maps

    def score(self, fine: Tensor, recent: Sequence[Tensor],
              grasps: Tensor) -> tuple[Tensor, Tensor]:
        """
        Score grasps; see :meth:`read`.

        :param fine: of the newest frame, shape ``(B, C, H, W)``.
        :param recent: maps at the head's temporal taps, oldest first, each ``(B * h * w, R)``.
        """
        side = self.config.map_size
        looked = torch.cat(list(recent), dim=-1).view(-1, side, side, self.over_time.in_features)
        if torch.onnx.is_in_onnx_export():
            # What is enlarged and added to a convolution is best left in the layout of one.
            context = F.conv2d(looked.movedim(-1, 1), self.over_time.weight[:, :, None, None],
                               self.over_time.bias)
        else:
            context = self.over_time(looked).movedim(-1, 1)
        return self.read(fine, context, grasps)


class GraspStep(StreamStep[MossGraspNetwork]):
    """
    One step of a stream with a fixed prefix of orders.

    A step gives the newest map of each cache and the map of each prefix; who steps keeps the
    queues and gives back the maps of the prefix that counts. So the score at a frame is that of
    the orders that count now, whichever did at the frames before, and no map is ever copied.

    :param network: its weights are shared.
    :param orders: orders 1 to this one are run.
    """

    def __init__(self, network: MossGraspNetwork, orders: int):
        super().__init__(network)
        self.orders = orders

    def initial_state(self) -> tuple[Tensor, ...]:
        """Return the caches of the orders that are run, map by map, and the head's recent maps."""
        config, mean = self.network.config, self.network.mean
        # A tensor of its own for each: an exporter takes one that is given twice for one input.
        recent = (mean.new_zeros(config.map_size ** 2, config.head_channels)
                  for _ in config.temporal_taps[:-1])
        return (*chain(*self._empty_caches()[:self.orders]), *recent)

    def _empty_caches(self) -> MossState:
        side = self.network.config.map_size
        return self.network.moss.initial_state(1, side, side, apart=True)

    def forward(self, image: Tensor, grasps: Tensor, used: Tensor,
                state: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """
        Take one sample; see :class:`StreamStep`.

        :param used: int64, shape ``(1,)``: orders 1 to this one count.
        :param state: of :meth:`initial_state`, or its queues with what the steps before gave: the
            caches' maps, and those of the prefix in use at the samples before, oldest first.
        :returns: the results, of which the motion features are the encodings of the orders that
            are run; each cache's newest map; and this sample's map of each prefix.
        """
        network, kept = self.network, self.network.config.moss_window[0] - 1
        caches: MossState = (*(tuple(state[n * kept:(n + 1) * kept]) for n in range(self.orders)),
                             *self._empty_caches()[self.orders:])
        fine, coarse = self.see(image)
        encodings, caches = network.moss.encode_step(coarse, caches, self.orders)
        # As matrices from here on: ONNX Runtime would copy what it reshapes and gives.
        coarse, *encodings = (x.movedim(1, -1).flatten(0, -2) for x in (coarse, *encodings))
        maps = network.prefixes(coarse, encodings)
        counting = torch.stack(maps).index_select(0, used - 1).squeeze(0)
        logits, _ = network.score(fine, [*state[self.orders * kept:], counting], grasps)
        motion = torch.cat(encodings, dim=-1)
        scores, uncertainties = ensemble_probability(logits.squeeze(0))
        newest = [cache[-1] for cache in caches[:self.orders] if kept]
        health = sum((part.sum() for part in newest), torch.stack(maps).sum())
        return scores, uncertainties, motion, health * 0, *newest, *maps
