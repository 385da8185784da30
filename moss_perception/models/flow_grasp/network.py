"""Optical flow as a second stream: for clips, and as one step of a stream."""

from collections.abc import Sequence

from moss_perception.models.flow_grasp.model import FlowGraspConfig
from moss_perception.models.layers.motion import FlowStream
from moss_perception.models.layers.reading import StreamStep
from moss_perception.models.layers.temporal import ClipNetwork, Spatial
import torch
from torch import Tensor


class TwoStream(Spatial):
    """Optical flow as a second stream, added to the backbone's maps."""

    needs_images = True

    def __init__(self, config: FlowGraspConfig, channels: int):
        super().__init__(config, channels)
        self.stream = FlowStream(config, channels)

    def maps(self, clip: Tensor, images: Tensor, used: int | None = None,
             gaps: Tensor | None = None) -> Tensor:
        return super().maps(clip + self.stream(images, gaps), images)

    def motion(self, images: Tensor, gaps: Tensor | None) -> Tensor | None:
        if not self.config.velocity_orders:
            return None
        count = self.stream.stacked
        return self.read_motion(self.stream.flows(images[:, -count - 1:], gaps)[:, 1:])

    def read_motion(self, flows: Tensor) -> Tensor:
        """Return what the head reads of the newest flows, shape ``(B, stacked, 2, S, S)``."""
        return self.stream.motion(flows, self.config.map_stride)


class FlowStep(StreamStep[ClipNetwork[FlowGraspConfig, TwoStream]]):
    """One step of a stream; motion features are the flow's map."""

    def __init__(self, network: ClipNetwork[FlowGraspConfig, TwoStream]):
        super().__init__(network)
        self.valid = (network.config.stacked_flows, *network.config.short_flows)

    def forward(self, image: Tensor, grasps: Tensor, flow: Tensor,
                state: Sequence[Tensor], gaps: Tensor | None = None) -> tuple[Tensor, ...]:
        """
        Take one sample; see :class:`StreamStep`.

        :param flow: the newest flows, oldest first, shape ``(1, 2 * stacked, S, S)``.
        :param state: maps at the temporal taps before this frame, oldest first, ``(h * w, R)``.
        :returns: the results; this frame's map with all flows; and its maps with fewer.
        """
        temporal, side = self.network.temporal, self.network.config.map_size
        fine, clip, looks = self.see(image)
        streams = temporal.stream.encode(flow, self.valid)
        # One frame, as many times as there are maps of it.
        made = Spatial.maps(temporal, (clip + streams)[:, None], image)
        maps = [one.flatten(0, -2) for one in made.unbind(0)]
        context = temporal.over_time(torch.cat([*state, maps[0]], dim=-1))
        context = context.view(1, side, side, -1).movedim(-1, 1)
        read = temporal.read_motion(flow.unflatten(1, (-1, 2))) \
            if self.network.config.velocity_orders else None
        scores = self.scores(fine, context, grasps, gaps, read)
        motion = streams[0].movedim(0, -1).flatten(0, 1)
        return *scores, motion, looks, made.sum() * 0, *maps
