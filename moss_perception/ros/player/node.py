"""bag_player: play a rosbag2 recording, by the clock or in lock step with the predictor."""

from contextlib import ExitStack
import logging
from pathlib import Path
import sys
import time
from typing import TextIO

from builtin_interfaces.msg import Time
from moss_perception.core.errors import BagError, ConfigError, MossError
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import IMAGE_TYPES, Topic
from moss_perception.ros.common.dds_profile import quick_acknowledgement, VARIABLE
from moss_perception.ros.common.interrupts import check, interruptible
from moss_perception.ros.common.parameters import read_settings
from moss_perception.ros.common.spinning import acknowledged, run_node, serving, Spin
from moss_perception.ros.player.settings import PlayerSettings
from moss_perception.ros.player.topics import (
    choose_stepped,
    choose_topics,
    message_class,
    profile_of,
    stamp_of,
)
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Header

POLL_S = 0.02
CLOCK_PERIOD_S = 0.025
PROGRESS_S = 5.0
# A little more than the period of 3 s in which Fast DDS asks for acknowledgements by default.
LAST_ACK_S = 4.0
# A reader is known here a little before its node knows of our own; DDS has no way to ask.
SETTLE_S = 0.25
# Below the depth of the publishers, so that no unacknowledged message is overwritten.
UNACKED_LIMIT = 50


