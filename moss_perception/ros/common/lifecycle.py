"""Lifecycle nodes: a base that logs why a transition failed, and what activates them."""

from collections.abc import Callable, Sequence
import time
import traceback
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from moss_perception.core.codes import coded
from moss_perception.core.errors import MossError
from moss_perception.ros.common.guard import guarded
from moss_perception.ros.common.sources import namesakes
from moss_perception.ros.common.spinning import (
    run_node,
    serving,
    Spin,
    spin_until,
    without_place,
)
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node

_ASK_AGAIN_S = 3.0
# A node that is not in a transition answers within this time.
_SOON_S = 1.0
_POLL_S = 0.05
# A node of the system that is being started comes up, and says its state, within this time.
_TWIN_S = 5.0
# What the node that was asked may say: the engine of an active one can be busy for long.
_ACTIVE = frozenset(('active', 'stuck'))
_TWINS = ('several nodes have the name {}: expected one; if the system was started twice, stop '
          'one, or start it in another namespace')
# By state: the transition to request, its name, and the state that it leads to.
_STEPS = {
    State.PRIMARY_STATE_UNCONFIGURED: (
        Transition.TRANSITION_CONFIGURE, 'configure', State.PRIMARY_STATE_INACTIVE),
    State.PRIMARY_STATE_INACTIVE: (
        Transition.TRANSITION_ACTIVATE, 'activate', State.PRIMARY_STATE_ACTIVE),
}


