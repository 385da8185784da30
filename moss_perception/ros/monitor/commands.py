"""What an operator can do from a view: reset, pause, and the commands of attempt_recorder."""

from collections.abc import Callable
from typing import Any

from moss_perception.core.text import clean
from moss_perception.ros.common.guard import guarded
from moss_perception.ros.monitor.state import SystemState
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

PREDICTOR, RECORDER = ('reset', 'pause', 'resume'), ('start', 'succeed', 'fail', 'discard')
ACTIONS = PREDICTOR + RECORDER
"""What :meth:`Commands.call` takes."""

Answer = Callable[[bool, str], None]


class Commands:
    """
    The services of a predictor and of the recorder in its namespace.

    :param node: an rclpy node; its thread calls all methods but :meth:`call`.
    :param state: learns whether a recorder runs, and what it says.
    :param space: namespace of the nodes, without a slash at its end.
    """

    def __init__(self, node: Node, state: SystemState, space: str):
        self._state = state
        recorder = f'{space}/attempt_recorder'
        enable: Any = node.create_client(SetBool, f'{state.predictor}/enable')
        # A service that has not discovered its client yet answers nobody: create them early.
        self._clients: dict[str, Any] = {
            'reset': node.create_client(Trigger, f'{state.predictor}/reset'),
            'pause': enable, 'resume': enable,
            **{name: node.create_client(Trigger, f'{recorder}/{name}') for name in RECORDER}}
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._recorded = ''
        node.create_subscription(
            String, f'{recorder}/state', guarded(node, self._on_recorder), latched)
        node.create_subscription(String, f'{recorder}/events', guarded(node, self._on_event), 100)

    def _on_recorder(self, message: String) -> None:
        self._recorded = message.data
        self._state.recorder(self._recorded)

    def _on_event(self, message: String) -> None:
        self._state.event(f'recorder: {message.data}', 'recorder')

    def check(self) -> None:
        """Learn whether the recorder still runs; call it regularly."""
        there = self._clients['start'].service_is_ready()
        self._state.recorder((self._recorded or 'idle') if there else '')

    def call(self, action: str, answer: Answer) -> None:
        """
        Carry out an action; any thread may call it.

        :param action: one of :data:`ACTIONS`.
        :param answer: called once with whether it was done, and what the node says, from the
            node's thread or at once; never if the node does not answer.
        """
        client = self._clients.get(action)
        if client is None:
            answer(False, f'{clean(action, 40)!r} is not known: expected one of '
                          f'{", ".join(ACTIONS)}')
            return
        if not client.service_is_ready():
            answer(False, f'{client.srv_name} is not there: expected a running node')
            return
        request = Trigger.Request() if client.srv_type is Trigger else SetBool.Request(
            data=action == 'resume')
        client.call_async(request).add_done_callback(lambda future: self._done(future, answer))

    @staticmethod
    def _done(future: Any, answer: Answer) -> None:
        if (response := future.result()) is not None:
            answer(bool(response.success), clean(response.message))