class BagPlayer:
    """
    Plays one recording.

    Everything happens in the caller's thread: waiting is spinning, on the monotonic clock,
    because ROS timers stand still with use_sim_time and no /clock.

    :param node: publishes and listens.
    :param spin: serves the node's callbacks for so many seconds at most.
    :param recording: open; of a damaged one, what can be read is played.
    :param settings: what to do.
    :param timing: takes a line ``stamp_ns,publish_monotonic_ns`` for each image published.
    :raises BagError: if a wanted topic is not in the recording.
    """

    def __init__(self, node: Node, spin: Spin, recording: Recording,
                 settings: PlayerSettings, timing: TextIO | None = None):
        self._node, self._recording, self._settings = node, recording, settings
        self._log = node.get_logger()
        self._spin = spin
        topics = choose_topics(recording, settings)
        self._publishers: dict[str, Publisher] = {}
        for topic in topics:
            self._advertise(topic)
        if not self._publishers:
            raise BagError(f'{settings.bag}: nothing to play, expected a topic of a known type')
        self._images = {x.name for x in topics if x.type in IMAGE_TYPES} & set(self._publishers)
        self._total = sum(recording.topics[x].count for x in self._images)
        self._stepped = choose_stepped(recording, settings, self._images) \
            if settings.lock_step else set()
        self._clock = node.create_publisher(Clock, '/clock', 10) \
            if settings.publish_clock else None
        self._processed = node.create_subscription(
            Header, settings.processed_topic, self._on_processed,
            QoSProfile(depth=100)) if settings.lock_step else None
        self._answered: set[int] = set()
        self._unacked = self._played = 0
        self._progress_at = time.monotonic() + PROGRESS_S
        self._timing = timing
        self._told = ''

    def play(self) -> None:
        """
        Wait for subscribers, then play to the end; without an end if looping.

        :raises BagError: if nothing can be read of what is to be played.
        :raises MossError: if lock step gets no answer.
        """
        self._tell_damage()
        self._wait_for_peers()
        self._play_once()
        while self._settings.loop:
            self._log.info('end of the recording: beginning again')
            self._play_once()
        self._wait_for_acks(LAST_ACK_S)
        self._log.info(f'end of the recording: {self._played} images played')

    def _advertise(self, topic: Topic) -> None:
        found = message_class(topic.type)
        if found is None:
            self._log.warning(
                f'{topic.name} is not played: its type {topic.type} is not installed')
            return
        self._publishers[topic.name] = self._node.create_publisher(
            found, topic.name, profile_of(topic, self._settings))

    def _wait_for_peers(self) -> None:
        """Wait for the wanted subscribers, and in lock step for who answers."""
        named = self._settings.wait_for_subscribers or sorted(self._stepped)
        wanted = [x for x in named if x in self._publishers]
        deadline = time.monotonic() + self._settings.start_delay
        while True:
            missing = [x for x in wanted if not self._subscribers(x)]
            if not wanted and self._images and not any(map(self._subscribers, self._images)):
                missing = sorted(self._images)
            answered = self._processed is None or self._processed.get_publisher_count() > 0
            if not missing and answered:
                break
            if time.monotonic() >= deadline:
                self._give_up(missing, answered)
                return
            self._spin(POLL_S)
        if self._processed is not None:
            self._spin_until(time.monotonic() + SETTLE_S)

    def _give_up(self, missing: list[str], answered: bool) -> None:
        waited = f'after {self._settings.start_delay:g} s'
        if not answered:
            raise MossError(
                f'nobody publishes {self._settings.processed_topic} {waited}: '
                'lock step expects an active predictor')
        if self._settings.lock_step or not self._settings.play_unheard:
            expected = 'lock step expects an active predictor' if self._settings.lock_step else \
                'expected a subscriber, such as an active predictor of the same image_transport ' \
                '(play_unheard plays anyway)'
            raise MossError(f'nobody subscribes to {" or ".join(missing)} {waited}: {expected}')
        self._log.warning(f'nobody subscribes to {" or ".join(missing)} {waited}: playing anyway')

    def _subscribers(self, topic: str) -> int:
        return self._publishers[topic].get_subscription_count()

    def _play_once(self) -> None:
        start_s, first_ns, played = time.monotonic(), None, 0
        for topic, _, stamp_ns, raw in self._recording.messages(self._publishers):
            check()
            first_ns = stamp_ns if first_ns is None else first_ns
            self._keep_time(start_s, first_ns, stamp_ns)
            if topic in self._stepped:
                self._step(topic, raw)
            else:
                self._publish(topic, raw)
            played += topic in self._images
            self._show_progress(played)
        # Damage within a file shows only where it is read.
        self._tell_damage()

    def _tell_damage(self) -> None:
        """Say once what the recording no longer gives."""
        damage = self._recording.damage
        if damage and damage != self._told:
            self._told = damage
            self._log.warning(f'{self._settings.bag}: {damage}; what is there is played')

    def _keep_time(self, start_s: float, first_ns: int, stamp_ns: int) -> None:
        """Wait until a message is due, by the schedule of the start: lateness never adds up."""
        rate = self._settings.rate
        due_s = start_s + (stamp_ns - first_ns) / 1e9 / rate
        if self._clock is not None:
            while (now_s := time.monotonic()) + CLOCK_PERIOD_S < due_s:
                self._publish_clock(stamp_ns - round((due_s - now_s) * rate * 1e9))
                self._spin_until(now_s + CLOCK_PERIOD_S)
        self._spin_until(due_s)
        if self._clock is not None:
            self._publish_clock(stamp_ns)

    def _spin_until(self, due_s: float) -> None:
        while (left_s := due_s - time.monotonic()) > 0:
            self._spin(left_s)

    def _publish_clock(self, stamp_ns: int) -> None:
        assert self._clock is not None  # who calls has looked
        sec, nanosec = divmod(stamp_ns, 10**9)
        self._clock.publish(Clock(clock=Time(sec=sec, nanosec=nanosec)))

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
        """Publish an image when all before it has arrived, and wait until it is dealt with."""
        self._wait_for_acks(self._settings.lock_step_timeout)
        is_first, timeout_s = not self._played, self._settings.lock_step_timeout
        self._answered.clear()
        self._publish(topic, raw)
        if is_first and not self._wait_for_answer(raw, timeout_s / 2):
            # The predictor may have learnt of our subscription only after it had answered.
            self._log.warning('no answer to the first image yet: it is sent again')
            self._publishers[topic].publish(raw)
            timeout_s /= 2
        if not self._wait_for_answer(raw, timeout_s):
            sec, nanosec = divmod(stamp_of(raw), 10**9)
            raise MossError(
                f'no answer on {self._settings.processed_topic} to the image on {topic} '
                f'stamped {sec}.{nanosec:09d} within {self._settings.lock_step_timeout:g} s')

    def _wait_for_answer(self, raw: bytes, timeout_s: float) -> bool:
        stamp_ns, deadline = stamp_of(raw), time.monotonic() + timeout_s
        while stamp_ns not in self._answered:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            self._spin(left_s)
        return True

    def _wait_for_acks(self, timeout_s: float) -> None:
        if not self._unacked:
            return
        deadline = time.monotonic() + timeout_s
        for topic, publisher in self._publishers.items():
            if not acknowledged(publisher, deadline - time.monotonic()):
                message = f'messages on {topic} were not acknowledged within {timeout_s:g} s'
                if self._settings.lock_step:
                    raise MossError(message)
                self._log.warning(message)
        self._unacked = 0

    def _on_processed(self, header: Header) -> None:
        self._answered.add(header.stamp.sec * 10**9 + header.stamp.nanosec)

    def _show_progress(self, played: int) -> None:
        if time.monotonic() >= self._progress_at:
            self._progress_at = time.monotonic() + PROGRESS_S
            share = 100 * played / max(self._total, 1)
            self._log.info(f'{share:.0f} %: {played} of {self._total} images')


def main(args: list[str] | None = None) -> int:
    """
    Run the node until the recording ends.

    :returns: exit status: 0 at the end of what can be read, 1 on a known error, 130 if
        interrupted.
    """
    logging.basicConfig(format='[%(levelname)s] %(message)s')
    with quick_acknowledgement() as quick:
        return run_node('bag_player', lambda: Node('bag_player'),
                        lambda node: _play(node, quick), args, interrupted=130)


def _play(node: Node, quick: bool) -> None:
    settings = read_settings(node, PlayerSettings)
    if settings.lock_step and not quick:
        node.get_logger().warning(
            f'{VARIABLE} is set: lock step waits up to 3 s an image for acknowledgements, '
            'unless that profile has a short heartbeatPeriod')
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
