"""The diagnostics of grasp_predictor: what is collected for one message a second."""

from collections import Counter, deque
from dataclasses import dataclass, field
import math
import time
from typing import Any

from moss_perception.core.scores import none_scored, Prediction, ScoreReason
from moss_perception.ros.predictor.judge import Health, judge
from moss_perception.ros.predictor.parameters import PredictorParameters
from moss_perception.runtime.ood import ShiftWatch
from moss_perception.runtime.predictor import Counters, Predictor
import numpy as np

FAILURE_SHOWN_S = 5.0
# What goes on for so long is no accident, seconds.
LATELY_S = 5.0


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
    _none_scored: str = ''
    _one_scored: bool = False
    _durations: dict[str, Rolling] = field(
        default_factory=lambda: {name: Rolling() for name in ('decode', 'inference', 'age')})
    _before: Counters = field(default_factory=Counters)
    _reported_s: float = field(default_factory=time.monotonic)
    _lately: deque[tuple[float, Counters]] = field(default_factory=deque)

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
        self._none_scored = none_scored(prediction.reasons)
        self._one_scored |= bool((prediction.reasons == ScoreReason.SCORED).any())
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
        self._none_scored, self._one_scored = '', False
        self._lately.clear()
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
        self._lately.append((now_s, now))
        while now_s - self._lately[0][0] > LATELY_S:
            self._lately.popleft()
        none, self._one_scored = '' if self._one_scored else self._none_scored, False
        failed_s, failure = self._failure or (-math.inf, '')
        health = Health(
            topic=topic, fill=predictor.fill, window=predictor.config.window_frames,
            since_frame_s=None if self._last_frame_s is None else now_s - self._last_frame_s,
            enabled=enabled, problem=problem, last_refusal=self.last_refusal,
            failure=failure if now_s - failed_s < FAILURE_SHOWN_S else '',
            ood_score=self.out_score, none_scored=none, candidates_s=self._candidates_s(),
            lately=self._lately[0][1])
        rates = {'rate_hz': (now.frames - before.frames) / elapsed_s,
                 'score_rate_hz': (now.scored - before.scored) / elapsed_s}
        return *judge(health, before, now, elapsed_s), rates | self._values(predictor, threshold)

    def _candidates_s(self) -> float:
        """Return how much older the candidates are than the image, seconds; 0 for none."""
        last = self._last
        return 0.0 if last is None or not len(last.points) else (
            last.stamp_ns - last.candidates_stamp_ns) / 1e9

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
