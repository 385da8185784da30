"""One attempt of a live work cell: a scene, the grasp that is selected in it, and its outcome."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
import math
import threading

from moss_perception.core.grasp_match import nearest_grasp
from moss_perception.data.outcomes import NONE_SELECTED
from moss_perception.data.schema import DURATION_S
from moss_perception.simulation.attempt import candidates, sample_offsets
from moss_perception.simulation.cell import TICK_S, WorkCell
from moss_perception.simulation.execution import Execution, Outcome
from moss_perception.simulation.live_config import Feed, LiveConfig, Pace, Progress
from moss_perception.simulation.renderer import Renderer
from moss_perception.simulation.scene import SceneSpec
from moss_perception.simulation.selection import Selected, Selections
from moss_perception.simulation.sensor import schedule
import numpy as np

_TICK_NS = round(TICK_S * 1e9)


@dataclass(frozen=True)
class Live:
    """
    State that the attempts of a live cell share.

    :ivar now_ns: returns the time of the clock of the stamps, nanoseconds.
    :ivar stopped: ends the attempt without an outcome.
    """

    feed: Feed
    config: LiveConfig
    selections: Selections
    renderer: Renderer
    pace: Pace
    progress: Progress
    stopped: threading.Event
    now_ns: Callable[[], int]


class Attempt:
    """
    A scene that waits for a grasp.

    :param live: state that the attempts share.
    :param start_ns: stamp of its first frame; in real time the stamp may be later.
    """

    def __init__(self, live: Live, start_ns: int):
        self._live, self._start_ns = live, start_ns
        self._begun: WorkCell | None = None
        # The candidates of each frame, in the world frame, by its stamp.
        self._listed_at: dict[int, np.ndarray] = {}

    @property
    def now_ns(self) -> int:
        """Return the simulated time as a stamp."""
        return self._start_ns + (self._begun.ticks * _TICK_NS if self._begun else 0)

    @property
    def _cell(self) -> WorkCell:
        assert self._begun is not None  # since _begin
        return self._begun

    def play(self, spec: SceneSpec, number: int):
        """Play a scene until its grasp has ended, the time is over, or the cell is stopped."""
        self._begin(spec)
        selected = self._wait()
        outcome = None if selected is None else self._execute(selected)
        if self._live.stopped.is_set():
            return
        self._report(number, selected, outcome)

    def _begin(self, spec: SceneSpec):
        live = self._live
        self._begun = WorkCell(spec)
        self._offsets = sample_offsets(spec.seed, cell=spec.cell)
        self._due = self._frame_ticks(spec)
        # Render it early: the first image of a scene takes the longest.
        image = self._render()
        live.pace.keep(self._start_ns)
        if self._live.config.real_time:
            self._start_ns = max(self._start_ns, live.now_ns())
        live.pace.begin(self._start_ns)
        live.selections.open(self._start_ns, spec.mount)
        live.progress.phase = 'waiting'
        self._publish(image, self._listed())

    def _frame_ticks(self, spec: SceneSpec) -> deque:
        """Return the tick of each frame after the first, and whether the frame arrives."""
        longest_s = self._live.config.timeout_s + spec.physics.latency_s + DURATION_S
        # Two more, so that there is always a next frame.
        frames = math.ceil(longest_s * self._live.config.rate) + 3
        plan = schedule(spec.seed, spec.sensor, frames, self._live.config.rate, TICK_S)
        ticks = np.round(plan.times_s / TICK_S).astype(int)
        return deque(zip(ticks[1:].tolist(), plan.arrives[1:].tolist(), strict=True))

    def _wait(self) -> Selected | None:
        """Wait until a grasp is selected, the time is over, or the cell is stopped."""
        while not self._live.stopped.is_set():
            selected = self._live.selections.take()
            if selected is not None:
                return selected
            if self._cell.time_s > self._live.config.timeout_s - TICK_S / 2:
                return None
            self._cell.wait(self._cell.time_s + TICK_S)
            self._passed(self._listed)
        return None

    def _execute(self, selected: Selected) -> Outcome | None:
        """Execute a grasp; return its outcome, or ``None`` if the cell is stopped first."""
        self._delay(selected.stamp_ns)
        execution = Execution(self._cell, selected.grasp)
        # One empty list announces that the candidates are no longer valid.
        pending = [np.empty((0, 4))]
        while execution.outcome is None and not self._live.stopped.is_set():
            self._live.progress.phase = execution.phase
            execution.tick()
            self._passed(lambda: pending.pop() if pending else None)
        return execution.outcome

    def _delay(self, stamp_ns: int):
        """Wait for the rest of the latency; planner and network may have used all of it."""
        seen_s = (min(stamp_ns, self.now_ns) - self._start_ns) / 1e9
        start_s = seen_s + self._cell.spec.physics.latency_s
        while self._cell.time_s < start_s - TICK_S / 2 and not self._live.stopped.is_set():
            self._cell.wait(self._cell.time_s + TICK_S)
            self._passed(self._listed)

    def _passed(self, listed: Callable):
        """Publish the frame of a tick, if one is due, at its time."""
        image = self._render() if self._is_due() else None
        self._live.pace.keep(self.now_ns)
        if image is not None:
            self._publish(image, listed())

    def _is_due(self) -> bool:
        """Return whether a frame that arrives is taken at this tick."""
        arrives = False
        while self._due[0][0] <= self._cell.ticks:
            arrives |= self._due.popleft()[1]
        return arrives

    def _render(self) -> np.ndarray:
        return self._live.renderer.render(self._cell)

    def _listed(self) -> np.ndarray:
        grasps = candidates(self._cell, self._offsets)
        self._listed_at[self.now_ns] = grasps
        return self._cell.spec.mount.grasps_to_optical(grasps)

    def _index(self, selected: Selected | None) -> int | None:
        """
        Find the selected grasp among the candidates of its frame.

        A PoseStamped does not carry the index; only the cell knows what it has listed.
        """
        if selected is None:
            return None
        listed = self._listed_at.get(selected.stamp_ns)
        return None if listed is None else nearest_grasp(
            listed[:, :3], listed[:, 3], selected.grasp[:3], float(selected.grasp[3]))

    def _publish(self, image: np.ndarray, listed: np.ndarray | None):
        stamp_ns, feed = self.now_ns, self._live.feed
        feed.clock(stamp_ns)
        feed.camera_info(stamp_ns, image.shape[1], image.shape[0],
                         self._cell.spec.lens.matrix)
        if listed is not None:
            feed.candidates(stamp_ns, listed)
        feed.image(stamp_ns, image, self._cell.spec.domain.jpeg_quality)
        self._live.progress.frames += 1

    def _report(self, number: int, selected: Selected | None, outcome: Outcome | None):
        spec, success = self._cell.spec, outcome is not None and outcome.success
        kind = 'none_selected' if outcome is None else 'succeeded' if success else 'failed'
        self._live.progress.results[kind] += 1
        decision_ns = self.now_ns if selected is None else min(selected.stamp_ns, self.now_ns)
        self._live.feed.outcome(
            NONE_SELECTED if outcome is None else outcome.reason, attempt=number,
            start_ns=self._start_ns, decision_ns=decision_ns, end_ns=self.now_ns,
            success=success, domain=spec.domain.name, motion=spec.motion.name,
            object=spec.object.family or spec.object.shape, executed=outcome is not None,
            candidate=self._index(selected))
