"""Monitor a grasp while it is executed: frames, and the time at which the object is lost."""

from collections.abc import Callable
import math

from moss_perception.data.schema import Attempt, DURATION_S
from moss_perception.simulation.cell import TICK_S, WorkCell
from moss_perception.simulation.execution import Execution
from moss_perception.simulation.scene import FRAME_RATE_HZ
from moss_perception.simulation.sensor import schedule
import numpy as np


def choose(seed: int, outcomes: np.ndarray) -> int:
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
    for time_s in _frame_times(cell, DURATION_S + delay_s):
        while cell.time_s < time_s - TICK_S / 2:
            execution.tick()
            loss.update()
        phases.append(execution.phase)
        jpegs.append(take())
        stamps.append(round(cell.time_s * 1e9))
        positions.append(cell.spec.mount.to_optical(cell.object_position))
    while not execution.finished:
        execution.tick()
        loss.update()
    assert execution.outcome is not None  # it is finished
    to_loss_s = loss.time_s - np.array(stamps) / 1e9
    return Attempt(candidate, execution.outcome.success, tuple(jpegs),
                   np.array(stamps, np.int64), tuple(phases), to_loss_s.astype(np.float32),
                   np.array(positions, np.float32))


def _frame_times(cell: WorkCell, duration_s: float) -> list:
    """Return the times of the frames after the decision that arrive, on the scene's clock."""
    spec = cell.spec
    count = math.floor(duration_s * FRAME_RATE_HZ + 1e-6)
    plan = schedule(spec.seed, spec.sensor, count + 1, FRAME_RATE_HZ, TICK_S)
    return list(cell.time_s + plan.times_s[1:][plan.arrives[1:]])


class _Loss:
    """
    Finds the time at which the object is lost.

    :ivar time_s: time of the last contact of both fingers, or else of the failure, on the
        scene's clock; NaN for a grasp that holds.
    """

    def __init__(self, execution: Execution):
        self.time_s = math.nan
        self._execution = execution
        self._touched_s = math.nan

    def update(self):
        """Update with the current tick."""
        execution, cell = self._execution, self._execution.cell
        if execution.outcome is None:
            if all(cell.touching()):
                self._touched_s = cell.time_s
        elif math.isnan(self.time_s) and not execution.outcome.success:
            self.time_s = cell.time_s if math.isnan(self._touched_s) else self._touched_s
