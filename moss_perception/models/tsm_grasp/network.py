"""Temporal shifts: for clips, and as one step of a stream."""

from collections.abc import Callable, Sequence

from moss_perception.models.layers.reading import appearance, Backbone, StreamStep
from moss_perception.models.layers.temporal import ClipNetwork, Spatial
from moss_perception.models.tsm_grasp.model import TsmGraspConfig
import torch
from torch import nn, Tensor
import torch.nn.functional as F


class TemporalShift(Spatial):
    """
    Causal TSM: some channels come from the frame before, in the backbone and on its map.

    The shift stands before each convolution at stride 8 of the backbone, and before two residual
    blocks on the map. Source: arXiv 1811.08383 (its one-directional form).
    """

    config: TsmGraspConfig

    def features(self, backbone: Backbone, fine: Tensor) -> Tensor:
        """Run the backbone's last stage, with the shift before its convolutions."""
        shape = fine.shape[:2]
        late = self.late(backbone, fine.flatten(0, 1), lambda x, n: self._shift(x, n, shape))
        return late.unflatten(0, shape)

    def late(self, backbone: Backbone, x: Tensor,
             shift: Callable[[Tensor, int], Tensor]) -> Tensor:
        """
        Run the backbone's last stage.

        :param x: maps of stride 4, shape ``(N, C, H, W)``.
        :param shift: returns what a convolution sees, of its input and its number.
        """
        number = 0
        for layer in backbone.stages[2]:  # pyright: ignore[reportGeneralTypeIssues]
            if isinstance(layer, nn.Conv2d):
                x, number = shift(x, number), number + 1
            x = layer(x)
        return x

    def mixed(self, clip: Tensor) -> Tensor:
        return self._shift(clip.flatten(0, 1), -1, clip.shape[:2]).unflatten(0, clip.shape[:2])

    def _shift(self, maps: Tensor, number: int, shape: Sequence[int]) -> Tensor:
        """Take the first channels of ``(B * T, C, H, W)`` from the frame before, or 0."""
        fold = self.config.shifted[number][0]
        # Position-major, as convolutions with channels last give it: nothing is laid out anew.
        clip = maps.unflatten(0, shape).movedim(2, -1)
        before = F.pad(clip[:, :-1, ..., :fold], (0, 0, 0, 0, 0, 0, 1, 0))
        return torch.cat([before, clip[..., fold:]], dim=-1).movedim(-1, 2).flatten(0, 1)


class TsmStep(StreamStep[ClipNetwork[TsmGraspConfig, TemporalShift]]):
    """One step of a stream; motion features are the map that the head reads."""

    def forward(self, image: Tensor, grasps: Tensor, state: Sequence[Tensor],
                gaps: Tensor | None = None) -> tuple[Tensor, ...]:
        """
        Take one sample; see :class:`StreamStep`.

        :param state: what each shift takes of the sample before, ``(1, C, h, w)``; then the maps
            at the temporal taps before this frame, oldest first, ``(h * w, R)``.
        :returns: the results; this frame's map; and what each shift hands to the next sample.
        """
        network, temporal, given = self.network, self.network.temporal, []
        before, recent = state[:temporal.config.map_reach], state[temporal.config.map_reach:]

        def shift(x: Tensor, number: int) -> Tensor:
            fold = before[number].shape[1]
            given.append(x[:, :fold] * 1)
            return torch.cat([before[number], x[:, fold:]], dim=1)
        normal = network.normalise(image)
        first = network.backbone.first(normal)
        fine = network.backbone.second(first)
        deep = temporal.late(network.backbone, fine, shift)
        looked = network.merged(fine, deep)
        for block in temporal.blocks:
            looked = looked + block(shift(looked, len(given)))
        newest = F.relu(temporal.look(looked.movedim(1, -1))).flatten(0, -2)
        side = temporal.config.map_size
        context = temporal.over_time(torch.cat([*recent, newest], dim=-1))
        scores = self.scores(fine, context.view(1, side, side, -1).movedim(-1, 1), grasps, gaps)
        return (*scores, newest * 1, appearance(normal, first, fine, deep),
                sum((one.sum() for one in given), newest.sum()) * 0, newest, *given)
