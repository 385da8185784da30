"""Start nodes in processes of their own and talk to them over the real middleware."""

from collections.abc import Callable
from pathlib import Path
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
import programs
from rcl_interfaces.srv import SetParameters
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Float32, Header

# What a transition leads to where it succeeds.
GOALS = {'configure': 'inactive', 'activate': 'active', 'deactivate': 'inactive',
         'cleanup': 'unconfigured', 'inactive_shutdown': 'finalized'}


class UnansweredError(AssertionError):
    """A service is there and did not answer."""


def wait_for(predicate: Callable[[], Any], timeout_s: float = 10.0, what: str = '') -> Any:
    """Return the predicate's first true value, or fail after the timeout."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if value := predicate():
            return value
        time.sleep(0.01)
    raise AssertionError(f'{what or predicate} not seen within {timeout_s} s')


class NodeProcess:
    """
    A node started from a folder that is not the repository.

    :param command: an executable of the package, or a script's path, and its own arguments.
    """

    def __init__(self, folder: Path, *command: str, ros_args: tuple[str, ...] = ()):
        words = [sys.executable, *command] if command[0].endswith('.py') else [
            *programs.command(command[0]), *command[1:]]
        self.log = folder / f'{time.monotonic_ns()}.log'
        with self.log.open('wb') as log:
            self.process = subprocess.Popen(
                [*words, '--ros-args', *ros_args], cwd=folder,
                env=programs.environment(OMP_NUM_THREADS='1'), stdout=log,
                stderr=subprocess.STDOUT)

    def output(self) -> str:
        """Return what it has printed so far."""
        return self.log.read_text(errors='replace')

    def alive(self) -> bool:
        """Tell whether the process still runs."""
        return self.process.poll() is None

    def wait(self, timeout_s: float = 40.0) -> int:
        """Wait for its end and return the exit status; past the timeout it is killed."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def stop(self, timeout_s: float = 15.0) -> int:
        """Interrupt it and return the exit status."""
        if self.alive():
            self.process.send_signal(signal.SIGINT)
        return self.wait(timeout_s)


class Peer:
    """A node of the test's own, spun by a thread, that keeps every message it hears."""

    def __init__(self, name: str = 'peer'):
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node(name, context=self.context)
        self.heard: dict[str, list[Any]] = {}
        self._clients: dict[str, Any] = {}
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        while self.context.ok():
            try:
                self._executor.spin()
                return
            except rclpy_implementation.InvalidHandle:
                # The test has removed a publisher that the executor was about to look at.
                continue

    def listen(self, kind: Any, topic: str, qos: Any = 1000) -> list[Any]:
        """Subscribe and return the list that fills."""
        heard = self.heard[topic] = []
        self.node.create_subscription(kind, topic, heard.append, qos)
        return heard

    def call(self, kind: Any, name: str, request: Any, timeout_s: float = 20.0) -> Any:
        """Call a service and return its response."""
        new = name not in self._clients
        if new:
            self._clients[name] = self.node.create_client(kind, name)
        client = self._clients[name]
        # A machine under load takes its time to start a process.
        assert client.wait_for_service(60.0), f'service {name} is not there'
        if new:
            # The service may know of this client a moment later, and answers nobody until then.
            time.sleep(0.1)
        future = client.call_async(request)
        try:
            return wait_for(future.done, timeout_s, f'answer of {name}') and future.result()
        except AssertionError as error:
            raise UnansweredError(str(error)) from error

    def ask(self, kind: Any, name: str, request: Any) -> Any:
        """Call a service that changes nothing; again, if an answer was lost in discovery."""
        for _ in range(3):
            try:
                return self.call(kind, name, request, 5.0)
            except UnansweredError:
                continue
        return self.call(kind, name, request)

    def transition(self, node: str, label: str) -> bool:
        """Ask a lifecycle node for a transition and return whether it succeeded."""
        request = ChangeState.Request(transition=Transition(
            id=getattr(Transition, f'TRANSITION_{label.upper()}')))
        try:
            return self.call(ChangeState, f'{node}/change_state', request, 40.0).success
        except UnansweredError as error:
            # Answers may be lost in discovery, and a transition is not to be asked for twice.
            told = self.call(GetState, f'{node}/get_state', GetState.Request(), 5.0)
            if told.current_state.label == GOALS[label]:
                return True
            raise error

    def state(self, node: str) -> str:
        """Return a lifecycle node's state."""
        return self.ask(GetState, f'{node}/get_state', GetState.Request()).current_state.label

    def set(self, node: str, **values: Any) -> list[Any]:
        """Set parameters, each by itself, and return the results."""
        request = SetParameters.Request(
            parameters=[Parameter(n, value=v).to_parameter_msg() for n, v in values.items()])
        return self.call(SetParameters, f'{node}/set_parameters', request).results

    def close(self) -> None:
        """Stop spinning and leave the middleware."""
        self._executor.shutdown()
        self._thread.join(5)
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


