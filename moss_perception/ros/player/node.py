"""bag_player: play a rosbag2 recording, by its stamps or in lock step with the predictor."""

from contextlib import ExitStack
import logging
from pathlib import Path
import sys
import time
from typing import TextIO

from moss_perception.core.cameras import read_calibration_file
from moss_perception.core.codes import coded
from moss_perception.core.errors import BagError, ConfigError, MossError
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import header_of, IMAGE_TYPES, stamp_of, Topic
from moss_perception.ros.common.conversions import header, ns_to_stamp, stamp_to_ns
from moss_perception.ros.common.dds_profile import quick_acknowledgement, user_profile
from moss_perception.ros.common.guard import guarded
from moss_perception.ros.common.parameters import read_settings
from moss_perception.ros.common.spinning import (
    acknowledged,
    check_interrupt,
    interruptible,
    run_node,
    serving,
    Spin,
    spin_for,
    spin_until,
)
from moss_perception.ros.common.subscriptions import message_class, unconnected
from moss_perception.ros.player.settings import (
    choose_camera,
    choose_topics,
    OTHER_DEPTH,
    PlayerSettings,
    profile_of,
)
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

POLL_S = 0.02
CLOCK_PERIOD_S = 0.025
PROGRESS_S = 5.0
# Shortest pause between two rounds of a loop.
PAUSE_S = 0.1
# A little more than the 3 s after which Fast DDS requests acknowledgements by default.
LAST_ACK_S = 4.0
# We discover a node's endpoints shortly before it discovers ours; DDS cannot tell us when.
SETTLE_S = 0.25
# Below the publishers' depth, so that no unacknowledged message is overwritten.
UNACKED_LIMIT = 50


