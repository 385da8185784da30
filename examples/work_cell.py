"""The robot of the examples: detections in, a grasp to execute out, its outcome in."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import queue
import threading
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray, PoseStamped
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

CANDIDATES = 'planner/candidates'
"""Topic on which the examples propose grasps: ``grasp_candidates`` is the cell's."""


class WorkCell:
    """
    The node ``sim_cell``, as a planner sees it.

    :param node: the planner's node.
    :param on_detections: called with the grasps of each image, until one is executed.
    :ivar outcomes: how each executed grasp ended, in words.
    """

    def __init__(self, node: Node, on_detections: Callable[[PoseArray], None] | None = None):
        self.outcomes: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._latest: queue.Queue[PoseArray] = queue.Queue(maxsize=1)
        self._on_detections = on_detections
        self._target = node.create_publisher(PoseStamped, 'selected_grasp', 10)
        node.create_subscription(PoseArray, 'grasp_candidates', self._on_poses, 10)
        node.create_subscription(DiagnosticArray, 'grasp_outcome', self._on_outcome, 10)

    def detections(self, timeout_s: float = 0.0) -> PoseArray | None:
        """Return the grasps of the newest image, once each; ``None`` if there are none."""
        try:
            return self._latest.get(timeout_s > 0, timeout_s or None)
        except queue.Empty:
            return None

    def execute(self, target: PoseStamped) -> None:
        """Let the cell execute a grasp; it takes the first one of each object."""
        while not self.outcomes.empty():
            self.outcomes.get()
        self._target.publish(target)

    def outcome(self, timeout_s: float = 0.0) -> str | None:
        """Return how the attempt ended, such as ``success``; ``None`` if it has not yet."""
        try:
            return self.outcomes.get(timeout_s > 0, timeout_s or None)
        except queue.Empty:
            return None

    def _on_poses(self, message: PoseArray) -> None:
        if not message.poses:
            return
        if self._latest.full():
            self._latest.get()
        self._latest.put(message)
        if self._on_detections is not None:
            self._on_detections(message)

    def _on_outcome(self, message: DiagnosticArray) -> None:
        for status in message.status:
            # If the cell has executed nothing, no grasp of the planner has ended.
            if status.message != 'none selected':
                self.outcomes.put(status.message)


class Planner(Node):
    """
    A node with the parameters of the examples.

    :ivar attempts: number of grasps to execute before the example ends.
    :ivar min_score: lowest acceptable score, in [0, 1].
    :ivar max_uncertainty: highest acceptable uncertainty, in [0, 0.5].
    :ivar max_age_s: age above which scores are not used, seconds.
    :ivar timeout_s: longest wait for scores, seconds.
    """

    def __init__(self, name: str):
        super().__init__(name)
        self.attempts: int = self.declare_parameter('attempts', 10).value or 0
        self.min_score: float = self.declare_parameter('min_score', 0.5).value or 0.0
        self.max_uncertainty: float = self.declare_parameter('max_uncertainty', 0.25).value or 0.0
        self.max_age_s: float = self.declare_parameter('max_age', 0.5).value or 0.5
        self.timeout_s: float = self.declare_parameter('timeout', 1.0).value or 1.0


@contextmanager
def spinning(name: str, make: Callable[[Planner], Any] = lambda node: node) -> Iterator[Any]:
    """
    Create a planner's node, and spin it in a thread of its own within the context.

    :param make: builds what the context returns, by default the node. No callback comes before
        it is complete.
    """
    rclpy.init()
    node = Planner(name)
    made = make(node)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(target=_spin, args=(executor,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        executor.shutdown()
        thread.join(5.0)
        node.destroy_node()
        rclpy.try_shutdown()


def _spin(executor: SingleThreadedExecutor) -> None:
    try:
        executor.spin()
    except ExternalShutdownException:
        return
