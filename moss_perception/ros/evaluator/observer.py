"""Listens to the predictor and the gate, for a command that wants to know what they say."""

from dataclasses import dataclass
import threading
import time

from diagnostic_msgs.msg import DiagnosticArray
from moss_perception.core.errors import ScoresError
from moss_perception.core.scores import GraspScores, read_scores
from moss_perception.evaluation.beats import KEPT
from moss_perception.ros.predictor.outputs import PROCESSED_QOS
import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from rclpy.time import Time
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Float32, Header, String

_DEPTH = 1000


@dataclass(frozen=True)
class Scores:
    """
    The scores of one frame.

    :ivar stamp_ns: the frame's header stamp, nanoseconds.
    :ivar received_ns: when they arrived, on the monotonic clock, nanoseconds.
    :ivar rows: of the candidates, or of the default grasp point where there are none; structured
        array of :data:`moss_perception.core.scores.SCORE_DTYPE`.
    """

    stamp_ns: int
    received_ns: int
    rows: np.ndarray


class Hearing:
    """
    Keeps all that a node hears of the predictor and the gate.

    It may be read while the node listens on: lists only grow, and dictionaries are replaced.

    :param predictor: the predictor's name; relative to the node's namespace unless absolute.
    :param gate: the gate's, likewise.
    :ivar scores: one :class:`Scores` a scored frame, in order of arrival.
    :ivar default_scores: the default grasp's score of each of them, in the same order.
    :ivar fates: stamp in nanoseconds and ``scored``, ``stored``, ``skipped`` or ``refused`` of
        each frame received.
    :ivar diagnostics: the predictor's newest values by key.
    :ivar beats: of each of its messages what an evaluation sums up, in order.
    :ivar diagnosed_at: when they arrived, monotonic seconds; 0 before.
    :ivar states: the gate's states, in order.
    :ivar progressed_at: when a frame's fate was last heard of, monotonic seconds.
    """

    def __init__(self, predictor: str = '/grasp_predictor', gate: str = '/grasp_gate'):
        self.scores: list[Scores] = []
        self.default_scores: list[float] = []
        self.fates: list[tuple[int, str]] = []
        self.diagnostics: dict[str, str] = {}
        self.beats: list[dict[str, str]] = []
        self.diagnosed_at = 0.0
        self.states: list[str] = []
        self.progressed_at = time.monotonic()
        self._predictor, self._gate = predictor, gate

    @property
    def connected(self) -> bool:
        """Whether what the predictor publishes of a frame would be heard."""
        return all(x.get_publisher_count() for x in self._of_frames)

    def listen(self, node: Node) -> None:
        """Subscribe."""
        subscribe, name = node.create_subscription, self._predictor
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._log = node.get_logger()
        self._status = node.resolve_topic_name(name).lstrip('/')
        self._of_frames = [
            subscribe(PointCloud2, f'{name}/grasp_scores', self._on_scores, _DEPTH),
            subscribe(Float32, f'{name}/grasp_score',
                      lambda m: self.default_scores.append(m.data), _DEPTH),
            subscribe(Header, f'{name}/processed', self._on_processed, PROCESSED_QOS)]
        subscribe(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        subscribe(String, f'{self._gate}/state', lambda m: self.states.append(m.data), latched)

    def _on_scores(self, message: PointCloud2) -> None:
        received_ns = time.monotonic_ns()
        try:
            rows = read_scores(message)
            candidates = GraspScores.of(rows).candidates
        except ScoresError as error:
            self._log.warning(str(error))
            return
        stamp_ns = Time.from_msg(message.header.stamp).nanoseconds
        self.scores.append(Scores(stamp_ns, received_ns, candidates if len(candidates) else rows))

    def _on_processed(self, header: Header) -> None:
        self.fates.append((Time.from_msg(header.stamp).nanoseconds, header.frame_id))
        self.progressed_at = time.monotonic()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == self._status:
                self.diagnostics = {pair.key: pair.value for pair in status.values}
                self.beats.append({key: self.diagnostics[key] for key in KEPT
                                   if key in self.diagnostics})
                self.diagnosed_at = time.monotonic()


class Observer(Hearing):
    """
    A node in a thread of its own that hears predictor and gate; a context manager.

    :param domain_id: ROS_DOMAIN_ID; discovery is as the environment says.
    :param predictor: the predictor's full name.
    :param gate: the gate's full name.
    """

    def __init__(self, domain_id: int, predictor: str = '/grasp_predictor',
                 gate: str = '/grasp_gate'):
        super().__init__(predictor, gate)
        self._domain_id = domain_id

    def __enter__(self) -> 'Observer':
        self._context = rclpy.Context()
        # Signals are the command's own business.
        rclpy.init(args=[], context=self._context, domain_id=self._domain_id,
                   signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node('grasp_observer', context=self._context)
        self.listen(self._node)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self._thread.join(timeout=5.0)
        self._node.destroy_node()
        if self._context.ok():
            rclpy.shutdown(context=self._context)

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return
