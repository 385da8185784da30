"""What grasp_predictor logs about its stream, without flooding the log."""

from collections import Counter
import math
import threading

from moss_perception.core.codes import coded
from moss_perception.core.frames import Camera
from moss_perception.core.looks import LOOKS
from moss_perception.core.scores import Prediction
from moss_perception.ros.common.guard import guard_of, Tally
from moss_perception.ros.predictor.judge import unfamiliar
from moss_perception.ros.predictor.monitor import Monitor
from rclpy.node import Node


class StreamLog:
    """
    Logs warnings, resets of the window and unexpected exceptions; any thread may call it.

    :param node: its logger is used, until its context is shut down.
    :param monitor: records the exceptions.
    """

    def __init__(self, node: Node, monitor: Monitor):
        self._node = node
        guard_of(node).on_failure = monitor.failure
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
        guard_of(self._node).failure(where, error)
