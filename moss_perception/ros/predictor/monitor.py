"""Collects what the diagnostics of grasp_predictor report."""

from collections import Counter
from dataclasses import dataclass, field
import math
import time
from typing import Any

from moss_perception.core.scores import Prediction, ScoreReason
from moss_perception.ros.common.diagnostics import DiagnosticsSample, Health, judge, Rolling
from moss_perception.runtime.ood import ShiftWatch
from moss_perception.runtime.predictor import Predictor
import numpy as np

FAILURE_SHOWN_S = 5.0


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
    _before: DiagnosticsSample = field(default_factory=lambda: DiagnosticsSample(time.monotonic()))

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
        now_s, counters = time.monotonic(), predictor.counters
        now = DiagnosticsSample(now_s, counters.frames, counters.scored, counters.dropped,
                   Counter(counters.refused))
        before, self._before = self._before, now
        failed_s, failure = self._failure or (-math.inf, '')
        health = Health(
            topic=topic, fill=predictor.fill, window=predictor.config.window_frames,
            since_frame_s=None if self._last_frame_s is None else now_s - self._last_frame_s,
            enabled=enabled, problem=problem, last_refusal=self.last_refusal,
            failure=failure if now_s - failed_s < FAILURE_SHOWN_S else '',
            ood_score=self._shift.median if self._shift.out else None)
        elapsed_s = max(now.time_s - before.time_s, 1e-3)
        rates = {'rate_hz': (now.frames - before.frames) / elapsed_s,
                 'score_rate_hz': (now.scored - before.scored) / elapsed_s}
        return *judge(health, before, now), rates | self._values(predictor, threshold)

    def _values(self, predictor: Predictor, threshold: float) -> dict[str, Any]:
        counters = predictor.counters
        values: dict[str, Any] = {
            'window_fill': f'{predictor.fill}/{predictor.config.window_frames}'}
        for name, rolling in self._durations.items():
            values |= {f'{name}_p{p}_ms': rolling.percentile_ms(p) for p in (50, 95)}
        for name in ('frames', 'scored', 'stored', 'skipped', 'dropped', 'missing'):
            values[name] = getattr(counters, name)
        values['refused'] = sum(counters.refused.values())
        if self.last_refusal:
            values['last_refusal'] = self.last_refusal
        values |= {f'refused/{reason}': n for reason, n in sorted(counters.refused.items())}
        values |= {f'resets/{reason}': n for reason, n in sorted(counters.resets.items())}
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
