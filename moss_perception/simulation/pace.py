"""Simulated time beside the wall clock."""

import threading
import time


class Pace:
    """
    Lets simulated time pass no faster than the wall clock, or as fast as it can.

    :param real_time: whether to wait for the wall clock.
    :param stopped: ends any waiting.
    :ivar behind_s: by how much simulated time is behind the wall clock now, seconds.
    :ivar worst_s: by how much it was at most.
    """

    def __init__(self, real_time: bool, stopped: threading.Event):
        self.real_time = real_time
        self.behind_s = 0.0
        self.worst_s = 0.0
        self._stopped = stopped
        self._stamp_ns = self._wall_ns = 0

    def begin(self, stamp_ns: int):
        """Let this stamp be now; what was lost before is given up."""
        self._stamp_ns, self._wall_ns = stamp_ns, time.monotonic_ns()
        self.behind_s = 0.0

    def keep(self, stamp_ns: int):
        """Wait until a stamp is due, or note how late it is."""
        if not self.real_time:
            return
        left_s = (stamp_ns - self._stamp_ns - time.monotonic_ns() + self._wall_ns) / 1e9
        if left_s > 0:
            self._stopped.wait(left_s)
        self.behind_s = max(0.0, -left_s)
        self.worst_s = max(self.worst_s, self.behind_s)
