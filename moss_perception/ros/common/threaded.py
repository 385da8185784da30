"""A node that a command runs beside its own work: in a thread, with a context of its own."""

import threading
from typing import TypeVar

from moss_perception.ros.common.spinning import own_context
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

Self = TypeVar('Self', bound='ThreadedNode')


class ThreadedNode:
    """
    A node in its own thread; a context manager, which calls :meth:`_connect`.

    :param name: of the node.
    :param args: arguments for ROS, such as ``['--ros-args', '-r', '__ns:=/arm']``.
    :param domain_id: ROS_DOMAIN_ID; ``None`` for that of the environment, which also sets the
        discovery range.
    """

    _node: Node

    def __init__(self, name: str, args: list[str] | None = None, domain_id: int | None = None):
        self._name, self._args, self._domain_id = name, args or [], domain_id

    def _connect(self) -> None:
        """Create the subscriptions of the node, ``self._node``."""
        raise NotImplementedError

    def __enter__(self: Self) -> Self:
        self._context = own_context(self._args, self._domain_id)
        self._node = rclpy.create_node(self._name, context=self._context)
        self._connect()
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self._thread.join(timeout=5.0)
        self._node.destroy_node()
        if self._context.ok():
            rclpy.shutdown(context=self._context)

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return
