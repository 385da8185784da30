"""Optical flow as a second stream: for clips, and as one step of a stream."""

from collections.abc import Sequence

from moss_perception.models.flow_grasp.config import FlowGraspConfig
from moss_perception.models.flow_grasp.model import short_flows
from moss_perception.models.layers.clip_network import ClipNetwork
from moss_perception.models.layers.flow_stream import FlowStream
from moss_perception.models.layers.reading import ensemble_probability
from moss_perception.models.layers.temporal import Spatial
import torch
from torch import nn, Tensor


class TwoStream(Spatial):
    """Optical flow as a second stream, added to the backbone's maps."""

    needs_images = True

    def __init__(self, config: FlowGraspConfig, channels: int):
        super().__init__(config, channels)
        self.stream = FlowStream(config, channels, config.stacked_flows)

    def maps(self, clip: Tensor, images: Tensor, used: int | None = None) -> Tensor:
        return super().maps(clip + self.stream(images), images)


class FlowStep(nn.Module):
    """
    One step of a stream.

    :param network: its weights are shared.
    """

    def __init__(self, network: ClipNetwork[FlowGraspConfig, TwoStream]):
        super().__init__()
        self.network = network
        self.valid = (network.config.stacked_flows, *short_flows(network.config))

    def forward(self, image: Tensor, grasps: Tensor, flow: Tensor,
                state: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """
        Take one sample.

        :param image: uint8, RGB, shape ``(1, S, S, 3)``.
        :param grasps: float32, shape ``(1, K, 5)``, ``K`` at least 1.
        :param flow: the newest flows, oldest first, shape ``(1, 2 * stacked, S, S)``.
        :param state: maps at the temporal taps before this frame, oldest first, ``(h * w, R)``.
        :returns: the results of :data:`moss_perception.models.graph_model.RESULTS`, of which the
            motion features are the flow's map; this frame's map with all flows; and its maps with
            fewer.
        """
        network, temporal = self.network, self.network.temporal
        fine, clip = network.see(image)
        streams = temporal.stream.encode(flow, self.valid)
        # One frame, as many times as there are maps of it.
        made = Spatial.maps(temporal, (clip + streams)[:, None], image)
        maps = [one.flatten(0, -2) for one in made.unbind(0)]
        side = network.config.map_size
        context = temporal.over_time(torch.cat([*state, maps[0]], dim=-1))
        context = context.view(1, side, side, -1).movedim(-1, 1)
        logits, _ = network.read(fine, context, grasps)
        scores, uncertainties = ensemble_probability(logits.squeeze(0))
        motion = streams[0].movedim(0, -1).flatten(0, 1)
        return scores, uncertainties, motion, made.sum() * 0, *maps
