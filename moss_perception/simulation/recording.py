"""Play attempts one after another on one clock, as a robot would record them."""

from collections import Counter
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
import logging
import math
import os
from typing import Any, Optional, Protocol, Union

from moss_perception.core.errors import ConfigError, SceneError
from moss_perception.core.parallel import in_order
from moss_perception.data.schema import DURATION_S
from moss_perception.simulation.attempt import candidates, sample_offsets
from moss_perception.simulation.camera import HEIGHT, WIDTH
from moss_perception.simulation.cell import TICK_S, WorkCell
from moss_perception.simulation.execution import Execution, Outcome
from moss_perception.simulation.renderer import Renderer
from moss_perception.simulation.scene import BELT_SIM, DECISION_S, FRAME_RATE_HZ, SceneSpec, Source
from moss_perception.simulation.sensor import encode, schedule
import numpy as np
from tqdm import tqdm

CLOCK_START_NS = 1_700_000_000 * 10**9
# Longer than a second, so that the window of a predictor is reset between attempts.
PAUSE_NS = 1_200_000_000
_TICK_NS = round(TICK_S * 1e9)
_LOG = logging.getLogger(__name__)
_renderer = None


class Sink(Protocol):
    """Receives a recording; stamps in nanoseconds, grasps in the optical frame."""

    def camera_info(self, stamp_ns: int, width: int, height: int, matrix: np.ndarray):
        """Receive the calibration of the camera."""

    def candidates(self, stamp_ns: int, grasps: np.ndarray):
        """Receive the candidates of a frame, shape ``(K, 4)``."""

    def image(self, stamp_ns: int, jpeg: bytes):
        """Receive a frame."""

    def selected(self, stamp_ns: int, grasp: np.ndarray):
        """Receive the grasp that is executed, shape ``(4,)``."""

    def outcome(self, message: str, **fields):
        """Receive the outcome of the attempt."""


@dataclass
class Recorded:
    """
    Contents of a recording.

    :ivar attempts: number of attempts, and ``successes`` among them.
    :ivar skipped: number of scenes that could not be used, by reason.
    """

    attempts: int = 0
    successes: int = 0
    skipped: Counter = field(default_factory=Counter)


class _Tape:
    """Buffers the messages of an attempt that starts at time 0."""

    def __init__(self):
        self.success = False
        self.end_ns = 0
        self._messages: list[tuple[str, tuple, dict[str, Any]]] = []

    def camera_info(self, stamp_ns: int, width: int, height: int, matrix: np.ndarray):
        self._messages.append(('camera_info', (stamp_ns, width, height, matrix), {}))

    def candidates(self, stamp_ns: int, grasps: np.ndarray):
        self._messages.append(('candidates', (stamp_ns, grasps), {}))

    def image(self, stamp_ns: int, jpeg: bytes):
        self._messages.append(('image', (stamp_ns, jpeg), {}))

    def selected(self, stamp_ns: int, grasp: np.ndarray):
        self._messages.append(('selected', (stamp_ns, grasp), {}))

    def outcome(self, message: str, **fields):
        self._messages.append(('outcome', (message,), fields))

    def replay(self, sink: Sink, start_ns: int) -> None:
        """Send the messages to a sink, shifted to an attempt that starts at ``start_ns``."""
        for name, values, fields in self._messages:
            if name == 'outcome':
                fields = {key: value + start_ns if key.endswith('_ns') else value
                          for key, value in fields.items()}
            else:
                values = (values[0] + start_ns, *values[1:])
            getattr(sink, name)(*values, **fields)


