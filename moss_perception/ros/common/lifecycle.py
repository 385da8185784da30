"""A lifecycle node that logs why a transition failed and survives an unknown transition."""

from collections.abc import Callable
import traceback
from typing import Any

from lifecycle_msgs.srv import ChangeState
from moss_perception.core.errors import MossError
from moss_perception.ros.common.spinning import without_place
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn


class ManagedNode(LifecycleNode):
    """
    Base of the lifecycle nodes.

    Override ``configure``, ``activate``, ``deactivate`` and ``free``. A known error in one of them
    is logged as one line and fails the transition, so that you can try again. An unexpected
    error is logged with its traceback and leads back to unconfigured.

    :ivar failure: why the last transition failed; empty if it did not.
    """

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
        """Release everything; called in any state, perhaps more than once."""

    def destroy_node(self) -> None:
        """Release everything, then leave the graph."""
        self.free()
        super().destroy_node()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Configure; after a failure, release what was acquired."""
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
            self.failure = f'{label} failed: {error}'
            self.get_logger().error(self.failure)
            return TransitionCallbackReturn.FAILURE
        except Exception as error:  # noqa: BLE001, rclpy would swallow it
            self.failure = f'{label} failed: {type(error).__name__}: {error}'
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
