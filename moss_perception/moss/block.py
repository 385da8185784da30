"""The MOSS block: extraction, learning and fusion of self-similarities of several orders."""

from collections.abc import Iterable
from typing import Any, cast

from moss_perception.core.errors import ConfigError, ShapeError
import moss_perception.moss.checks as checks
from moss_perception.moss.displacement import Search
from moss_perception.moss.learning import Extraction, FUSION, LEARNING, Learning, NORM
from moss_perception.moss.readout import elapsed_times, Frame, READOUT, Readout, run_clip
from moss_perception.moss.similarity import pad_frames
import torch
from torch import nn, Tensor
import torch.nn.functional as F

# One cache an order, shape (B, L - 1, H, W, K): what it keeps of the last frames, oldest first; or
# these maps one by one, each (B, H * W, K).
MossState = tuple[Tensor | tuple[Tensor, ...], ...]


class MOSS(nn.Module):
    """
    Multi-Order Self-Similarity, to be inserted after any stage of a video backbone.

    Order 1 compares the features with their space-time neighbours; order ``n`` compares the
    encoding of order ``n - 1``, or how its displacements change. The orders are fused and added
    to the features through an output layer that starts at zero, so inserting the block changes
    nothing at first. Source: arXiv 2604.20760.

    :param in_channels: channels ``C`` of the host's features.
    :param orders: the orders to fuse, ascending, each at least 1; lower ones are computed anyway.
    :param window: ``(L, U, V)``; ``U`` and ``V`` odd.
    :param causal: look back only, which streaming needs; else centred, with odd ``L``.
    :param channels: channels ``D`` of each order's map.
    :param projection: channels that features are projected to, and compared in. 0 to compare
        them as they are, such as pixels: for ``readout='displacement'``, ``similarity='ssd'``.
    :param rank: compare in so many channels instead (low-rank similarity), at most
        ``projection``; the lengths are still those in all of them. ``None``: in all of them.
    :param hidden: channels of the encoding of one temporal offset.
    :param learning: how the offsets become one map, see :class:`Learning`.
    :param fusion: ``sum`` or ``concat``.
    :param readout: what is read of the similarities: a learnt ``encoding``, the ``displacement``
        of each position, or ``both``.
    :param lags: compare with frames so many back only, ascending, such as ``(1, 2, 4, 7)``; at
        most ``L - 1``. ``None``: with all, the frame itself among them for the encoding alone.
    :param norm: of the encoding: ``None``, ``layer`` or ``group``, see
        :func:`~moss_perception.moss.learning.make_norm`.
    :param patch: of displacements, as the following; see
        :class:`~moss_perception.moss.displacement.Search`.
    :param similarity: ``cosine`` or, for displacements and lags, ``ssd``.
    :param refinement: number of Gauss-Newton steps.
    :param borders: number of passes that keep the borders of what moves.
    :param spacing: 2 to look for them at every second position of every second row.
    :param shortest: seconds. Where times are given, what moved since a frame that is nearer than
        this is divided by this time, since the error of a displacement is no smaller then.
    :raises ConfigError: if a value is not allowed.
    """

    def __init__(self, in_channels: int, orders: tuple[int, ...] = (1, 2, 3),
                 window: tuple[int, int, int] = (5, 9, 9), causal: bool = True, *,
                 channels: int = 64, projection: int = 64, rank: int | None = None,
                 hidden: int = 32, learning: str = 'conv', fusion: str = 'sum',
                 readout: str = 'encoding', lags: tuple[int, ...] | None = None,
                 norm: str | None = None, patch: int = 7, similarity: str = 'cosine',
                 refinement: int = 0, borders: int = 0, spacing: int = 1, shortest: float = 0.0):
        super().__init__()
        self.orders = checks.check_orders(orders)
        checks.check_choices(learning=(learning, LEARNING), fusion=(fusion, FUSION),
                             readout=(readout, READOUT), norm=(norm, NORM))
        # One projected channel, centred, would be nothing.
        as_they_are = readout == 'displacement' and similarity == 'ssd' and projection == 0
        checks.check_sizes(in_channels=(in_channels, 1), channels=(channels, 1),
                           projection=(projection, 0 if as_they_are else 2), hidden=(hidden, 1),
                           shortest=(shortest, 0))
        if rank is not None and not 1 <= rank <= projection:
            raise ConfigError(f'rank={rank} is not allowed: expected 1 to projection={projection}')
        self.in_channels, self.channels = in_channels, channels
        self.window, self.causal = checks.check_window(window, causal), causal
        self.readout, self.fusion = readout, fusion
        self.shortest = shortest
        if readout == 'encoding':
            checks.check_unused(patch=(patch, 7), refinement=(refinement, 0), borders=(borders, 0),
                                spacing=(spacing, 1), shortest=(shortest, 0))
        search = Search(*self.window[1:], patch, similarity, refinement, borders, spacing)
        # All similarities of the window, in whole clips, or those at some lags, frame by frame.
        self.lags = None
        if readout != 'encoding' or lags is not None:
            self.lags = checks.choose_lags(lags, self.window[0], causal)
        elif similarity != 'cosine':
            raise ConfigError(f'similarity={similarity!r} needs a readout of displacements, or '
                              'lags: expected cosine')
        sizes, stages = [in_channels] + [channels] * (self.orders[-1] - 1), []
        for order, size in enumerate(sizes, start=1):
            stages.append(
                Extraction(size, projection, rank, hidden, self.window, norm)
                if self.lags is None else
                Readout(order, readout, size, projection, rank, hidden, self.lags, search, norm))
        self.kept = [stage.kept for stage in stages]
        self.extraction = nn.ModuleList(stages)
        self.learning = nn.ModuleList(
            Learning(len(self.lags.places) if self.lags else self.window[0], hidden, channels,
                     learning) for _ in sizes)
        self.out = nn.Linear(self.motion_channels, in_channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    @property
    def motion_channels(self) -> int:
        """Channels of :meth:`motion`'s map."""
        return self.channels * (len(self.orders) if self.fusion == 'concat' else 1)

    @property
    def receptive_field(self) -> int:
        """Number of frames that an output depends on."""
        return self.orders[-1] * self._reach * (1 if self.causal else 2) + 1

    @property
    def delay(self) -> int:
        """How many frames after its own an output depends on: 0 if causal."""
        return 0 if self.causal else self.orders[-1] * self._reach

    @property
    def _reach(self) -> int:
        """How many frames one order looks back, and ahead if centred."""
        if self.lags is not None:
            return self.lags.frames[-1]
        return self.window[0] - 1 if self.causal else self.window[0] // 2

    def forward(self, features: Tensor, times: Tensor | None = None) -> Tensor:
        """
        Add what the orders see to the features of a clip.

        :param features: float tensor, shape ``(B, T, C, H, W)``.
        :param times: of the frames, seconds, shape ``(B, T)``: displacements become velocities,
            in cells a second; else they are what moved in a lag, in cells.
        :returns: the same shape.
        :raises ShapeError: if features or times do not fit.
        :raises ConfigError: if the times do not increase, or nothing is read that they concern.
        """
        motion = self.motion(features, times=times)
        return features + self.out(motion.movedim(2, -1)).movedim(-1, 2)

    def motion(self, features: Tensor, used: int | None = None, last: int | None = None,
               times: Tensor | None = None) -> Tensor:
        """
        Fuse the orders of a clip, before the output layer.

        :param features: float tensor, shape ``(B, T, C, H, W)``.
        :param used: compute orders up to this one only; the others count as 0.
        :param last: compute what the last so many frames need, and return these.
        :param times: see :meth:`forward`.
        :returns: float tensor, shape ``(B, T, D, H, W)``, ``D`` = :attr:`motion_channels`; ``T``
            is ``last`` where that is given and smaller.
        :raises ShapeError: if the features do not fit.
        :raises ConfigError: if there is no such order, or no frame is wanted.
        """
        return self.motion_and_values(features, used, last, times)[0]

    def motion_and_values(self, features: Tensor, used: int | None = None,
                          last: int | None = None, times: Tensor | None = None, past: int = 1
                          ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """
        Fuse the orders of a clip, and return their displacements too.

        :param past: number of the last frames whose displacements of order 1 are returned.
        :returns: as :meth:`motion`; for each order that is run, as :meth:`displacements` of the
            last frame, but channels last: shape ``(B, H, W, L', 4)``; and those of order 1 of the
            last ``past`` frames that are there, oldest first. Nothing if the block reads none.
        """
        checks.check_features(features, '(B, T, {}, H, W)', self.out)
        batch, frames = features.shape[:2]
        stages = self._stages(used, 'used')
        if last is not None and last < 1:
            raise ConfigError(f'last={last} is not allowed: expected 1 or more frames')
        wanted = min(last or frames, frames)
        if not frames:
            return features.new_zeros(batch, 0, self.motion_channels, *features.shape[3:]), [], []
        if self.lags is not None:
            found = self._clip(features, stages, wanted, times, past)
            motion = self.fuse([torch.stack([frame.features for frame in order[-wanted:]],
                                            1).movedim(-1, 2) for order in found])
            newest = [order[-1].values for order in found]
            earlier = [frame.values for frame in found[0][-past:]]
            return (motion, [values for values in newest if values is not None],
                    [values for values in earlier if values is not None])
        checks.check_times(times, (batch, frames), self.readout)
        current, encodings = features.movedim(2, -1), []
        for n, (extraction, learning) in enumerate(stages, start=1):
            reach = wanted + (len(stages) - n) * (self.window[0] - 1)
            needed = min(reach, frames) if self.causal else frames
            maps = extraction.maps(current)
            keys = pad_frames(maps, self.window[0], self.causal)[:, -needed - self.window[0] + 1:]
            encoded = extraction(maps[:, -needed:], keys)
            current = learning(encoded.flatten(0, 1)).unflatten(0, (batch, needed))
            encodings.append(current[:, -wanted:].movedim(-1, 2))
        return self.fuse(encodings), [], []

    def displacements(self, features: Tensor, times: Tensor | None = None) -> list[Tensor]:
        """
        Return what a clip's displacements are, before anything learnt reads them.

        :param features: float tensor, shape ``(B, T, C, H, W)``, of one frame or more.
        :param times: see :meth:`forward`.
        :returns: for each order, shape ``(B, T, L', 4, H, W)``, of ``L'`` lags: right, down,
            similarity and curvature; of order 2 and above, the change of the first two.
        :raises ConfigError: if the block reads no displacements.
        """
        if self.readout == 'encoding':
            raise ConfigError("readout='encoding' finds no displacements: expected "
                              "readout='displacement' or 'both'")
        checks.check_features(features, '(B, T, {}, H, W)', self.out)
        found = self._clip(features, self._stages(None, ''), features.shape[1], times)
        return [torch.stack([frame.values for frame in order if frame.values is not None],
                            1).permute(0, 1, 4, 5, 2, 3) for order in found]

    def _clip(self, features: Tensor, stages: list, wanted: int,
              times: Tensor | None, past: int = 0) -> list[list[Frame]]:
        """Run orders at the lags over a clip; return the last frames that are wanted of each."""
        checks.check_times(times, features.shape[:2], self.readout)
        elapsed = None if times is None else [
            elapsed_times(times, [t - lag for lag in stages[0][0].lags.frames], t, self.shortest)
            for t in range(features.shape[1])]
        frames = [Frame(frame) for frame in features.movedim(2, -1).unbind(1)]
        return run_clip(frames, stages, wanted, self._reach if self.causal else len(frames),
                        elapsed, past)

    def initial_state(self, batch: int, height: int, width: int, *,
                      apart: bool = False) -> MossState:
        """
        Return the state before the first frame.

        :param batch: number of streams ``B``.
        :param height: the map's height ``H``.
        :param width: the map's width ``W``.
        :param apart: keep the maps of an order one by one. A step then gives the last of them and
            hands the others on, so that an exported graph has nothing to copy.
        :returns: one tensor of zeros an order, shape ``(B, L - 1, H, W, P)``; with ``apart``
            ``L - 1`` tensors an order, ``(B, H * W, P)``, oldest first.
        :raises ConfigError: if the window is centred: it would need frames of the future.
        """
        if not self.causal:
            raise ConfigError('a centred window needs future frames and cannot be stepped: '
                              'expected causal=True')
        if min(batch, height, width) < 0:
            raise ShapeError('expected batch, height and width of 0 or more, got '
                             f'{(batch, height, width)}')
        length, zeros = self.window[0] - 1, self.out.weight.new_zeros
        if apart:
            # A tensor of its own for each: an exporter takes one that is given twice for one.
            return tuple(tuple(zeros(batch, height * width, kept) for _ in range(length))
                         for kept in self.kept)
        return tuple(zeros(batch, length, height, width, kept) for kept in self.kept)

    def step(self, x: Tensor, state: MossState,
             times: Tensor | None = None) -> tuple[Tensor, MossState]:
        """
        Take one frame of a stream; equals :meth:`forward` on the whole clip at that frame.

        :param x: float tensor, shape ``(B, C, H, W)``.
        :param state: from :meth:`initial_state` or the step before; not changed.
        :param times: of the last ``L`` frames, this one last, seconds, shape ``(B, L)``; NaN for
            those before the first. See :meth:`forward`.
        :returns: the features with what the orders see added, same shape; and the new state, its
            maps together or apart as they were given.
        :raises ShapeError: if frame and state do not fit.
        """
        encodings, state = self.encode_step(x, state, times=times)
        motion = self.fuse(encodings)
        if torch.onnx.is_in_onnx_export() and self.learning[0].convolves:
            # What comes from convolutions and goes into a sum is best left in their layout.
            weight = self.out.weight[:, :, None, None]
            return x + F.conv2d(motion, weight, self.out.bias), state
        return x + self.out(motion.movedim(1, -1)).movedim(-1, 1), state

    def encode_step(self, x: Tensor, state: MossState, computed: int | None = None,
                    times: Tensor | None = None) -> tuple[list[Tensor], MossState]:
        """
        Encode the orders of one frame of a stream, before they are fused.

        :param x: float tensor, shape ``(B, C, H, W)``.
        :param state: from :meth:`initial_state` or the step before; not changed.
        :param computed: run orders up to this one only; the state of the others becomes zero.
        :param times: see :meth:`step`.
        :returns: one map an order that was run, shape ``(B, D', H, W)``; and the new state.
        :raises ShapeError: if frame and state do not fit.
        """
        encodings, _, state = self.encode_values_step(x, state, computed, times)
        return encodings, state

    def encode_values_step(self, x: Tensor, state: MossState, computed: int | None = None,
                           times: Tensor | None = None
                           ) -> tuple[list[Tensor], list[Tensor], MossState]:
        """
        Encode a frame, and tell what its displacements are.

        :returns: the maps of :meth:`encode_step`, the displacements as
            :meth:`motion_and_values` gives them, and the new state.
        """
        checks.check_features(x, '(B, {}, H, W)', self.out)
        checks.check_state(state, x, self.window[0] - 1, self.kept)
        checks.check_times(times, (x.shape[0], self.window[0]), self.readout)
        frame, encodings, values, caches = Frame(x.movedim(1, -1)), [], [], []
        for cache, (stage, learning) in zip(state, self._stages(computed, 'computed'),
                                            strict=False):
            if isinstance(stage, Readout):
                kept = stage.keep(frame)
                keys, cache = stage.window(kept, cache)
                elapsed = None if times is None else elapsed_times(
                    times, stage.lags.places, shortest=self.shortest)
                encoded, *found = stage(kept, keys, frame, elapsed)
            else:
                encoded, cache = stage.step(stage.maps(frame.features), cache)
                found = ()
            caches.append(cache)
            frame = Frame(learning(encoded), *found)
            encodings.append(frame.features.movedim(-1, 1))
            if frame.values is not None:
                values.append(frame.values)
        caches += [torch.zeros_like(cache) if isinstance(cache, Tensor)
                   else tuple(map(torch.zeros_like, cache)) for cache in state[len(caches):]]
        return encodings, values, tuple(caches)

    def fuse(self, encodings: list[Tensor]) -> Tensor:
        """
        Sum or concatenate the orders that are wanted; those that are not there count as 0.

        :param encodings: one map an order, from the first on, shape ``(…, D', H, W)``.
        :returns: float tensor, shape ``(…, D, H, W)``, ``D`` = :attr:`motion_channels`.
        """
        there = [encodings[n - 1] for n in self.orders if n <= len(encodings)]
        if self.fusion == 'sum':
            return sum(there[1:], there[0]) if there else torch.zeros_like(encodings[0])
        there += [torch.zeros_like(encodings[0])] * (len(self.orders) - len(there))
        return torch.cat(there, dim=-3)

    def _stages(self, highest: int | None, name: str) -> list[tuple[Any, Learning]]:
        if highest is not None and not 1 <= highest <= self.orders[-1]:
            raise ConfigError(f'{name}={highest} is not allowed: expected an order of the block, '
                              f'1 to {self.orders[-1]}')
        stages = zip(self.extraction, cast(Iterable[Learning], self.learning), strict=True)
        return list(stages)[:highest]
