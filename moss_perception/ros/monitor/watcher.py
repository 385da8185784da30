"""Subscribes to a running grasp system and keeps its state; finds its topics by the graph."""

from collections.abc import Callable
import threading
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from moss_perception.core.cameras import AUTO, to_camera
from moss_perception.core.errors import ConfigError, ScoresError
from moss_perception.core.frames import Camera
from moss_perception.core.text import one_line
from moss_perception.data.outcomes import outcome_of
from moss_perception.evaluation.outputs import frame_scores, values_of
from moss_perception.ros.common.guard import guarded
from moss_perception.ros.common.spinning import create_steady_timer
from moss_perception.ros.common.subscriptions import message_class
from moss_perception.ros.common.threaded import ThreadedNode
from moss_perception.ros.monitor.candidates import shown_scores
from moss_perception.ros.monitor.commands import Commands
from moss_perception.ros.monitor.picture import MotionHeat, Pictures
from moss_perception.ros.monitor.state import SystemState
from moss_perception.ros.monitor.words import number
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, PointCloud2
from std_msgs.msg import String

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# Hears every publisher, and never makes one wait.
_BEST_EFFORT = QoSProfile(depth=2, reliability=ReliabilityPolicy.BEST_EFFORT)
_GRAPH_S = 0.5
_HALF_WIDTH_M = 0.04
_SCORES = '/grasp_scores'
_IMAGES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
_INFO = 'sensor_msgs/msg/CameraInfo'


