"""Configure and activate lifecycle nodes; the exit status says whether they are active."""

from collections.abc import Sequence
import time
from typing import Any

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from moss_perception.core.errors import MossError
from moss_perception.ros.common.spinning import run_node, serving, Spin, spin_until
from rclpy.client import Client
from rclpy.node import Node
from rclpy.task import Future

_ASK_AGAIN_S = 3.0
# A node that is not in a transition answers within this time.
_SOON_S = 1.0
_POLL_S = 0.05
# By state: the transition to request, its name, and the state that it leads to.
_STEPS = {
    State.PRIMARY_STATE_UNCONFIGURED: (
        Transition.TRANSITION_CONFIGURE, 'configure', State.PRIMARY_STATE_INACTIVE),
    State.PRIMARY_STATE_INACTIVE: (
        Transition.TRANSITION_ACTIVATE, 'activate', State.PRIMARY_STATE_ACTIVE),
}


class TransitionError(MossError):
    """A lifecycle node did not become active."""


class Autostart:
    """
    Bring one lifecycle node to its active state.

    :param node: calls the services.
    :param spin: serves the node's callbacks, from :func:`serving`.
    :param target: name of the lifecycle node; relative to ``node``'s namespace unless absolute.
    :param timeout_s: longest wait for the node, and for each transition, seconds.
    """

    def __init__(self, node: Node, spin: Spin, target: str, timeout_s: float):
        self._node, self._spin = node, spin
        self._target = target
        self._timeout_s = timeout_s
        self._get = node.create_client(GetState, f'{target}/get_state')
        self._change = node.create_client(ChangeState, f'{target}/change_state')

    def run(self) -> None:
        """
        Request the missing transitions until the node is active.

        :raises TransitionError: if the node does not appear, does not answer or refuses.
        """
        for client in (self._get, self._change):
            if not spin_until(self._spin, client.service_is_ready, self._timeout_s, _POLL_S):
                raise TransitionError(
                    f'{self._target} did not appear within {self._timeout_s:g} s: expected the '
                    f'service {self._node.resolve_service_name(client.srv_name)}')
        done = set()
        while True:
            state = self._state()
            if state.id == State.PRIMARY_STATE_ACTIVE:
                return
            if state.id not in _STEPS or state.id in done:
                raise TransitionError(f'{self._target} is {state.label}: expected it to become '
                                      'active')
            done.add(state.id)
            self._step(*_STEPS[state.id])

    def _step(self, transition: int, label: str, goal: int) -> None:
        began = time.monotonic()
        if not self._change_state(transition, label, goal):
            raise TransitionError(
                f'{self._target} could not {label}: its own log gives the reason')
        self._node.get_logger().info(
            f'{self._target}: {label} done in {time.monotonic() - began:.1f} s')

    def _state(self) -> State:
        """Request the state, repeatedly: an answer before the node has discovered us is lost."""
        deadline = time.monotonic() + self._timeout_s
        while True:
            left_s = max(0.0, deadline - time.monotonic())
            answer = self._answer(self._get, GetState.Request(), min(left_s, _ASK_AGAIN_S))
            if answer is not None:
                return answer.current_state
            if left_s <= _ASK_AGAIN_S:
                raise self._silent('get_state')

    def _change_state(self, transition: int, label: str, goal: int) -> bool:
        """Request a transition once; if the answer is lost, the state can still show success."""
        deadline = time.monotonic() + self._timeout_s
        future = self._change.call_async(
            ChangeState.Request(transition=Transition(id=transition)))
        while not self._wait(future, min(deadline - time.monotonic(), _ASK_AGAIN_S)):
            if time.monotonic() >= deadline:
                raise self._silent(label)
            answer = self._answer(self._get, GetState.Request(), _SOON_S)
            if answer is not None and answer.current_state.id == goal:
                return True
        answer = future.result()
        return answer is not None and answer.success

    def _answer(self, client: Client, request: Any, timeout_s: float) -> Any:
        future = client.call_async(request)
        return future.result() if self._wait(future, timeout_s) else None

    def _wait(self, future: Future, timeout_s: float) -> bool:
        return spin_until(self._spin, future.done, timeout_s)

    def _silent(self, label: str) -> TransitionError:
        return TransitionError(f'{self._target} did not answer {label} within '
                               f'{self._timeout_s:g} s')


def wait_for_subscriber(node: Node, spin: Spin, topic: str, timeout_s: float) -> None:
    """
    Wait until a topic has a subscriber.

    :raises TransitionError: if it has none in time.
    """
    if not spin_until(spin, lambda: node.count_subscribers(topic), timeout_s, _POLL_S):
        raise TransitionError(f'nobody subscribes to {node.resolve_topic_name(topic)} after '
                              f'{timeout_s:g} s: expected a subscriber')


def activate(names: Sequence[str], timeout_s: float, subscribed: str | None,
             ros_args: Sequence[str]) -> int:
    """
    Activate nodes in order, in a new process.

    :param names: names of the lifecycle nodes.
    :param timeout_s: seconds that each transition may take.
    :param subscribed: a topic that must have a subscriber after that; ``None`` for none.
    :param ros_args: ``--ros-args`` and the arguments for ROS.
    :returns: 0 if all are active, 1 after a known error, 130 if interrupted.
    """
    def work(node: Node) -> None:
        with serving(node) as spin:
            for name in names:
                Autostart(node, spin, name, timeout_s).run()
            if subscribed:
                wait_for_subscriber(node, spin, subscribed, timeout_s)

    return run_node('activate', lambda: Node('lifecycle_starter'), work,
                    ['activate', *ros_args], interrupted=130)