def record(sink: Sink, renderer: Optional[Renderer], attempts: int, seed: int,
           source: Source = BELT_SIM, rate_hz: float = FRAME_RATE_HZ, progress: bool = True,
           workers: int = 1) -> Recorded:
    """
    Play the scenes ``seed`` to ``seed + attempts - 1`` into a recording.

    The recording does not depend on the number of workers.

    :param sink: receives the messages in the order of their stamps.
    :param renderer: used if there is one worker, which is this process; others create their own.
    :param attempts: number of attempts, at least 1.
    :param seed: seed of the first scene, at least 0.
    :param source: what scenes are drawn from.
    :param rate_hz: frame rate, 10 to 100 Hz.
    :param workers: number of processes, at least 1.
    :raises ConfigError: if an argument is out of range.
    """
    for name, value in (('attempts', attempts), ('workers', workers)):
        if value < 1:
            raise ConfigError(f'{name} must be at least 1, got {value}')
    if not FRAME_RATE_HZ <= rate_hz <= 1 / TICK_S:
        raise ConfigError(f'rate must be {FRAME_RATE_HZ} to {1 / TICK_S:g} frames a second, got '
                          f'{rate_hz}')
    requested = np.random.default_rng([seed, 4]).permutation(np.arange(attempts) % 2 == 0)
    items = [(index, bool(success_wanted)) for index, success_wanted in enumerate(requested)]
    start_ns, done = CLOCK_START_NS, Recorded()
    with closing(_played(items, renderer, workers, seed=seed, source=source,
                         rate_hz=rate_hz)) as coming:
        for tape in tqdm(coming, total=attempts, unit='attempt', disable=not progress):
            if isinstance(tape, SceneError):
                _LOG.warning('left out: %s', tape)
                done.skipped[tape.reason] += 1
                continue
            tape.replay(sink, start_ns)
            start_ns += tape.end_ns + PAUSE_NS
            done.attempts += 1
            done.successes += tape.success
    return done


def _played(items: list[tuple[int, bool]], renderer: Optional[Renderer], workers: int,
            **asked: Any) -> Generator[Union[_Tape, SceneError], None, None]:
    """Play attempts here or in several processes, and yield them in order."""
    if workers == 1:
        yield from (_play(item, renderer=renderer, **asked) for item in items)
        return
    # One rendering thread a worker is faster than all cores for each worker.
    os.environ.setdefault('LP_NUM_THREADS', '1')
    with closing(in_order(partial(_play, **asked), items, workers,
                          lambda item: f'attempt {item[0] + 1}')) as coming:
        yield from coming


def _play(item: tuple[int, bool], seed: int, source: Source, rate_hz: float,
          renderer: Optional[Renderer] = None) -> Union[_Tape, SceneError]:
    """Play one attempt; a worker without a renderer creates one and keeps it."""
    global _renderer
    if renderer is None:
        renderer = _renderer = _renderer or Renderer()
    (index, success_wanted), tape = item, _Tape()
    try:
        attempt = _Attempt(tape, renderer, source.sample(seed + index), rate_hz)
        tape.success = attempt.play(index + 1, success_wanted)
    except SceneError as error:
        return error
    tape.end_ns = attempt.now_ns
    return tape


class _Attempt:
    """One attempt on a clock that starts at 0."""

    def __init__(self, sink: Sink, renderer: Renderer, spec: SceneSpec, rate_hz: float):
        self._sink = sink
        self._renderer = renderer
        self._spec = spec
        self._rate_hz = rate_hz
        self._cell = WorkCell(spec)

    @property
    def now_ns(self) -> int:
        return self._cell.ticks * _TICK_NS

    def play(self, number: int, success_wanted: bool) -> bool:
        """Play the attempt with a grasp of the requested outcome, if there is one."""
        offsets = sample_offsets(self._spec.seed, cell=self._spec.cell)
        # The last frame shows the decision at every rate.
        periods = round(DECISION_S * self._rate_hz)
        grasps = listed = np.empty((0, 4))
        for time_s in self._times(periods + 1, periods / DECISION_S):
            self._cell.wait(time_s)
            grasps = candidates(self._cell, offsets)
            listed = self._spec.mount.grasps_to_optical(grasps)
            self._frame(listed)
        decision_ns = self.now_ns
        chosen = self._choose(grasps, success_wanted)
        self._sink.selected(decision_ns, listed[chosen])
        outcome = self._execute(grasps[chosen])
        self._sink.outcome(
            outcome.reason, attempt=number, start_ns=0, decision_ns=decision_ns,
            end_ns=self.now_ns, success=outcome.success, domain=self._spec.domain.name,
            motion=self._spec.motion.name, object=self._spec.object.shape, executed=True,
            candidate=chosen)
        return outcome.success

    def _times(self, count: int, rate_hz: float) -> np.ndarray:
        """Return the times of the frames that arrive; the first and the last are on time."""
        plan = schedule(self._spec.seed, self._spec.sensor, count, rate_hz, TICK_S)
        return plan.times_s[plan.arrives]

    def _choose(self, grasps: np.ndarray, success_wanted: bool) -> int:
        saved = self._cell.save()
        order = np.random.default_rng([self._spec.seed, 5]).permutation(len(grasps))
        chosen = 0
        for chosen in order:
            self._cell.restore(saved)
            if self._begin(grasps[chosen]).run().success == success_wanted:
                break
        self._cell.restore(saved)
        return int(chosen)

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
