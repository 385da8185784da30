"""Samples as the network takes them; geometry and preprocessing are the predictor's own."""

from collections.abc import Sequence
from dataclasses import dataclass, KW_ONLY
from typing import Any, NamedTuple

from moss_perception.core.errors import ConfigError, DataError
from moss_perception.core.frames import Camera
from moss_perception.core.geometry import letterbox
from moss_perception.data.schema import Sample
from moss_perception.models.clock import gaps_of
from moss_perception.models.config import ModelConfig
from moss_perception.training.augmentation import (
    degrade,
    frames_at,
    mirror,
    move,
    shift_grasps,
    shown_frames,
    vary,
)
from moss_perception.training.auxiliary import cover_of, mask_frame, motion_of
from moss_perception.training.decoding import DecodedClips
from moss_perception.training.draws import Draws
from moss_perception.training.grasps import empty_places, encode_all, encode_candidates, places_of
from moss_perception.training.samples import Executions, executions
import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset


class Clip(NamedTuple):
    """
    A clip that ends at a decision, with its grasps; in a batch each has one axis more in front.

    A grasp is a candidate, or a candidate at one of several lead times.

    :ivar images: uint8, shape ``(T, S, S, 3)``; or features that stand for them.
    :ivar grasps: float32, shape ``(K, 5)``, with time inputs ``(K, 6)``, see
        :func:`moss_perception.core.geometry.encode_grasps`.
    :ivar labels: float32, shape ``(K,)``: 1 for a success, 0 for a failure or no label.
    :ivar mask: float32, shape ``(K,)``: 1 where there is a label, else 0.
    :ivar places: float32, shape ``(K, 4)``: where the object is seen from the grasp point, as
        :meth:`moss_perception.models.layers.head.GraspHead.forward` has it; NaN if it is not
        known.
    :ivar gaps: with time inputs, seconds since the sample before, see
        :func:`moss_perception.models.clock.gaps_of`: float32, shape ``(T,)``.
    :ivar motion: where the object is in the newest image, how far it moves in a second, and how
        much this changes in a second, in the units of the grasps' x and y: float32, shape
        ``(6,)``, NaN for what is not known; ``None`` unless it is asked for.
    :ivar cover: the share of each cell of the network's maps that the object covers in the newest
        image, in [0, 1]: float32, shape ``(S / 4, S / 4)``, NaN if it is not known; ``None``
        unless it is asked for.
    """

    images: Tensor
    grasps: Tensor
    labels: Tensor
    mask: Tensor
    places: Tensor
    gaps: Tensor | None = None
    motion: Tensor | None = None
    cover: Tensor | None = None

    def to(self, device: str) -> 'Clip':
        """Return it on a device that torch knows."""
        return self._replace(**{name: values.to(device) for name, values in self._asdict().items()
                                if values is not None})


