"""run_recorder: record a run of grasp_predictor, its inputs and the outcomes, to an MCAP."""

from collections.abc import Callable
from dataclasses import dataclass
import logging
from pathlib import Path
import shutil
import sys
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray, PoseStamped
from moss_perception.core.codes import coded
from moss_perception.core.errors import BagError, ConfigError, MossError
from moss_perception.data.bags.writer import RecordingWriter
from moss_perception.data.outcomes import outcome_of
from moss_perception.evaluation.outputs import RUN, RunNotes, values_of
from moss_perception.ros.common.guard import guarded, read
from moss_perception.ros.common.parameters import one_of, read_settings, setting
from moss_perception.ros.common.raw_subscriptions import RawSubscriptions
from moss_perception.ros.common.spinning import (
    run_node,
    serving,
    Spin,
    spin_for,
    spin_until,
)
from moss_perception.ros.common.subscriptions import type_name
from moss_perception.ros.predictor.topics import PROCESSED_QOS
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, PointCloud2
from std_msgs.msg import Header

_PREDICTOR = 'grasp_predictor'
_POLL_S = 0.05
# We discover a node's endpoints shortly before it discovers ours; DDS cannot tell us when.
_SETTLE_S = 0.25
_QUIET_S = 1.0
# Diagnostics are published once a second, and later on a busy machine.
_LAST_DIAGNOSTICS_S = 10.0
# Diagnostics that were sent earlier may not include the last frames.
_IN_FLIGHT_S = 0.1


@dataclass(frozen=True)
class RecorderSettings:
    """
    All parameters of run_recorder; durations in seconds.

    :raises ConfigError: if ``out`` is empty, or there is nothing to record.
    """

    out: str = setting('', 'Folder of the recording (rosbag2, MCAP) to write.')
    overwrite: bool = setting(False, 'Replace an existing recording.')
    outputs: bool = setting(True, 'Record the outputs of grasp_predictor: scores, the status of '
                                  'each image, diagnostics.')
    inputs: bool = setting(True, 'Record camera_info, grasp_candidates, grasp_lead_times, '
                                 'selected_grasp and grasp_outcome.')
    images: bool = setting(True, 'Record the images that grasp_predictor subscribes to.')
    topics: tuple[str, ...] = setting((), 'Further topics to record, absolute names.')
    qos_reliability: str = setting(
        'match', 'Reliability of subscriptions to inputs; match: as the publishers offer.',
        allowed=one_of('match', 'reliable', 'best_effort'))
    attempts: int = setting(
        0, 'Number of outcomes to record; 0: record until the camera has stopped.',
        low=0, high=2**31 - 1)
    start_delay: float = setting(
        120.0, 'Longest wait for the predictor and a camera, in seconds.', low=1.0, high=3600.0)
    stall: float = setting(
        60.0, 'Longest time without a processed image while a camera is present, in seconds.',
        low=1.0, high=86400.0)
    pace: str = setting('live', 'Pace of the run, stored in the recording: lock step, 1x, live.')
    closed_loop: bool = setting(
        False, 'Whether the robot executes the grasps that these scores select; stored in the '
        'recording.')
    simulated: bool = setting(False, 'Whether stamps are of simulated time; stored in the '
                                     'recording.')
    played: str = setting('', 'Recording that is played and has the inputs; its path is stored in '
                              'this recording.')
    timing_log: str = setting('', "Path of the player's timing_log, for latencies; stored in the "
                                  "recording.")

    def __post_init__(self):
        """Reject a recording without a folder or a topic."""
        if not self.out:
            raise ConfigError('parameter out is empty: expected the folder of the recording')
        if not (self.outputs or self.inputs or self.images or self.topics):
            raise ConfigError('parameters outputs, inputs, images and topics name nothing to '
                              'record: expected at least one topic')


