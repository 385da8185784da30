"""Live tf for grasp_predictor, on machines that have tf2_ros."""

from importlib import import_module
import threading
import time
from typing import Any

from moss_perception.core.errors import FrameUnknownError
from moss_perception.core.frames import stamp_to_ns
from moss_perception.core.transforms import Transform
import numpy as np
from rclpy.node import Node
from rclpy.time import Time

WAIT_S = 0.1
"""How long the scores of a set of candidates wait for its transform, seconds."""
_POLL_S = 0.005
# A publisher of tf that is further behind has stopped.
_BEHIND_NS = 1_000_000_000


class LiveTransforms:
    """
    Finds transforms on ``/tf`` and ``/tf_static``, to which it subscribes once they are needed.

    :param node: subscribes; its executor must not be in the thread that calls :meth:`lookup`.
    """

    def __init__(self, node: Node):
        self._node = node
        self._buffer: Any = None
        self._listener: Any = None
        self._missing: tuple[str, str] | None = None
        try:
            self._tf: Any = import_module('tf2_ros')
        except ImportError:
            self._tf = None

    def follow(self) -> None:
        """Subscribe, in the executor's thread; again does nothing."""
        if self._tf is not None and self._listener is None:
            self._buffer = self._tf.Buffer()
            self._listener = self._tf.TransformListener(self._buffer, self._node)

    def lookup(self, target: str, source: str, stamp_ns: int) -> Transform:
        """
        Return the pose of a frame in another one, and wait for it, at most :data:`WAIT_S`.

        After a wait in vain it is waited for again only while tf follows the stamps, since waiting
        delays all scores.

        :raises FrameUnknownError: if tf does not have it by then.
        """
        if self._tf is None:
            raise FrameUnknownError('tf2_ros is not installed: expected candidates_transform')
        buffer = self._buffer
        if buffer is None:
            raise FrameUnknownError('tf is not received yet')
        asked, until = (target, source), time.monotonic() + WAIT_S
        while True:
            try:
                found = buffer.lookup_transform(target, source, Time(nanoseconds=stamp_ns))
            except self._tf.TransformException as error:
                if time.monotonic() > until or (
                        self._missing == asked and not self._follows(buffer, *asked, stamp_ns)):
                    self._missing = asked
                    raise FrameUnknownError(f'tf: {error}') from error
                threading.Event().wait(_POLL_S)
                continue
            self._missing = None
            place, turn = found.transform.translation, found.transform.rotation
            return Transform(np.array([place.x, place.y, place.z]),
                             np.array([turn.x, turn.y, turn.z, turn.w]))

    def _follows(self, buffer: Any, target: str, source: str, stamp_ns: int) -> bool:
        """Tell whether the newest transform is only a little older than a stamp."""
        try:
            # Time 0 is the newest.
            newest = buffer.lookup_transform(target, source, Time())
        except self._tf.TransformException:
            return False
        return stamp_ns - stamp_to_ns(newest.header.stamp) < _BEHIND_NS

    def destroy(self) -> None:
        """Unsubscribe, and forget what was received."""
        if self._listener is not None:
            self._listener.unregister()
        self._buffer = self._listener = self._missing = None
