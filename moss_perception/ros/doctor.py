"""Checks of a running system: nodes, sources, QoS, diagnostics, and the streams for a while."""

from collections.abc import Callable, Mapping
from dataclasses import replace
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from moss_perception.core.cameras import CameraSetup
from moss_perception.core.frames import stamp_to_ns
from moss_perception.data.bags.topics import CAMERA_TYPE, CANDIDATES_TYPE, IMAGE_TYPES
from moss_perception.data.outcomes import outcome_of
from moss_perception.evaluation.checks import Checks
from moss_perception.evaluation.findings import Seen
from moss_perception.evaluation.outputs import values_of
from moss_perception.evaluation.stream_checks import Streams, TOGETHER
from moss_perception.models.config import ModelConfig
from moss_perception.ros.common.conversions import ERROR, OK
from moss_perception.ros.common.dds_profile import user_profile
from moss_perception.ros.common.sources import full_name, listed, namesakes, several
from moss_perception.ros.common.spinning import own_context, serving, Spin, spin_for
from moss_perception.ros.common.subscriptions import (
    MatchedSubscription,
    message_class,
    RELIABLE,
    TRANSIENT,
)
from moss_perception.ros.predictor.transforms import LiveTransforms
from moss_perception.runtime.candidate_frames import CandidateFrames
import rclpy
from rclpy.node import Node
from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import PointCloud2

_NAME = 'moss_doctor'
# The graph is known once it has stayed the same for a while, or the time is over.
_SAME_S, _DISCOVERY_S = 1.5, 8.0
_CHECK_S, _DECODE_S = 0.5, 2.0
# Larger messages do not fit the shared memory that Fast DDS has by default.
_SHARED_KIB = 512
_SCORES, _OUTCOMES = '/grasp_scores', '/grasp_outcome'
_KINDS = {'image_topic': IMAGE_TYPES, 'camera_info_topic': (CAMERA_TYPE,),
          'candidates_topic': (CANDIDATES_TYPE,)}
_EFFECTS = {'image_topic': 'a window mixes the images of all cameras',
            'camera_info_topic': 'candidates are projected by the newest calibration',
            'candidates_topic': 'the newest set replaces the one before'}


def check_system(config: ModelConfig, topics: Mapping[str, str], seconds: float,
                 setup: CameraSetup | None = None) -> list[Checks]:
    """
    Listen to a running system, and check it.

    :param config: of the checkpoint, if no predictor says another.
    :param topics: those that the user names, by the argument of
        :func:`moss_perception.evaluation.replay.replay`.
    :param seconds: how long to listen.
    :param setup: whether the images are rectified, and where the candidates' frame is, if no
        predictor says so.
    :returns: the checks of the graph and, if there are images, of the streams.
    """
    context = own_context()
    node = rclpy.create_node(_NAME, context=context)
    try:
        with serving(node) as spin:
            listener = _Listener(node, config, topics, setup)
            _discover(node, spin)
            listener.subscribe()
            end_s = time.monotonic() + seconds
            while (left_s := end_s - time.monotonic()) > 0:
                spin_for(spin, min(left_s, _CHECK_S))
                listener.follow()
            return listener.check()
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)


def _discover(node: Node, spin: Spin) -> None:
    """Wait until the graph has become known."""
    begun_s = changed_s = time.monotonic()
    before: Any = None
    while time.monotonic() < min(changed_s + _SAME_S, begun_s + _DISCOVERY_S):
        spin_for(spin, 0.1)
        now = [(topic, node.count_publishers(topic), node.count_subscribers(topic))
               for topic, _ in node.get_topic_names_and_types()]
        if now != before:
            before, changed_s = now, time.monotonic()


