"""The predictor: frames in stamp order go in, grasp scores come out once the window is full."""

from collections import Counter, deque
from dataclasses import dataclass, field
import threading
import time
from typing import Any

from moss_perception import imaging
from moss_perception.errors import CandidateError, ConfigError, FrameError
from moss_perception.grasp.engine import Engine, load_engine
from moss_perception.grasp.frame import Camera, Candidates, Frame, Prediction
from moss_perception.grasp.geometry import encode_grasps, letterbox, project
from moss_perception.grasp.orders import OrderSelector
from moss_perception.grasp.window import Sampler
import numpy as np


@dataclass(frozen=True)
class Sample:
    """A frame that was chosen by the sampler, waiting for its step."""

    frame: Frame
    index: int
    epoch: int


@dataclass(frozen=True)
class Outcome:
    """
    What became of a frame.

    :ivar kind: ``scored``, ``stored`` (the window is not full yet), ``skipped`` or ``refused``.
    :ivar stamp_ns: the frame's header stamp, nanoseconds.
    :ivar reason: why it was skipped (``between_samples``, ``stale``) or refused.
    :ivar prediction: only with ``scored``.
    """

    kind: str
    stamp_ns: int
    reason: str = ''
    prediction: Prediction | None = None


@dataclass
class Counters:
    """
    What happened since the start, to be reported.

    :ivar frames: frames received.
    :ivar dropped: samples given up before their step, because the backlog was full.
    :ivar missing: samples that were repeated from the one before.
    """

    frames: int = 0
    scored: int = 0
    stored: int = 0
    skipped: int = 0
    dropped: int = 0
    missing: int = 0
    refused: Counter = field(default_factory=Counter)
    resets: Counter = field(default_factory=Counter)