class BagPlayer:
    """
    Plays one recording.

    Everything runs in the caller's thread. Waits use the monotonic clock, because ROS timers do
    not fire with use_sim_time and no /clock.

    :param node: publishes and subscribes.
    :param spin: serves the node's callbacks, from :func:`serving`.
    :param recording: an open recording; the readable part of a damaged one is played.
    :param settings: the parameters.
    :param timing: receives a line ``stamp_ns,publish_monotonic_ns`` for each published image.
    :raises BagError: if a chosen topic is not in the recording.
    """

    def __init__(self, node: Node, spin: Spin, recording: Recording,
                 settings: PlayerSettings, timing: TextIO | None = None):
        self._node, self._recording, self._settings = node, recording, settings
        self._log = node.get_logger()
        self._spin = spin
        topics = choose_topics(recording, settings)
        self._calibration = _message_of(settings.calibration) if settings.calibration else None
        self._camera_info = node.resolve_topic_name('camera_info')
        if self._calibration is not None:
            topics = [x for x in topics if x.name != self._camera_info]
        self._publishers: dict[str, Publisher] = {}
        for topic in topics:
            self._advertise(topic)
        if not self._publishers:
            raise BagError(f'{settings.bag}: nothing to play, expected a topic of a known type')
        self._images = {x.name for x in topics if x.type in IMAGE_TYPES} & set(self._publishers)
        self._total = sum(recording.topics[x].count for x in self._images)
        self._topics = set(self._publishers)
        self._camera = choose_camera(recording, settings, self._images) \
            if settings.lock_step or self._calibration is not None else set()
        self._stepped = self._camera if settings.lock_step else set()
        if self._calibration is not None:
            self._publishers[self._camera_info] = node.create_publisher(
                CameraInfo, self._camera_info, OTHER_DEPTH)
        self._clock = node.create_publisher(Clock, '/clock', 10) \
            if settings.publish_clock else None
        # Volatile: reports from an earlier replay of the same images must not count.
        self._processed = node.create_subscription(
            Header, settings.processed_topic, guarded(node, self._on_processed),
            QoSProfile(depth=100)) if settings.lock_step else None
        self._reported: set[int] = set()
        self._unacked = self._played = 0
        self._progress_at = time.monotonic() + PROGRESS_S
        self._timing = timing
        self._logged_damage = ''

    def play(self) -> None:
        """
        Wait for subscribers, then play to the end, or for ever if looping.

        :raises BagError: if nothing in the recording can be read.
        :raises MossError: if subscribers are missing, or lock step gets no report.
        """
        self._log_damage()
        self._wait_for_peers()
        interval_s = self._play_once()
        while self._settings.loop:
            self._log.info('end of the recording: starting again')
            # The last image lasts as long as the others; a single one has no time of its own.
            spin_for(self._spin, max(interval_s, PAUSE_S))
            interval_s = self._play_once()
        self._wait_for_acks(LAST_ACK_S)
        self._log.info(f'end of the recording: {self._played} images played')

    def _advertise(self, topic: Topic) -> None:
        found = message_class(topic.type)
        if found is None:
            self._log.warning(coded(
                'type_missing',
                f'{topic.name} is not played: its type {topic.type} is not installed'))
            return
        self._publishers[topic.name] = self._node.create_publisher(
            found, topic.name, profile_of(topic, self._settings))

    def _wait_for_peers(self) -> None:
        settings = self._settings
        spin_until(self._spin, lambda: not self._missing()[0], settings.start_delay, POLL_S)
        missing, expected = self._missing()
        problem = f'{missing} after {settings.start_delay:g} s'
        if missing and (settings.lock_step or not settings.play_without_subscribers):
            raise MossError(f'{problem}: {expected}')
        if missing:
            self._log.warning(coded('plays_anyway', f'{problem}: playing anyway'))
        elif settings.lock_step or settings.wait_for_nodes:
            spin_for(self._spin, SETTLE_S)

    def _missing(self) -> tuple[str, str]:
        """Return what a start has to wait for, and what is expected; empty if nothing."""
        settings, predictor = self._settings, 'lock step expects an active predictor'
        if self._processed is not None and not self._processed.get_publisher_count():
            return f'nobody publishes {settings.processed_topic}', predictor
        heard = {x for x in self._publishers if self._publishers[x].get_subscription_count()}
        named = settings.wait_for_subscribers or sorted(self._stepped)
        chosen = [x for x in named if x in self._publishers]
        unheard = [x for x in chosen if x not in heard]
        if not chosen and not self._images & heard:
            unheard = sorted(self._images)
        if unheard:
            return f'nobody subscribes to {" or ".join(unheard)}', predictor \
                if settings.lock_step else (
                    'expected a subscriber, such as an active predictor of the same '
                    'image_transport (play_without_subscribers plays anyway)')
        missing = unconnected(self._node, settings.wait_for_nodes)
        return ' and '.join(missing), 'expected every node of wait_for_nodes'

    def _play_once(self) -> float:
        """Play to the end, and return the mean interval of the images at this rate, seconds."""
        start_s, first_ns, played = time.monotonic(), None, 0
        first_image_ns = last_image_ns = 0
        for topic, _, stamp_ns, raw in self._recording.messages(self._topics):
            check_interrupt()
            first_ns = stamp_ns if first_ns is None else first_ns
            self._keep_time(start_s, first_ns, stamp_ns)
            if self._calibration is not None and topic in self._camera:
                self._calibration.header = header(*header_of(raw))
                self._publish(self._camera_info, serialize_message(self._calibration))
            if topic in self._stepped:
                self._step(topic, raw)
            else:
                self._publish(topic, raw)
            if topic in self._images:
                first_image_ns, last_image_ns = first_image_ns or stamp_ns, stamp_ns
                played += 1
            self._show_progress(played)
        # Damage inside a file is found only by reading it.
        self._log_damage()
        return (last_image_ns - first_image_ns) / 1e9 / max(played - 1, 1) / self._settings.rate

    def _log_damage(self) -> None:
        """Log once what is missing from the recording."""
        damage = self._recording.damage
        if damage and damage != self._logged_damage:
            self._logged_damage = damage
            self._log.warning(coded(
                'damaged_recording',
                f'{self._settings.bag}: {damage}; the readable part is played'))

    def _keep_time(self, start_s: float, first_ns: int, stamp_ns: int) -> None:
        """Wait until a message is due, counted from the start so that delays do not add up."""
        rate = self._settings.rate
        due_s = start_s + (stamp_ns - first_ns) / 1e9 / rate
        if self._clock is not None:
            while (now_s := time.monotonic()) + CLOCK_PERIOD_S < due_s:
                self._publish_clock(stamp_ns - round((due_s - now_s) * rate * 1e9))
                spin_for(self._spin, CLOCK_PERIOD_S)
        spin_for(self._spin, due_s - time.monotonic())
        self._publish_clock(stamp_ns)

    def _publish_clock(self, stamp_ns: int) -> None:
        if self._clock is not None:
            self._clock.publish(Clock(clock=ns_to_stamp(stamp_ns)))

    def _publish(self, topic: str, raw: bytes) -> None:
        if self._unacked >= UNACKED_LIMIT and self._settings.lock_step:
            self._wait_for_acks(self._settings.lock_step_timeout)
        published_ns = time.monotonic_ns()
        self._publishers[topic].publish(raw)
        self._unacked += 1
        if topic in self._images:
            self._played += 1
            if self._timing is not None:
                self._timing.write(f'{stamp_of(raw)},{published_ns}\n')

    def _step(self, topic: str, raw: bytes) -> None:
        """Publish an image once everything before it has arrived; wait until it is processed."""
        self._wait_for_acks(self._settings.lock_step_timeout)
        is_first, timeout_s = not self._played, self._settings.lock_step_timeout
        self._reported.clear()
        self._publish(topic, raw)
        if is_first and not self._wait_for_report(raw, timeout_s / 2):
            # The predictor may have discovered our endpoints only after the image was sent.
            self._log.warning(coded(
                'sent_again', 'no report of the first image yet: the image is sent again'))
            self._publishers[topic].publish(raw)
            timeout_s /= 2
        if not self._wait_for_report(raw, timeout_s):
            sec, nanosec = divmod(stamp_of(raw), 10**9)
            raise MossError(
                f'no report on {self._settings.processed_topic} of the image on {topic} '
                f'stamped {sec}.{nanosec:09d} within {self._settings.lock_step_timeout:g} s')

    def _wait_for_report(self, raw: bytes, timeout_s: float) -> bool:
        stamp_ns = stamp_of(raw)
        return spin_until(self._spin, lambda: stamp_ns in self._reported, timeout_s)

    def _wait_for_acks(self, timeout_s: float) -> None:
        if not self._unacked:
            return
        deadline = time.monotonic() + timeout_s
        for topic, publisher in self._publishers.items():
            if not acknowledged(publisher, deadline - time.monotonic()):
                message = f'messages on {topic} were not acknowledged within {timeout_s:g} s'
                if self._settings.lock_step:
                    raise MossError(message)
                self._log.warning(coded('not_acknowledged', message))
        self._unacked = 0

    def _on_processed(self, header: Header) -> None:
        self._reported.add(stamp_to_ns(header.stamp))

    def _show_progress(self, played: int) -> None:
        if time.monotonic() >= self._progress_at:
            self._progress_at = time.monotonic() + PROGRESS_S
            share = 100 * played / max(self._total, 1)
            self._log.info(f'{share:.0f} %: {played} of {self._total} images')


