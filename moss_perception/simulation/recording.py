"""Attempts played one after another on one clock, as a robot's recorder would see them."""

from collections import Counter
from dataclasses import dataclass, field
import logging
import math
from typing import Protocol

from moss_perception.errors import ConfigError, SceneError
from moss_perception.simulation.attempt import candidates, sample_offsets
from moss_perception.simulation.camera import HEIGHT, WIDTH
from moss_perception.simulation.cell import TICK_S, WorkCell
from moss_perception.simulation.execution import Execution, Outcome
from moss_perception.simulation.phases import DURATION_S
from moss_perception.simulation.renderer import Renderer
from moss_perception.simulation.scene import DECISION_S, FRAME_RATE_HZ, SceneSpec
from moss_perception.simulation.sensor import encode, schedule
from moss_perception.simulation.source import BELT_SIM, Source
import numpy as np
from tqdm import tqdm

CLOCK_START_NS = 1_700_000_000 * 10**9
# Longer than a second, so that a predictor's window starts anew with each attempt.
PAUSE_NS = 1_200_000_000
_TICK_NS = round(TICK_S * 1e9)
_LOG = logging.getLogger(__name__)


class Sink(Protocol):
    """Where a recording goes; stamps in nanoseconds, grasps in the optical frame."""

    def camera_info(self, stamp_ns: int, width: int, height: int, matrix: np.ndarray):
        """Take the camera's calibration."""

    def candidates(self, stamp_ns: int, grasps: np.ndarray):
        """Take the candidates of a frame, shape ``(K, 4)``."""

    def image(self, stamp_ns: int, jpeg: bytes):
        """Take a frame."""

    def selected(self, stamp_ns: int, grasp: np.ndarray):
        """Take the grasp that is executed, shape ``(4,)``."""

    def outcome(self, message: str, **fields):
        """Take how the attempt ended."""


@dataclass
class Recorded:
    """
    What a recording holds.

    :ivar attempts: that came to their end, and ``successes`` among them.
    :ivar skipped: scenes that could not be used, by reason.
    """

    attempts: int = 0
    successes: int = 0
    skipped: Counter = field(default_factory=Counter)


def record(sink: Sink, renderer: Renderer, attempts: int, seed: int, source: Source = BELT_SIM,
           rate_hz: float = FRAME_RATE_HZ, progress: bool = True) -> Recorded:
    """
    Play the scenes ``seed`` to ``seed + attempts - 1`` into a recording.

    :param sink: takes the messages in the order of their stamps.
    :param attempts: how many, at least 1.
    :param seed: of the first scene, at least 0.
    :param source: what scenes are drawn from.
    :param rate_hz: of the frames, 10 to 100.
    :raises ConfigError: if an argument is out of range.
    """
    if attempts < 1:
        raise ConfigError(f'attempts must be at least 1, got {attempts}')
    if not FRAME_RATE_HZ <= rate_hz <= 1 / TICK_S:
        raise ConfigError(f'rate must be {FRAME_RATE_HZ} to {1 / TICK_S:g} frames a second, got '
                          f'{rate_hz}')
    wishes = np.random.default_rng([seed, 4]).permutation(np.arange(attempts) % 2 == 0)
    start_ns, done = CLOCK_START_NS, Recorded()
    for index in tqdm(range(attempts), unit='attempt', disable=not progress):
        try:
            attempt = _Attempt(sink, renderer, source.sample(seed + index), start_ns, rate_hz)
            start_ns += PAUSE_NS
            success = attempt.play(index + 1, bool(wishes[index]))
        except SceneError as error:
            _LOG.warning('left out: %s', error)
            done.skipped[error.reason] += 1
        else:
            start_ns = attempt.now_ns + PAUSE_NS
            done.attempts += 1
            done.successes += success
    return done


class _Attempt:
    def __init__(self, sink: Sink, renderer: Renderer, spec: SceneSpec, start_ns: int,
                 rate_hz: float):
        self._sink = sink
        self._renderer = renderer
        self._spec = spec
        self._start_ns = start_ns
        self._rate_hz = rate_hz
        self._cell = WorkCell(spec)

    @property
    def now_ns(self) -> int:
        return self._start_ns + self._cell.ticks * _TICK_NS

    def play(self, number: int, wish: bool) -> bool:
        """Play the attempt with a grasp that comes out as wished for, if there is one."""
        offsets = sample_offsets(self._spec.seed, cell=self._spec.cell)
        # The last frame is the decision's, whatever the rate.
        periods = round(DECISION_S * self._rate_hz)
        for time_s in self._times(periods + 1, periods / DECISION_S):
            self._cell.wait(time_s)
            grasps = candidates(self._cell, offsets)
            listed = self._spec.mount.grasps_to_optical(grasps)
            self._frame(listed)
        decision_ns = self.now_ns
        chosen = self._choose(grasps, wish)
        self._sink.selected(decision_ns, listed[chosen])
        outcome = self._execute(grasps[chosen])
        self._sink.outcome(
            outcome.reason, attempt=number, start_ns=self._start_ns, decision_ns=decision_ns,
            end_ns=self.now_ns, success=outcome.success, domain=self._spec.domain.name,
            motion=self._spec.motion.name, object=self._spec.object.shape)
        return outcome.success

    def _times(self, count: int, rate_hz: float) -> np.ndarray:
        """Return when the frames that arrive are taken; the first and the last are on time."""
        plan = schedule(self._spec.seed, self._spec.sensor, count, rate_hz, TICK_S)
        return plan.times_s[plan.arrives]

    def _choose(self, grasps: np.ndarray, wish: bool) -> int:
        saved = self._cell.save()
        order = np.random.default_rng([self._spec.seed, 5]).permutation(len(grasps))
        for index in order:
            self._cell.restore(saved)
            if self._begin(grasps[index]).run().success == wish:
                break
        self._cell.restore(saved)
        return int(index)

    def _begin(self, grasp: np.ndarray) -> Execution:
        return Execution(self._cell, grasp, self._spec.physics.latency_s)

    def _execute(self, grasp: np.ndarray) -> Outcome:
        decision, execution = self._cell.ticks, self._begin(grasp)
        duration_s = DURATION_S + self._spec.physics.latency_s
        times = self._times(math.floor(duration_s * self._rate_hz + 1e-6) + 1, self._rate_hz)
        due = set(decision + np.round(times[1:] / TICK_S).astype(int))
        listed = np.empty((0, 4))
        while execution.outcome is None:
            execution.tick()
            if self._cell.ticks in due:
                self._frame(listed)
                listed = None
        return execution.outcome

    def _frame(self, listed):
        stamp_ns = self.now_ns
        image = self._renderer.render(self._cell)
        self._sink.camera_info(stamp_ns, WIDTH, HEIGHT, self._spec.lens.matrix)
        if listed is not None:
            self._sink.candidates(stamp_ns, listed)
        self._sink.image(stamp_ns, encode(image, self._spec.domain.jpeg_quality))
