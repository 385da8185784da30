"""A subscription that an executor serves, and that can also be received from by blocking."""

from collections.abc import Callable
import time
from typing import Any

from moss_perception.core.errors import MossError
from rclpy.callback_groups import CallbackGroup
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.qos import QoSProfile

# An executor in another thread may take the message that ends a wait, which wakes nobody here.
_SLICE_S = 0.01


class Inbox:
    """
    A subscription that can be received from in two ways.

    The node's executor serves it as usual. :meth:`receive_until` takes its messages in the thread
    that calls, as :func:`rclpy.wait_for_message.wait_for_message` does, so that a callback can
    wait for a message that the executor could deliver only after the callback has returned.
    Either way each message is handled once.

    :param node: an rclpy node.
    :param kind: class of the messages.
    :param topic: name of the topic.
    :param callback: called with each message.
    :param qos: of the subscription.
    :param group: callback group in which an executor serves it.
    """

    def __init__(self, node: Node, kind: Any, topic: str, callback: Callable[[Any], None],
                 qos: QoSProfile, group: CallbackGroup | None = None):
        self._node, self._callback = node, callback
        self._subscription: Any = node.create_subscription(
            kind, topic, callback, qos, callback_group=group)

    @property
    def topic(self) -> str:
        """Resolved name of the topic."""
        return self._subscription.topic_name

    @property
    def publishers(self) -> int:
        """Number of matched publishers."""
        return self._subscription.get_publisher_count()

    def receive_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """
        Handle messages until a condition holds or the time is over.

        :param condition: checked after each message, and every 10 ms.
        :param timeout_s: longest wait by the wall clock, seconds.
        :returns: whether the condition holds.
        :raises MossError: if rclpy is shut down meanwhile.
        """
        context: Any = self._node.context
        handle = self._subscription.handle
        deadline = time.monotonic() + timeout_s
        while not condition():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            if not context.ok():
                raise MossError(f'rclpy was shut down while waiting for {self.topic}')
            # Neither the subscription nor the context can be destroyed during the wait.
            with handle, context.handle:
                wait_set: Any = rclpy_implementation.WaitSet(1, 0, 0, 0, 0, 0, context.handle)
                with wait_set:
                    wait_set.clear_entities()
                    wait_set.add_subscription(handle)
                    wait_set.wait(round(min(left_s, _SLICE_S) * 1e9))
                    # None, too, if the executor was faster.
                    taken = handle.take_message(self._subscription.msg_type, False)
            if taken is not None:
                self._callback(taken[0])
        return True

    def destroy(self) -> None:
        """Remove the subscription."""
        self._node.destroy_subscription(self._subscription)