class RunRecorder(Node):
    """
    Records until the camera has stopped or all expected outcomes were received.

    :raises ConfigError: if a parameter given at start is not allowed.
    """

    def __init__(self):
        super().__init__('run_recorder')
        self.settings = read_settings(self, RecorderSettings)
        self._clock_offset_ns = time.time_ns() - time.monotonic_ns()
        self._writer: RecordingWriter | None = None
        self._predictor = self.resolve_topic_name(_PREDICTOR)
        image = self.resolve_topic_name('image')
        self._images = (image, f'{image}/compressed')
        self._raw = RawSubscriptions(self, self._write, self.settings.qos_reliability)
        self._output_topics: dict[str, str] = {}
        self._watched = [
            self._subscribe(PointCloud2, f'{_PREDICTOR}/grasp_scores', lambda _: None),
            self._subscribe(Header, f'{_PREDICTOR}/processed', self._on_processed, PROCESSED_QOS)]
        self._subscribe(DiagnosticArray, '/diagnostics', self._on_diagnostics)
        self.processed = self.outcomes = 0
        self._progressed_at = time.monotonic()
        self._diagnosed_at = 0.0
        self._frames = 0

    def record(self, spin: Spin) -> None:
        """
        Record a run.

        :param spin: serves callbacks for at most the given seconds.
        :raises MossError: if a node or the camera is missing, or too little was recorded.
        """
        of, interrupted = self.settings, None
        path = Path(of.out)
        if of.overwrite and path.is_dir():
            try:
                # Not through a symbolic link, which shutil refuses.
                shutil.rmtree(path)
            except OSError as error:
                raise ConfigError(f'parameter out={of.out!r} is not allowed: {error}, expected '
                                  'the folder of an older recording') from error
        notes = RunNotes(of.pace, of.closed_loop, of.played, of.timing_log, self._clock_offset_ns,
                         of.simulated, complete=of.outputs)
        with RecordingWriter(path, topics=(), notes={RUN: notes.text()}) as self._writer:
            for topic, kind in self._output_topics.items():
                self._writer.add_topic(topic, kind)
            try:
                self._connect(spin)
                self._watch(spin)
            except KeyboardInterrupt as error:
                # Keep the messages recorded so far.
                interrupted = error
        self._writer = None
        if interrupted is not None:
            raise interrupted
        self.get_logger().info(f'recorded {self.processed} images and {self.outcomes} outcomes '
                               f'in {path}')

    def _subscribe(self, kind: Any, topic: str, callback: Callable[[bytes], None],
                   qos: QoSProfile | int = 1000) -> Subscription:
        """Subscribe to the topics that the recorder itself reads, recorded or not."""
        resolved, name = self.resolve_topic_name(topic), type_name(kind)
        recorded = self.settings.outputs
        if recorded:
            # The recording has the topic even if there are no scores.
            self._output_topics[resolved] = name

        def receive(raw: bytes) -> None:
            # First, because a message that can't be read is not recorded.
            callback(raw)
            if recorded:
                self._write(resolved, name, bytes(raw))
        return self.create_subscription(
            kind, topic, guarded(self, receive, BagError), qos, raw=True)

    def _write(self, topic: str, kind: str, data: bytes) -> None:
        if self._writer is not None:
            now_ns = time.monotonic_ns() + self._clock_offset_ns
            self._writer.serialised(topic, kind, now_ns, data)

    def _on_processed(self, _: bytes) -> None:
        self.processed += 1
        self._progressed_at = time.monotonic()

    def _on_diagnostics(self, raw: bytes) -> None:
        for values in values_of(read(DiagnosticArray, raw), self._predictor):
            self._frames = int(values.get('frames', 0))
            self._diagnosed_at = time.monotonic()

    def _on_outcome(self, raw: bytes) -> None:
        message = read(DiagnosticArray, raw)
        if self.settings.inputs:
            self._write(self.resolve_topic_name('grasp_outcome'),
                        'diagnostic_msgs/msg/DiagnosticArray', bytes(raw))
        for status in message.status:
            try:
                outcome_of(status)
                self.outcomes += 1
            except ValueError as error:
                self.get_logger().warning(coded(
                    'no_outcome', f'{status.name!r} is no outcome: {error}'))

    def _connect(self, spin: Spin) -> None:
        """Subscribe, to outcomes last: sim_cell and bag_player wait for this subscription."""
        if self.settings.inputs:
            for kind, topic in ((CameraInfo, 'camera_info'), (PoseArray, 'grasp_candidates'),
                                (PointCloud2, 'grasp_lead_times'),
                                (PoseStamped, 'selected_grasp')):
                self._raw.follow(kind, topic)
        for topic in self.settings.topics:
            self._raw.follow_when_there(topic)
        self._wait(spin, lambda: all(x.get_publisher_count() for x in self._watched),
                   f'nobody publishes {self._predictor}/grasp_scores',
                   'a predictor that is configured')
        if self.settings.images:
            self._raw.follow_images(self._images, self._predictor)
            self._wait(spin, lambda: self._raw.has_images, f'{self._predictor} subscribes to '
                       f'none of {" and ".join(self._images)}', 'one that is active')
        spin_for(spin, _SETTLE_S)
        self.create_subscription(
            DiagnosticArray, 'grasp_outcome', guarded(self, self._on_outcome, BagError), 1000,
            raw=True)
        self.get_logger().info(f'recording to {self.settings.out}; a camera is expected on '
                               f'{self._images[0]}')

    def _watch(self, spin: Spin) -> None:
        """Record until the camera has stopped or all outcomes were received."""
        self._wait(spin, lambda: self._has_camera() or self.processed > 0,
                   f'nobody publishes {" or ".join(self._images)}',
                   'a camera, sim_cell or bag_player')
        self._progressed_at = time.monotonic()
        while not self._is_over():
            spin(_POLL_S)
            self._raw.check()
            if time.monotonic() - self._progressed_at > self.settings.stall:
                raise MossError(f'no frame was processed for {self.settings.stall:g} s, after '
                                f'{self.processed}: expected one, or the end of the camera')
        self._await_last_diagnostics(spin)
        if self.outcomes < self.settings.attempts:
            raise MossError(f'the camera has gone after {self.outcomes} outcomes: expected '
                            f'{self.settings.attempts}')
        if self._frames > self.processed:
            raise MossError(f'of {self._frames} images that the predictor received, the status of '
                            f'{self._frames - self.processed} was not recorded: expected all, '
                            'from before the first image on')

    def _is_over(self) -> bool:
        if self.settings.attempts and self.outcomes >= self.settings.attempts:
            return True
        # The status of an image that has just arrived may not be published yet.
        quiet_s = time.monotonic() - self._progressed_at
        return quiet_s > _QUIET_S and not self._has_camera()

    def _await_last_diagnostics(self, spin: Spin) -> None:
        """Wait for the diagnostics after the last frame, which count all frames."""
        ended = time.monotonic()
        while True:
            # A robot's camera continues after the last outcome.
            since = ended if self._has_camera() else max(ended, self._progressed_at)
            diagnosed = self._diagnosed_at > since + _IN_FLIGHT_S
            if diagnosed and self._frames <= self.processed:
                return
            if time.monotonic() > since + _LAST_DIAGNOSTICS_S:
                break
            spin(_POLL_S)
        if not diagnosed:
            raise MossError(f'the predictor published no diagnostics for {_LAST_DIAGNOSTICS_S:g} '
                            's after the last frame: expected one message a second')

    def _wait(self, spin: Spin, there: Callable[[], bool], what: str, expected: str) -> None:
        def ready() -> bool:
            self._raw.check()
            return there()
        if not spin_until(spin, ready, self.settings.start_delay, _POLL_S):
            raise MossError(f'{what} after {self.settings.start_delay:g} s: expected {expected}')

    def _has_camera(self) -> bool:
        return any(self.count_publishers(topic) for topic in self._images)


def _work(node: RunRecorder) -> None:
    with serving(node) as spin:
        node.record(spin)


def main(args: list[str] | None = None) -> int:
    """
    Run the node until the camera has gone.

    :param args: command line, for ROS; ``None`` for the process's own.
    :returns: exit status: 0; 1 on a known error; 130 if interrupted.
    """
    logging.basicConfig(format='[%(levelname)s] %(message)s')
    return run_node('run_recorder', RunRecorder, _work, args, interrupted=130)


if __name__ == '__main__':
    sys.exit(main())
