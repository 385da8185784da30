"""
The head of the grasp-success network, which reads features at grasp points.

With a lead time, the seconds until the fingers close, the head need not learn to multiply it. Its
first network, which does not know it, tells where the object is, where it will be at the usual
lead time, and how fast it will be then; so where it will be at the lead time of a grasp is a sum
with one product. The members take that, beside the lead time itself as a number: its difference
from the usual one, in halves of the range. Where the network reads displacements, both also take
what these say by themselves at each place that the head looks at: velocity times lead time, and
of order ``n`` the change times the n-th power of it over ``n`` factorial, all in finger distances
from the place. The first takes them for the usual lead time, the members for that of the grasp.
With a history of velocities, both also take a displacement by then, which a small network
predicts from it.
"""

from collections.abc import Iterable
import math
from typing import cast

import torch
from torch import nn, Tensor
import torch.nn.functional as F

# Where the head looks from a grasp point, as multiples of the vector to a finger, (x, y), of the
# vector across it, and of its length: at the point, both fingers, and across on both sides; and
# twice as far in fixed directions in the image: right, down-right, ...
_PLACES = [(0, 0, 0, 0), (1, 0, 0, 0), (-1, 0, 0, 0), (0, 1, 0, 0), (0, -1, 0, 0)] + [
    (0, 0, 2 * math.cos(k * math.pi / 4), 2 * math.sin(k * math.pi / 4)) for k in range(8)]
# Finger distances that what is seen may move until the fingers close.
_FAR = 12.0


class GraspHead(nn.Module):
    """
    Scores grasps from the features at the grasp point, where the fingers stand, and around it.

    Fingers, and the points across them, enter by their sum and their absolute difference, so
    that a grasp and the same grasp turned by 180 degrees score alike. The points around, two
    finger distances away, have fixed directions in the image: they tell where an object is that
    has yet to arrive, and whether it comes closer.

    :param channels: channels of the map, whose values are 0 or more.
    :param ensemble: number of independent heads.
    :param depth: the usual depth of a grasp, metres.
    :param lead_time: the usual one and half of the range, seconds; ``None`` for no lead times.
    :param orders: number of orders whose displacements it takes.
    :param history: number of frames whose velocities it takes; 0 for none.
    """

    places: Tensor
    pairs: Tensor

    def __init__(self, channels: int, ensemble: int, depth: float,
                 lead_time: tuple[float, float] | None = None, orders: int = 0,
                 history: int = 0):
        super().__init__()
        self.depth, self.lead_time, self.orders = depth, lead_time, orders
        self.register_buffer('places', _place_matrix(), persistent=False)
        self.register_buffer('pairs', _pair_matrix(), persistent=False)
        inputs, timed = 13 * channels + 7, lead_time is not None
        carried = 26 * orders + 2 * (history > 0)
        self.locate = nn.Sequential(nn.Linear(inputs + carried, 64), nn.ReLU(),
                                    nn.Linear(64, 6 if timed else 4))
        self.members = Members(inputs + 4 + timed + carried, (64, 32), ensemble)
        self.travel = Travel(history) if history else None

    def forward(self, features: Tensor, grasps: Tensor, motion: Tensor | None = None,
                history: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """
        Score grasps, by where the object is and will be, and by what else is seen.

        :param features: float tensor, shape ``(B, D, H, W)``.
        :param grasps: float tensor, shape ``(B, K, 5)``, with lead times ``(B, K, 6)``, see
            :func:`moss_perception.core.geometry.encode_grasps`.
        :param motion: what displacements say, shape ``(B, 2 n, H', W')`` for ``n`` orders: right
            and down, in the units of the grasps' x and y, and the n-th power of seconds.
        :param history: see :meth:`Travel.forward`.
        :returns: logits, shape ``(B, K, M)`` for ``M`` ensemble members; and where the object is
            seen from the grasp point, now (x, y) and when the fingers grip (x, y), in finger
            distances, shape ``(B, K, 4)``.
        """
        depth, finger = grasps[..., 2:3], grasps[..., 3:5]
        reach = finger.norm(dim=-1, keepdim=True)
        places = torch.cat([grasps[..., :2], finger, reach], dim=-1) @ self.places
        places = places.unflatten(-1, (13, 2))
        read = F.grid_sample(features, places, align_corners=False,
                             padding_mode='border').movedim(1, 2)
        # No feature is negative: of all that is read, only differences change by this.
        read = (read @ self.pairs).abs().flatten(2)
        along = finger / reach.clamp(min=1e-6)
        # The same for both fingers; an angle doubled is a sum of these.
        turned = (along[..., :, None] * along[..., None, :]).flatten(-2)
        # Depths differ by centimetres; tenfold, they weigh about as much as the rest.
        depth = depth * (10 / self.depth) - 10
        # As matrices: ONNX Runtime runs a layer and its ReLU as one then.
        inputs = torch.cat([read, grasps[..., :2], depth, turned], dim=-1).flatten(0, 1)
        if self.lead_time is None:
            located, more = self.locate(inputs), []
        else:
            located, *more = self._at_lead_times(inputs, grasps, places, reach, motion, history)
        logits = self.members(torch.cat([inputs, located, *more], dim=-1))
        return logits.unflatten(0, grasps.shape[:2]), located.unflatten(0, grasps.shape[:2])

    def _at_lead_times(self, inputs: Tensor, grasps: Tensor, places: Tensor, reach: Tensor,
                       motion: Tensor | None, history: Tensor | None) -> list[Tensor]:
        """Return the object's places, the lead time as a number, and what displacements say."""
        assert self.lead_time is not None  # or no one calls
        usual, half = self.lead_time
        lead = grasps[..., 5:].flatten(0, 1)
        carried, own = [], []
        if self.orders:
            assert motion is not None  # as many orders as were announced
            read = self._read_motion(motion, places, reach)
            for n, one in enumerate(read.unflatten(-1, (self.orders, -1)).unbind(-2), start=1):
                carried.append(_bounded(one * (usual ** n / math.factorial(n))))
                own.append(_bounded(one * lead ** n / math.factorial(n)))
        if self.travel is not None:
            assert history is not None  # as it was announced
            times = grasps[..., 5:]
            for known, time_s in (carried, torch.full_like(times, usual)), (own, times):
                far = self.travel(history, time_s) / reach.clamp(min=1e-6)
                known.append(_bounded(far.flatten(0, 1)))
        now, then, rate = self.locate(torch.cat([inputs, *carried], dim=-1)).split(2, dim=-1)
        late = lead - usual
        return [torch.cat([now, then + rate * late], dim=-1), late / half, *own]

    def _read_motion(self, motion: Tensor, places: Tensor, reach: Tensor) -> Tensor:
        """Read displacements at all places, in finger distances: ``(B * K, n * 26)``."""
        read = F.grid_sample(motion, places, align_corners=False, padding_mode='border')
        read = read.movedim(1, 2) / reach[..., None].clamp(min=1e-6)
        paired = read @ self.pairs
        # Which finger is which does not matter: differences enter without their sign.
        parts = [part.abs() if n in (2, 4) else part for n, part in enumerate(paired.split(1, -1))]
        return torch.cat(parts, dim=-1).flatten(2).flatten(0, 1)


class Travel(nn.Module):
    """
    Predicts a displacement from the velocities of a window.

    Both axes go through the same layers. The opposite velocities move the opposite way, and twice
    the velocities twice as far.

    :param frames: whose velocities are known.
    """

    def __init__(self, frames: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2 * frames + 1, 32), nn.ReLU(), nn.Linear(32, 32),
                                    nn.ReLU(), nn.Linear(32, 1))

    def forward(self, history: Tensor, times: Tensor) -> Tensor:
        """
        Predict the displacement after each time.

        :param history: velocity and lateness of each frame, shape ``(B, T - 1, 3)``, see
            :class:`moss_perception.models.layers.motion.VelocityHistory`.
        :param times: until then, seconds, shape ``(B, K, 1)``.
        :returns: right and down, in the units of the velocities times seconds, ``(B, K, 2)``.
        """
        velocities, late = history[..., :2].mT, history[..., 2]
        size = (velocities.square().sum(1, keepdim=True).amax(-1, keepdim=True) + 1e-6).sqrt()
        count = times.shape[1]
        known = (velocities / size)[:, None].expand(-1, count, -1, -1)
        other = torch.cat([late[:, None].expand(-1, count, -1), times], -1)
        other = other[:, :, None].expand(-1, -1, 2, -1)
        forth, back = (self.layers(torch.cat([one, other], -1)) for one in (known, -known))
        return (forth - back).squeeze(-1) * size * times


