"""What the data room hands on: observations, attempts and samples, from any source."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
import math
from typing import Optional

from moss_perception.core.errors import ConfigError, DataError, ShapeError
from moss_perception.core.frames import Camera
from moss_perception.core.geometry import project
from moss_perception.core.image_messages import CompressedImage
from moss_perception.core.images import decode
import numpy as np

# The phases of a grasp, and how long each takes, seconds.
PHASES = ('approach', 'descend', 'close', 'lift', 'shake')
APPROACH_S = 0.3
DESCEND_S = 0.25
CLOSE_S = 0.25
LIFT_S = 0.4
SHAKE_S = 0.5
# When the fingers of a grasp decided now meet an object between them.
GRIP_S = APPROACH_S + DESCEND_S + CLOSE_S / 2
DURATION_S = APPROACH_S + DESCEND_S + CLOSE_S + LIFT_S + SHAKE_S

# Narrower and wider ones are in other units.
_NARROWEST_M, _WIDEST_M = 0.005, 1.0

PERIOD_NS = 100_000_000
"""Between images without stored stamps, nanoseconds."""


@dataclass(frozen=True)
class Observation:
    """
    The sensors' data at one time.

    :ivar stamp_ns: nanoseconds on the source's clock.
    :ivar arrays: arrays by the name of the network's input: ``rgb`` is uint8, shape ``(H, W, 3)``.
    """

    stamp_ns: int
    arrays: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Attempt:
    """
    An executed grasp, and the camera's images until its motion was over.

    :ivar candidate: index of the sample's candidate that was executed.
    :ivar success: whether the object was held at the end.
    :ivar jpegs: ``M`` compressed images, oldest first; the first comes after the decision's.
    :ivar stamps_ns: int64, shape ``(M,)``, on the sample's clock, nanoseconds.
    :ivar phases: ``M`` names: ``approach``, ``descend``, ``close``, ``lift`` or ``shake``; empty
        if they are not known.
    :ivar to_loss_s: float32, shape ``(M,)``: time from each image to the loss of the object,
        seconds, negative after it; NaN for a success; ``None`` if it is not known. An object is
        lost when both fingers last touched it, or, if they never did, when the grasp was seen to
        have failed.
    :ivar positions: of the object's centre, float32, shape ``(M, 3)``, optical frame, metres;
        ``None`` if they are not known.
    """

    candidate: int
    success: bool
    jpegs: tuple[bytes, ...] = ()
    stamps_ns: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    phases: tuple[str, ...] = ()
    to_loss_s: Optional[np.ndarray] = None
    positions: Optional[np.ndarray] = None


@dataclass(frozen=True)
class Sample:
    """
    The images up to a decision, the candidate grasps decided on, and labels of some of them.

    Only the first three fields are required. Those from ``track`` on are what a simulator knows;
    no training needs them, unless it asks for a loss on them.

    :ivar jpegs: ``T`` compressed images, oldest first; the last is the decision's.
    :ivar candidates: float32, shape ``(K, 4)``: x, y, z in the optical frame (x right, y down,
        z forward), metres, and yaw of the closing direction about the optical axis, radians.
    :ivar labels: float32, shape ``(K,)``: 1 for a success, 0 for a failure; without meaning
        where ``mask`` is false. Anything NumPy can convert is accepted.
    :ivar mask: bool, shape ``(K,)``: which candidates have a label; ``None`` for all.
    :ivar matrix: the camera's, float64, shape ``(3, 3)``, pixels; ``None`` if it is not known.
    :ivar distortion: the camera's, float64, shape ``(N,)``; ``None`` for none.
    :ivar distortion_model: as in :class:`moss_perception.core.frames.Camera`.
    :ivar size: width and height of the images, pixels; ``None`` to read it from an image.
    :ivar stamps_ns: int64, shape ``(T,)``, nanoseconds; ``None`` for images at 10 Hz.
    :ivar attempt: the grasp that was executed, or ``None``.
    :ivar name: for messages, such as the recording and attempt; empty for a simulated scene.
    :ivar seed: of a simulated scene; ``None`` for others.
    :ivar domain: where the images come from, such as ``sim`` or ``real``.
    :ivar groups: of which recording and circumstances a recorded attempt is: values by name, such
        as ``bag``, ``day``, ``object`` and ``operator``. A training can hold out whole groups.
    :ivar split: ``held_out`` for objects that training never shows, else empty.
    :ivar track: the object's centre at the decision, and when fingers that start then have
        closed, if they don't touch it: float32, shape ``(2, 3)``, optical frame, metres.
    :ivar offsets: of the candidates from the object's centre, float32, shape ``(K, 4)``: lead
        along the belt, lateral and height, metres, yaw off the short axis, radians.
    :ivar motion: the belt's kind of motion.
    :ivar shape: the object's.
    :ivar family: the object's; in the belt's cell the same as its shape.
    :ivar cell: what the scene was drawn from.
    :ivar speed: of the belt at the decision, m/s.
    :ivar velocity: of the object along the belt at the decision, m/s; it may roll.
    :ivar acceleration: of the belt at the decision, m/s^2.
    :ivar lead_time_s: time from the decision until the fingers close, to which ``labels`` and
        ``track[1]`` belong, seconds; NaN if it is not known.
    :ivar other_lead_times_s: ``L`` other lead times at which each candidate was executed from
        the same state, ascending, float32, shape ``(L,)``, seconds; ``None`` for none, as the
        next two.
    :ivar other_labels: the candidates' labels at these lead times, float32, shape ``(L, K)``.
    :ivar other_places: of the object's centre at these lead times, if nothing touches it:
        float32, shape ``(L, 3)``, optical frame, metres.
    :ivar object_mask: which pixels of the decision's image show the object: bool, of the images'
        height and width; ``None`` if it is not known.
    :ivar gripper_opening_m: between the gripper's open fingers, metres; NaN if it is not known.
    :raises ShapeError: if labels, mask or values of other lead times do not fit the candidates
        or each other.
    """

    jpegs: tuple[bytes, ...]
    candidates: np.ndarray
    labels: np.ndarray
    mask: Optional[np.ndarray] = None
    matrix: Optional[np.ndarray] = None
    distortion: Optional[np.ndarray] = None
    distortion_model: str = 'plumb_bob'
    size: Optional[tuple[int, int]] = None
    stamps_ns: Optional[np.ndarray] = None
    attempt: Optional[Attempt] = None
    name: str = ''
    seed: Optional[int] = None
    domain: str = ''
    groups: Mapping[str, str] = field(default_factory=dict)
    split: str = ''
    track: Optional[np.ndarray] = None
    offsets: Optional[np.ndarray] = None
    motion: str = ''
    shape: str = ''
    family: str = ''
    cell: str = ''
    speed: float = float('nan')
    velocity: float = float('nan')
    acceleration: float = float('nan')
    lead_time_s: float = float('nan')
    other_lead_times_s: Optional[np.ndarray] = None
    other_labels: Optional[np.ndarray] = None
    other_places: Optional[np.ndarray] = None
    object_mask: Optional[np.ndarray] = None
    gripper_opening_m: float = float('nan')

    def __post_init__(self):
        count = len(self.candidates)
        labels = np.asarray(self.labels, np.float32)
        mask = np.ones(count, bool) if self.mask is None else np.asarray(self.mask, bool)
        for what, values in (('labels', labels), ('mask', mask)):
            if values.shape != (count,):
                raise ShapeError(f'{self.title}: {what} of shape {values.shape}: expected one '
                                 f'value for each of {count} candidates')
        # A frozen dataclass can only set its own fields like this.
        object.__setattr__(self, 'labels', labels)
        object.__setattr__(self, 'mask', mask)
        self._check_other_lead_times(count)

    def _check_other_lead_times(self, candidates: int):
        values = (self.other_lead_times_s, self.other_labels, self.other_places)
        shapes = tuple(None if value is None else np.shape(value) for value in values)
        count = shapes[0][0] if shapes[0] else 0
        if shapes not in ((None,) * 3, ((count,), (count, candidates), (count, 3))):
            raise ShapeError(f'{self.title}: other_lead_times_s, other_labels and other_places '
                             f'of shapes {shapes}: expected (L,), (L, {candidates}) and (L, 3), '
                             'or None for all three')

    @property
    def title(self) -> str:
        """Name it in a message."""
        if self.name:
            return self.name
        return 'a sample' if self.seed is None else f'scene {self.seed}'

    @property
    def labelled(self) -> np.ndarray:
        """Return :attr:`mask`, of which ``None`` is written out: bool, shape ``(K,)``."""
        assert self.mask is not None  # __post_init__ replaces it
        return self.mask

    @property
    def outcomes(self) -> np.ndarray:
        """
        Return whether each candidate succeeds, bool, shape ``(K,)``.

        :raises DataError: if a candidate has no label.
        """
        known = self.labelled
        if not known.all():
            raise DataError(f'{self.title} has labels for {known.sum()} of {len(known)} '
                            'candidates: expected a label for each')
        return self.labels > 0.5

    @property
    def camera(self) -> Camera:
        """
        Return the camera that took the images.

        :raises DataError: if it is not known.
        """
        if self.matrix is None:
            raise DataError(f'{self.title} has no camera matrix: expected a calibrated camera')
        distortion = np.zeros(0) if self.distortion is None else self.distortion
        width, height = self.image_size
        return Camera(width, height, self.matrix, distortion, self.distortion_model)

    @property
    def image_size(self) -> tuple[int, int]:
        """Return the images' width and height, pixels."""
        if self.size is not None:
            return self.size
        return size_of(self.jpegs[-1])

    @property
    def times_ns(self) -> np.ndarray:
        """Return the images' stamps, int64, shape ``(T,)``; at 10 Hz if none were kept."""
        if self.stamps_ns is None:
            return np.arange(len(self.jpegs), dtype=np.int64) * PERIOD_NS
        return self.stamps_ns

    @property
    def constant_velocity_lead(self) -> float:
        """Return how far the object moves, at constant velocity, until the fingers close: m."""
        known = not math.isnan(self.lead_time_s)
        return self.velocity * (self.lead_time_s if known else GRIP_S)

    def newest(self, count: int) -> np.ndarray:
        """Decode the last ``count`` images only: uint8, RGB, shape ``(count, H, W, 3)``."""
        return np.stack([_decode(data) for data in self.jpegs[-count:]])

    def clip(self, count: int, rate_hz: float) -> np.ndarray:
        """
        Decode the last images that :meth:`window` chooses.

        :returns: uint8, RGB, shape ``(count, H, W, 3)``.
        :raises ShapeError: if the images span fewer than ``count`` periods.
        """
        chosen, which = np.unique(self.window(count, rate_hz), return_inverse=True)
        return np.stack([_decode(self.jpegs[index]) for index in chosen])[which]

    def observations(self, count: int, rate_hz: float) -> list[Observation]:
        """
        Return the last observations that :meth:`window` chooses, oldest first.

        :returns: of :class:`Observation`, with the array ``rgb``.
        :raises ShapeError: if the images span fewer than ``count`` periods.
        """
        stamps = self.times_ns[self.window(count, rate_hz)]
        return [Observation(int(stamp), {'rgb': image})
                for stamp, image in zip(stamps, self.clip(count, rate_hz), strict=True)]

    def window(self, count: int, rate_hz: float) -> np.ndarray:
        """
        Choose images by stamp, as the predictor does; a missing one is replaced by the one before.

        :param count: number of images to choose.
        :param rate_hz: rate of the chosen images, at most that of all images.
        :returns: indices into ``jpegs``, shape ``(count,)``.
        :raises ShapeError: if the images span fewer than ``count`` periods.
        """
        times = self.times_ns
        slots = np.floor((times - times[0]) * (rate_hz / 1e9) + 0.25).astype(int)
        # Each slot has its first image; an empty one has that of the slot before.
        first = np.searchsorted(slots, np.arange(slots[-1] + 1))
        newest = np.searchsorted(slots, np.arange(slots[-1] + 1), side='right') - 1
        chosen = np.where(slots[first] == np.arange(len(first)), first, first[slots[newest]])
        if len(chosen) < count:
            raise ShapeError(f'the images of {self.title} make {len(chosen)} samples at '
                             f'{rate_hz} Hz: expected at least {count}')
        return chosen[-count:]

    def during(self, index: int) -> 'Sample':
        """
        Return the sample up to an image of its attempt.

        Its last image is this one, and the executed grasp is its only candidate. Its lead time
        is what is left of the sample's, 0 once the fingers have closed. The second place of its
        track stays the sample's, also when this time has passed: study/docs/training.md says what
        this does to the auxiliary loss on places.

        :param index: index of the attempt's image, from 0.
        :raises DataError: if there is no attempt, or no such image.
        """
        attempt = self.attempt
        if attempt is None or not 0 <= index < len(attempt.jpegs):
            count = 0 if attempt is None else len(attempt.jpegs)
            raise DataError(f'{self.title} has {count} images of an attempt: there is no image '
                            f'{index}')
        one, upto = [attempt.candidate], slice(index + 1)
        track = None
        if self.track is not None and attempt.positions is not None:
            track = np.stack([attempt.positions[index], self.track[1]])
        passed_s = float(attempt.stamps_ns[index] - self.times_ns[-1]) / 1e9
        return replace(
            self, jpegs=self.jpegs + attempt.jpegs[upto],
            stamps_ns=np.concatenate([self.times_ns, attempt.stamps_ns[upto]]),
            candidates=self.candidates[one], labels=np.array([attempt.success]), mask=None,
            offsets=None if self.offsets is None else self.offsets[one],
            track=track, attempt=None, lead_time_s=float(np.maximum(
                self.lead_time_s - passed_s, 0.0)),
            other_lead_times_s=None, other_labels=None, other_places=None, object_mask=None)

    def in_view(self) -> np.ndarray:
        """Tell which candidates lie in the image: bool, shape ``(K,)``."""
        pixels, _ = project(self.candidates[:, :3].astype(np.float64), self.camera)
        return np.all(np.isfinite(pixels), axis=1)


def check_opening(opening_m: float) -> float:
    """
    Check how far a gripper is said to open.

    :param opening_m: metres; NaN if it is not known.
    :returns: the same.
    :raises ConfigError: if no gripper opens so far, such as a number of millimetres.
    """
    if not (math.isnan(opening_m) or _NARROWEST_M <= opening_m <= _WIDEST_M):
        raise ConfigError(f'gripper opening of {opening_m:g} m: expected {_NARROWEST_M:g} to '
                          f'{_WIDEST_M:g} m between the open fingers')
    return opening_m


def size_of(data: bytes) -> tuple[int, int]:
    """Return the width and height of a compressed image, pixels."""
    height, width = _decode(data).shape[:2]
    return width, height


def _decode(data: bytes) -> np.ndarray:
    return decode(CompressedImage(data=data, format='jpeg'))
