"""One step of a stream of the model with MOSS on optical flow."""

from collections.abc import Sequence

from moss_perception.models.layers.clip_network import ClipNetwork
from moss_perception.models.layers.moss_clip import MossFlow
from moss_perception.models.layers.reading import ensemble_probability
from moss_perception.models.moss_flow_grasp.config import MossFlowGraspConfig
import torch
from torch import nn, Tensor


class MossFlowStep(nn.Module):
    """
    One step of a stream.

    :param network: its weights are shared.
    """

    def __init__(self, network: ClipNetwork[MossFlowGraspConfig, MossFlow]):
        super().__init__()
        self.network = network
        self.valid = tuple(range(network.config.stacked_flows + 1))

    def forward(self, image: Tensor, grasps: Tensor, flow: Tensor,
                state: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """
        Take one sample.

        :param image: uint8, RGB, shape ``(1, S, S, 3)``.
        :param grasps: float32, shape ``(1, K, 5)``, ``K`` at least 1.
        :param flow: the newest flows, oldest first, shape ``(1, 2 * stacked, S, S)``.
        :param state: the flow's maps of the window's earlier frames, each with the flows that
            count there, ``(1, C, h, w)``; then the backbone's at the temporal taps before this
            frame; both oldest first.
        :returns: the results of :data:`moss_perception.models.graph_model.RESULTS`, of which the
            motion features are MOSS's; this frame's map, the backbone's map, and the flow's map
            for each number of flows.
        """
        network, temporal, config = self.network, self.network.temporal, self.network.config
        before = config.window_frames - 1
        fine, clip = network.see(image)
        streams = temporal.stream.encode(flow, self.valid).split(1)
        window = torch.stack([*state[:before], streams[-1]], dim=1)
        motion = temporal.moss.motion(window, last=config.head_receptive_field)
        first = config.window_frames - config.head_receptive_field
        taps = torch.tensor(config.temporal_taps)
        features = torch.stack([*state[before:], clip], dim=1)
        maps = temporal.mapped(features + window[:, first + taps], motion[:, taps])
        logits, _ = network.read(
            fine, temporal.over_time(torch.cat(maps.unbind(1), dim=-1)).movedim(-1, 1), grasps)
        scores, uncertainties = ensemble_probability(logits.squeeze(0))
        health = (maps[:, -1].sum() + clip.sum() + sum(one.sum() for one in streams)) * 0
        return (scores, uncertainties, motion[0, -1].movedim(0, -1).flatten(0, 1), health,
                maps[0, -1].flatten(0, 1), clip, *streams)