class ManagedNode(LifecycleNode):
    """
    Base of the lifecycle nodes.

    Override ``configure``, ``activate``, ``deactivate`` and ``free``. A known error in one of them
    is logged as one line and fails the transition, so that you can try again. An unexpected
    error is logged with its traceback and leads back to unconfigured.

    :ivar failure: why the last transition failed; empty if it did not.
    """

    # A node whose own constructor failed has nothing to release, and lacks attributes for it. From
    # Kilted on, the context destroys that one too.
    _was_configured = False

    def __init__(self, name: str, **kwargs: Any):
        super().__init__(name, **kwargs)
        self.failure = ''
        # In rclpy an invalid transition, such as activate before configure, ends the process.
        service: Any = self._service_change_state
        answer = service.callback
        service.callback = lambda *args: self._answer(answer, *args)

    @property
    def state_label(self) -> str:
        """The state's name, such as ``unconfigured`` or ``active``."""
        return self._state_machine.current_state[1]

    def configure(self) -> None:
        """Acquire everything that a stream of messages needs."""

    def activate(self) -> None:
        """Start to receive and publish messages."""

    def deactivate(self) -> None:
        """Stop receiving and publishing messages."""

    def free(self) -> None:
        """Release what was acquired since ``configure``; called perhaps more than once."""

    def destroy_node(self) -> None:
        """Release everything, then leave the graph."""
        if self._was_configured:
            self.free()
        # rclpy leaves its machine of states, which keeps the node in the graph.
        self._state_machine.destroy_when_not_in_use()
        super().destroy_node()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Configure; after a failure, release what was acquired."""
        self._was_configured = True
        result = self._attempt('configure', self.configure, super().on_configure, state)
        if result != TransitionCallbackReturn.SUCCESS:
            self.free()
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Enable the publishers, then subscribe; after a failure, undo both."""
        result = super().on_activate(state)
        if result == TransitionCallbackReturn.SUCCESS:
            result = self._attempt('activate', self.activate, None, state)
        if result != TransitionCallbackReturn.SUCCESS:
            reason = self.failure
            # rclpy leaves the publishers enabled, even if only some of them could be enabled.
            super().on_deactivate(state)
            self._attempt('deactivate after a failed activate', self.deactivate, None, state)
            self.failure = reason
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe, then disable the publishers."""
        return self._attempt('deactivate', self.deactivate, super().on_deactivate, state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything; the node can be configured again."""
        return self._attempt('cleanup', self.free, super().on_cleanup, state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything for good."""
        return self._attempt('shutdown', self.free, super().on_shutdown, state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything; the node is then unconfigured and can be configured again."""
        reason = self.failure
        result = self._attempt('error processing', self.free, None, state)
        self.failure = reason
        return result

    def _attempt(self, label: str, action: Callable[[], None],
                 then: Callable[[LifecycleState], TransitionCallbackReturn] | None,
                 state: LifecycleState) -> TransitionCallbackReturn:
        self.failure = ''
        try:
            action()
            return then(state) if then else TransitionCallbackReturn.SUCCESS
        except MossError as error:
            self.failure = coded('transition_failed', f'{label} failed: {error}')
            self.get_logger().error(self.failure)
            return TransitionCallbackReturn.FAILURE
        except Exception as error:  # noqa: BLE001, rclpy would swallow it
            self.failure = coded('transition_failed',
                                 f'{label} failed: {type(error).__name__}: {error}')
            self.get_logger().error(f'{label} failed:\n{traceback.format_exc()}')
            return TransitionCallbackReturn.ERROR

    def _answer(self, answer: Callable[..., ChangeState.Response], request: ChangeState.Request,
                response: ChangeState.Response) -> ChangeState.Response:
        try:
            return answer(request, response)
        except Exception as error:  # noqa: BLE001, it would end the process
            requested = request.transition.label or request.transition.id
            reason = without_place(error)
            self.get_logger().error(
                f'transition {requested} refused in state {self.state_label}: {reason}')
            response.success = False
            return response


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
        self._name = node.resolve_service_name(f'{target}/get_state').removesuffix('/get_state')
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
                if not done:
                    self._require_alone()
                return
            if state.id not in _STEPS or state.id in done:
                raise TransitionError(f'{self._target} is {state.label}: expected it to become '
                                      'active')
            done.add(state.id)
            self._step(*_STEPS[state.id])

    def _step(self, transition: int, label: str, goal: int) -> None:
        began = time.monotonic()
        if not self._change_state(transition, label, goal):
            twins = self._name in namesakes(self._node)
            raise TransitionError(f'{self._target} could not {label}: ' + (
                _TWINS.format(self._name) if twins else 'its own log gives the reason'))
        self._node.get_logger().info(
            f'{self._target}: {label} done in {time.monotonic() - began:.1f} s')

    def _require_alone(self) -> None:
        """
        Check that a node that was active at once is not that of a system started before.

        A second node of this name would stay unconfigured for ever, since requests reach the
        first. The graph shows killed nodes for a while, so a second one has to say something.
        """
        states: set[str] = set()

        def take(message: DiagnosticArray) -> None:
            for status in message.status:
                if status.name == self._name.lstrip('/'):
                    states.update(x.value for x in status.values if x.key == 'state')
        subscription = self._node.create_subscription(
            DiagnosticArray, '/diagnostics', guarded(self._node, take), 10)
        spin_until(self._spin, lambda: bool(states - _ACTIVE), _TWIN_S, _POLL_S)
        self._node.destroy_subscription(subscription)
        if states - _ACTIVE:
            raise TransitionError(_TWINS.format(self._name))

    def _state(self) -> State:
        """Request the state, repeatedly: an answer before the node has discovered us is lost."""
        deadline = time.monotonic() + self._timeout_s
        while True:
            left_s = max(0.0, deadline - time.monotonic())
            if (state := self._ask_state(min(left_s, _ASK_AGAIN_S))) is not None:
                return state
            if left_s <= _ASK_AGAIN_S:
                raise self._silent('get_state')

    def _change_state(self, transition: int, label: str, goal: int) -> bool:
        """Request a transition once; if the answer is lost, the state can still show success."""
        deadline = time.monotonic() + self._timeout_s
        future = self._change.call_async(
            ChangeState.Request(transition=Transition(id=transition)))
        while not spin_until(
                self._spin, future.done, min(deadline - time.monotonic(), _ASK_AGAIN_S)):
            if time.monotonic() >= deadline:
                raise self._silent(label)
            state = self._ask_state(_SOON_S)
            if state is not None and state.id == goal:
                return True
        answer = future.result()
        return answer is not None and answer.success

    def _ask_state(self, timeout_s: float) -> State | None:
        future = self._get.call_async(GetState.Request())
        answered = spin_until(self._spin, future.done, timeout_s)
        answer = future.result() if answered else None
        return None if answer is None else answer.current_state

    def _silent(self, label: str) -> TransitionError:
        return TransitionError(f'{self._target} did not answer {label} within '
                               f'{self._timeout_s:g} s')


def activate(names: Sequence[str], timeout_s: float, ros_args: Sequence[str]) -> int:
    """
    Activate nodes in order, in a new process.

    :param names: names of the lifecycle nodes.
    :param timeout_s: seconds that each transition may take.
    :param ros_args: ``--ros-args`` and the arguments for ROS.
    :returns: 0 if all are active, 1 after a known error, 130 if interrupted.
    """
    def work(node: Node) -> None:
        with serving(node) as spin:
            for name in names:
                Autostart(node, spin, name, timeout_s).run()

    return run_node('activate', lambda: Node('lifecycle_starter'), work,
                    ['activate', *ros_args], interrupted=130)