class _Listener:
    """
    Finds the topics of a predictor, or of one that could be started, and collects what comes.

    :param node: serves the subscriptions.
    """

    def __init__(self, node: Node, config: ModelConfig, topics: Mapping[str, str],
                 setup: CameraSetup | None):
        self._node, self._given = node, topics
        self._setup = setup
        self._subscriptions: list[MatchedSubscription] = []
        self._statuses: dict[str, tuple[bytes, str]] = {}
        self._values: dict[str, str] = {}
        self._decoded_s, self._together = 0.0, 0
        self._image_kib = 0
        self._topics: dict[str, tuple[str, str]] = {}
        self._missing: dict[str, str] = {}
        self._predictors: list[str] = []
        self._streams = Streams(config, Seen())

    def subscribe(self) -> None:
        """Find the topics in the graph, and subscribe to them."""
        node, there = self._node, dict(self._node.get_topic_names_and_types())
        # Not the scores that somebody plays from a recording.
        nodes = {full_name(*x) for x in node.get_node_names_and_namespaces()}
        self._predictors = sorted(x for x in nodes if node.count_publishers(x + _SCORES))
        read = self._read_by_predictor()
        for key, kinds in _KINDS.items():
            found = self._choose(key, kinds, there, read)
            if found is not None:
                self._topics[key] = found
        image = self._topics.get('image_topic', ('', ''))[0]
        self._streams.seen = Seen(image_topic=image, placing=CandidateFrames(
            self._setup, LiveTransforms(node)))
        handlers: Mapping[str, Callable] = {
            'image_topic': self._on_image, 'camera_info_topic': self._streams.camera,
            'candidates_topic': self._streams.candidates}
        for key, (topic, kind) in self._topics.items():
            self._listen(message_class(kind), topic, handlers[key])
        self._streams.predicted = bool(self._predictors)
        for predictor in self._predictors[:1]:
            self._listen(PointCloud2, predictor + _SCORES, self._streams.scores)
        self._listen(DiagnosticArray, '/diagnostics', self._on_diagnostics)
        # The robot's outcomes are in the namespace of its predictor.
        outcomes = ''.join(self._predictors[:1]).rpartition('/')[0] + _OUTCOMES
        self._listen(DiagnosticArray, self._given.get('outcome_topic', outcomes),
                     self._on_outcome)

    def _read_by_predictor(self) -> dict[str, list[str]]:
        """Return what the first predictor subscribes to: topics by type."""
        found: dict[str, list[str]] = {}
        for predictor in self._predictors[:1]:
            namespace, _, name = predictor.rpartition('/')
            for topic, kinds in self._node.get_subscriber_names_and_types_by_node(
                    name, namespace or '/'):
                for kind in kinds:
                    found.setdefault(kind, []).append(topic)
        return found

    def _choose(self, key: str, kinds: tuple[str, ...], there: Mapping[str, list[str]],
                read: Mapping[str, list[str]]) -> tuple[str, str] | None:
        """Choose a topic: as given, as the predictor reads it, or the only one of its type."""
        published = [(topic, kind) for topic, types in there.items() for kind in types
                     if kind in kinds and self._node.count_publishers(topic)
                     and not any(topic.startswith(f'{x}/') for x in self._predictors)]
        wanted = self._given.get(key)
        if wanted:
            wanted = '/' + wanted.strip('/')
            found = [x for x in published if x[0] in (wanted, f'{wanted}/compressed')]
        else:
            own = {topic for kind in kinds for topic in read.get(kind, ())}
            found = [x for x in published if x[0] in own] if own else published
            wanted = ', '.join(sorted(own))
        if len(found) == 1:
            return found[0]
        names = listed(topic for topic, _ in (found or published))
        self._missing[key] = (f'several topics fit: {names}' if found else
                              f'nobody publishes {wanted or "one"}'
                              + (f'; there is {names}' if names else ''))
        return None

    def _listen(self, kind: Any, topic: str, callback: Callable) -> None:
        self._subscriptions.append(MatchedSubscription(
            self._node, kind, topic, callback, depth=20, latched=True))

    def follow(self) -> None:
        """Adapt the subscriptions to the graph; call it regularly."""
        for one in self._subscriptions:
            one.check()

    def _on_image(self, message: Any) -> None:
        self._image_kib = max(self._image_kib, len(message.data) // 1024)
        now_s = time.monotonic()
        if now_s - self._decoded_s > _DECODE_S:
            self._decoded_s, self._together = now_s, TOGETHER
        due = self._together > 0
        self._together -= due
        stamp_ns = stamp_to_ns(message.header.stamp)
        now_ns = self._now_ns() or stamp_ns
        self._streams.image(stamp_ns, message.header.frame_id, now_ns, message if due else None)

    def _now_ns(self) -> int | None:
        """Return the time; ``None`` for a recording that is played, whose stamps are old."""
        if self._node.count_publishers('/clock') > 0:
            return None
        return self._node.get_clock().now().nanoseconds

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self._statuses[status.name] = status.level, status.message
        for predictor in self._predictors[:1]:
            for values in values_of(message, predictor):
                self._values = values

    def _on_outcome(self, message: DiagnosticArray) -> None:
        for status in message.status:
            try:
                self._streams.outcomes.append(replace(
                    outcome_of(status), recorded_ns=self._now_ns()))
            except ValueError as error:
                self._streams.seen.refuse('outcomes', str(error))

    def check(self) -> list[Checks]:
        """Judge the graph, and the streams if there are images."""
        checks = Checks('system')
        if not self._check_nodes(checks):
            return [checks]
        for key, (topic, _) in self._topics.items():
            self._check_topic(checks, topic, _EFFECTS[key])
            if key == 'image_topic':
                self._check_size(checks, topic)
        for key, why in self._missing.items():
            name = key.removesuffix('_topic')
            say = checks.fail if key == 'image_topic' else checks.warn
            say(f'no topic of {name}: {why}',
                f'start what publishes it, or name it with --{key.replace("_", "-")}')
        for name, (level, message) in sorted(self._statuses.items()):
            if level == OK:
                checks.fine(f'{name}: {message}')
            else:
                say = checks.fail if level == ERROR else checks.warn
                say(f'{name}: {message}', f'look at the log and the diagnostics of {name}')
        if lead_time := self._values.get('lead_time'):
            self._streams.lead_time_s = float(lead_time)
        if 'image_topic' not in self._topics:
            return [checks]
        return [checks, self._streams.check('streams')]

    def _check_nodes(self, checks: Checks) -> bool:
        """Check the nodes, and tell whether there are any."""
        names = {full_name(*x) for x in self._node.get_node_names_and_namespaces()}
        names -= {full_name(_NAME, '/')}
        if not names:
            checks.warn('no node is running in this domain',
                        'start the system, or set ROS_DOMAIN_ID and '
                        'ROS_AUTOMATIC_DISCOVERY_RANGE as it has them')
            return False
        checks.fine(f'{len(names)} nodes: {listed(sorted(names))}')
        for name in namesakes(self._node):
            checks.fail(f'several nodes have the name {name}, so that services and parameters '
                        'reach either of them', 'stop one, or start it in another namespace')
        if not self._predictors:
            checks.warn('no grasp_predictor is configured',
                        'moss run grasp, or moss activate grasp_predictor')
        elif len(self._predictors) > 1:
            checks.warn(f'several predictors: {listed(self._predictors)}; the first is checked',
                        'check each in a domain of its own')
        return True

    def _check_topic(self, checks: Checks, topic: str, effect: str) -> None:
        """Check who publishes an input, and whether every reader can receive it."""
        if problem := several(self._node, topic, effect):
            what, _, remedy = problem.rpartition('; ')
            checks.warn(what, remedy)
        offered = self._node.get_publishers_info_by_topic(topic)
        for reader in self._node.get_subscriptions_info_by_topic(topic):
            name = full_name(reader.node_name, reader.node_namespace)
            for writer in offered:
                if lacking := _incompatible(writer.qos_profile, reader.qos_profile):
                    checks.fail(f'{name} cannot receive {topic} of {writer.node_name}: {lacking}',
                                'set qos_reliability of the reader to match or best_effort, or '
                                'the QoS of the publisher')
        kinds = {x.topic_type for x in offered}
        if len(kinds) > 1:
            checks.fail(f'{topic} is published with several types: {", ".join(sorted(kinds))}',
                        'rename one of them')
        else:
            qos = sorted({'reliable' if x.qos_profile.reliability == RELIABLE else 'best effort'
                          for x in offered})
            checks.fine(f'{topic}: {", ".join(sorted(kinds)) or "gone"}, {" and ".join(qos)}')

    def _check_size(self, checks: Checks, topic: str) -> None:
        """Warn of images that do not fit the shared memory: a best-effort publisher loses most."""
        writers = self._node.get_publishers_info_by_topic(topic)
        if (self._image_kib <= _SHARED_KIB or user_profile()
                or 'fastrtps' not in get_rmw_implementation_identifier()
                or all(x.qos_profile.reliability == RELIABLE for x in writers)):
            return
        checks.warn(f'{topic} has images of {self._image_kib} KiB from a best-effort publisher: '
                    f'above {_SHARED_KIB} KiB they do not fit the shared memory of Fast DDS, and '
                    'most can be lost',
                    'give all processes the profile fastdds_large_images.xml, as "Large images" '
                    'of docs/how_to/cameras_and_frames.md says, or publish JPEG')


def _incompatible(offered: Any, wanted: Any) -> str:
    """Say which quality of service a publisher lacks; empty if none."""
    if wanted.reliability == RELIABLE and offered.reliability != RELIABLE:
        return 'it asks for reliable, the publisher is best effort'
    if wanted.durability == TRANSIENT and offered.durability != TRANSIENT:
        return 'it asks for earlier messages, which the publisher does not keep'
    return ''
