"""Lock step of sim_cell: each image waits until the nodes have dealt with the one before."""

from collections.abc import Callable, Sequence
from functools import partial
import threading
import time
from typing import Any

from moss_perception.core.errors import MossError
from moss_perception.ros.common.conversions import stamp_to_ns
from moss_perception.ros.common.guard import guarded
from moss_perception.ros.common.spinning import acknowledged
from moss_perception.runtime.frame_status import FrameStatus
from moss_perception.runtime.gate import SELECTED
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from std_msgs.msg import Header

_DEPTH = 100
_POLL_S = 0.2


class LockStep:
    """
    Publishes images one at a time.

    After an image, it waits for the predictor's report of it. If the image was scored, it waits
    for the gate's report of the scores, and for the grasp that the gate selected. The cell's
    thread waits; the node's main thread receives.

    :param node: subscribes to the reports.
    :param predictor_topic: topic on which the predictor reports each image.
    :param gate_topic: topic on which the gate reports each message of scores; empty without one.
    :param timeout_s: longest wait for a report, seconds.
    :param stopped: tells whether the cell was stopped, which ends every wait.
    """

    def __init__(self, node: Node, predictor_topic: str, gate_topic: str, timeout_s: float,
                 stopped: Callable[[], bool]):
        self._timeout_s, self._stopped = timeout_s, stopped
        self._changed = threading.Condition()
        # The newest reports by source: their texts by stamp.
        self._reports: dict[str, dict[int, str]] = {
            topic: {} for topic in filter(None, (predictor_topic, gate_topic, SELECTED))}
        self._predictor_topic, self._gate_topic = predictor_topic, gate_topic
        self._subscriptions = {topic: node.create_subscription(
            Header, topic, guarded(node, partial(self._on_report, topic)),
            QoSProfile(depth=_DEPTH))
            for topic in filter(None, (predictor_topic, gate_topic))}
        self._is_first = True

    def missing(self) -> list[str]:
        """List the topics of reports that nobody publishes, in words."""
        return [f'nobody publishes {topic}' for topic, one in self._subscriptions.items()
                if not one.get_publisher_count()]

    def took(self, stamp_ns: int) -> None:
        """Note that a selected grasp of a frame has arrived."""
        self._received(SELECTED, stamp_ns, '')

    def publish(self, images: Publisher, image: Any, stamp_ns: int,
                before: Sequence[Publisher]) -> None:
        """
        Publish an image, and wait until predictor and gate have dealt with it.

        :param before: publishers whose messages must arrive before the image.
        :raises MossError: if a message is not acknowledged, or a report is missing.
        """
        for publisher in before:
            if not acknowledged(publisher, self._timeout_s) and not self._stopped():
                raise MossError(f'messages on {publisher.topic_name} were not acknowledged '
                                f'within {self._timeout_s:g} s')
        with self._changed:
            for reports in self._reports.values():
                reports.clear()
        images.publish(image)
        if self._is_first and self._wait(
                self._predictor_topic, stamp_ns, self._timeout_s / 4) is None:
            # The predictor may have discovered our endpoints only after the image was sent.
            images.publish(image)
        self._is_first = False
        if self._report(self._predictor_topic, stamp_ns) != FrameStatus.SCORED.value:
            return
        if self._gate_topic and self._report(self._gate_topic, stamp_ns) == SELECTED:
            self._report(SELECTED, stamp_ns)

    def _on_report(self, source: str, report: Header) -> None:
        self._received(source, stamp_to_ns(report.stamp), report.frame_id)

    def _received(self, source: str, stamp_ns: int, text: str) -> None:
        with self._changed:
            self._reports[source][stamp_ns] = text
            self._changed.notify_all()

    def _report(self, source: str, stamp_ns: int) -> str:
        """Wait for a report and return its text; empty if the cell was stopped."""
        text = self._wait(source, stamp_ns, self._timeout_s)
        if text is None and not self._stopped():
            what = 'no selected grasp' if source == SELECTED else f'no report on {source}'
            raise MossError(f'{what} of the image stamped {stamp_ns // 10**9}.'
                            f'{stamp_ns % 10**9:09d} within {self._timeout_s:g} s: lock step '
                            'expects one from an active predictor and gate')
        return text or ''

    def _wait(self, source: str, stamp_ns: int, timeout_s: float) -> str | None:
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while stamp_ns not in self._reports[source]:
                left_s = deadline - time.monotonic()
                if left_s <= 0 or self._stopped():
                    return None
                self._changed.wait(min(left_s, _POLL_S))
            return self._reports[source][stamp_ns]
