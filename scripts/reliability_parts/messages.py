"""Generated messages of every input through the nodes' own entry points, in process."""

from contextlib import ExitStack
from tempfile import TemporaryDirectory
import time
from typing import Any

from moss_perception.core.image_messages import ImageLimits
from moss_perception.data.bags.attempts import AttemptFolder
from moss_perception.ros.common import conversions
from moss_perception.ros.common.guard import guard_of
from moss_perception.ros.gate import GraspGate
from moss_perception.ros.monitor.watcher import SystemWatcher
from moss_perception.ros.predictor.node import GraspPredictor
from moss_perception.ros.recorder.node import AttemptRecorder
from moss_perception.runtime.predictor import Predictor
import numpy as np
import rclpy
from rclpy.parameter import Parameter
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image, JointState

from reliability_parts import generated
from reliability_parts.common import Found, Held, try_all

PROBE_EVERY = 200
PROBE_NS = 2 * 10**15
_PATIENCE_S = 30.0
# What the nodes remember is bounded, and fills up first.
_WARM_UP = 0.5
_GRIPPER = '/joint_states'
# Of messages, by the share of each input: images are the largest surface.
_WEIGHTS = {Image: 4, CompressedImage: 4}


class WatchedPredictor(GraspPredictor):
    """A predictor that counts what it reports about images, and keeps its predictions."""

    def __init__(self, **kwargs: Any):
        self.reported, self.scores = 0, []
        super().__init__(**kwargs)

    def _report(self, result: Any) -> None:
        super()._report(result)
        self.reported += 1

    def activate(self) -> None:
        """Subscribe, and keep each prediction that is published."""
        super().activate()
        publish = self.outputs.publish

        def watched(prediction: Any, *args: Any) -> None:
            self.scores.append(np.append(prediction.scores, prediction.score))
            publish(prediction, *args)
        self.outputs.publish = watched  # type: ignore[method-assign]


def expected_scores(model: str, kind: Any) -> np.ndarray:
    """Return the scores of the probe, computed without a node."""
    predictor = Predictor.load(model, threads=1, limits=ImageLimits())
    predictor.set_level(len(predictor.levels))
    predictor.set_camera(conversions.to_camera(generated.camera_info(0, PROBE_NS)))
    predictor.set_candidates(conversions.to_candidates(generated.candidates(3, PROBE_NS)))
    found = None
    for message in probe(kind, predictor.config, PROBE_NS):
        found = predictor.push(conversions.to_frame(message))
    assert found is not None, 'the probe fills the window'
    return np.append(found.scores, found.score)


def probe(kind: Any, config: Any, start_ns: int) -> list[Any]:
    """Return the valid images of one window."""
    period_ns = round(1e9 / config.frame_rate_hz)
    return [generated.VALID[kind](2 * k, start_ns + k * period_ns)
            for k in range(config.window_frames)]


class Watcher(SystemWatcher):
    """A monitor whose node is given, so that nobody spins it."""

    def __init__(self, node: Any):
        super().__init__()
        self._node, self.looking = node, True
        self._connect()
        for what, kind in (('image', 'Image'), ('features', 'Image'), ('info', 'CameraInfo')):
            self._follow(what, f'/{what}_shown', f'sensor_msgs/msg/{kind}')
        self._follow('selected', '/selected_grasp', 'geometry_msgs/msg/PoseStamped')


