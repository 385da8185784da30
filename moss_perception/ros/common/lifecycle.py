"""A lifecycle node that says why a transition failed, and outlives a transition it can't make."""

from collections.abc import Callable
import traceback
from typing import Any

from lifecycle_msgs.srv import ChangeState
from moss_perception.core.errors import MossError
from moss_perception.ros.common.spinning import without_place
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn


class ManagedNode(LifecycleNode):
    """
    Base of lifecycle nodes; they fill in ``configure``, ``activate``, ``deactivate``, ``free``.

    A known error in a transition is logged as one line and makes the transition fail, so that it
    can be tried again; any other one is logged with its traceback and leads, by the
    error-processing state, back to unconfigured.

    :ivar failure: why the last transition failed; empty if it did not.
    """

    def __init__(self, name: str, **kwargs: Any):
        super().__init__(name, **kwargs)
        self.failure = ''
        # rclpy lets an unknown transition, such as activate before configure, end the process.
        answer = self._service_change_state.callback
        self._service_change_state.callback = lambda *args: self._answer(answer, *args)

    @property
    def state_label(self) -> str:
        """The state's name, such as ``unconfigured`` or ``active``."""
        return self._state_machine.current_state[1]

    def configure(self) -> None:
        """Acquire everything that a stream of messages needs."""

    def activate(self) -> None:
        """Begin to listen and to publish."""

    def deactivate(self) -> None:
        """Stop listening and publishing."""

    def free(self) -> None:
        """Give back all that was acquired; called in any state, perhaps more than once."""

    def destroy_node(self) -> None:
        """Free everything, then leave the graph."""
        self.free()
        super().destroy_node()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Configure, or free what a failed attempt left."""
        result = self._attempt('configure', self.configure, super().on_configure, state)
        if result != TransitionCallbackReturn.SUCCESS:
            self.free()
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Enable the publishers, then listen."""
        result = super().on_activate(state)
        if result != TransitionCallbackReturn.SUCCESS:
            return result
        result = self._attempt('activate', self.activate, None, state)
        if result != TransitionCallbackReturn.SUCCESS:
            self.deactivate()
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening, then disable the publishers."""
        return self._attempt('deactivate', self.deactivate, super().on_deactivate, state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything; the node can be configured again."""
        return self._attempt('cleanup', self.free, super().on_cleanup, state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything for good."""
        return self._attempt('shutdown', self.free, super().on_shutdown, state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything; the node is unconfigured then and can be configured again."""
        reason = self.failure
        result = self._attempt('error processing', self.free, None, state)
        self.failure = reason
        return result

    def _attempt(self, word: str, action: Callable[[], None], then: Any,
                 state: LifecycleState) -> TransitionCallbackReturn:
        self.failure = ''
        try:
            action()
            return then(state) if then else TransitionCallbackReturn.SUCCESS
        except MossError as error:
            self.failure = f'{word} failed: {error}'
            self.get_logger().error(self.failure)
            return TransitionCallbackReturn.FAILURE
        except Exception as error:  # noqa: BLE001, rclpy would swallow it
            self.failure = f'{word} failed: {type(error).__name__}: {error}'
            self.get_logger().error(f'{word} failed:\n{traceback.format_exc()}')
            return TransitionCallbackReturn.ERROR

    def _answer(self, answer: Callable, request: ChangeState.Request,
                response: ChangeState.Response) -> ChangeState.Response:
        try:
            return answer(request, response)
        except Exception as error:  # noqa: BLE001, it would end the process
            wanted = request.transition.label or request.transition.id
            reason = without_place(error)
            self.get_logger().error(
                f'transition {wanted} refused in state {self.state_label}: {reason}')
            response.success = False
            return response
