"""A heartbeat of grasp_predictor, whose absence a planner notices within a second."""

from collections.abc import Callable

from moss_perception.ros.common.spinning import create_steady_timer
from moss_perception.ros.predictor.worker import Worker
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import Header

PERIOD_S = 0.2
DEADLINE_S = 1.0
"""A subscription with this deadline, or a longer one, is told that the beats have stopped."""
STUCK_S = 2.0
"""A step that takes longer than this is reported as stuck, seconds."""
STUCK = 'stuck'


def health(label: str, worker: Worker | None) -> tuple[str, str]:
    """
    Return the state of a node, and what is wrong with its worker; empty if nothing is.

    :param label: the state of its lifecycle.
    :param worker: of an active node.
    """
    busy_s = 0.0 if worker is None else worker.busy_s
    if busy_s <= STUCK_S:
        return label, ''
    return STUCK, f'the engine has been busy with one sample for {busy_s:.1f} s'


def deadline_qos() -> QoSProfile:
    """Return the QoS of the heartbeat; a planner can subscribe with the same."""
    return QoSProfile(depth=1, deadline=Duration(nanoseconds=round(DEADLINE_S * 1e9)))


class Heartbeat:
    """
    Publishes the state of a node five times a second.

    The executor that serves the inputs publishes it. So the beats stop if the process is gone or
    stopped, and also if a callback hangs.

    :param node: an rclpy node.
    :param state: returns the state, one word.
    """

    def __init__(self, node: Node, state: Callable[[], str]):
        self._node, self._state = node, state
        self._publisher = node.create_publisher(Header, '~/heartbeat', deadline_qos())
        create_steady_timer(node, PERIOD_S, self._on_timer)

    def _on_timer(self) -> None:
        self._publisher.publish(Header(
            stamp=self._node.get_clock().now().to_msg(), frame_id=self._state()))