class Members(nn.Module):
    """
    An ensemble of small networks that share their inputs and nothing else.

    They run side by side as one network, whose layers are zero between members.

    :param inputs: number of inputs.
    :param widths: of the hidden layers of one member.
    :param members: number of members ``M``.
    """

    def __init__(self, inputs: int, widths: tuple[int, ...], members: int):
        super().__init__()
        self.first = nn.Linear(inputs, members * widths[0])
        sizes = zip(widths, (*widths[1:], 1), strict=True)
        self.others = nn.ModuleList(nn.Linear(a, members * b) for a, b in sizes)
        for n, layer in enumerate(cast(Iterable[nn.Linear], self.others)):
            own = torch.eye(members).repeat_interleave(layer.out_features // members, dim=0)
            own = own.repeat_interleave(layer.in_features, dim=1)
            self.register_buffer(f'own_{n}', own, persistent=False)

    @property
    def last(self) -> nn.Linear:
        """The last layer of all members."""
        return cast(nn.Linear, self.others[-1])

    def forward(self, inputs: Tensor) -> Tensor:
        """Turn ``(…, inputs)`` into ``(…, M)``."""
        return self._layer(len(self.others) - 1, self._before_last(inputs))

    def hidden(self, inputs: Tensor) -> Tensor:
        """Return what the last layer takes, member after member: ``(…, M * widths[-1])``."""
        return F.relu(self._before_last(inputs))

    def _before_last(self, inputs: Tensor) -> Tensor:
        x = self.first(inputs)
        for n in range(len(self.others) - 1):
            x = self._layer(n, x)
        return x

    def _layer(self, n: int, x: Tensor) -> Tensor:
        own, layer = getattr(self, f'own_{n}'), cast(nn.Linear, self.others[n])
        weight = layer.weight.repeat(1, len(own[0]) // layer.in_features) * own
        return F.linear(F.relu(x), weight, layer.bias)


def _bounded(distances: Tensor) -> Tensor:
    """Limit finger distances: what is seen to move further is an error, or out of reach."""
    return distances.clamp(-_FAR, _FAR)


def _place_matrix() -> Tensor:
    """From ``(point x, y, finger x, y, reach)`` to all places ``(x, y)``, shape ``(5, 26)``."""
    columns = []
    for along, across, right, down in _PLACES:
        columns.append((1, 0, along, -across, right))
        columns.append((0, 1, across, along, down))
    return torch.tensor(columns, dtype=torch.float32).T.contiguous()


def _pair_matrix() -> Tensor:
    """Add and subtract what is read at both fingers, and across on both sides: ``(13, 13)``."""
    pairs = torch.eye(13)
    for one, other in ((1, 2), (3, 4)):
        pairs[other, one] = 1
        pairs[one, other], pairs[other, other] = 1, -1
    return pairs
