"""Receives what the predictor and the gate publish, for a command that shows it while it runs."""

from collections.abc import Callable
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from moss_perception.core.codes import coded
from moss_perception.core.errors import ScoresError
from moss_perception.evaluation.outputs import (
    frame_scores,
    FrameScores,
    NodeOutputs,
    values_of,
)
from moss_perception.ros.common.conversions import stamp_to_ns
from moss_perception.ros.common.guard import guarded
from moss_perception.ros.common.threaded import ThreadedNode
from moss_perception.ros.predictor.topics import PROCESSED_QOS
from moss_perception.runtime.frame_status import FrameStatus
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header, String

_DEPTH = 1000


class Observer(ThreadedNode):
    """
    A node in its own thread; a context manager.

    You may read its lists while it runs: they only grow.

    :param domain_id: ROS_DOMAIN_ID; the environment sets the discovery range.
    :param predictor: the predictor's full name.
    :param gate: the gate's full name.
    :param picture: takes each debug image until it returns false; without it, the predictor
        draws none.
    :ivar scores: scores of each scored frame, in order of arrival.
    :ivar statuses: stamp in nanoseconds and status of each frame that the predictor received.
    :ivar diagnostics: the predictor's values by key, of each message.
    :ivar diagnosed_at: arrival of the newest diagnostics, monotonic seconds; 0 before any.
    :ivar awaited: stamps of the frames that the predictor says it scored, whose scores are not
        here yet; the two topics come in no order.
    :ivar states: the gate's states, in order.
    :ivar progressed_at: arrival of the newest status, monotonic seconds.
    """

    def __init__(self, domain_id: int, predictor: str = '/grasp_predictor',
                 gate: str = '/grasp_gate', picture: Callable[[Any], bool] | None = None):
        super().__init__('grasp_observer', domain_id=domain_id)
        self.scores: list[FrameScores] = []
        self.statuses: list[tuple[int, str]] = []
        self.diagnostics: list[dict[str, str]] = []
        self.diagnosed_at = 0.0
        self.awaited: frozenset[int] = frozenset()
        self._said, self._scored = set[int](), set[int]()
        self.states: list[str] = []
        self.progressed_at = time.monotonic()
        self._predictor, self._gate = predictor, gate
        self._picture, self._pictures = picture, None

    @property
    def connected(self) -> bool:
        """Whether the observer is connected to all publishers of the predictor."""
        return all(x.get_publisher_count() for x in self._of_frames)

    @property
    def outputs(self) -> NodeOutputs:
        """Return what the predictor has published so far."""
        return NodeOutputs(list(self.scores), list(self.statuses), list(self.diagnostics))

    def _connect(self) -> None:
        node, name = self._node, self._predictor
        subscribe = node.create_subscription
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._of_frames = [
            subscribe(PointCloud2, f'{name}/grasp_scores', guarded(node, self._on_scores), _DEPTH),
            subscribe(Header, f'{name}/processed', guarded(node, self._on_processed),
                      PROCESSED_QOS)]
        if self._picture is not None:
            self._pictures = subscribe(
                Image, f'{name}/debug_image', guarded(node, self._on_picture), 2)
        subscribe(DiagnosticArray, '/diagnostics', guarded(node, self._on_diagnostics), 10)
        subscribe(String, f'{self._gate}/state', guarded(node, self._on_state), latched)

    def _on_picture(self, message: Image) -> None:
        if self._pictures is not None and self._picture is not None and not self._picture(message):
            self._node.destroy_subscription(self._pictures)
            self._pictures = None

    def _on_state(self, message: String) -> None:
        self.states.append(message.data)

    def _on_scores(self, message: PointCloud2) -> None:
        received_ns = time.monotonic_ns()
        try:
            self.scores.append(frame_scores(message, received_ns))
        except ScoresError as error:
            self._node.get_logger().warning(coded('scores_unreadable', error))
        self._scored.add(stamp_to_ns(message.header.stamp))
        self._pair()

    def _on_processed(self, header: Header) -> None:
        stamp_ns = stamp_to_ns(header.stamp)
        if header.frame_id == FrameStatus.SCORED.value:
            self._said.add(stamp_ns)
            self._pair()
        self.statuses.append((stamp_ns, header.frame_id))
        self.progressed_at = time.monotonic()

    def _pair(self) -> None:
        """Forget the frames of which both have come."""
        both = self._said & self._scored
        self._said -= both
        self._scored -= both
        self.awaited = frozenset(self._said)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for values in values_of(message, self._predictor):
            self.diagnostics.append(values)
            self.diagnosed_at = time.monotonic()
