"""One order of a MOSS block that reads displacements, alone or beside the encoding."""

from collections.abc import Sequence
from typing import NamedTuple

from moss_perception.moss.checks import Lags
from moss_perception.moss.displacement import displacements, Search, VALUES
from moss_perception.moss.kernels import window_products
from moss_perception.moss.learning import Learning, make_norm, Projection
from moss_perception.moss.refinement import sample
import torch
from torch import nn, Tensor
import torch.nn.functional as F

READOUT = ('encoding', 'displacement', 'both')

# Contrast of a frame, as a share of its size before it was centred, below which it counts as
# blank: dividing by what rounding leaves of it would make motion of nothing.
_CONTRAST_FLOOR = 1e-2


class Frame(NamedTuple):
    """
    What an order knows of a frame.

    :ivar features: its map, shape ``(B, H, W, C)``.
    :ivar values: four numbers for each of ``L'`` lags, shape ``(B, H, W, L', 4)``.
    :ivar moved: the displacements themselves, cells, shape ``(B, H, W, L', 2)``.
    """

    features: Tensor
    values: Tensor | None = None
    moved: Tensor | None = None


class Readout(nn.Module):
    """
    From a frame and the frames at the lags to the encoding of each lag.

    Order 1 finds displacements. Order ``n`` follows them back to where a thing was at the lag,
    and takes the difference of what order ``n - 1`` found here and there: a change of velocity,
    then of acceleration. With ``both`` each order also encodes similarities, as
    :class:`~moss_perception.moss.learning.Extraction` does, of the order's maps before.

    :param order: its number.
    :param kind: one of :data:`READOUT`.
    :param in_channels: channels of the features.
    :param projection: channels they are projected to; 0 to compare them as they are.
    :param rank: channels that are compared, ``None`` for all of them.
    :param hidden: channels ``D'`` of the encoding of one lag.
    :param lags: the frames to compare with.
    :param search: how to look for displacements.
    :param norm: of the encoding, see :func:`~moss_perception.moss.learning.make_norm`.
    """

    scale: Tensor

    def __init__(self, order: int, kind: str, in_channels: int, projection: int,
                 rank: int | None, hidden: int, lags: Lags, search: Search, norm: str | None):
        super().__init__()
        self.lags, self.search = lags, search
        self.encodes, self.displaces = kind != 'displacement', kind != 'encoding'
        self.first = order == 1
        self.projection = self.encode = self.read = None
        if projection and (self.encodes or self.first):
            self.projection = Projection(in_channels, projection, rank)
        if self.encodes:
            self.contrast = nn.Parameter(torch.tensor(5.0))
            self.encode = nn.Linear(search.height * search.width, hidden)
        if self.displaces:
            self.read = nn.Linear(VALUES, hidden, bias=not self.encodes)
            reach = max(search.width // 2, 1), max(search.height // 2, 1)
            self.register_buffer('scale', torch.tensor([1 / reach[0], 1 / reach[1], 1.0, 1.0]),
                                 persistent=False)
        self.norm = make_norm(norm, hidden)
        self.compared = rank or projection if self.encodes or self.first else 0
        if self.first and not projection:
            self.compared = in_channels
        carried = 0 if self.first or not self.displaces else VALUES * len(lags.frames)
        self.kept = self.compared + carried

    def keep(self, frame: Frame) -> Tensor:
        """Make what later frames need of this one, shape ``(B, H, W, K)``."""
        parts = []
        if self.compared:
            parts.append(self._compared_maps(frame.features))
        if self.kept > self.compared:
            assert frame.values is not None  # by the order before
            parts.append(frame.values.flatten(-2))
        return torch.cat(parts, -1) if len(parts) > 1 else parts[0]

    def forward(self, kept: Tensor, keys: Tensor, frame: Frame,
                elapsed: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """
        Encode what happened to a frame since the frames at the lags.

        :param kept: of :meth:`keep`, shape ``(B, H, W, K)``.
        :param keys: the same of the frames at the lags, shape ``(B, L', H, W, K)``.
        :param frame: the frame, as the order before left it.
        :param elapsed: seconds since each, shape ``(B, L')``; ``None``: count the lag as 1.
        :returns: the encoding, shape ``(B, H, W, L', D')``; and ``values`` and ``moved`` of
            :class:`Frame`, for the next order.
        """
        maps, others = kept[..., :self.compared], keys[..., :self.compared]
        values, moved, found = None, frame.moved, None
        if self.displaces:
            if self.first:
                values = displacements(maps, others, self.search)
                moved = values[..., :2]
            else:
                assert frame.values is not None and moved is not None  # by the order before
                values = _change(frame.values, keys[..., self.compared:], moved)
            if elapsed is not None:
                values = torch.cat([values[..., :2] / elapsed[:, None, None, :, None].to(
                    values.dtype), values[..., 2:]], -1)
            assert self.read is not None
            values = values.to(self.read.weight.dtype)
            found = self.read(values * self.scale)
        if self.encode is not None:
            products = window_products(maps[:, None], others, self.search.height,
                                       self.search.width)[:, 0]
            encoded = F.linear(products, self.encode.weight * self.contrast, self.encode.bias)
            found = encoded if found is None else found + encoded
        assert found is not None  # one of both is read
        return F.relu(self.norm(found)), values, moved

    def window(self, kept: Tensor, cache: Tensor | Sequence[Tensor]
               ) -> tuple[Tensor, Tensor | tuple[Tensor, ...]]:
        """
        Select the frames at the lags of a stream's next frame.

        :param kept: of :meth:`keep`.
        :param cache: of the ``L - 1`` frames before, ``(B, L - 1, H, W, K)``, or one by one.
        :returns: the keys of :meth:`forward`, and the new cache, of the kind that was given.
        """
        if isinstance(cache, Tensor):
            keys = torch.stack([cache[:, place] for place in self.lags.places], 1)
            return keys, torch.cat([cache, kept[:, None]], 1)[:, 1:]
        keys = torch.stack([cache[place] for place in self.lags.places], 1)
        return (keys.unflatten(2, tuple(kept.shape[1:3])), (*cache, kept.flatten(1, 2))[1:])

    def _compared_maps(self, features: Tensor) -> Tensor:
        """Scale maps so that the energy of a position is about 1."""
        projection = self.projection
        if projection is not None and self.search.similarity == 'cosine':
            return projection.maps(features) * projection.project.out_features ** -0.5
        # Of a frame as a whole, so that strong places stay stronger than weak ones.
        positions = features.flatten(-3, -2)
        if projection is not None:
            positions = projection.project(positions)
        count = positions.shape[-2]
        mean = positions.new_full((1, count), 1 / max(count, 1)) @ positions
        centred = positions - mean
        if projection is not None:
            centred = projection.compress(centred)
        energy = centred.float().square().sum(-1).mean(-1)
        before = positions.float().square().sum(-1).mean(-1)
        size = (energy + before * _CONTRAST_FLOOR ** 2 + 1e-20).rsqrt()[..., None, None]
        return (centred * size.to(centred.dtype)).unflatten(-2, features.shape[-3:-1])


def _change(values: Tensor, before: Tensor, moved: Tensor) -> Tensor:
    """
    Subtract what was found where a thing was then from what is found where it is now.

    :param values: shape ``(B, H, W, L', 4)``.
    :param before: the same of the frames at the lags, shape ``(B, L', H, W, L' * 4)``.
    :param moved: cells, shape ``(B, H, W, L', 2)``.
    :returns: shape ``(B, H, W, L', 4)``: for each lag the change of its own displacement, and the
        lesser similarity and curvature of both; all are 0 where one of both is not known.
    """
    wide, lags = moved.dtype, values.shape[3]
    then = torch.stack([before[:, n, ..., n * VALUES:(n + 1) * VALUES] for n in range(lags)], 1)
    then = then.to(wide).flatten(0, 1).movedim(-1, 1)
    then = sample(then, -moved.movedim(3, 1).flatten(0, 1)).unflatten(0, (-1, lags))
    now, then = values.to(wide), then.permute(0, 3, 4, 1, 2)
    known = ((now[..., 2:3] != 0) & (then[..., 2:3] != 0)).to(wide)
    return known * torch.cat([now[..., :2] - then[..., :2],
                              torch.minimum(now[..., 2:], then[..., 2:])], -1)


def run_clip(frames: list[Frame], stages: list[tuple[Readout, Learning]], wanted: int, reach: int,
             elapsed: list[Tensor] | None, past: int = 0) -> list[list[Frame]]:
    """
    Run the orders over a clip, frame by frame, by the very operations of a step.

    Maxima that are nearly equal would otherwise be told apart by rounding, and a step would
    differ from the clip by whole cells.

    :param frames: of the clip.
    :param stages: what reads an order, and what makes its map.
    :param wanted: how many of the last frames are wanted.
    :param reach: how many frames more than it is asked for an order asks of the one before.
    :param elapsed: seconds since the frames at the lags, shape ``(B, L')``, of each frame.
    :param past: how many of the last frames are wanted of order 1, if more.
    :returns: of each order the frames that are wanted.
    """
    orders = []
    for n, (readout, learning) in enumerate(stages, start=1):
        kept, found = [readout.keep(frame) for frame in frames], []
        asked = max(wanted, past) if n == 1 else wanted
        needed = min(max(wanted + (len(stages) - n) * reach, asked), len(frames))
        for t in range(len(frames) - needed, len(frames)):
            places = [t + offset for offset in readout.lags.offsets]
            keys = torch.stack([kept[place] if 0 <= place < len(kept)
                                else torch.zeros_like(kept[t]) for place in places], 1)
            encoded, values, moved = readout(kept[t], keys, frames[t],
                                             elapsed and elapsed[t - len(frames)])
            found.append(Frame(learning(encoded), values, moved))
        frames = found
        orders.append(frames[-asked:])
    return orders


def elapsed_times(times: Tensor, places: Sequence[int], last: int = -1,
                  shortest: float = 0.0) -> Tensor:
    """
    Return the time from some frames to another.

    :param times: seconds, shape ``(B, T)``, NaN for a frame that is missing.
    :param places: of these frames in ``times``; outside of it they are missing.
    :param last: place of the other.
    :param shortest: seconds that are returned at least.
    :returns: shape ``(B, L')``; 1 for a missing frame, whose displacements are 0.
    """
    missing = torch.full_like(times[:, 0], float('nan'))
    then = torch.stack([times[:, place] if 0 <= place < times.shape[1] else missing
                        for place in places], 1)
    elapsed = times[:, last, None] - then
    return torch.where(elapsed.isnan(), 1, elapsed).clamp(min=shortest)
