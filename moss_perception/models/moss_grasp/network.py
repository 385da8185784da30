"""The grasp-success network: backbone, MOSS, and what reads grasps from their maps."""

from collections.abc import Iterable, Sequence
from typing import cast

from moss_perception.models.layers.motion import (
    DisplacementHistory,
    make_moss,
    moss_times,
    Velocities,
)
from moss_perception.models.layers.reading import (
    appearance,
    ensemble_probability,
    GraspReader,
    StreamStep,
)
from moss_perception.models.layers.timing import window_gaps
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
        # A cache of features holds the maps of stride 4.
        self.needs_images = config.map_stride < 4 or config.compares != 'features'
        # What the deeper stage adds is coarse: displacements are looked for without it.
        self.compares_stage = (config.displaces or config.map_stride < 4
                               or config.compares != 'features')
        self.moss = make_moss(config, config.compared_channels)
        self.velocities = Velocities(config) if config.velocity_orders else None
        self.history = DisplacementHistory(config) if config.velocity_history else None
        self.look = nn.Linear(coarse, wide)
        self.shares = nn.ModuleList(nn.Linear(config.moss_channels, wide, bias=False)
                                    for _ in range(config.orders))
        self.over_time = nn.Linear(len(config.temporal_taps) * wide, wide)
        self.add_reading()

    def forward(self, images: Tensor, grasps: Tensor, used: int | None = None,
                intervals: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Score grasps at the last frame of a clip; see :class:`GraspReader`."""
        gaps = window_gaps(self.config, intervals, images)
        if self.needs_images:
            normal = self.normalise(images.flatten(0, 1))
            first = self.backbone.first(normal)
            flat = self.backbone.second(first)
        else:
            normal, first, flat = None, None, self.fine_maps(images).flatten(0, 1)
        compared, coarse = self.looked_over(normal, first, flat, self.backbone.late(flat))
        fine, compared, coarse = (x.unflatten(0, images.shape[:2])
                                  for x in (flat, compared, coarse))
        span = self.config.head_receptive_field
        motion, values, past = self.moss.motion_and_values(
            compared, used, span, moss_times(self.config.displaces, gaps),
            max(self.config.history_frames, 1))
        motion = self.pooled(motion.flatten(0, 1)).unflatten(0, motion.shape[:2])
        encodings = motion.movedim(2, -1).split(self.config.moss_channels, dim=-1)[:used]
        coarse = coarse[:, -span:].movedim(2, -1)
        maps = self.prefixes(coarse.flatten(0, -2), [x.flatten(0, -2) for x in encodings])[-1]
        maps = maps.view(*coarse.shape[:-1], -1)
        maps = F.pad(maps, (0, 0, 0, 0, 0, 0, span - maps.shape[1], 0))
        taps = [maps[:, n].flatten(0, -2) for n in self.config.temporal_taps]
        found = None if self.velocities is None else self.velocities(values)
        history = None
        if self.history is not None:
            assert self.velocities is not None and gaps is not None  # the configuration has both
            history = self.history.with_gaps(
                self.history.of_frames(torch.stack(past, 1), self.velocities), gaps)
        return self.score(fine[:, -1], taps, grasps, gaps, found, history)

    def looked_over(self, normal: Tensor | None, first: Tensor | None, fine: Tensor,
                    deep: Tensor) -> tuple[Tensor, Tensor]:
        """
        Choose among the backbone's maps.

        :param normal: what the backbone sees, shape ``(N, 3, S, S)``; ``None`` as ``first``.
        :param first: of stride 2; ``None`` unless the network :attr:`needs_images`.
        :param fine: of stride 4, shape ``(N, C, H, W)``.
        :param deep: of stride 8, shape ``(N, C', H / 2, W / 2)``.
        :returns: the maps that MOSS compares, and those whose features the head sees.
        """
        coarse, stride = self.merged(fine, deep), self.config.map_stride
        if not self.compares_stage:
            return coarse, coarse
        compared, kind = {2: first, 4: fine, 8: deep}[stride], self.config.compares
        if kind != 'features':
            assert normal is not None  # as above
            averaged = F.avg_pool2d(normal, stride)
            compared = averaged if kind == 'pixels' else torch.cat([compared, averaged], dim=1)
        assert compared is not None  # as above
        return compared, coarse

    def pooled(self, motion: Tensor) -> Tensor:
        """Average what MOSS finds, shape ``(N, D, H, W)``, to the head's maps."""
        return F.avg_pool2d(motion, 2) if self.config.map_stride < 4 else motion

    def prefixes(self, coarse: Tensor, encodings: Sequence[Tensor]) -> list[Tensor]:
        """Build each prefix's map, ``(N, R)``, of the features and encodings at N positions."""
        maps, summed = [], self.look(coarse)
        shares = cast(Iterable[nn.Linear], self.shares)
        for share, encoding in zip(shares, encodings, strict=False):
            summed = torch.addmm(summed, encoding, share.weight.T)
            maps.append(F.relu(summed))
        return maps

    def score(self, fine: Tensor, recent: Sequence[Tensor], grasps: Tensor,
              gaps: Tensor | None = None, motion: Tensor | None = None,
              history: Tensor | None = None) -> tuple[Tensor, Tensor]:
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
        return self.read(fine, context, grasps, gaps, motion, history)


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
        """Return what the orders that are run keep, map by map, and the head's recent maps."""
        config, mean = self.network.config, self.network.mean
        # A tensor of its own for each: an exporter takes one that is given twice for one input.
        kept = (mean.new_zeros(1, config.compared_size ** 2, config.kept_channels(n))
                for n in range(1, self.orders + 1) for _ in config.used_lags)
        recent = (mean.new_zeros(config.map_size ** 2, config.head_channels)
                  for _ in config.temporal_taps[:-1])
        if not config.velocity_history:
            return (*kept, *recent)
        return (*kept, *recent, mean.new_zeros(config.history_frames, len(config.used_lags), 2))

    def _caches(self, state: Sequence[Tensor]) -> MossState:
        """Give MOSS a map for each place in its window; those at no lag are not looked at."""
        config = self.network.config
        lags, length, side = config.used_lags, config.moss_window[0], config.compared_size
        ages = [min((lag for lag in lags if lag >= age), default=0)
                for age in range(length - 1, 0, -1)]
        places = [len(lags) - 1 - lags.index(age) for age in ages]
        given = [tuple(state[n * len(lags) + place] for place in places)
                 for n in range(self.orders)]
        empty = self.network.moss.initial_state(1, side, side, apart=True)
        return (*given, *empty[self.orders:])

    def forward(self, image: Tensor, grasps: Tensor, used: Tensor, state: Sequence[Tensor],
                gaps: Tensor | None = None) -> tuple[Tensor, ...]:
        """
        Take one sample; see :class:`StreamStep`.

        :param used: int64, shape ``(1,)``: orders 1 to this one count.
        :param state: of :meth:`initial_state`, or its queues with what the steps before gave: the
            caches' maps, and those of the prefix in use at the samples before, oldest first; and
            the velocities that the sample before gave, if their history is read.
        :returns: the results, of which the motion features are the encodings of the orders that
            are run; each cache's newest map; this sample's map of each prefix; and the velocities
            with this sample's.
        """
        network, config = self.network, self.network.config
        normal = network.normalise(image)
        first, fine, deep = network.backbone.all_stages(normal)
        compared, coarse = network.looked_over(normal, first, fine, deep)
        times = moss_times(config.displaces, gaps)
        encodings, values, caches = network.moss.encode_values_step(
            compared, self._caches(state), self.orders,
            None if times is None else times[:, -config.moss_window[0]:])
        encodings = [network.pooled(one) for one in encodings]
        # As matrices from here on: ONNX Runtime would copy what it reshapes and gives.
        coarse, *encodings = (x.movedim(1, -1).flatten(0, -2) for x in (coarse, *encodings))
        maps = network.prefixes(coarse, encodings)
        counting = torch.stack(maps).index_select(0, used - 1).squeeze(0)
        recent = state[self.orders * len(config.used_lags):]
        history, velocities = None, []
        if network.history is not None:
            assert network.velocities is not None and gaps is not None  # as in a clip
            *recent, before = recent
            own = network.history.of_step(values[0], network.velocities)
            velocities = [torch.cat([before[1:], own])]
            history = network.history.with_gaps(network.history.of_stream(velocities[0]), gaps)
        logits, _ = network.score(fine, [*recent, counting], grasps, gaps,
                                  self._velocities(values, used), history)
        motion = torch.cat(encodings, dim=-1)
        scores, uncertainties = ensemble_probability(logits.squeeze(0))
        newest = [cache[-1] for cache in caches[:self.orders] if len(cache)]
        health = sum((part.sum() for part in newest), torch.stack(maps).sum())
        return (scores, uncertainties, motion, appearance(normal, first, fine, deep), health * 0,
                *newest, *maps, *velocities)

    def _velocities(self, values: list[Tensor], used: Tensor) -> Tensor | None:
        """Return what the displacements of the orders that count say to the head."""
        if self.network.velocities is None:
            return None
        found = self.network.velocities(values)
        order = torch.arange(1, found.shape[1] // 2 + 1, device=used.device)
        counts = (order <= used).repeat_interleave(2)
        return found * counts.to(found.dtype)[:, None, None]
