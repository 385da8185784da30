"""What grasp_predictor logs about its stream, without flooding the log."""

from collections import Counter, deque
from collections.abc import Callable
import math
import threading
import time
import traceback
from typing import Any

from moss_perception.core.codes import coded
from moss_perception.core.frames import Camera
from moss_perception.core.looks import LOOKS
from moss_perception.core.scores import Prediction
from moss_perception.ros.predictor.monitor import Monitor, unfamiliar
from moss_perception.runtime.frame_status import INTERNAL_ERROR
from rclpy.node import Node


class Tally:
    """
    Logs each event of a kind; in a burst only some, with the number of the omitted ones.

    :param burst: most lines of one kind within the period.
    :param period_s: seconds.
    :param clock: returns seconds that never go back.
    """

    def __init__(self, burst: int = 10, period_s: float = 5.0,
                 clock: Callable[[], float] = time.monotonic):
        self._burst, self._period_s, self._clock = burst, period_s, clock
        self._logged: dict[str, deque[float]] = {}
        self._omitted: Counter = Counter()

    def line(self, kind: str, times: int = 1) -> str:
        """
        Count events.

        :param kind: what happened.
        :param times: how often, since the last call.
        :returns: the line to log; empty if nothing is to be logged now.
        """
        self._omitted[kind] += times
        logged, now = self._logged.setdefault(kind, deque(maxlen=self._burst)), self._clock()
        if len(logged) == self._burst and now - logged[0] < self._period_s:
            return ''
        logged.append(now)
        count = self._omitted.pop(kind)
        return kind if count == 1 else f'{kind} ({count} times since the last line)'


class StreamLog:
    """
    Logs warnings, resets of the window and unexpected exceptions; any thread may call it.

    :param node: its logger is used, until its context is shut down.
    :param monitor: records the exceptions.
    """

    def __init__(self, node: Node, monitor: Monitor):
        self._node, self._monitor = node, monitor
        self._warnings, self._resets = Tally(burst=1), Tally()
        self._once = Tally(1, math.inf)
        self._lock = threading.Lock()
        self._seen_resets: Counter = Counter()
        self._out = False

    def warn(self, key: str, text: str, kind: str = '') -> None:
        """
        Log a warning, unless one of this kind was logged a moment ago.

        :param key: of :data:`moss_perception.core.codes.CODES`.
        :param kind: which warnings are alike; all of this key by default.
        """
        if self._warnings.line(kind or key):
            self._node.get_logger().warning(coded(key, text))

    def once(self, key: str, text: str, kind: str = '') -> None:
        """Log a warning, unless one of this kind was logged since the node was configured."""
        if self._once.line(kind or key):
            self._node.get_logger().warning(coded(key, text))

    def calibration(self, camera: Camera | None, prediction: Prediction) -> None:
        """Warn if candidates have no score because camera_info does not match the image."""
        size = prediction.size[::-1]
        if camera is None and len(prediction.points):
            self.warn('no_calibration', 'candidates are not scored: expected a calibration on '
                      f'{self._node.resolve_topic_name("camera_info")}')
        elif camera is not None and camera.at_size(*size) is None:
            reduced = '' if camera.image_size == (camera.width, camera.height) else (
                ' ({} x {} by its binning and region of interest)'.format(*camera.image_size))
            self.warn('no_calibration', f'camera_info is of {camera.width} x {camera.height} '
                      f'pixels{reduced}: expected those of the images, {size[0]} x {size[1]}')

    def shift(self, ood_score: float | None) -> None:
        """
        Log when the stream becomes out of distribution, and when it is so no longer.

        :param ood_score: median OOD score while it is out of distribution, else ``None``.
        """
        if self._out == (ood_score is not None):
            return
        self._out = ood_score is not None
        if ood_score is not None:
            self.warn('out_of_distribution', unfamiliar(ood_score))
        elif self._node.context.ok():
            self._node.get_logger().info('the images are in distribution again')

    def looks(self, counted: Counter) -> None:
        """
        Warn of the first picture of each kind that may show nothing.

        :param counted: all such pictures of the predictor so far, by look.
        """
        for look in counted.copy():
            self.once(look, f'a picture is {LOOKS[look]}; it is scored, and '
                      f'doubtful/{look} in the diagnostics counts all of them')

    def frames(self, problem: str) -> None:
        """Warn if it is not known where candidates are in the frame of the images."""
        if problem:
            self.warn('frame_unknown', problem)

    def resets(self, counted: Counter) -> None:
        """
        Log the resets of the window since the last call.

        :param counted: all resets of the predictor so far, by reason.
        """
        with self._lock:
            now = Counter(counted)
            for reason, times in (now - self._seen_resets).items():
                if line := self._resets.line(reason, times):
                    self._node.get_logger().info(coded(reason, f'window reset: {line}'))
            self._seen_resets = now

    def failure(self, where: str, error: Exception) -> None:
        """Log an unexpected exception with its traceback."""
        if not self._node.context.ok():
            return
        self._monitor.failure(error)
        if self._warnings.line(f'failure {type(error).__name__}'):
            trace = ''.join(traceback.format_exception(type(error), error, error.__traceback__))
            self._node.get_logger().error(coded(INTERNAL_ERROR, (
                f'internal error while {where}:\n{trace.rstrip()}')))

    def guarded(self, callback: Callable[[Any], None]) -> Callable[[Any], None]:
        """Log an unexpected exception in a callback instead of ending the node."""
        def guarded(message: Any) -> None:
            try:
                callback(message)
            except Exception as error:  # noqa: BLE001, whatever it is
                self.failure(f'handling a {type(message).__name__}', error)
        return guarded
