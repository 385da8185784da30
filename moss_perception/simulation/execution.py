"""Execute one grasp: approach, descend, close, lift, shake; physics decides the outcome."""

from dataclasses import dataclass
import math

from moss_perception.core.errors import SimulationError
from moss_perception.data.schema import (
    APPROACH_S,
    CLOSE_S,
    DESCEND_S,
    LIFT_S,
    PHASES,
    SHAKE_S,
)
from moss_perception.simulation import mjcf
from moss_perception.simulation.cell import CLOSED, OPEN, TICK_S, WorkCell
import numpy as np

CLEARANCE_M = 0.1  # height at which the pads pass over the object
LIFT_M = 0.12
SHAKE_M = 0.012
SHAKE_HZ = 4.0
FORCE_LIMIT_N = 40.0
HELD_HEIGHT_M = 0.05


@dataclass(frozen=True)
class Outcome:
    """
    Outcome of a grasp.

    :ivar success: whether the object was still held after lift and shake.
    :ivar reason: description of the outcome.
    """

    success: bool
    reason: str


class Execution:
    """
    A grasp in execution; call :meth:`tick` until ``outcome`` is set.

    To record frames, tick on until ``finished``: a failed grasp then completes its motion, so that
    the length of the recording does not reveal the outcome.

    :ivar outcome: the outcome; ``None`` until it is known.
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
        self.outcome: Outcome | None = None
        self.finished = False
        self._stopped = None
        start = cell.wrist
        goal = np.array(grasp, dtype=np.float64)
        goal[2] = max(goal[2], mjcf.PAD_HALF_HEIGHT_M + 0.002)
        above = goal + (0.0, 0.0, CLEARANCE_M - goal[2] + 0.02, 0.0)
        top = goal + (0.0, 0.0, LIFT_M, 0.0)
        steps = (
            (None, delay_s, start, start, self._nothing),
            ('approach', APPROACH_S, start, above, self._nothing),
            ('descend', DESCEND_S, above, goal, self._not_blocked),
            ('close', CLOSE_S, goal, goal, self._gripped),
            ('lift', LIFT_S, goal, top, self._lifted),
            ('shake', SHAKE_S, top, top, self._held),
        )
        self._steps = [step for step in steps if round(step[1] / TICK_S)]
        self._elapsed = 0

    @property
    def phase(self) -> str:
        """Return the phase of the next tick, one of ``PHASES``; after the end, the last one."""
        return PHASES[-1] if self.finished else self._steps[0][0] or PHASES[0]

    def tick(self):
        """
        Advance by 10 ms; sets ``outcome`` at the end, or as soon as the grasp has failed.

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
        reason = '' if self.outcome else check(done=done)
        if reason:
            self.outcome = Outcome(False, reason)
            # A finger must not press on the object: hold the wrist where it was stopped.
            self._stopped = wrist if name == 'descend' else None
        if done:
            del self._steps[0]
            self._elapsed, self.finished = 0, not self._steps
        if self.finished and self.outcome is None:
            self.outcome = Outcome(True, 'held after lift and shake')

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
        return wrist, CLOSED * min(1.0, part / 0.6 + (name != 'close'))

    def run(self) -> Outcome:
        """Tick until the outcome is known, and return it."""
        while self.outcome is None:
            self.tick()
        return self.outcome

    def _nothing(self, done: bool) -> str:
        return ''

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