class SystemWatcher(ThreadedNode):
    """
    A node in its own thread that fills a :class:`SystemState`; a context manager.

    It subscribes to images and motion features only while :attr:`looking` is true, so that a
    system that nobody looks at pays nothing for them.

    :param predictor: name of the predictor, relative to the namespace of this node unless
        absolute.
    :param args: arguments for ROS.
    :param domain_id: ROS_DOMAIN_ID; ``None`` for that of the environment.
    :ivar state: what was received.
    :ivar pictures: the newest images.
    :ivar heat: the newest motion map.
    :ivar commands: the services of the nodes.
    :ivar looking: whether somebody looks at pictures.
    :ivar changed: set with each change of the state; whoever waits for it clears it.
    """

    def __init__(self, predictor: str = 'grasp_predictor', args: list[str] | None = None,
                 domain_id: int | None = None):
        super().__init__('grasp_monitor', args, domain_id)
        self._given = predictor
        self.pictures, self.heat = Pictures(), MotionHeat()
        self.looking, self.changed = False, threading.Event()

    def _connect(self) -> None:
        node = self._node
        self.state = SystemState(node.resolve_topic_name(self._given))
        self._space, _, _ = self.state.predictor.rpartition('/')
        self._camera: Camera | None = None
        self._info = self._selection = None
        self._problems: set[str] = set()
        self._follows = {name: _Follower(node, take) for name, take in (
            ('image', self.pictures.take), ('info', self._on_info),
            ('features', self.heat.take), ('selected', self._on_selected))}
        self.commands = Commands(node, self.state, self._space)
        # By the predictor's name, so it needs no graph.
        node.create_subscription(PointCloud2, f'{self.state.predictor}{_SCORES}',
                                 guarded(node, self._on_scores), _BEST_EFFORT)
        node.create_subscription(DiagnosticArray, '/diagnostics',
                                 guarded(node, self._on_diagnostics), 10)
        node.create_subscription(DiagnosticArray, f'{self._space}/grasp_outcome',
                                 guarded(node, self._on_outcome), 100)
        node.create_subscription(String, f'{self._space}/grasp_gate/state',
                                 guarded(node, self._on_gate), LATCHED)
        create_steady_timer(node, _GRAPH_S, self._on_graph)
        self._on_graph()

    def log(self, line: str, warn: bool = False) -> None:
        """Log a line through the node; any thread may call it."""
        # rclpy wants each level on a line of its own.
        if warn:
            self._node.get_logger().warning(one_line(line))
        else:
            self._node.get_logger().info(one_line(line))

    # ---- messages

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            one = DiagnosticArray(status=[status])
            for values in values_of(one, self.state.predictor):
                self.state.diagnose(status.level[0], status.message, values)
                self.changed.set()

    def _on_scores(self, message: PointCloud2) -> None:
        try:
            frame = frame_scores(message, 0)
        except ScoresError as error:
            self._once(f'scores cannot be read: {error}')
            return
        width = number(self.state.values(), 'gripper_half_width') or _HALF_WIDTH_M
        self.state.scores(shown_scores(frame, self._camera, width, self._selection))
        self.changed.set()

    def _on_outcome(self, message: DiagnosticArray) -> None:
        for status in message.status:
            try:
                self.state.outcome(outcome_of(status), status.message)
            except ValueError as error:
                self._once(f'{status.name!r} is no outcome: {error}')
        self.changed.set()

    def _on_info(self, message: CameraInfo) -> None:
        if message == self._info:
            return
        self._info, values = message, self.state.values()
        try:
            self._camera = to_camera(message, values.get('topic', ''),
                                     values.get('rectified', AUTO))
        except ConfigError as error:
            self._camera = None
            self._once(str(error))

    def _on_gate(self, message: String) -> None:
        self.state.gate(message.data)

    def _on_selected(self, message: PoseStamped) -> None:
        self._selection = message

    def _once(self, problem: str) -> None:
        if problem not in self._problems and len(self._problems) < 100:
            self._problems.add(problem)
            self.state.event(problem, 'refused')

    # ---- graph

    def _on_graph(self) -> None:
        """Follow the topics that the predictor subscribes to, whatever they are called."""
        name = self.state.predictor
        heard = _topics_of(self._node.get_subscriber_names_and_types_by_node, name)
        gate = _topics_of(self._node.get_publisher_names_and_types_by_node,
                          f'{self._space}/grasp_gate')
        image = self._image() or next((x for x in heard.items() if x[1] in _IMAGES), ('', ''))
        selected = next((topic for topic, kind in gate.items()
                         if kind == 'geometry_msgs/msg/PoseStamped'),
                        f'{self._space}/selected_grasp')
        self._follow('image', *(image if self.looking else ('', '')))
        self._follow('info', next((x for x, kind in heard.items() if kind == _INFO), ''), _INFO)
        self._follow('features', f'{name}/motion_features' if self.looking else '', _IMAGES[0])
        self._follow('selected', selected, 'geometry_msgs/msg/PoseStamped')
        if not self.looking:
            self.pictures.forget()
            self.heat.forget()
        self.commands.check()
        self.state.wait_for(self._missing())
        # Silence is a change that no message tells of.
        self.changed.set()

    def _image(self) -> tuple[str, str] | None:
        """Return topic and type of the images that the predictor says it takes, if known."""
        topic = self.state.values().get('topic', '')
        kinds = dict(self._node.get_topic_names_and_types()).get(topic, [])
        kind = next((x for x in kinds if x in _IMAGES), '')
        return (topic, kind) if kind else None

    def _follow(self, what: str, topic: str, kind: str) -> None:
        if topic or what in ('image', 'features'):
            self._follows[what].follow(topic, kind)

    def _missing(self) -> str:
        """Say what the predictor would be, and where another one is."""
        name = self.state.predictor
        others = sorted({topic.removesuffix(_SCORES) for topic, _ in
                         self._node.get_topic_names_and_types() if topic.endswith(_SCORES)}
                        - {name})
        # This node's own subscription is one of these topics.
        found = [x for x in others if self._node.count_publishers(x + _SCORES)]
        return (f'waits for {name}: expected it to publish on /diagnostics; start it with '
                'moss run grasp') + (f', or watch {", ".join(found)} by --node' if found else '')


class _Follower:
    """A subscription whose topic and type may change; an empty topic ends it."""

    def __init__(self, node: Node, callback: Callable[[Any], None]):
        self._node, self._callback = node, callback
        self._subscription: Any = None
        self._of = ('', '')

    def follow(self, topic: str, kind: str) -> None:
        if (topic, kind) == self._of:
            return
        self._of = (topic, kind)
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        message = message_class(kind) if topic else None
        if message is not None:
            self._subscription = self._node.create_subscription(
                message, topic, guarded(self._node, self._callback), _BEST_EFFORT)


def _topics_of(ask: Callable[[str, str], Any], name: str) -> dict[str, str]:
    """Return what a node publishes or subscribes to: the first type by topic."""
    space, _, own = name.rpartition('/')
    try:
        return {topic: kinds[0] for topic, kinds in ask(own, space or '/')}
    except RuntimeError:
        # NodeNameNonExistentError: the node is not there.
        return {}


