"""
A state machine around ``grasp_gate``: it selects, with hysteresis, and the machine decides when.

Remap the gate's output, so that the robot executes only what this node passes on::

    ros2 run moss_perception grasp_gate --ros-args -r selected_grasp:=gate/selected_grasp \
        -r grasp_scores:=grasp_predictor/grasp_scores
"""

from enum import Enum
import threading
import time

from geometry_msgs.msg import PoseArray, PoseStamped
from moss_perception.client import GraspScorer
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String
from work_cell import CANDIDATES, Planner, spinning, WorkCell

EXECUTION_S = 30.0


class State(Enum):
    """What the planner does."""

    SEARCHING = 'searching'
    EXECUTING = 'executing'
    FINISHED = 'finished'


class GateMachine:
    """
    Proposes while it searches, and executes what the gate has selected.

    :param node: the planner's node.
    """

    def __init__(self, node: Planner):
        self._node, self._state, self._since_s = node, State.SEARCHING, time.monotonic()
        self._count, self._gate = 0, ''
        self.finished = threading.Event()
        self._cell = WorkCell(node, self._on_detections)
        self._scorer = GraspScorer(node, candidates=CANDIDATES, max_age_s=node.max_age_s)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        node.create_subscription(String, 'grasp_gate/state', self._on_gate, latched)
        node.create_subscription(PoseStamped, 'gate/selected_grasp', self._on_selected, 10)
        node.create_timer(0.05, self._on_timer)

    def _enter(self, state: State, why: str) -> None:
        print(f'{self._state.value} -> {state.value}: {why}', flush=True)
        self._state, self._since_s = state, time.monotonic()

    def _on_gate(self, message: String) -> None:
        self._gate = message.data

    def _on_detections(self, message: PoseArray) -> None:
        if self._state is State.SEARCHING:
            # The gate follows a candidate by its index: keep the order from image to image.
            self._scorer.propose(message)

    def _on_selected(self, message: PoseStamped) -> None:
        if self._state is State.SEARCHING:
            self._cell.execute(message)
            self._enter(State.EXECUTING, 'the gate has selected a grasp')

    def _on_timer(self) -> None:
        waited_s = time.monotonic() - self._since_s
        if self._state is State.SEARCHING and waited_s > EXECUTION_S:
            latest = self._scorer.latest
            self._enter(State.SEARCHING, f'gate {self._gate or "not there"!r}, scores '
                        f'{latest.explain() if latest else "not there or not fresh"}')
        elif self._state is State.EXECUTING:
            self._finish_attempt(waited_s)

    def _finish_attempt(self, waited_s: float) -> None:
        outcome = self._cell.outcome()
        if outcome is None and waited_s < EXECUTION_S:
            return
        self._count += outcome is not None
        last = self._count >= self._node.attempts
        self._enter(State.FINISHED if last else State.SEARCHING,
                    f'attempt {self._count}: {outcome or "no outcome came"}')
        if last:
            self.finished.set()


def main() -> None:
    """Run the machine until enough attempts are done."""
    with spinning('gate_state_machine', GateMachine) as machine:
        machine.finished.wait()


if __name__ == '__main__':
    main()