@dataclass(eq=False)
class GraspClips(Dataset):
    """
    Clips that end at the decision, with the candidate grasps and their labels: :class:`Clip`.

    Candidates without a label that lie outside the image are left out.

    :param samples: the samples.
    :param config: the checkpoint's configuration.
    :param decoded: the samples' images, if they are decoded already.
    :param augment: apply mirroring, brightness, contrast, and the next three augmentations. The
        camera looks straight down, so a mirrored grasp is as good as the original.
    :param photometric: see :class:`moss_perception.training.settings.Recipe`, as for
        ``geometric``, ``missing``, ``artefacts`` and ``candidate_shift``.
    :param empty: number of grasps to add at places without an object, which can only fail. They
        teach the network early where the object is.
    :param monitor: share, in [0, 1], of the filmed attempts that add a clip. It ends at an image
        drawn from the attempt; the executed grasp is its only candidate, and its success the
        label. The attempts take turns from epoch to epoch.
    :param annealing: share of ``photometric`` that is gone in the last epoch, in [0, 1]; it falls
        in equal steps.
    :param epochs: number of epochs in which it falls.
    :param vary_lead_times: with time inputs, take each candidate once for every lead time of its
        sample, with the label and the object's place that belong to it, and grasps at empty
        places at one that is drawn. Without time inputs these labels would contradict each
        other, so the sample's own lead time is the only one.
    :param rates: lowest and highest rate of the camera, Hz, see
        :class:`moss_perception.training.settings.Recipe`.
    :param moving: whether to tell the object's motion.
    :param covering: whether to tell which cells the object covers.
    :param weights: how often an epoch draws each sample, see
        :class:`moss_perception.training.draws.Draws`; empty for once each.
    :param seed: of everything drawn; an item depends on it, on the epoch and on its index.
    """

    samples: list[Sample]
    config: ModelConfig
    decoded: DecodedClips | None = None
    _: KW_ONLY
    augment: bool = False
    empty: int = 0
    monitor: float = 0.0
    photometric: float = 0.0
    geometric: float = 0.0
    missing: float = 0.0
    artefacts: float = 0.0
    candidate_shift: float = 0.0
    annealing: float = 0.0
    epochs: int = 1
    rates: tuple[float, float] = (0.0, 0.0)
    vary_lead_times: bool = False
    moving: bool = False
    covering: bool = False
    weights: Sequence[float] = ()
    seed: int = 0

    def __post_init__(self):
        rate_hz = self.config.frame_rate_hz
        if any(self.rates) and not (self.config.time_inputs and self.rates[1] <= rate_hz):
            raise ConfigError(f'rates={list(self.rates)} is not allowed: expected a network with '
                              f'time inputs, and rates up to its own, {rate_hz:g} Hz')
        seen, frames = self.config.frames_seen, self.config.window_frames
        if any(self.rates) and seen != frames:
            raise ConfigError(f'rates={list(self.rates)} is not allowed with the model '
                              f'{self.config.model!r}, which sees {seen} of the {frames} frames '
                              'of a window: expected a network that sees all of them')
        self.epoch = 0
        self._draws = Draws(self.weights or [1.0] * len(self.samples), self.seed)
        self._filmed = [n for n, sample in enumerate(self.samples)
                        if self.monitor and sample.attempt is not None and sample.attempt.jpegs]
        self._turn = round(self.monitor * len(self._filmed))

    @property
    def every_lead_time(self) -> bool:
        """Whether a clip has the candidates at every lead time of its sample."""
        return self.vary_lead_times and self.config.time_inputs

    @property
    def drawn_from(self) -> tuple:
        """All that an item depends on, apart from samples, epoch and index."""
        drawn = (self.augment, self.empty, self.photometric, self.geometric, self.missing,
                 self._turn, self.seed)
        # Those that came later only where they change something: caches on disk stay valid.
        later = (('annealing', self.annealing and (self.annealing, self.epochs)),
                 ('every_lead_time', self.every_lead_time), ('motion', self.moving),
                 ('covering', self.covering),
                 ('rates', any(self.rates) and self.rates),
                 ('artefacts', self.artefacts), ('candidate_shift', self.candidate_shift),
                 ('weights', any(weight != 1 for weight in self.weights) and tuple(self.weights)),
                 ('time_inputs', self.config.time_inputs and self.config.lead_times_s))
        return (*drawn, *((name, value) for name, value in later if value))

    def __len__(self) -> int:
        return len(self._draws) + self._turn

    def sample_index(self, index: int) -> int:
        """
        Return the index of the sample that an item of this epoch comes from.

        :raises IndexError: if there is no such item.
        """
        if not 0 <= index < len(self):
            raise IndexError(f'there is no item {index}: expected one of {len(self)}')
        if index < len(self._draws):
            return int(self._draws.of_epoch(self.epoch)[index])
        first = self.epoch * self._turn - len(self._draws)
        return self._filmed[(first + index) % len(self._filmed)]

    def __getitem__(self, index: int) -> Clip:
        generator = np.random.default_rng((self.seed, self.epoch, index))
        sample, frames, camera = self._load(index, generator)
        fitted = [letterbox(frame, self.config.image_size) for frame in frames]
        images, transform = np.stack([image for image, _ in fitted]), fitted[0][1]
        ended = self._executions(sample)
        empty = empty_places(sample.candidates, camera, self.empty, generator)
        which = self._which(ended, len(empty), index)
        grasps, labels, mask, which = encode_all(
            sample, ended, empty, which, lambda places, times: encode_candidates(
                places, camera, transform, self.config, lead_times=times))
        # Those of the lead times whose labels count come first.
        moved = executions(sample, every=True) if self.moving else ended
        track = np.column_stack([moved.track, np.zeros(len(moved.track))])
        track = encode_candidates(track, camera, transform, self.config, inside=False)
        window = np.zeros(0, int)
        if self.config.time_inputs:
            window = sample.window(self.config.window_frames, self.config.frame_rate_hz)
        if any(self.rates):
            delivered = frames_at(sample.times_ns[window], self._rate(index))
            window, images = window[delivered], images[delivered]
        images, cover, shown, grasps, track = self._change(
            sample, images, grasps, track, generator)
        gaps = motion = None
        if self.config.time_inputs:
            gaps = torch.from_numpy(gaps_of(sample.times_ns[window[shown]]))
        if self.moving:
            motion = torch.from_numpy(motion_of(track, moved.lead_times))
        images, grasps, labels, mask, places = (
            torch.from_numpy(np.ascontiguousarray(values)) for values in (
                images, grasps, labels.astype(np.float32), mask.astype(np.float32),
                places_of(grasps, track, which)))
        return Clip(images, grasps, labels, mask, places, gaps, motion, cover)

    def _change(self, sample: Sample, images: np.ndarray, grasps: np.ndarray, track: np.ndarray,
                generator: np.random.Generator) -> tuple[
                    np.ndarray, Tensor | None, np.ndarray, np.ndarray, np.ndarray]:
        """Change a clip at random, if asked for: images, cover, frames shown, grasps, track."""
        cover, shown = None, np.arange(self.config.window_frames)
        if self.covering:
            # The object's mask moves as the images do, and is taken off before colours change.
            images = np.concatenate([images, mask_frame(sample, self.config.image_size)[None]])
        if self.augment:
            images, grasps, track = mirror(images, [grasps, track], generator)
            images, grasps, track = move(images, [grasps, track], self.geometric, generator)
        if self.covering:
            cover = torch.from_numpy(cover_of(images[-1], sample.object_mask is not None))
            images = images[:-1]
        if self.augment:
            kept = shown_frames(len(images), self.missing, generator)
            images = vary(images[kept], self._photometric(), generator)
            shown = kept if len(kept) == len(shown) else shown
            images = degrade(images, self.artefacts, generator)
            grasps = shift_grasps(
                grasps, self.candidate_shift / self.config.gripper_half_width_m, generator)
        return images, cover, shown, grasps, track

    def _rate(self, index: int) -> float:
        """Return the rate of an item's camera, Hz."""
        # Of a generator of its own: all else is drawn as without rates.
        return np.random.default_rng((self.seed, self.epoch, index, 2)).uniform(*self.rates)

    def _photometric(self) -> float:
        """Return how strong photometric changes are in this epoch."""
        return self.photometric * (1 - self.annealing * self.epoch / max(self.epochs - 1, 1))

    def _executions(self, sample: Sample) -> Executions:
        """
        Return how the candidates ended, at lead times in the range of a network that takes them.

        :raises DataError: if the sample's own is not known and the network takes it.
        """
        ended = executions(sample, self.every_lead_time)
        if not self.config.time_inputs:
            return ended
        if not np.isfinite(sample.lead_time_s):
            raise DataError(f'{sample.title} has no lead time, which a network with time inputs '
                            'takes: expected its lead_time_s')
        return ended._replace(lead_times=np.clip(ended.lead_times, *self.config.lead_times_s))

    def _which(self, ended: Executions, empty: int, index: int) -> np.ndarray:
        """Tell the lead time of each grasp, of an empty place one that is drawn: an index."""
        times, candidates = ended.labels.shape
        # Of a generator of its own: all else is drawn as with one lead time.
        generator = np.random.default_rng((self.seed, self.epoch, index, 1))
        drawn = generator.integers(times, size=empty)
        return np.append(np.repeat(np.arange(times), candidates), drawn)

    def _load(self, index: int, generator: np.random.Generator) -> tuple[
            Sample, np.ndarray, Camera]:
        """Return the sample, its images, uint8, ``(T, H, W, 3)``, and the camera of these."""
        number, span = self.sample_index(index), self.config.frames_seen
        sample = self.samples[number]
        if index >= len(self._draws):
            assert sample.attempt is not None  # sample_index counts only those that have one
            sample = sample.during(int(generator.integers(len(sample.attempt.jpegs))))
        elif self.decoded is not None:
            images = self.decoded.images[number]
            return sample, images[len(images) - span:], self.decoded.cameras[number]
        return sample, sample.clip(span, self.config.frame_rate_hz), sample.camera


def collate(items: list[Clip]) -> Clip:
    """Stack items; clips with fewer grasps are padded with grasps without a label."""
    columns: dict[str, Any] = dict(zip(Clip._fields, zip(*items, strict=True), strict=True))
    return Clip(torch.stack(columns.pop('images')), **{
        name: pad_sequence(values, batch_first=True,
                           padding_value=float('nan') if name == 'places' else 0.0)
        for name, values in columns.items() if values[0] is not None})
