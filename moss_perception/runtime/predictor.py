"""The predictor: frames in stamp order go in, grasp scores come out once the window is full."""

from dataclasses import replace
import time

from moss_perception.core.errors import ConfigError, FrameError
from moss_perception.core.frames import Camera, Candidates, Frame
from moss_perception.core.image_messages import ImageLimits, LIMITS
from moss_perception.core.lead_times import LeadTimes
from moss_perception.core.looks import ALTERNATING, Views
from moss_perception.core.scores import Prediction
from moss_perception.models.base import Scores
from moss_perception.runtime.budget import Budget
from moss_perception.runtime.candidate_book import CandidateBook
from moss_perception.runtime.candidate_frames import CandidateFrames
from moss_perception.runtime.engine import Engine, ENGINES, load_engine, Loader
from moss_perception.runtime.frame_status import (
    Counters,
    FrameResult,
    FrameStatus,
    INTERNAL_ERROR,
    Sample,
    SkipReason,
)
from moss_perception.runtime.grasp_points import PlacedGrasps
from moss_perception.runtime.lead_times import (
    check_lead_time,
    lead_times_left,
    stream_lead_time,
)
from moss_perception.runtime.ood import inflate_uncertainty
from moss_perception.runtime.sampling import check, fit, Sampler
from moss_perception.runtime.watched import add_watched
from moss_perception.runtime.window import Window
import numpy as np

__all__ = ['Counters', 'FrameResult', 'FrameStatus', 'Predictor', 'Sample']

MAX_GAP_S = 0.5
"""A longer gap between samples begins the window anew, unless another is said, seconds."""


