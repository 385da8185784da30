"""The diagnostics of grasp_predictor: one level and message, and values, once a second."""

from collections import Counter, deque
from dataclasses import dataclass, field
import math
import time
from typing import Any

from moss_perception.core.codes import coded
from moss_perception.core.scores import Prediction, ScoreReason
from moss_perception.ros.common.conversions import ERROR, OK, STALE, WARN
from moss_perception.ros.predictor.parameters import PredictorParameters
from moss_perception.runtime.frame_status import INTERNAL_ERROR, repeats
from moss_perception.runtime.ood import ShiftWatch
from moss_perception.runtime.predictor import Counters, Predictor
import numpy as np

PAUSED = 'paused by ~/enable'
FAILURE_SHOWN_S = 5.0
# Without an image for so long, the results are stale.
STALE_S = 2.0
# Resets that somebody asked for.
_WANTED = ('activated', 'enabled', 'requested')


class Rolling:
    """
    Percentiles of the newest durations.

    :param size: number of durations that are kept.
    """

    def __init__(self, size: int = 200):
        self._values: deque[float] = deque(maxlen=size)

    def add(self, seconds: float) -> None:
        """Take one duration."""
        self._values.append(seconds)

    def clear(self) -> None:
        """Forget all durations."""
        self._values.clear()

    def percentile_ms(self, percent: float) -> float:
        """
        Return a percentile.

        :param percent: 0 to 100.
        :returns: milliseconds; NaN without durations.
        """
        values = list(self._values)
        return float(np.percentile(values, percent)) * 1e3 if values else float('nan')


@dataclass(frozen=True)
class Health:
    """
    The state of an active node.

    :ivar topic: the image topic.
    :ivar since_frame_s: seconds since the last image; ``None`` before the first.
    :ivar fill: samples in the window.
    :ivar window: samples of a full window.
    :ivar enabled: whether ``~/enable`` lets images through.
    :ivar problem: a QoS or type mismatch, or a hint where to look for images; or empty.
    :ivar last_refusal: the last refused frame, in words.
    :ivar failure: the last unexpected exception, while it is recent; or empty.
    :ivar ood_score: the median OOD score of the newest samples, while they are out of
        distribution; else ``None``.
    """

    topic: str
    since_frame_s: float | None
    fill: int
    window: int
    enabled: bool
    problem: str = ''
    last_refusal: str = ''
    failure: str = ''
    ood_score: float | None = None


def judge(health: Health, before: Counters, now: Counters, elapsed_s: float) -> tuple[bytes, str]:
    """
    Reduce the state of an active node to one level and one message.

    :param health: the state.
    :param before: counters at the message before.
    :param now: counters at present.
    :param elapsed_s: seconds between them.
    :returns: level and message.
    """
    frames, dropped = now.frames - before.frames, now.dropped - before.dropped
    refused = sum((now.refused - before.refused).values())
    if health.failure:
        return ERROR, coded(INTERNAL_ERROR, f'internal error: {health.failure}')
    if not health.enabled:
        return OK, PAUSED
    if health.since_frame_s is None:
        return WARN, coded('no_frames', f'no frames yet on {health.topic}: '
                           f'{health.problem or "nothing publishes it"}')
    if health.since_frame_s > STALE_S:
        return STALE, coded(
            'camera_stopped', f'no frame on {health.topic} for {health.since_frame_s:.1f} s')
    if refused:
        return WARN, f'refused {refused} of {frames} frames, last {health.last_refusal}'
    if dropped:
        return WARN, coded('overloaded', f'overloaded: dropped {dropped} of {frames} frames')
    if problem := health.problem or coded('nothing_scored', resets(before, now)) or repeats(
            now.missing - before.missing,
            now.scored + now.stored - before.scored - before.stored):
        return WARN, coded('repeated_samples', problem)
    if health.ood_score is not None:
        return WARN, coded('out_of_distribution', unfamiliar(health.ood_score))
    if health.fill < health.window:
        return OK, f'window filling: {health.fill} of {health.window} samples'
    return OK, f'running: {(now.scored - before.scored) / elapsed_s:.1f} scores a second'


def resets(before: Counters, now: Counters) -> str:
    """Say that the window was reset and nothing scored since; empty otherwise."""
    counted = {reason: times for reason, times in (now.resets - before.resets).items()
               if reason not in _WANTED}
    if not counted or now.scored > before.scored:
        return ''
    reasons = ', '.join(f'{reason} {times}' for reason, times in sorted(counted.items()))
    return (f'the window was reset {sum(counted.values())} times ({reasons}) and nothing was '
            'scored: expected images of one camera, of one size, with increasing stamps')


def unfamiliar(ood_score: float) -> str:
    """Say that a stream is out of distribution."""
    return (f'out of distribution: OOD score {ood_score:.2f}, expected at most 1; do not trust '
            'the scores for what the camera shows')