class PredictorBench:
    """A grasp_predictor in a process of its own, driven in lock step."""

    wait_for = staticmethod(wait_for)

    module = ('grasp_predictor',)

    def __init__(self, peer: Peer, folder: Path, *ros_args: str, image: str = '/image',
                 namespace: str = '', command: tuple[str, ...] = module):
        self.peer = peer
        self.image = image
        self.name = f'{namespace}/grasp_predictor'
        if namespace:
            ros_args = (*ros_args, '-r', f'__ns:={namespace}')
        self.process = NodeProcess(folder, *command, ros_args=ros_args)
        self.scores = peer.listen(PointCloud2, f'{self.name}/grasp_scores')
        self.score = peer.listen(Float32, f'{self.name}/grasp_score')
        self.features = peer.listen(Image, f'{self.name}/motion_features')
        self.processed = peer.listen(Header, f'{self.name}/processed')
        self.diagnostics = peer.listen(DiagnosticArray, '/diagnostics')
        self._publishers: dict[tuple[str, str], Any] = {}

    def fresh(self, **parameters: Any) -> None:
        """Bring the node to active with a new predictor, whatever state it was in."""
        ways = {'active': ('deactivate', 'cleanup'), 'inactive': ('cleanup',)}
        for label in ways.get(self.peer.state(self.name), ()):
            assert self.peer.transition(self.name, label), self.process.output()
        for result in self.peer.set(self.name, **parameters) if parameters else ():
            assert result.successful, result.reason
        for label in ('configure', 'activate'):
            assert self.peer.transition(self.name, label), self.process.output()
        for heard in (self.scores, self.score, self.features, self.processed, self.diagnostics):
            heard.clear()

    def publisher(self, kind: Any, topic: str, qos: Any = 100, label: str = '') -> Any:
        """Return a publisher that the node hears."""
        key = (topic, label)
        if key not in self._publishers:
            self._publishers[key] = self.peer.node.create_publisher(kind, topic, qos)
            wait_for(self._publishers[key].get_subscription_count, 10, f'subscriber of {topic}')
        return self._publishers[key]

    def forget_publishers(self) -> None:
        """Remove all publishers that the test made."""
        while self._publishers:
            self.peer.node.destroy_publisher(self._publishers.popitem()[1])

    def send(self, message: Any, publisher: Any = None, timeout_s: float = 10.0) -> str:
        """Publish one image, wait until it is processed, and return what became of it."""
        publisher = publisher or self.publisher(type(message), self.image)
        seen = len(self.processed)
        publisher.publish(message)

        def fate() -> str:
            return next((h.frame_id for h in self.processed[seen:]
                         if h.stamp == message.header.stamp), '')
        return wait_for(fate, timeout_s, f'fate of the image at {message.header.stamp}')

    def connect(self, message: Any, publisher: Any = None) -> Any:
        """Send an image, again and again, until one is processed: discovery takes its time."""
        publisher = publisher or self.publisher(type(message), self.image)
        for _ in range(40):
            try:
                self.send(message, publisher, 0.25)
                return publisher
            except AssertionError:
                continue
        raise AssertionError(f'no image was processed:\n{self.process.output()}')

    def status(self, predicate: Callable[[Any, dict], bool] = lambda *_: True,
               timeout_s: float = 8.0) -> tuple[Any, dict[str, str]]:
        """Wait for a diagnostics status, from now on, that fits; return it with its values."""
        start = len(self.diagnostics)

        def fitting() -> Any:
            for array in self.diagnostics[start:]:
                for status in array.status:
                    values = {pair.key: pair.value for pair in status.values}
                    if status.name == self.name[1:] and predicate(status, values):
                        return status, values
            return None
        try:
            return wait_for(fitting, timeout_s, 'diagnostics')
        except AssertionError:
            last = self.diagnostics[-1:]
            raise AssertionError(f'no such diagnostics; last: {last}') from None
