"""A live work cell: scenes pass under the camera, and it executes a grasp selected in time."""

from collections import deque
from collections.abc import Callable
from itertools import count
import logging
import math
import threading
import time

from moss_perception.core.errors import SimulationError
from moss_perception.core.grasp_match import nearest_grasp
from moss_perception.data.outcomes import NONE_SELECTED
from moss_perception.simulation.attempt import candidates, sample_offsets
from moss_perception.simulation.cell import WorkCell
from moss_perception.simulation.cells import TICK_NS, TICK_S
from moss_perception.simulation.execution import Execution, GraspResult
from moss_perception.simulation.live_config import Feed, LiveConfig, Pace, Progress
from moss_perception.simulation.renderer import Renderer
from moss_perception.simulation.scene import SceneSpec
from moss_perception.simulation.selection import Selected, Selections
from moss_perception.simulation.sensor import frame_times
import numpy as np

# If this many scenes fail in a row, the seeds are not the cause.
MAX_FAILURES = 3
_LOG = logging.getLogger(__name__)


class LiveCell:
    """
    Plays scenes in one thread until all are played or :meth:`stop` is called.

    :param feed: receives the messages of the cell.
    :param config: settings.
    :param selections: source of selected grasps; any thread may offer them.
    :param now_ns: returns the time of the clock of the stamps, nanoseconds.
    :ivar progress: progress so far; any thread may read it.
    :ivar pace: synchronisation with the wall clock; any thread may read it.
    """

    def __init__(self, feed: Feed, config: LiveConfig, selections: Selections,
                 now_ns: Callable[[], int] = time.time_ns):
        self.feed, self.config, self.selections, self.now_ns = feed, config, selections, now_ns
        self.progress = Progress()
        self._stopped = threading.Event()
        self.pace = Pace(config.real_time, self._stopped)

    @property
    def stopped(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._stopped.is_set()

    def stop(self):
        """Stop the cell soon; any thread may call this."""
        self._stopped.set()

    def run(self, renderer: Renderer):
        """
        Play the scenes.

        :param renderer: a renderer that was created in this thread.
        :raises SimulationError: if several scenes fail in a row.
        """
        config, progress, failures = self.config, self.progress, 0
        start_ns = self.now_ns()
        self.pace.begin(start_ns)
        for number in range(1, config.attempts + 1) if config.attempts else count(1):
            progress.attempt = number
            attempt = _LiveAttempt(self, renderer, start_ns)
            try:
                attempt.play(config.scene(number), number)
                failures = 0
            except SimulationError as error:
                failures += 1
                self._skip(number, error, failures)
            finally:
                self.selections.close()
            if self.stopped or number == config.attempts:
                break
            start_ns = attempt.now_ns + self._pause(attempt.now_ns)
        progress.phase = 'ended'

    def _skip(self, number: int, error: SimulationError, failures: int):
        """Count a scene that failed."""
        self.progress.skipped[getattr(error, 'reason', 'failed')] += 1
        _LOG.error('attempt %d is skipped: %s', number, error)
        if failures == MAX_FAILURES:
            raise SimulationError(f'{failures} scenes failed in a row: {error}') from error

    def _pause(self, end_ns: int) -> int:
        """Wait after an attempt; return the length of the pause, nanoseconds."""
        self.progress.phase = 'pausing'
        pause_ns, step_ns = round(self.config.pause_s * 1e9), round(1e9 / self.config.rate)
        for passed_ns in range(step_ns, pause_ns, step_ns):
            if self.stopped:
                break
            self.pace.keep(end_ns + passed_ns)
            self.feed.clock(end_ns + passed_ns)
        return pause_ns


class _LiveAttempt:
    """
    A scene, the grasp that is selected in it, and its outcome.

    :param live: the live cell; stopping it ends the attempt without an outcome.
    :param start_ns: stamp of the first frame; in real time the stamp may be later.
    """

    def __init__(self, live: LiveCell, renderer: Renderer, start_ns: int):
        self._live, self._renderer, self._start_ns = live, renderer, start_ns
        self._begun: WorkCell | None = None
        # The candidates of each frame, in the world frame, by its stamp.
        self._listed_at: dict[int, np.ndarray] = {}

    @property
    def now_ns(self) -> int:
        """Return the simulated time as a stamp."""
        return self._start_ns + (self._begun.ticks * TICK_NS if self._begun else 0)

    @property
    def _cell(self) -> WorkCell:
        assert self._begun is not None  # since _begin
        return self._begun

    def play(self, spec: SceneSpec, number: int):
        """Play a scene until its grasp has ended, the time is over, or the cell is stopped."""
        self._begin(spec)
        selected = self._wait()
        result = None if selected is None else self._execute(selected)
        if not self._live.stopped:
            self._report(number, selected, result)

    def _begin(self, spec: SceneSpec):
        live = self._live
        self._begun = WorkCell(spec)
        self._latency_s = live.config.latency_of(spec)
        self._offsets = sample_offsets(spec.seed, cell=spec.cell)
        self._due = self._frame_ticks(spec)
        # Render it early: the first image of a scene takes the longest.
        image = self._renderer.render(self._cell)
        live.pace.keep(self._start_ns)
        if live.config.real_time:
            self._start_ns = max(self._start_ns, live.now_ns())
        live.pace.begin(self._start_ns)
        live.selections.open(self._start_ns, spec.mount, spec.cell.surface)
        live.progress.phase = 'waiting'
        self._publish(image, self._listed())

    def _frame_ticks(self, spec: SceneSpec) -> deque[int]:
        """Return the tick of each frame that arrives after the first."""
        config = self._live.config
        longest_s = config.timeout_s + self._latency_s + spec.cell.gripper.duration_s
        # Two more, so that there is always a next frame.
        frames = math.ceil(longest_s * config.rate) + 3
        times = frame_times(spec.seed, spec.sensor, frames, config.rate)
        return deque(np.round(times[1:] / TICK_S).astype(int).tolist())

    def _wait(self) -> Selected | None:
        """Wait until a grasp is selected, the time is over, or the cell is stopped."""
        while not self._live.stopped:
            selected = self._live.selections.take()
            if selected is not None:
                return selected
            if self._cell.time_s > self._live.config.timeout_s - TICK_S / 2:
                return None
            self._hover()
        return None

    def _hover(self):
        """Let one tick pass in which candidates are listed."""
        self._cell.wait(self._cell.time_s + TICK_S)
        self._passed(self._listed)

    def _execute(self, selected: Selected) -> GraspResult | None:
        """Execute a grasp; return its result, or ``None`` if the cell is stopped first."""
        # Planner and network may have used all of the latency; wait for the rest.
        seen_s = (min(selected.stamp_ns, self.now_ns) - self._start_ns) / 1e9
        start_s = seen_s + self._latency_s
        while self._cell.time_s < start_s - TICK_S / 2 and not self._live.stopped:
            self._hover()
        execution = Execution(self._cell, selected.grasp)
        # One empty list announces that the candidates are no longer valid.
        pending = [np.empty((0, 4))]
        while execution.result is None and not self._live.stopped:
            self._live.progress.phase = execution.phase
            execution.tick()
            self._passed(lambda: pending.pop() if pending else None)
        return execution.result

    def _passed(self, listed: Callable[[], np.ndarray | None]):
        """Publish the frame of a tick, if one is due, at its time."""
        due = False
        # Two frames may fall on one tick.
        while self._due[0] <= self._cell.ticks:
            self._due.popleft()
            due = True
        image = self._renderer.render(self._cell) if due else None
        self._live.pace.keep(self.now_ns)
        if image is not None:
            self._publish(image, listed())

    def _listed(self) -> np.ndarray:
        grasps = candidates(self._cell, self._offsets)
        self._listed_at[self.now_ns] = grasps
        return self._cell.spec.mount.grasps_to_optical(grasps)

    def _index(self, selected: Selected) -> int | None:
        """
        Find the selected grasp among the candidates of its frame.

        A PoseStamped does not carry the index; only the cell knows what it has listed.
        """
        listed = self._listed_at.get(selected.stamp_ns)
        return None if listed is None else nearest_grasp(
            listed[:, :3], listed[:, 3], selected.grasp[:3], float(selected.grasp[3]))

    def _publish(self, image: np.ndarray, listed: np.ndarray | None):
        stamp_ns, feed, spec = self.now_ns, self._live.feed, self._cell.spec
        feed.clock(stamp_ns)
        feed.camera_info(stamp_ns, image.shape[1], image.shape[0], spec.lens.matrix)
        if listed is not None:
            feed.candidates(stamp_ns, listed)
            if len(listed) and self._live.config.lead_times:
                feed.lead_times(stamp_ns, np.full(
                    len(listed), self._latency_s + spec.cell.gripper.grip_s))
        feed.image(stamp_ns, image, spec.sensor.jpeg_quality)
        self._live.progress.frames += 1

    def _report(self, number: int, selected: Selected | None, result: GraspResult | None):
        spec, success = self._cell.spec, result is not None and result.success
        kind = 'none_selected' if result is None else 'succeeded' if success else 'failed'
        self._live.progress.results[kind] += 1
        self._live.feed.outcome(
            NONE_SELECTED if result is None else result.reason, attempt=number,
            start_ns=self._start_ns,
            decision_ns=self.now_ns if selected is None else min(selected.stamp_ns, self.now_ns),
            end_ns=self.now_ns, success=success, domain=spec.domain.name,
            motion=spec.motion.name, object=spec.object.shape, executed=result is not None,
            candidate=None if selected is None else self._index(selected))