class Predictor:
    """
    Scores grasps from a stream of frames.

    :meth:`push` does all of it. A node that receives in one thread and computes in another calls
    :meth:`admit` in the first and :meth:`advance` in the second; all other methods may be called
    from the first.

    :param engine: runs the network.
    :ivar frames: brings candidates into the images' frame.
    :param max_gap_s: a gap between samples above this resets the window, seconds.
    :param lead_time_s: see :meth:`set_lead_time`.
    :param limits: what an image may cost to decode; beyond it is refused.
    :raises ConfigError: if ``max_gap_s`` is not above the time between two samples, the model
        needs inputs that a frame does not have, or the lead time is not allowed.
    """

    def __init__(self, engine: Engine, max_gap_s: float = MAX_GAP_S,
                 lead_time_s: float | None = None, limits: ImageLimits = LIMITS):
        config = engine.config
        _check_inputs(engine)
        if max_gap_s * config.frame_rate_hz < 1.5:
            raise ConfigError(
                f'max_gap {max_gap_s} s is too short for {config.frame_rate_hz} samples a second: '
                f'expected at least {1.5 / config.frame_rate_hz:.3f} s')
        self.engine = engine
        self.config = config
        self.max_gap_ns = round(max_gap_s * 1e9)
        self.counters = Counters()
        self._limits = limits
        self.camera: Camera | None = None
        self.frames = CandidateFrames()
        self._sampler = Sampler(config.frame_rate_hz)
        self._candidates = CandidateBook(self.counters)
        self._watched: Candidates | None = None
        self._decided_ns: np.ndarray | None = None
        self._placed = PlacedGrasps(config), PlacedGrasps(config)
        self._views = Views()
        self._budget = Budget(config.levels, engine.costs, engine.lowest_level)
        self._window = Window(engine, self._sampler.period_ns, self.max_gap_ns, self.counters)
        self.set_lead_time(lead_time_s)

    @classmethod
    def load(cls, path: str, sha256: str = '', engine: str = ENGINES[0],
             device: str = 'cpu', threads: int = 0, max_gap_s: float = MAX_GAP_S,
             lead_time_s: float | None = None, limits: ImageLimits = LIMITS,
             loader: Loader = load_engine) -> 'Predictor':
        """
        Load a checkpoint and build its predictor; see :func:`load_engine` for the errors.

        :param loader: that of an :class:`moss_perception.runtime.engine.EngineStore` shares the
            engine with other predictors.
        """
        return cls(loader(path, sha256, engine, device, threads), max_gap_s, lead_time_s, limits)

    @property
    def fill(self) -> int:
        """How many samples of the window are there, 0 to ``window_frames``."""
        return self._window.fill

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the model's levels of the budget, the cheapest first."""
        return self._budget.levels

    @property
    def level(self) -> int:
        """The level of the newest sample's scores, counted from 1; the target before the first."""
        return self._window.level or self.target_level

    @property
    def target_level(self) -> int:
        """The level that is wanted; the model may still be warming up to it."""
        return self._budget.target

    def set_camera(self, camera: Camera | None) -> None:
        """Take the camera's calibration; without one only the default grasp point is scored."""
        self.camera = camera

    def set_level(self, level: int | None, budget_s: float = 0.05) -> None:
        """
        Choose the level of the budget, from the next sample on.

        :param level: counted from 1; ``None`` chooses it by the time that it takes, among those
            that the checkpoint was trained for.
        :param budget_s: seconds that a step may take, with ``None``.
        :raises ConfigError: if the checkpoint has no such level, or was not trained for it.
        """
        self._budget.set_level(level, budget_s)

    @property
    def lead_time_s(self) -> float:
        """The lead time of grasps without one of their own, seconds; NaN without time inputs."""
        return stream_lead_time(self.config, self.stream_lead_time_s)

    def set_lead_time(self, lead_time_s: float | None) -> None:
        """
        Choose the lead time of grasps without one of their own, from the next sample on.

        It is the time from the stamp of the newest frame until the fingers close on the object.

        :param lead_time_s: seconds, 0 or more; outside the range that the checkpoint was trained
            for it is clamped; ``None`` for the checkpoint's default.
        :raises ConfigError: if it is not allowed, or the checkpoint has no time inputs.
        """
        check_lead_time(self.config, lead_time_s)
        self.stream_lead_time_s = lead_time_s

    def set_candidates(self, candidates: Candidates) -> None:
        """
        Take grasp candidates; they hold for frames stamped at or after them, until newer ones.

        :param candidates: in the camera's optical frame, or in one that :attr:`frames` knows;
            candidates of another frame get no score; none (``K`` = 0) ends the scoring of
            candidates.
        """
        self._candidates.add(candidates)

    def set_lead_times(self, lead_times: LeadTimes) -> None:
        """
        Take lead times of the candidates that have the same stamp, before or after these.

        Frames that are scored before both are there use the lead time of the stream. Lead times
        that do not fit are left out: see :meth:`take_problems`.
        """
        self._candidates.add_lead_times(lead_times)

    def take_problems(self) -> list[str]:
        """Return a line for each message of lead times that could not be used, once."""
        return self._candidates.take_problems()

    def forget_candidates(self) -> None:
        """
        Score no candidates until newer ones come.

        Call it where a set was refused: the planner replaced the one before.
        """
        self._candidates.clear()

    def candidates_at(self, stamp_ns: int, frame_id: str) -> Candidates | None:
        """
        Return the candidates that hold for a frame; ``None`` for none.

        :param frame_id: of the images, in which they are if their own frame is known there.
        """
        held = self._candidates.holding(stamp_ns)
        if held is None:
            self.frames.problem = ''
            return None
        return self.frames.place(held, frame_id)

    def watch(self, grasps: Candidates | None, decided_ns: np.ndarray | None = None) -> None:
        """
        Score these grasps beside the candidates, from the next sample on; ``None`` ends it.

        :param grasps: in the images' frame, such as the one being executed. Their scores are in
            :attr:`Prediction.watched`, apart from the candidates'.
        :param decided_ns: int64, shape ``(K,)``: stamps of the frames by which they were chosen,
            nanoseconds. At a later frame the time passed since then is taken off their lead
            times. ``None`` for grasps that are not executed.
        """
        self._watched, self._decided_ns = grasps, decided_ns

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
        result = self.advance(admitted) if isinstance(admitted, Sample) else admitted
        if result.error is not None:
            raise result.error
        return result.prediction

    def admit(self, frame: Frame) -> Sample | FrameResult:
        """Decide, without decoding, whether a frame is a sample, skipped or refused."""
        self.counters.frames += 1
        try:
            image = check(frame.image, self._limits)
            admission = self._sampler.admit(frame.stamp_ns, frame.frame_id)
        except FrameError as error:
            return self.counters.refuse(frame, error)
        self._candidates.expire(frame.stamp_ns)
        if admission.reset_reason is not None:
            self.counters.resets[admission.reset_reason] += 1
        # A stream that goes back after a reset has no reason for another.
        if admission.reset_reason is not None or admission.went_back:
            self._candidates.restart(frame.stamp_ns)
        if admission.index is None:
            return self.counters.skip(frame, SkipReason.BETWEEN_SAMPLES)
        return Sample(replace(frame, image=image), admission.index, admission.epoch)

    def pause(self, frame: Frame) -> FrameResult:
        """Skip a frame while the node is paused; :meth:`reset` has to end the pause."""
        self.counters.frames += 1
        if frame.stamp_ns > 0 and self._sampler.take_stamp(frame.stamp_ns):
            self._candidates.restart(frame.stamp_ns)
        return self.counters.skip(frame, SkipReason.PAUSED)

    def drop(self, sample: Sample) -> FrameResult:
        """Give up a sample that waited too long; the sample before is repeated for it."""
        self.counters.dropped += 1
        return self.counters.skip(sample.frame, SkipReason.DROPPED)

    def advance(self, sample: Sample) -> FrameResult:
        """Decode a sample, step the network, and score once the window is full."""
        frame = sample.frame
        if sample.epoch != self._sampler.epoch:
            return self.counters.skip(frame, SkipReason.STALE)
        started = time.perf_counter()
        try:
            fitted = fit(frame.image, self.config.image_size)
        except FrameError as error:
            return self.counters.refuse(frame, error)
        decode_s = time.perf_counter() - started
        if fitted.doubt:
            self.counters.doubtful[fitted.doubt] += 1
        if self._views.alternate(fitted.square):
            self.counters.doubtful[ALTERNATING] += 1
        held = self.candidates_at(frame.stamp_ns, frame.frame_id)
        where = (self.camera, frame.frame_id, fitted.size, fitted.transform,
                 self.stream_lead_time_s)
        points = self._placed[0].at(held, *where)
        executing = None if self._watched is None else lead_times_left(
            self._watched, self._decided_ns, frame.stamp_ns, self.config, self.stream_lead_time_s)
        watched = None if executing is None else self._placed[1].at(executing, *where)
        grasps = add_watched(points, watched, executing is not None
                             and executing.lead_times is not None)
        try:
            level = self.target_level
            interval_s = self._window.join(sample, fitted.size, level)
            stepping = time.perf_counter()
            result = self._window.step(
                self.engine.model.observation(fitted.square, interval_s), grasps.encoded, level)
        except FrameError as error:
            self._window.restart(error.reason)
            return self.counters.refuse(frame, error)
        except Exception:
            # A window that was stepped in part must not be scored.
            self._window.restart(INTERNAL_ERROR)
            raise
        inference_s = time.perf_counter() - stepping
        self._budget.update(inference_s)
        if not self._window.is_full:
            self.counters.stored += 1
            return FrameResult(FrameStatus.STORED, frame.stamp_ns)
        self.counters.scored += 1
        self.counters.clamped_lead_times += points.clamped
        ood_score = self._ood_score(result)
        uncertainties = inflate_uncertainty(result.uncertainties, ood_score)
        listed = len(points.encoded)
        return FrameResult(FrameStatus.SCORED, frame.stamp_ns, prediction=Prediction(
            stamp_ns=frame.stamp_ns, frame_id=frame.frame_id, score=float(result.scores[0]),
            uncertainty=float(uncertainties[0]), default_point=points.default_point,
            default_orientation=points.default_orientation, candidates_stamp_ns=points.stamp_ns,
            points=points.positions, orientations=points.orientations, pixels=points.pixels,
            scores=points.spread(result.scores[:listed]),
            uncertainties=points.spread(uncertainties[:listed]),
            reasons=points.reasons,
            motion_features=result.motion_features, size=fitted.size, source=fitted.source,
            missing_in_window=self._window.missing, decode_s=decode_s,
            inference_s=inference_s, ood_score=ood_score, watched=None if watched is None else
            grasps.spread(result.scores, uncertainties),
            lead_times=None if points.lead_times is None else points.lead_times[1:],
            lead_time=float('nan') if points.lead_times is None else float(points.lead_times[0]),
            clamped_lead_times=points.clamped))

    def _ood_score(self, result: Scores) -> float:
        known = self.engine.distribution
        return float('nan') if known is None else float(known.of_features(
            result.appearance[None])[0])


def _check_inputs(engine: Engine) -> None:
    """Refuse a model that needs inputs that no frame has."""
    missing = sorted(set(engine.model.inputs) - {'rgb', 'interval'})
    if missing:
        raise ConfigError(f'model {engine.config.model!r} needs the inputs {missing}: expected '
                          "one that needs 'rgb' and 'interval' alone, all that a stream of frames "
                          'has')
