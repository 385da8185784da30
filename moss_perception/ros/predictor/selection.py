"""Which candidate a planner has selected, for those who watch the predictor."""

from typing import Any

from geometry_msgs.msg import PoseStamped
from moss_perception.core.frames import stamp_to_ns
from moss_perception.core.scores import Prediction
from moss_perception.ros.common.guard import guarded
import numpy as np
from rclpy.node import Node

# A selection answers the scores of a frame, so it belongs to a frame before the one that is drawn.
_RECENT_NS = 500_000_000
# In that time, a candidate on a conveyor moves about this far.
_MOVED_M = 0.05


def index_of(chosen: PoseStamped, stamp_ns: int, frame_id: str, points: np.ndarray,
             scores: np.ndarray) -> int | None:
    """
    Find a selected grasp among the candidates of a frame.

    :param chosen: what a planner has selected.
    :param stamp_ns: of the frame, nanoseconds.
    :param frame_id: of the frame.
    :param points: positions of the candidates, shape ``(K, 3)``, metres.
    :param scores: shape ``(K,)``; NaN for a candidate without one, which is never selected.
    :returns: index of the candidate nearest to it; ``None`` if the selection is more than
        0.5 s older than the frame, in another frame, or more than 5 cm from each candidate.
    """
    if chosen.header.frame_id != frame_id or not len(points):
        return None
    if not 0 <= stamp_ns - stamp_to_ns(chosen.header.stamp) <= _RECENT_NS:
        return None
    at = chosen.pose.position
    gaps = np.linalg.norm(points - (at.x, at.y, at.z), axis=1)
    gaps = np.where(np.isfinite(scores), gaps, np.inf)
    nearest = int(gaps.argmin())
    return nearest if gaps[nearest] <= _MOVED_M else None


class WatchedSelection:
    """
    Subscribes to ``selected_grasp`` while someone watches; no score depends on it.

    :param node: an rclpy node.
    """

    def __init__(self, node: Node):
        self._node = node
        self._subscription: Any = None
        self._newest: PoseStamped | None = None

    def follow(self, watched: bool) -> None:
        """Subscribe, or unsubscribe; call it regularly, from the thread that spins."""
        if watched and self._subscription is None:
            self._subscription = self._node.create_subscription(
                PoseStamped, 'selected_grasp', guarded(self._node, self._on_selected), 10)
        elif not watched and self._subscription is not None:
            self.destroy()

    def index_in(self, prediction: Prediction) -> int | None:
        """
        Find the selected grasp among the candidates, see :func:`index_of`.

        :returns: its index; ``None`` if there is none.
        """
        return None if self._newest is None else index_of(
            self._newest, prediction.stamp_ns, prediction.frame_id, prediction.points,
            prediction.scores)

    def destroy(self) -> None:
        """Unsubscribe and forget the selection."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
        self._subscription = self._newest = None

    def _on_selected(self, message: PoseStamped) -> None:
        self._newest = message
