"""Optical flow as a second stream: for clips, and as one step of a stream."""

from collections.abc import Sequence

from moss_perception.models.flow_grasp.model import FlowGraspConfig
from moss_perception.models.layers.motion import FlowStream, VelocityHistory
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
        self.history = VelocityHistory(config) if config.velocity_history else None

    def observed(self, images: Tensor, gaps: Tensor | None) -> Tensor:
        return self.stream.flows(images, gaps)

    def maps(self, clip: Tensor, observed: Tensor, used: int | None = None,
             gaps: Tensor | None = None) -> Tensor:
        return super().maps(clip + self.stream(observed), observed)

    def motion(self, observed: Tensor,
               gaps: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        if not self.config.velocity_orders:
            return None, None
        motion = self.read_motion(observed[:, -self.stream.stacked:])
        if self.history is None:
            return motion, None
        assert gaps is not None  # the configuration has time inputs
        past = self.of_flows(observed[:, -self.config.history_frames:])
        return motion, self.history.with_gaps(past, gaps)

    def of_flows(self, flows: Tensor) -> Tensor:
        """Return one velocity for each frame, ``(..., 2)``, of flows ``(..., 2, S, S)``."""
        assert self.history is not None  # or no one calls
        return self.history.pooled(self.stream.velocity(flows, self.config.map_stride))

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
        :param state: maps at the temporal taps before this frame, oldest first, ``(h * w, R)``;
            and the velocities that the sample before gave, if their history is read.
        :returns: the results; this frame's map with all flows; its maps with fewer; and the
            velocities with this sample's.
        """
        temporal, side = self.network.temporal, self.network.config.map_size
        fine, clip, looks = self.see(image)
        streams = temporal.stream.encode(flow, self.valid)
        # One frame, as many times as there are maps of it.
        made = Spatial.maps(temporal, (clip + streams)[:, None], image)
        maps = [one.flatten(0, -2) for one in made.unbind(0)]
        history, velocities, recent = None, [], state
        if temporal.history is not None:
            assert gaps is not None  # as in a clip
            *recent, before = state
            velocities = [torch.cat([before[1:], temporal.of_flows(flow[:, None, -2:])[0]])]
            history = temporal.history.with_gaps(velocities[0][None], gaps)
        context = temporal.over_time(torch.cat([*recent, maps[0]], dim=-1))
        context = context.view(1, side, side, -1).movedim(-1, 1)
        read = temporal.read_motion(flow.unflatten(1, (-1, 2))) \
            if self.network.config.velocity_orders else None
        scores = self.scores(fine, context, grasps, gaps, read, history)
        motion = streams[0].movedim(0, -1).flatten(0, 1)
        return *scores, motion, looks, made.sum() * 0, *maps, *velocities
