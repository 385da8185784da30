"""The work cell live: scenes pass under the camera, and a grasp selected in time is executed."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
import logging
import threading
import time
from typing import Protocol

from moss_perception.errors import ConfigError, SimulationError
from moss_perception.simulation.attempt import candidates, sample_offsets
from moss_perception.simulation.camera import camera_matrix
from moss_perception.simulation.cell import TICK_S, WorkCell
from moss_perception.simulation.cells import BELT, Cell
from moss_perception.simulation.domains import Domain
from moss_perception.simulation.execution import Execution, Outcome
from moss_perception.simulation.pace import Pace
from moss_perception.simulation.physics import mujoco
from moss_perception.simulation.renderer import Renderer
from moss_perception.simulation.scene import sample_scene, SceneSpec
from moss_perception.simulation.selection import Selected, Selections
import numpy as np

NONE_SELECTED = 'none selected'
# Scenes that fail one after another are no accident of a seed.
MAX_FAILURES = 3
_TICK_NS = round(TICK_S * 1e9)
_LOG = logging.getLogger(__name__)
_NOT_FINITE = (mujoco.mjtWarning.mjWARN_BADQPOS, mujoco.mjtWarning.mjWARN_BADQVEL,
               mujoco.mjtWarning.mjWARN_BADQACC)


class Feed(Protocol):
    """Where a live cell's messages go; called in the thread that runs it, in stamp order."""

    def clock(self, stamp_ns: int):
        """Take the simulated time."""

    def camera_info(self, stamp_ns: int, width: int, height: int, matrix: np.ndarray):
        """Take the camera's calibration."""

    def candidates(self, stamp_ns: int, grasps: np.ndarray):
        """Take the candidates of a frame, shape ``(K, 4)``, in the optical frame."""

    def image(self, stamp_ns: int, image: np.ndarray, jpeg_quality: int):
        """Take a frame, uint8, RGB, shape ``(H, W, 3)``."""

    def outcome(self, message: str, **fields):
        """Take how an attempt ended; ``fields`` are those of a recorded outcome."""


@dataclass(frozen=True)
class LiveConfig:
    """
    What a live cell shows, and for how long.

    :ivar domain: how scenes look.
    :ivar cell: what they are drawn from.
    :ivar motion: one of ``motions.MOTIONS``; empty for a mixture.
    :ivar seed: of the first scene; the next ones follow.
    :ivar attempts: how many scenes; 0 for no end.
    :ivar rate: frames a second, at most one a tick.
    :ivar real_time: whether to keep to the wall clock, or to go as fast as it can.
    :ivar timeout_s: how long a scene waits for a selected grasp, in its own time, seconds.
    :ivar pause_s: from the end of an attempt to the next scene, seconds.
    """

    domain: Domain
    cell: Cell = BELT
    motion: str = ''
    seed: int = 0
    attempts: int = 0
    rate: float = 30.0
    real_time: bool = True
    timeout_s: float = 4.0
    pause_s: float = 1.2

    def __post_init__(self):
        """
        Refuse what can't be run.

        :raises ConfigError: naming the setting, its value and what was expected.
        """
        for name, low, high in (('seed', 0, 2 ** 31 - 1), ('attempts', 0, 2 ** 31 - 1),
                                ('rate', 1, 1 / TICK_S), ('timeout_s', TICK_S, 60),
                                ('pause_s', 0, 60)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f'{name}={value!r} is not allowed: expected {low} to {high:g}')

    def scene(self, number: int) -> SceneSpec:
        """Draw the scene of an attempt, counted from 1."""
        more = {} if self.cell is BELT else {'cell': self.cell}
        return sample_scene(self.seed + number - 1, self.domain, self.motion, **more)


@dataclass
class Progress:
    """
    What a live cell has done so far; written by the thread that runs it.

    :ivar attempt: the present one's number, from 1; 0 before.
    :ivar phase: what it is at: ``starting``, ``waiting``, a phase of the execution, ``pausing``,
        ``ended``.
    :ivar frames: published so far.
    :ivar results: attempts by ``succeeded``, ``failed`` and ``none_selected``.
    :ivar skipped: scenes that could not be played to their end, by reason.
    """

    attempt: int = 0
    phase: str = 'starting'
    frames: int = 0
    results: Counter = field(default_factory=Counter)
    skipped: Counter = field(default_factory=Counter)

    def summary(self) -> str:
        """Return all of it as one line."""
        done, skipped = sum(self.results.values()), sum(self.skipped.values())
        line = (f'{done} attempt{"s" * (done != 1)}: {self.results["succeeded"]} succeeded, '
                f'{self.results["failed"]} failed, {self.results["none_selected"]} without a '
                'selected grasp')
        reasons = ', '.join(f'{n} {reason}' for reason, n in sorted(self.skipped.items()))
        return f'{line}; {skipped} skipped ({reasons})' if skipped else line


