"""A convolutional GRU over maps: for clips, and as one step of a stream."""

from collections.abc import Sequence

from moss_perception.models.layers.reading import StreamStep
from moss_perception.models.layers.temporal import ClipNetwork, Temporal
from moss_perception.models.recurrent_grasp.model import RecurrentGraspConfig
import torch
from torch import nn, Tensor


class Recurrent(Temporal):
    """A convolutional GRU over the maps; the head gets its last hidden state."""

    @property
    def taps(self) -> tuple[int, ...]:
        """The newest frame alone."""
        return (0,)

    def __init__(self, config: RecurrentGraspConfig, channels: int):
        super().__init__(config, channels)
        seen, self.kept = config.head_channels, config.temporal_channels
        self.gates = nn.Conv2d(seen + self.kept, 2 * self.kept, 3, padding=1)
        self.candidate = nn.Conv2d(seen + self.kept, self.kept, 3, padding=1)
        self.over_time = nn.Linear(self.kept, config.head_channels)

    def maps(self, clip: Tensor, observed: Tensor, used: int | None = None,
             gaps: Tensor | None = None) -> Tensor:
        seen = self.seen(clip).movedim(-1, 2)
        state = seen.new_zeros(len(seen), self.kept, *seen.shape[-2:])
        states = []
        for frame in seen.unbind(1):
            state = self.advance(frame, state)
            states.append(state)
        return torch.stack(states, dim=1).movedim(2, -1)

    def seen(self, clip: Tensor) -> Tensor:
        """Turn maps ``(…, C, H, W)`` into what the recurrence takes, ``(…, H, W, R)``."""
        return torch.relu(self.look(clip.movedim(-3, -1)))

    def advance(self, frame: Tensor, state: Tensor) -> Tensor:
        """
        Take one frame.

        :param frame: from :meth:`seen`, channels first, shape ``(B, R, H, W)``.
        :param state: the hidden state, shape ``(B, S, H, W)``.
        :returns: the next hidden state.
        """
        reset, update = torch.sigmoid(
            self.gates(torch.cat([frame, state], dim=1))).chunk(2, dim=1)
        new = torch.tanh(self.candidate(torch.cat([frame, reset * state], dim=1)))
        return state + update * (new - state)


class RecurrentStep(StreamStep[ClipNetwork[RecurrentGraspConfig, Recurrent]]):
    """One step of a stream; motion features are the hidden state."""

    def forward(self, image: Tensor, grasps: Tensor, state: Sequence[Tensor],
                gaps: Tensor | None = None) -> tuple[Tensor, ...]:
        """
        Take one sample; see :class:`StreamStep`.

        :param state: maps of the window's earlier frames, oldest first, ``(h * w, R)`` each.
        :returns: the results, and this frame's map.
        """
        temporal, side = self.network.temporal, self.network.config.map_size
        fine, clip, looks = self.see(image)
        seen = temporal.seen(clip).flatten(0, -2)
        hidden = seen.new_zeros(1, temporal.kept, side, side)
        for frame in (*state, seen):
            hidden = temporal.advance(frame.view(1, side, side, -1).movedim(-1, 1), hidden)
        context = temporal.over_time(hidden.movedim(1, -1)).movedim(-1, 1)
        scores = self.scores(fine, context, grasps, gaps)
        return *scores, hidden.movedim(1, -1).flatten(0, -2), looks, seen.sum() * 0, seen
