"""MOSS on optical flow: for clips, and as one step of a stream."""

from collections.abc import Sequence

from moss_perception.models.layers.motion import FlowStream, make_moss, moss_times
from moss_perception.models.layers.reading import StreamStep
from moss_perception.models.layers.temporal import ClipNetwork, Temporal
from moss_perception.models.moss_flow_grasp.model import MossFlowGraspConfig
import torch
from torch import nn, Tensor
import torch.nn.functional as F


class MossFlow(Temporal):
    """
    A stream of optical flow, as in :class:`TwoStream`, whose maps MOSS compares.

    MOSS is blind to appearance then; the head sees the features and the flow's maps as well.
    """

    config: MossFlowGraspConfig
    needs_images = True

    def __init__(self, config: MossFlowGraspConfig, channels: int):
        super().__init__(config, channels)
        self.moss = make_moss(config, channels)
        self.share = nn.Linear(self.moss.motion_channels, config.head_channels, bias=False)
        self.stream = FlowStream(config, channels)

    def observed(self, images: Tensor, gaps: Tensor | None) -> Tensor:
        return self.stream.flows(images, gaps)

    def maps(self, clip: Tensor, observed: Tensor, used: int | None = None,
             gaps: Tensor | None = None) -> Tensor:
        flow = self.stream(observed)
        motion = self.moss.motion(flow, used, self.config.head_receptive_field,
                                  moss_times(self.config.displaces, gaps))
        return self.mapped((clip + flow)[:, -motion.shape[1]:], motion)

    def mapped(self, features: Tensor, motion: Tensor) -> Tensor:
        """Make maps ``(B, T, H, W, R)`` of features and MOSS's encodings, channels third."""
        return F.relu(self.look(features.movedim(2, -1)) + self.share(motion.movedim(2, -1)))


class MossFlowStep(StreamStep[ClipNetwork[MossFlowGraspConfig, MossFlow]]):
    """One step of a stream; motion features are MOSS's."""

    def __init__(self, network: ClipNetwork[MossFlowGraspConfig, MossFlow]):
        super().__init__(network)
        self.valid = tuple(range(network.config.tap_stride + 1))

    def forward(self, image: Tensor, grasps: Tensor, flow: Tensor,
                state: Sequence[Tensor], gaps: Tensor | None = None) -> tuple[Tensor, ...]:
        """
        Take one sample; see :class:`StreamStep`.

        :param flow: the newest flows, oldest first, shape ``(1, 2 * stacked, S, S)``.
        :param state: the flow's maps of the window's earlier frames, each with the flows that
            count there, ``(1, C, h, w)``; then the backbone's at the temporal taps before this
            frame; both oldest first.
        :returns: the results; this frame's map, the backbone's map, and the flow's map for each
            number of flows.
        """
        temporal, config = self.network.temporal, self.network.config
        before = config.window_frames - 1
        fine, clip, looks = self.see(image)
        streams = temporal.stream.encode(flow, self.valid).split(1)
        window = torch.stack([*state[:before], streams[-1]], dim=1)
        motion = temporal.moss.motion(window, last=config.head_receptive_field,
                                      times=moss_times(config.displaces, gaps))
        first = config.window_frames - config.head_receptive_field
        taps = torch.tensor(config.temporal_taps)
        features = torch.stack([*state[before:], clip], dim=1)
        maps = temporal.mapped(features + window[:, first + taps], motion[:, taps])
        context = temporal.over_time(torch.cat(maps.unbind(1), dim=-1)).movedim(-1, 1)
        scores = self.scores(fine, context, grasps, gaps)
        health = (maps[:, -1].sum() + clip.sum() + sum(one.sum() for one in streams)) * 0
        return (*scores, motion[0, -1].movedim(0, -1).flatten(0, 1), looks, health,
                maps[0, -1].flatten(0, 1), clip, *streams)
