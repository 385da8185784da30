"""Execute a grasp (approach, descend, close, lift, shake) and record it; physics decides."""

from collections.abc import Callable
from dataclasses import dataclass
import math

from moss_perception.core.errors import SimulationError
from moss_perception.data.schema import Attempt, PHASES
from moss_perception.simulation.cell import OPEN, WorkCell
from moss_perception.simulation.cells import TICK_S
from moss_perception.simulation.scene import FRAME_RATE_HZ
from moss_perception.simulation.sensor import frame_times
import numpy as np

CLEARANCE_M = 0.1  # height at which the pads pass over the object
LIFT_M = 0.12
SHAKE_M = 0.012
SHAKE_HZ = 4.0
FORCE_LIMIT_N = 40.0
HELD_HEIGHT_M = 0.05


@dataclass(frozen=True)
class GraspResult:
    """
    Outcome of a grasp.

    :ivar success: whether the object was still held after lift and shake.
    :ivar reason: description of the outcome.
    """

    success: bool
    reason: str


class Execution:
    """
    A grasp in execution; call :meth:`tick` until ``result`` is set.

    To record frames, tick on until ``finished``: a failed grasp then completes its motion, so that
    the length of the recording does not reveal the outcome.

    :ivar result: the outcome; ``None`` until it is known.
    :ivar finished: whether the whole motion is over.
    """

    def __init__(self, cell: WorkCell, grasp: np.ndarray, delay_s: float = 0.0):
        """
        Start from the current state of the cell.

        :param grasp: x, y, z of the middle between the closed pads, metres, and yaw of the
            closing direction, radians, in the world frame; shape ``(4,)``.
        :param delay_s: time for which the gripper waits before it starts, seconds.
        """
        self.cell = cell
        self.result: GraspResult | None = None
        self.finished = False
        self._stopped = None
        gripper = cell.spec.cell.gripper
        self._closed = gripper.half_opening_m
        start = cell.wrist
        goal = np.array(grasp, dtype=np.float64)
        goal[2] = max(goal[2], gripper.pad[2] + 0.002)
        above = goal + (0.0, 0.0, CLEARANCE_M - goal[2] + 0.02, 0.0)
        top = goal + (0.0, 0.0, LIFT_M, 0.0)
        approach_s, descend_s, close_s, lift_s, shake_s = gripper.times_s
        steps = (
            (None, delay_s, start, start, lambda done: ''),
            ('approach', approach_s, start, above, lambda done: ''),
            ('descend', descend_s, above, goal, self._not_blocked),
            ('close', close_s, goal, goal, self._gripped),
            ('lift', lift_s, goal, top, self._lifted),
            ('shake', shake_s, top, top, self._held),
        )
        self._steps = [step for step in steps if round(step[1] / TICK_S)]
        self._elapsed = 0

    @property
    def phase(self) -> str:
        """Return the phase of the next tick, one of ``PHASES``; after the end, the last one."""
        return PHASES[-1] if self.finished else self._steps[0][0] or PHASES[0]

    def tick(self):
        """
        Advance by 10 ms; sets ``result`` at the end, or as soon as the grasp has failed.

        :raises SimulationError: if the motion is over.
        """
        if self.finished:
            raise SimulationError('the grasp is over: expected no more ticks')
        name, duration, begin, end, check = self._steps[0]
        self._elapsed += 1
        count = round(duration / TICK_S)
        done = self._elapsed == count
        wrist, finger = self._command(name, begin, end, self._elapsed / count)
        self.cell.tick(wrist, finger)
        reason = '' if self.result else check(done)
        if reason:
            self.result = GraspResult(False, reason)
            # A finger must not press on the object: hold the wrist where it was stopped.
            self._stopped = wrist if name == 'descend' else None
        if done:
            del self._steps[0]
            self._elapsed, self.finished = 0, not self._steps
        if self.finished and self.result is None:
            self.result = GraspResult(True, 'held after lift and shake')

    def _command(self, name: str | None, begin: np.ndarray, end: np.ndarray,
                 part: float) -> tuple[np.ndarray, float]:
        """Return the commands of wrist and fingers at a fraction, 0 to 1, of a step."""
        if self._stopped is not None:
            return self._stopped, OPEN
        wrist = begin + (end - begin) * part ** 3 * (10 - 15 * part + 6 * part ** 2)
        if name == 'shake':
            # Two full periods, across the closing direction and up, make a weak grasp slip.
            swing = SHAKE_M * math.sin(2 * math.pi * SHAKE_HZ * self._elapsed * TICK_S)
            wrist = wrist + swing * np.array([-math.sin(end[3]), math.cos(end[3]), 0.5, 0.0])
        if name not in ('close', 'lift', 'shake'):
            return wrist, OPEN
        return wrist, self._closed * min(1.0, part / 0.6 + (name != 'close'))

    def run(self) -> GraspResult:
        """Tick until the outcome is known, and return it."""
        while self.result is None:
            self.tick()
        return self.result

    def _not_blocked(self, done: bool) -> str:
        return 'stopped: a finger came down on the object' \
            if self.cell.wrist_force > FORCE_LIMIT_N else ''

    def _gripped(self, done: bool) -> str:
        return 'closed on nothing' if done and not all(self.cell.touching()) else ''

    def _lifted(self, done: bool) -> str:
        if done and self.cell.object_position[2] < HELD_HEIGHT_M:
            return 'slipped while lifting'
        return ''

    def _held(self, done: bool) -> str:
        if self.cell.object_position[2] < HELD_HEIGHT_M:
            return 'lost while shaking'
        return 'not held by both fingers' if done and not all(self.cell.touching()) else ''


