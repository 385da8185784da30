"""Play attempts one after another on one clock, as a robot would record them."""

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
import logging
import math
from typing import Any, Optional, TYPE_CHECKING, Union

from moss_perception.core.errors import ConfigError, SceneError
from moss_perception.core.parallel import in_order, is_shared, PROCESSES
from moss_perception.simulation.attempt import candidates, sample_offsets
from moss_perception.simulation.cell import WorkCell
from moss_perception.simulation.cells import TICK_NS, TICK_S
from moss_perception.simulation.execution import Execution, GraspResult
from moss_perception.simulation.renderer import process_renderer, Renderer
from moss_perception.simulation.scene import BELT_SIM, DECISION_S, FRAME_RATE_HZ, SceneSpec, Source
from moss_perception.simulation.sensor import frame_times
import numpy as np
from tqdm import tqdm

if TYPE_CHECKING:
    from moss_perception.data.bags.writer import RecordingWriter

CLOCK_START_NS = 1_700_000_000 * 10**9
# Longer than a second, so that the window of a predictor is reset between attempts.
PAUSE_NS = 1_200_000_000
_LOG = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class _Played:
    """
    An attempt that starts at time 0.

    :ivar messages: name of a method of :class:`RecordingWriter`, its values, and its named values.
    """

    success: bool
    end_ns: int
    messages: list[tuple[str, tuple, dict[str, Any]]]

    def replay(self, sink: 'RecordingWriter', start_ns: int) -> None:
        """Send the messages to a sink, shifted to an attempt that starts at ``start_ns``."""
        for name, values, fields in self.messages:
            if name == 'outcome':
                fields = {key: value + start_ns if key.endswith('_ns') else value
                          for key, value in fields.items()}
            else:
                values = (values[0] + start_ns, *values[1:])
            getattr(sink, name)(*values, **fields)