class Inputs:
    """
    The subscriptions of the nodes that listen, called as the executor calls them.

    These are two predictors, a gate, a recorder of attempts, which gets damaged bytes too, and a
    monitor.

    :param model: the checkpoint.
    :param seed: of the generated messages.
    :param count: number of messages; what is held is compared from half of them on.
    """

    def __init__(self, model: str, seed: int, count: int):
        self._exit = ExitStack()
        at = self._exit.enter_context(TemporaryDirectory(prefix='moss_reliability_'))
        given = {'out': f'{at}/attempts', 'gripper_topic': _GRIPPER, 'gripper_closed': 0.01,
                 'run_up_mib': 8}
        rclpy.init(args=['--ros-args', '--log-level', 'fatal', *(word for x in given.items() for
                         word in ('-p', 'attempt_recorder:{}:={}'.format(*x)))])
        self._seed, self._warm, self._held = seed, int(_WARM_UP * count), None
        self._nodes = {}
        for transport, kind in (('raw', Image), ('compressed', CompressedImage)):
            values = {'model_path': model, 'threads': 1, 'image_transport': transport,
                      'budget': 'auto', 'latency_budget': 10.0, 'silence': 0.0}
            node = WatchedPredictor(namespace=f'/{transport}', parameter_overrides=[
                Parameter(name, value=value) for name, value in values.items()])
            assert node.trigger_configure().name == 'SUCCESS'
            assert node.trigger_activate().name == 'SUCCESS'
            node.predictor.set_level(len(node.predictor.levels))
            self._nodes[kind] = node
        self._monitor = Watcher(rclpy.create_node('monitor'))
        self._others = [GraspGate(), self._recorder(), self._monitor._node]
        self._guards = [guard_of(node) for node in (*self._nodes.values(), *self._others)]
        for guard in self._guards:
            guard.on_failure = self._failed
        self._failures: list[Exception] = []
        self._expected = {kind: expected_scores(model, kind) for kind in self._nodes}
        self._entries = [(node, sub) for node in (*self._nodes.values(), *self._others)
                         for sub in node.subscriptions if sub.msg_type in generated.VALID]
        weights = np.array([_WEIGHTS.get(sub.msg_type, 1) for _, sub in self._entries], float)
        self._weights = weights / weights.sum()
        self.wrong = 0

    def _recorder(self) -> AttemptRecorder:
        node = AttemptRecorder()
        node.open(self._exit.enter_context(AttemptFolder(node.folder)))
        # It learns the type from a publisher.
        node.create_publisher(JointState, _GRIPPER, 1)
        end_s = time.monotonic() + _PATIENCE_S
        while not any(x.topic_name == _GRIPPER for x in node.subscriptions):
            assert time.monotonic() < end_s, 'the recorder does not find the gripper'
            node.check()
            time.sleep(0.05)
        return node

    def _failed(self, error: Exception) -> None:
        self._failures.append(error)

    def one(self, number: int) -> str:
        """Send one generated message; now and then a window of valid ones."""
        rng = np.random.default_rng([self._seed, number])
        if number >= self._warm and self._held is None:
            self._held = Held.by()
        if number % PROBE_EVERY == PROBE_EVERY - 1:
            for kind in self._nodes:
                self._probe(kind, number)
            return 'valid windows'
        node, subscription = self._entries[int(rng.choice(len(self._entries), p=self._weights))]
        message = generated.generated(
            subscription.msg_type, rng, number, subscription.topic_name)
        self._send(node, subscription, message, number, rng)
        return subscription.topic_name.lstrip('/')

    def _send(self, node: Any, subscription: Any, message: Any, number: int,
              rng: np.random.Generator | None = None) -> None:
        # As the middleware hands it over.
        raw = serialize_message(message)
        if subscription.raw:
            received: Any = raw if rng is None else generated.damaged(raw, rng)
        else:
            received = deserialize_message(raw, type(message))
        before = getattr(node, 'reported', 0)
        with_info = subscription._callback_type is subscription.CallbackType.WithMessageInfo
        info = ({'source_timestamp': time.time_ns(), 'publication_sequence_number': number},)
        subscription.callback(received, *(info if with_info else ()))
        if self._failures:
            # The node goes on; what it was guarded against is a fault all the same.
            raise self._failures.pop()
        if isinstance(message, (Image, CompressedImage)) and hasattr(node, 'reported'):
            end_s = time.monotonic() + _PATIENCE_S
            while node.reported == before:
                if time.monotonic() > end_s:
                    raise TimeoutError('the node does not report what became of an image')
                time.sleep(0.0002)

    def _probe(self, kind: Any, number: int) -> None:
        node = self._nodes[kind]
        node.predictor.reset('requested')
        named = {sub.msg_type: sub for sub in node.subscriptions}
        # No generated candidates have stamps within this window.
        start_ns = PROBE_NS + number * 10**10
        for message in (generated.camera_info(0, start_ns), generated.candidates(3, start_ns),
                        *probe(kind, node.predictor.config, start_ns)):
            self._send(node, named[type(message)], message, number)
        expected = self._expected[kind]
        if not node.scores or node.scores[-1].shape != expected.shape or not np.allclose(
                node.scores[-1], expected, atol=1e-5, equal_nan=True):
            raise AssertionError(f'valid images are scored as {node.scores[-1:]}: expected '
                                 f'{expected}')
        node.scores.clear()

    def end(self) -> dict[str, Any]:
        """Compare what is held, and count what the nodes guarded themselves against."""
        growth = (self._held or Held.by()).growth(Held.by())
        failures = sum(guard.failures for guard in self._guards)
        unread = sum(guard.unreadable for guard in self._guards)
        refused = sum(sum(node.predictor.counters.refused.values())
                      for node in self._nodes.values())
        for node in (*self._nodes.values(), *self._others):
            node.destroy_node()
        rclpy.shutdown()
        self._exit.close()
        return {**growth, 'guarded_exceptions': failures, 'unreadable': unread,
                'refused_images': refused}


def run(model: str, count: int, seed: int) -> dict[str, Any]:
    """
    Send messages.

    :param count: number of generated messages.
    """
    found: Found = try_all(Inputs, (model, seed, count), count)
    return {'messages': count, 'windows': 2 * (count // PROBE_EVERY), **found.figures()}
