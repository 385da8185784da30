"""Start nodes in processes of their own and talk to them over the real middleware."""

from collections.abc import Callable
import os
from pathlib import Path
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter

ROOT = Path(__file__).resolve().parents[1]


def wait_for(predicate: Callable[[], Any], timeout_s: float = 10.0, what: str = '') -> Any:
    """Return the predicate's first true value, or fail after the timeout."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if value := predicate():
            return value
        time.sleep(0.01)
    raise AssertionError(f'{what or predicate} not seen within {timeout_s} s')


class NodeProcess:
    """A node started as a module, from a folder that is not the repository."""

    def __init__(self, module: str, folder: Path, *ros_args: str):
        paths = [str(ROOT), os.environ.get('PYTHONPATH', '')]
        environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, paths)),
                       'PYTHONUNBUFFERED': '1', 'OMP_NUM_THREADS': '1'}
        self.log = folder / f'{module}-{time.monotonic_ns()}.log'
        with open(self.log, 'wb') as log:
            self.process = subprocess.Popen(
                [sys.executable, '-m', module, '--ros-args', *ros_args], cwd=folder,
                env=environment, stdout=log, stderr=subprocess.STDOUT)

    def output(self) -> str:
        """Return what it has printed so far."""
        return self.log.read_text(errors='replace')

    def alive(self) -> bool:
        """Tell whether the process still runs."""
        return self.process.poll() is None

    def wait(self, timeout_s: float = 20.0) -> int:
        """Wait for its end and return the exit status."""
        return self.process.wait(timeout_s)

    def stop(self, timeout_s: float = 15.0) -> int:
        """Interrupt it and return the exit status."""
        if self.alive():
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


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
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def listen(self, kind: Any, topic: str, qos: Any = 1000) -> list[Any]:
        """Subscribe and return the list that fills."""
        heard = self.heard[topic] = []
        self.node.create_subscription(kind, topic, heard.append, qos)
        return heard

    def call(self, kind: Any, name: str, request: Any, timeout_s: float = 20.0) -> Any:
        """Call a service and return its response."""
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, name)
        client = self._clients[name]
        assert client.wait_for_service(timeout_s), f'service {name} is not there'
        future = client.call_async(request)
        wait_for(future.done, timeout_s, f'answer of {name}')
        return future.result()

    def transition(self, node: str, label: str) -> bool:
        """Ask a lifecycle node for a transition and return whether it succeeded."""
        request = ChangeState.Request(transition=Transition(
            id=getattr(Transition, f'TRANSITION_{label.upper()}')))
        return self.call(ChangeState, f'{node}/change_state', request, 60.0).success

    def state(self, node: str) -> str:
        """Return a lifecycle node's state."""
        return self.call(GetState, f'{node}/get_state', GetState.Request()).current_state.label

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
