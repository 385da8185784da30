"""Whether the stamps that grasp_predictor receives are of one clock, and of its own."""

from collections import deque
import time

from moss_perception.core.stamps import StampCheck
from moss_perception.ros.common.conversions import stamp_to_ns
from moss_perception.ros.common.sources import is_played
from moss_perception.ros.predictor.log import StreamLog
from rclpy.node import Node
from std_msgs.msg import Header

# An offset that begins shows within half a minute, and one that is mended is forgotten as soon.
_WINDOW_S = 60.0
# Stamps this far from the node's clock are of another one; exposure and transport take less.
_APART_S = 1.0
_FEWEST = 10


class Clocks:
    """
    Compares the stamps of images with those of candidates, and with the clock of the node.

    :param node: an rclpy node; only its executor calls.
    """

    def __init__(self, node: Node):
        self._node = node
        self.restart()

    def restart(self) -> None:
        """Forget all stamps."""
        self._stamps = StampCheck(_WINDOW_S)
        self._lags: deque[tuple[float, int]] = deque(maxlen=10_000)
        self._are_apart = False

    def image(self, stamp_ns: int) -> None:
        """Take the stamp of an image, nanoseconds."""
        self._stamps.image(stamp_ns)
        if stamp_ns > 0:
            self._lags.append(
                (time.monotonic(), self._node.get_clock().now().nanoseconds - stamp_ns))

    def candidates(self, head: Header) -> None:
        """Take the header of candidates."""
        self._stamps.candidates(stamp_to_ns(head.stamp))

    def problem(self) -> str:
        """Say that candidates and images have different clocks; empty if not."""
        return next(iter(self._stamps.apart()), '')

    def lag_s(self) -> float:
        """
        Return how far the images' stamps are behind the clock of the node, seconds.

        :returns: the smallest of the last minute: a transport is slow now and then, a wrong clock
            is wrong always; NaN for too few images.
        """
        while self._lags and time.monotonic() - self._lags[0][0] > _WINDOW_S:
            self._lags.popleft()
        return min((lag for _, lag in self._lags), key=abs) / 1e9 if (
            len(self._lags) >= _FEWEST) else float('nan')

    def check(self, stream_log: StreamLog, topic: str) -> None:
        """
        Log when clocks are apart; call it regularly.

        :param topic: of the images.
        """
        problem, lag_s = self.problem(), self.lag_s()
        if problem and not self._are_apart:
            stream_log.warn('clocks_apart', problem)
        self._are_apart = bool(problem)
        if abs(lag_s) > _APART_S and not is_played(self._node, topic):
            way = 'behind' if lag_s > 0 else 'ahead of'
            stream_log.once('camera_clock', (
                f"the stamps of the images are {abs(lag_s):.3f} s {way} this node's clock: "
                f'expected at most {_APART_S:g} s; synchronise the clocks (chrony, PTP), or play '
                'a recording with /clock and use_sim_time'))