def record(sink: 'RecordingWriter', renderer: Optional[Renderer], attempts: int, seed: int,
           source: Source = BELT_SIM, rate_hz: float = FRAME_RATE_HZ, progress: bool = True,
           workers: int = 1, executor: str = PROCESSES) -> Recorded:
    """
    Play the scenes ``seed`` to ``seed + attempts - 1`` into a recording.

    The recording does not depend on the number of workers.

    :param sink: receives the messages in the order of their stamps.
    :param renderer: used if this process does the work; others create their own.
    :param attempts: number of attempts, at least 1.
    :param seed: seed of the first scene, at least 0.
    :param source: what scenes are drawn from.
    :param rate_hz: frame rate, 10 to 100 Hz.
    :param workers: number of processes, at least 1.
    :param executor: one of :data:`moss_perception.core.parallel.EXECUTORS`.
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
    play = partial(_play, seed=seed, source=source, rate_hz=rate_hz)
    with closing(_in_order(play, items, renderer, workers, executor)) as coming:
        for played in tqdm(coming, total=attempts, unit='attempt', disable=not progress):
            if isinstance(played, SceneError):
                _LOG.warning('left out: %s', played)
                done.skipped[played.reason] += 1
                continue
            played.replay(sink, start_ns)
            start_ns += played.end_ns + PAUSE_NS
            done.attempts += 1
            done.successes += played.success
    return done


def _in_order(play: Callable[..., Union[_Played, SceneError]], items: list[tuple[int, bool]],
              renderer: Optional[Renderer], workers: int,
              executor: str) -> Generator[Union[_Played, SceneError], None, None]:
    """Play attempts here or in several processes, and yield them in order."""
    if not is_shared(workers, executor):
        yield from (play(item, renderer=renderer) for item in items)
        return
    with closing(in_order(play, items, workers, lambda item: f'attempt {item[0] + 1}',
                          executor)) as coming:
        yield from coming


def _play(item: tuple[int, bool], seed: int, source: Source, rate_hz: float,
          renderer: Optional[Renderer] = None) -> Union[_Played, SceneError]:
    """Play one attempt, of which ``item`` has the index and whether a success is wanted."""
    index, success_wanted = item
    try:
        attempt = _RecordedAttempt(renderer or process_renderer(), source.sample(seed + index),
                                   rate_hz)
        return attempt.play(index + 1, success_wanted)
    except SceneError as error:
        return error


class _RecordedAttempt:
    """One attempt on a clock that starts at 0."""

    def __init__(self, renderer: Renderer, spec: SceneSpec, rate_hz: float):
        self._renderer, self._spec, self._rate_hz = renderer, spec, rate_hz
        self._messages: list[tuple[str, tuple, dict[str, Any]]] = []
        self._cell = WorkCell(spec)

    @property
    def _now_ns(self) -> int:
        return self._cell.ticks * TICK_NS

    def play(self, number: int, success_wanted: bool) -> _Played:
        """Play the attempt with a grasp of the requested outcome, if there is one."""
        spec, cell = self._spec, self._cell
        offsets = sample_offsets(spec.seed, cell=spec.cell)
        # The last frame shows the decision at every rate.
        periods = round(DECISION_S * self._rate_hz)
        grasps = listed = np.empty((0, 4))
        for time_s in self._times(periods + 1, periods / DECISION_S):
            cell.wait(time_s)
            grasps = candidates(cell, offsets)
            listed = spec.mount.grasps_to_optical(grasps)
            self._frame(listed)
        decision_ns = self._now_ns
        chosen = self._choose(grasps, success_wanted)
        self._tell('selected', decision_ns, listed[chosen])
        result = self._execute(grasps[chosen])
        self._tell(
            'outcome', result.reason, attempt=number, start_ns=0, decision_ns=decision_ns,
            end_ns=self._now_ns, success=result.success, domain=spec.domain.name,
            motion=spec.motion.name, object=spec.object.shape, executed=True, candidate=chosen)
        return _Played(result.success, self._now_ns, self._messages)

    def _times(self, count: int, rate_hz: float) -> np.ndarray:
        """Return the times of the frames that arrive; the first and the last are on time."""
        return frame_times(self._spec.seed, self._spec.sensor, count, rate_hz)

    def _choose(self, grasps: np.ndarray, success_wanted: bool) -> int:
        saved, chosen = self._cell.save(), 0
        for chosen in np.random.default_rng([self._spec.seed, 5]).permutation(len(grasps)):
            self._cell.restore(saved)
            if self._begin(grasps[chosen]).run().success == success_wanted:
                break
        self._cell.restore(saved)
        return int(chosen)

    def _begin(self, grasp: np.ndarray) -> Execution:
        return Execution(self._cell, grasp, self._spec.physics.latency_s)

    def _execute(self, grasp: np.ndarray) -> GraspResult:
        decision, execution = self._cell.ticks, self._begin(grasp)
        duration_s = self._spec.cell.gripper.duration_s + self._spec.physics.latency_s
        times = self._times(math.floor(duration_s * self._rate_hz + 1e-6) + 1, self._rate_hz)
        due = set(decision + np.round(times[1:] / TICK_S).astype(int))
        # One empty list announces that the candidates are no longer valid.
        listed = np.empty((0, 4))
        while execution.result is None:
            execution.tick()
            if self._cell.ticks in due:
                self._frame(listed)
                listed = None
        return execution.result

    def _frame(self, listed: Optional[np.ndarray]):
        stamp_ns = self._now_ns
        self._tell('camera_info', stamp_ns, *self._spec.lens.size, self._spec.lens.matrix)
        if listed is not None:
            self._tell('candidates', stamp_ns, listed)
            if len(listed):
                lead_time_s = (self._spec.physics.latency_s
                               + self._spec.cell.gripper.grip_s)
                self._tell('lead_times', stamp_ns, np.full(len(listed), lead_time_s))
        self._tell('image', stamp_ns, self._renderer.render_jpeg(self._cell))

    def _tell(self, name: str, *values: Any, **fields: Any):
        self._messages.append((name, values, fields))