@dataclass
class Monitor:
    """
    Collects durations and events between two diagnostics messages.

    :ivar failures: unexpected exceptions so far.
    :ivar candidates_refused: candidate messages that could not be used.
    :ivar last_refusal: the last refused frame, in words.
    """

    failures: int = 0
    candidates_refused: int = 0
    last_refusal: str = ''
    _failure: tuple[float, str] | None = None
    _last_frame_s: float | None = None
    _last: Prediction | None = None
    _shift: ShiftWatch = field(default_factory=ShiftWatch)
    _has_candidates: bool = False
    _unscored: Counter = field(default_factory=Counter)
    _durations: dict[str, Rolling] = field(
        default_factory=lambda: {name: Rolling() for name in ('decode', 'inference', 'age')})
    _before: Counters = field(default_factory=Counters)
    _reported_s: float = field(default_factory=time.monotonic)

    def frame(self) -> None:
        """Record that an image was received."""
        self._last_frame_s = time.monotonic()

    def failure(self, error: Exception) -> None:
        """Record an unexpected exception."""
        self.failures += 1
        self._failure = (time.monotonic(), f'{type(error).__name__}: {error}')

    def prediction(self, prediction: Prediction, age_s: float | None) -> None:
        """
        Record a published prediction.

        :param prediction: the newest.
        :param age_s: seconds from its stamp to now; ``None`` if the clock is not known.
        """
        self._last = prediction
        self._has_candidates |= len(prediction.points) > 0
        self._unscored.update(prediction.reasons[prediction.reasons > 0].tolist())
        # Between decisions the gripper is in the image, but nothing uses the scores. If a
        # planner sends candidates, only images during its choice count.
        if len(prediction.points) or not self._has_candidates:
            self._shift.add(prediction.ood_score)
        self._durations['decode'].add(prediction.decode_s)
        self._durations['inference'].add(prediction.inference_s)
        if age_s is not None:
            self._durations['age'].add(age_s)

    @property
    def out_score(self) -> float | None:
        """The median OOD score of the newest samples while out of distribution, else ``None``."""
        return self._shift.median if self._shift.out else None

    def restart(self) -> None:
        """Forget the stream so far; the counts stay."""
        self._last_frame_s = self._last = self._failure = None
        self._shift.clear()
        self._has_candidates = False
        for rolling in self._durations.values():
            rolling.clear()

    def report(self, predictor: Predictor, topic: str, enabled: bool, problem: str,
               threshold: float) -> tuple[bytes, str, dict[str, Any]]:
        """
        Report the time since the last report.

        :param predictor: its counters are read.
        :param topic: the image topic.
        :param enabled: whether ``~/enable`` lets images through.
        :param problem: why images cannot be received; or empty.
        :param threshold: lowest score that counts as good.
        :returns: level, message and values.
        """
        now_s, now, before = time.monotonic(), predictor.counters.copy(), self._before
        elapsed_s = max(now_s - self._reported_s, 1e-3)
        self._before, self._reported_s = now, now_s
        failed_s, failure = self._failure or (-math.inf, '')
        health = Health(
            topic=topic, fill=predictor.fill, window=predictor.config.window_frames,
            since_frame_s=None if self._last_frame_s is None else now_s - self._last_frame_s,
            enabled=enabled, problem=problem, last_refusal=self.last_refusal,
            failure=failure if now_s - failed_s < FAILURE_SHOWN_S else '',
            ood_score=self.out_score)
        rates = {'rate_hz': (now.frames - before.frames) / elapsed_s,
                 'score_rate_hz': (now.scored - before.scored) / elapsed_s}
        return *judge(health, before, now, elapsed_s), rates | self._values(predictor, threshold)

    def _values(self, predictor: Predictor, threshold: float) -> dict[str, Any]:
        counters = predictor.counters
        values: dict[str, Any] = {
            'window_fill': f'{predictor.fill}/{predictor.config.window_frames}'}
        for name, rolling in self._durations.items():
            values |= {f'{name}_p{p}_ms': rolling.percentile_ms(p) for p in (50, 95)}
        for name in ('frames', 'scored', 'stored', 'skipped', 'dropped', 'missing'):
            values[name] = getattr(counters, name)
        for name in ('clamped_lead_times', 'refused_lead_times'):
            values[name] = getattr(counters, name)
        values['refused'] = sum(counters.refused.values())
        if self.last_refusal:
            values['last_refusal'] = self.last_refusal
        values |= {f'refused/{reason}': n for reason, n in sorted(counters.refused.items())}
        values |= {f'resets/{reason}': n for reason, n in sorted(counters.resets.items())}
        values |= {f'doubtful/{look}': n for look, n in sorted(counters.doubtful.items())}
        values['candidates_refused'] = self.candidates_refused
        values |= {f'unscored/{ScoreReason(reason).name.lower()}': count
                   for reason, count in sorted(self._unscored.items())}
        values['failures'] = self.failures
        if self._last is not None:
            scores = self._last.scores if len(self._last.points) else [self._last.score]
            values['score'] = self._last.score
            values['ood_score'] = self._last.ood_score
            values['out_of_distribution'] = 'yes' if self._shift.out else 'no'
            values['good_grasps'] = int(np.sum(np.asarray(scores) >= threshold))
        return values


def configuration(predictor: Predictor, settings: PredictorParameters) -> dict[str, Any]:
    """Return the model, its budget and the engine, as the diagnostics report them."""
    engine, levels = predictor.engine, predictor.levels
    costs = {f'cost_ms/{name}': 1e3 * cost
             for name, cost in zip(levels, engine.costs, strict=False)}
    # With all digits, so that a replay can score at the same lead time.
    times = {'lead_time': repr(predictor.lead_time_s)} if predictor.config.time_inputs else {}
    return {'model': predictor.config.model, 'budget_level': levels[predictor.level - 1],
            'budget_target': levels[predictor.target_level - 1], **costs, 'engine': engine.name,
            'threads': settings.threads, 'device': settings.device, 'max_gap': settings.max_gap,
            # With these, who watches draws the candidates as the node does.
            'score_threshold': settings.score_threshold,
            'gripper_half_width': predictor.config.gripper_half_width_m,
            'model_sha256': engine.sha256, **times,
            **settings.setup.values}