def choose_monitored(seed: int, outcomes: np.ndarray) -> int:
    """
    Choose the grasp to monitor: a successful one in half of the scenes, if there is a choice.

    :param seed: seed of the scene.
    :param outcomes: bool, shape ``(K,)``.
    :returns: index of the grasp.
    """
    rng = np.random.default_rng([seed, 31])
    fitting = np.flatnonzero(outcomes == (rng.uniform() < 0.5))
    return int(rng.choice(fitting if len(fitting) else len(outcomes)))


def monitor_grasp(cell: WorkCell, take: Callable[[], bytes], grasps: np.ndarray,
                  candidate: int) -> Attempt:
    """
    Execute a grasp and record it until its motion is over, even if it fails before.

    :param cell: the cell at the decision.
    :param take: returns an image of the cell as JPEG.
    :param grasps: candidates, shape ``(K, 4)``, in the world frame.
    :param candidate: index of the grasp to execute.
    """
    delay_s = cell.spec.physics.latency_s
    execution = Execution(cell, grasps[candidate], delay_s)
    loss = _Loss(execution)
    jpegs, stamps, phases, positions = [], [], [], []
    for time_s in _frame_times(cell, cell.spec.cell.gripper.duration_s + delay_s):
        while cell.time_s < time_s - TICK_S / 2:
            loss.tick()
        phases.append(execution.phase)
        jpegs.append(take())
        stamps.append(round(cell.time_s * 1e9))
        positions.append(cell.spec.mount.to_optical(cell.object_position))
    while not execution.finished:
        loss.tick()
    assert execution.result is not None  # it is finished
    to_loss_s = loss.time_s - np.array(stamps) / 1e9
    return Attempt(candidate, execution.result.success, tuple(jpegs),
                   np.array(stamps, np.int64), tuple(phases), to_loss_s.astype(np.float32),
                   np.array(positions, np.float32))


def _frame_times(cell: WorkCell, duration_s: float) -> list:
    """Return the times of the frames after the decision that arrive, on the scene's clock."""
    spec = cell.spec
    count = math.floor(duration_s * FRAME_RATE_HZ + 1e-6)
    times = frame_times(spec.seed, spec.sensor, count + 1, FRAME_RATE_HZ)
    return list(cell.time_s + times[1:])


class _Loss:
    """
    Finds the time at which the object is lost.

    :ivar time_s: time of the last contact of both fingers, or else of the failure, on the
        scene's clock; NaN for a grasp that holds.
    """

    def __init__(self, execution: Execution):
        self.time_s = self._touched_s = math.nan
        self._execution = execution

    def tick(self):
        """Advance the execution by 10 ms."""
        execution, cell = self._execution, self._execution.cell
        execution.tick()
        if execution.result is None:
            if all(cell.touching()):
                self._touched_s = cell.time_s
        elif math.isnan(self.time_s) and not execution.result.success:
            self.time_s = cell.time_s if math.isnan(self._touched_s) else self._touched_s