class LiveCell:
    """
    Plays scenes, in one thread, until they are over or :meth:`stop` is called.

    :param feed: takes what the cell says.
    :param config: what to play.
    :param selections: where grasps come from; any thread may offer them.
    :param now_ns: the time by the clock of the stamps, nanoseconds.
    :ivar progress: what it has done; others may read it at any time.
    :ivar pace: how it keeps to the wall clock; likewise.
    """

    def __init__(self, feed: Feed, config: LiveConfig, selections: Selections,
                 now_ns: Callable[[], int] = time.time_ns):
        self.config = config
        self.progress = Progress()
        self._stopped = threading.Event()
        self.pace = Pace(config.real_time, self._stopped)
        self._feed, self._selections, self._now_ns = feed, selections, now_ns

    @property
    def stopped(self) -> bool:
        """Whether it was told to stop."""
        return self._stopped.is_set()

    def stop(self):
        """End it soon, from any thread."""
        self._stopped.set()

    def run(self, renderer: Renderer):
        """
        Play.

        :param renderer: made in this thread.
        :raises SimulationError: if scenes fail one after another.
        """
        config, progress, failures = self.config, self.progress, 0
        now_ns = self._now_ns()
        for number in range(1, config.attempts + 1) if config.attempts else count(1):
            progress.attempt = number
            attempt = _Attempt(self, renderer, now_ns)
            try:
                attempt.play(config.scene(number), number)
                failures = 0
            except SimulationError as error:
                failures += 1
                progress.skipped[getattr(error, 'reason', 'physics')] += 1
                _LOG.error('attempt %d is skipped: %s', number, error)
                if failures == MAX_FAILURES:
                    raise SimulationError(f'{failures} scenes failed in a row: {error}') from error
            finally:
                self._selections.close()
            if self.stopped or number == config.attempts:
                break
            now_ns = attempt.now_ns + self._pause(attempt.now_ns)
        progress.phase = 'ended'

    def _pause(self, end_ns: int) -> int:
        """Let time pass after an attempt; return how much, nanoseconds."""
        self.progress.phase = 'pausing'
        pause_ns, step_ns = round(self.config.pause_s * 1e9), round(1e9 / self.config.rate)
        for passed_ns in range(step_ns, pause_ns, step_ns):
            if self.stopped:
                break
            self.pace.keep(end_ns + passed_ns)
            self._feed.clock(end_ns + passed_ns)
        return pause_ns


class _Attempt:
    def __init__(self, live: LiveCell, renderer: Renderer, start_ns: int):
        self._live, self._renderer, self._start_ns = live, renderer, start_ns
        self._feed, self._config = live._feed, live.config
        self._cell = None
        self._frames = 0

    @property
    def now_ns(self) -> int:
        """Return the simulated time as a stamp."""
        return self._start_ns + (self._cell.ticks * _TICK_NS if self._cell else 0)

    def play(self, spec: SceneSpec, number: int):
        """Play a scene until its grasp has ended, none came in time, or it is stopped."""
        self._begin(spec)
        selected = self._wait()
        outcome = None if selected is None else self._execute(selected)
        if self._live.stopped:
            return
        self._report(number, selected, outcome)

    def _begin(self, spec: SceneSpec):
        live = self._live
        self._cell = WorkCell(spec)
        self._offsets = sample_offsets(spec.seed, self._config.cell.candidates)
        # Rendered ahead of its time, since a scene's first picture takes the longest.
        image = self._render()
        live.pace.keep(self._start_ns)
        if self._config.real_time:
            self._start_ns = max(self._start_ns, live._now_ns())
        live.pace.begin(self._start_ns)
        live._selections.open(self._start_ns, spec.mount)
        live.progress.phase = 'waiting'
        self._publish(image, self._listed())

    def _wait(self) -> Selected | None:
        """Let the object pass until a grasp is selected, the time is over, or it is stopped."""
        while not self._live.stopped:
            selected = self._live._selections.take()
            if selected is not None:
                return selected
            if self._cell.time_s > self._config.timeout_s - TICK_S / 2:
                return None
            self._cell.wait(self._cell.time_s + TICK_S)
            self._passed(self._listed)
        return None

    def _execute(self, selected: Selected) -> Outcome | None:
        """Return how it ended; ``None`` if stopped before."""
        execution = Execution(self._cell, selected.grasp)
        # The candidates are void: an empty list says so, once.
        pending = [np.empty((0, 4))]
        while execution.outcome is None and not self._live.stopped:
            self._live.progress.phase = execution.phase
            execution.tick()
            self._passed(lambda: pending.pop() if pending else None)
        return execution.outcome

    def _passed(self, listed: Callable):
        """Show the tick that has passed, at its time."""
        self._check()
        is_frame = self._cell.ticks >= round(self._frames / self._config.rate / TICK_S)
        image = self._render() if is_frame else None
        self._live.pace.keep(self.now_ns)
        if is_frame:
            self._publish(image, listed())

    def _check(self):
        data = self._cell.data
        if any(data.warning[kind].number for kind in _NOT_FINITE) \
                or not np.isfinite(data.qpos).all():
            raise SimulationError(f'the physics of seed {self._cell.spec.seed} is not finite at '
                                  f'{self._cell.time_s:.2f} s')

    def _render(self) -> np.ndarray:
        return self._renderer.render(self._cell)

    def _listed(self) -> np.ndarray:
        return self._cell.spec.mount.grasps_to_optical(candidates(self._cell, self._offsets))

    def _publish(self, image: np.ndarray, listed: np.ndarray | None):
        stamp_ns, feed = self.now_ns, self._feed
        feed.clock(stamp_ns)
        feed.camera_info(stamp_ns, image.shape[1], image.shape[0], camera_matrix())
        if listed is not None:
            feed.candidates(stamp_ns, listed)
        feed.image(stamp_ns, image, self._cell.spec.domain.jpeg_quality)
        self._frames += 1
        self._live.progress.frames += 1

    def _report(self, number: int, selected: Selected | None, outcome: Outcome | None):
        spec, success = self._cell.spec, outcome is not None and outcome.success
        kind = 'none_selected' if outcome is None else 'succeeded' if success else 'failed'
        self._live.progress.results[kind] += 1
        decision_ns = self.now_ns if selected is None else min(selected.stamp_ns, self.now_ns)
        self._feed.outcome(
            NONE_SELECTED if outcome is None else outcome.reason, attempt=number,
            start_ns=self._start_ns, decision_ns=decision_ns, end_ns=self.now_ns,
            success=success, domain=spec.domain.name, motion=spec.motion.name,
            object=spec.object.shape)