class Predictor:
    """
    Scores grasps from a stream of frames.

    :meth:`push` does all of it. A node that receives in one thread and computes in another calls
    :meth:`admit` in the first and :meth:`advance` in the second; all other methods may be called
    from the first.

    :param engine: runs the network.
    :param max_gap_s: a gap between samples above this resets the window, seconds.
    :raises ConfigError: if ``max_gap_s`` is not above the time between two samples.
    """

    def __init__(self, engine: Engine, max_gap_s: float = 0.5):
        config = engine.config
        if max_gap_s * config.frame_rate_hz < 1.5:
            raise ConfigError(
                f'max_gap {max_gap_s} s is too short for {config.frame_rate_hz} samples a second: '
                f'expected at least {1.5 / config.frame_rate_hz:.3f} s')
        self.engine = engine
        self.config = config
        self.max_gap_ns = round(max_gap_s * 1e9)
        self.counters = Counters()
        self.camera: Camera | None = None
        self._sampler = Sampler(config.frame_rate_hz)
        self._candidates: deque[Candidates] = deque(maxlen=64)
        self._lock = threading.Lock()
        self._frame_id: str | None = None
        self._orders: int | None = config.orders
        self._selector: OrderSelector | None = None
        self._epoch = 0
        self._restart()

    @classmethod
    def load(cls, path: str, sha256: str = '', engine: str = 'torch', device: str = 'cpu',
             threads: int = 0, max_gap_s: float = 0.5) -> 'Predictor':
        """Load a checkpoint and build its predictor; see :func:`load_engine` for the errors."""
        return cls(load_engine(path, sha256, engine, device, threads), max_gap_s)

    @property
    def fill(self) -> int:
        """How many samples of the window are there, 0 to ``window_frames``."""
        return len(self._repeated)

    @property
    def order_in_use(self) -> int:
        """The highest order that counts at present."""
        return self._used

    def set_camera(self, camera: Camera | None) -> None:
        """Take the camera's calibration; without one only the default grasp point is scored."""
        self.camera = camera

    def set_orders(self, highest: int | None, budget_s: float = 0.05) -> None:
        """
        Choose the orders to run.

        :param highest: orders 1 to this one; ``None`` chooses them by the time they take.
        :param budget_s: seconds that a step may take, with ``None``.
        :raises ConfigError: if the checkpoint has no such order.
        """
        if highest is not None and not 1 <= highest <= self.config.orders:
            raise ConfigError(f'order {highest} is not in the checkpoint: '
                              f'expected 1 to {self.config.orders}')
        self._selector = None if highest else OrderSelector(self.config.orders, budget_s)
        self._orders = highest or self.config.orders

    def set_candidates(self, candidates: Candidates) -> None:
        """
        Take grasp candidates; they hold for frames stamped at or after them, until newer ones.

        :param candidates: in the camera's optical frame; none (``K`` = 0) ends the scoring of
            candidates.
        :raises CandidateError: if they are in another frame than the images.
        """
        if self._frame_id is not None and candidates.frame_id != self._frame_id:
            raise CandidateError(f'candidates are in frame {candidates.frame_id!r}: expected the '
                                 f"images' frame {self._frame_id!r}")
        with self._lock:
            self._candidates.append(candidates)

    def reset(self, reason: str = 'requested') -> None:
        """Forget the window; it has to fill again before the next score."""
        self._sampler.reset()
        self.counters.resets[reason] += 1

    def push(self, frame: Frame) -> Prediction | None:
        """
        Take the next frame of the stream.

        :param frame: frames come in the order of their stamps.
        :returns: a prediction if the frame is a sample and the window is full.
        :raises FrameError: if the frame can't be used; the stream goes on with the next.
        """
        admitted = self.admit(frame)
        outcome = self.advance(admitted) if isinstance(admitted, Sample) else admitted
        if outcome.kind == 'refused':
            raise self._refusal
        return outcome.prediction

    def admit(self, frame: Frame) -> Sample | Outcome:
        """Decide, without decoding, whether a frame is a sample, skipped or refused."""
        self.counters.frames += 1
        try:
            if not isinstance(frame.image, np.ndarray):
                imaging.check(frame.image)
            admission = self._sampler.admit(frame.stamp_ns, frame.frame_id)
        except FrameError as error:
            return self._refuse(frame, error)
        if admission.reset_reason is not None:
            self.counters.resets[admission.reset_reason] += 1
            self._forget_candidates(frame)
        self._frame_id = frame.frame_id
        if admission.index is None:
            return self._skip(frame, 'between_samples')
        return Sample(frame, admission.index, admission.epoch)

    def drop(self, sample: Sample) -> Outcome:
        """Give up a sample that waited too long; it is made up for by a repeat."""
        self.counters.dropped += 1
        return self._skip(sample.frame, 'dropped')

    def advance(self, sample: Sample) -> Outcome:
        """Decode a sample, step the network, and score once the window is full."""
        if sample.epoch != self._sampler.epoch:
            return self._skip(sample.frame, 'stale')
        started = time.perf_counter()
        try:
            image = imaging.decode(sample.frame.image)
        except FrameError as error:
            return self._refuse(sample.frame, error)
        self._begin(sample, image.shape[:2])
        fitted, transform = letterbox(image, self.config.image_size)
        decode_s = time.perf_counter() - started
        for _ in range(sample.index - self._next_index):
            self._step(None, np.zeros((0, 5), np.float32))
        candidates = self._current_candidates(sample.frame)
        pixels, grasps, known = self._grasps(candidates, image.shape, transform)
        started = time.perf_counter()
        result = self._step(fitted, grasps)
        inference_s = time.perf_counter() - started
        self._next_index = sample.index + 1
        self._last_stamp_ns = sample.frame.stamp_ns
        self._choose_orders(inference_s)
        if self.fill < self.config.window_frames:
            self.counters.stored += 1
            return Outcome('stored', sample.frame.stamp_ns)
        self.counters.scored += 1
        scores, uncertainties = np.full((2, len(pixels)), np.nan)
        scores[known], uncertainties[known] = result.scores[1:], result.uncertainties[1:]
        prediction = Prediction(
            stamp_ns=sample.frame.stamp_ns, frame_id=sample.frame.frame_id,
            score=float(result.scores[0]), uncertainty=float(result.uncertainties[0]),
            default_point=self._default_point(image.shape),
            points=candidates.positions if candidates else np.zeros((0, 3)), pixels=pixels,
            scores=scores, uncertainties=uncertainties, motion_features=result.motion_features,
            image=image, missing_in_window=sum(self._repeated), decode_s=decode_s,
            inference_s=inference_s)
        return Outcome('scored', sample.frame.stamp_ns, prediction=prediction)

    def _begin(self, sample: Sample, size: tuple[int, ...]) -> None:
        """Start a new window where this sample can't follow the one before."""
        if sample.epoch != self._epoch:
            self._epoch = sample.epoch
            self._restart()
        elif self._last_stamp_ns is not None:
            if size != self._size:
                self.counters.resets['resolution'] += 1
                self._restart()
            elif sample.frame.stamp_ns - self._last_stamp_ns > self.max_gap_ns:
                self.counters.resets['gap'] += 1
                self._restart()
        if self._last_stamp_ns is None:
            self._next_index = sample.index
        self._size = size

    def _restart(self) -> None:
        self._state = self.engine.initial_state()
        self._repeated: deque[bool] = deque(maxlen=self.config.window_frames)
        self._last_stamp_ns: int | None = None
        self._next_index = 0
        self._size: tuple[int, ...] = ()
        self._computed = self._used = self._orders or self.config.orders
        self._warm_up = 0

    def _step(self, image: np.ndarray | None, grasps: np.ndarray) -> Any:
        result = self.engine.step(
            image, grasps, self._state, computed=self._computed, used=self._used)
        self._state = result.state
        self._repeated.append(image is None)
        self.counters.missing += image is None
        if self._warm_up and not (self._warm_up := self._warm_up - 1):
            self._used = self._computed
        return result

    def _choose_orders(self, step_s: float) -> None:
        """Follow the wanted order; one that returns is computed but not used till it is warm."""
        wanted = self._selector.update(step_s) if self._selector else self._orders
        if wanted < self._computed:
            self._computed = wanted
            self._used = min(self._used, wanted)
            self._warm_up = 0 if self._used == wanted else self._warm_up
        elif wanted > self._computed:
            self._warm_up = (wanted - self._used) * (self.config.moss_window[0] - 1)
            self._computed = wanted

    def _grasps(self, candidates: Candidates | None, shape: tuple[int, ...],
                transform: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Encode the default grasp, then every candidate that the camera can see."""
        height, width = shape[:2]
        camera = self._camera_for(height, width)
        focal = camera.matrix[0, 0] if camera else self.config.default_focal * width
        pixels = np.full((len(candidates.positions) if candidates else 0, 2), np.nan)
        if camera and candidates:
            pixels = project(candidates.positions, camera)
        known = np.flatnonzero(np.isfinite(pixels[:, 0]))
        default = np.array(self.config.default_point) * (width, height) - 0.5
        points = np.concatenate([default[None], pixels[known]])
        depths = np.array([self.config.default_depth_m])
        yaws = np.array([self.config.default_yaw])
        if len(known):
            depths = np.concatenate([depths, candidates.positions[known, 2]])
            yaws = np.concatenate([yaws, candidates.yaws[known]])
        return pixels, encode_grasps(points, depths, yaws, focal, transform, self.config), known

    def _camera_for(self, height: int, width: int) -> Camera | None:
        camera = self.camera
        return camera if camera and (camera.height, camera.width) == (height, width) else None

    def _default_point(self, shape: tuple[int, ...]) -> np.ndarray:
        """Deproject the default grasp point; NaN without a camera of this image's size."""
        camera = self._camera_for(*shape[:2])
        if camera is None:
            return np.full(3, np.nan)
        column, row = np.array(self.config.default_point) * (shape[1], shape[0]) - 0.5
        ray = np.linalg.solve(camera.matrix, [column, row, 1.0])
        return ray * self.config.default_depth_m

    def _current_candidates(self, frame: Frame) -> Candidates | None:
        with self._lock:
            holding = [c for c in self._candidates
                       if c.stamp_ns <= frame.stamp_ns and c.frame_id == frame.frame_id]
        newest = max(holding, key=lambda c: c.stamp_ns, default=None)
        return newest if newest is not None and len(newest.positions) else None

    def _forget_candidates(self, frame: Frame) -> None:
        """After a reset, only candidates that may hold for the new stream stay."""
        with self._lock:
            stay = [c for c in self._candidates
                    if c.stamp_ns <= frame.stamp_ns and c.frame_id == frame.frame_id]
            self._candidates.clear()
            self._candidates.extend(stay)

    def _skip(self, frame: Frame, reason: str) -> Outcome:
        self.counters.skipped += 1
        return Outcome('skipped', frame.stamp_ns, reason)

    def _refuse(self, frame: Frame, error: FrameError) -> Outcome:
        self.counters.refused[error.reason] += 1
        self._refusal = error
        return Outcome('refused', frame.stamp_ns, f'{error.reason}: {error}')