def _message_of(path: str) -> CameraInfo:
    """Read a file of a calibration as a message; see core.cameras."""
    found = read_calibration_file(Path(path))
    return CameraInfo(width=found.width, height=found.height, k=found.k, d=found.d, r=found.r,
                      p=found.p, distortion_model=found.distortion_model)


def main(args: list[str] | None = None) -> int:
    """
    Run the node until the recording ends.

    :returns: exit status: 0 at the end of the recording, 1 on a known error, 130 if interrupted.
    """
    logging.basicConfig(format='[%(levelname)s] %(message)s')
    profile = user_profile()
    with quick_acknowledgement():
        return run_node('bag_player', lambda: Node('bag_player'),
                        lambda node: _play(node, profile), args, interrupted=130)


def _play(node: Node, profile: str) -> None:
    settings = read_settings(node, PlayerSettings)
    if settings.lock_step and profile:
        node.get_logger().warning(coded(
            'own_dds_profile',
            f'{profile} is set: lock step waits up to 3 s per image for acknowledgements, '
            'unless that profile sets a short heartbeat period'))
    with ExitStack() as stack:
        with interruptible():
            recording = stack.enter_context(Recording(settings.bag, salvage=True))
        timing = None
        if settings.timing_log:
            try:
                timing = stack.enter_context(Path(settings.timing_log).open('w', buffering=1))
            except OSError as error:
                raise ConfigError(
                    f'parameter timing_log: cannot write {settings.timing_log}: '
                    f'{error.strerror}') from error
            timing.write('stamp_ns,publish_monotonic_ns\n')
        spin = stack.enter_context(serving(node))
        BagPlayer(node, spin, recording, settings, timing).play()


if __name__ == '__main__':
    sys.exit(main())
