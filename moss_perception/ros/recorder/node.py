"""The node `attempt_recorder`: record grasp attempts on a robot, one MCAP file each."""

from collections.abc import Callable
import logging
import sys
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray, PoseStamped
from moss_perception.core.codes import coded
from moss_perception.core.errors import BagError, ConfigError
from moss_perception.core.text import one_line
from moss_perception.data.bags.attempts import AttemptFolder, AttemptWriter
from moss_perception.data.bags.run_up import Received
from moss_perception.data.bags.topics import header_of, TRANSFORMS_TYPE
from moss_perception.data.bags.writer import is_known
from moss_perception.data.closings import Closings
from moss_perception.data.outcomes import Outcome, outcome_of
from moss_perception.ros.common.conversions import outcome_to_array
from moss_perception.ros.common.guard import answering, guarded, Once, read
from moss_perception.ros.common.parameters import NodeParameters
from moss_perception.ros.common.spinning import acknowledged, run_node, serving, Spin
from moss_perception.ros.common.subscriptions import message_class, type_name
from moss_perception.ros.recorder.attempts import Attempts, RefusedError
from moss_perception.ros.recorder.gripper import Gripper
from moss_perception.ros.recorder.inputs import Inputs
from moss_perception.ros.recorder.settings import RecorderSettings, TOPIC
from moss_perception.ros.recorder.stream import Stream
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import serialize_message
from std_msgs.msg import String
from std_srvs.srv import Trigger

IDLE, RECORDING = 'idle', 'recording'
NEXT = 'next'
"""Command that starts an attempt, or ends the one that is being recorded as succeeded."""
STATUS = 'status'
"""Command that is answered by the state, and how many images and attempts there are."""
_POLL_S = 0.05
_LAST_WORDS_S = 2.0


class AttemptRecorder(Node):
    """
    Records the attempts that services, commands or the robot's outcomes begin and end.

    :raises ConfigError: if a parameter given at start is not allowed.
    """

    def __init__(self):
        super().__init__('attempt_recorder')
        self._declared = NodeParameters(self, RecorderSettings)
        self._clock_offset_ns = time.time_ns() - time.monotonic_ns()
        settings = self._declared.values
        self._stream = Stream(Closings(settings.gripper_closed))
        self._stream.measures = bool(settings.gripper_topic)
        self._gripper = Gripper(self._stream.closings, settings.gripper_joint,
                                settings.gripper_closed, round(settings.gripper_delay * 1e9))
        self._gripper_topic = settings.gripper_topic
        self._said = Once()
        # Outcomes of the robot that could not be recorded.
        self._missed = self._images = 0
        # Since when grasps are in a frame of unknown place, monotonic seconds, by the warning.
        self._unplaced_s: dict[str, float] = {}
        self._executed_said = False
        self._state = ''

    @property
    def folder(self) -> str:
        """Path of the folder of the attempts."""
        return self._declared.values.out

    def record(self, folder: AttemptFolder, spin: Spin) -> None:
        """
        Record until enough attempts are there, or an interrupt.

        :param folder: an open folder.
        :param spin: serves callbacks for at most the given seconds.
        :raises KeyboardInterrupt: after SIGINT or SIGTERM; an attempt under way is discarded.
        """
        of = self._declared.values
        goal = len(folder.outcomes) + of.attempts
        self.open(folder)
        attempts = self._attempts
        if folder.unfinished:
            self.get_logger().warning(coded(
                'unfinished', f'removed {folder.unfinished} attempts that an earlier recorder '
                'left unfinished'))
        self.get_logger().info(f'ready to record attempts: {attempts.summary()}')
        try:
            while not of.attempts or len(folder.outcomes) + self._missed < goal:
                self._publish_state()
                spin(_POLL_S)
                self.check()
            acknowledged(self._events, _LAST_WORDS_S)
        finally:
            if attempts.current is not None:
                self._say(attempts.discard())

    def open(self, folder: AttemptFolder) -> None:
        """Subscribe, and offer the services; attempts are written to an open folder."""
        of = self._declared.values
        self._attempts = Attempts(folder, self._stream, lambda: self._declared.values,
                                  self._now_ns, self._write_outcome)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._events = self.create_publisher(String, '~/events', 100)
        self._states = self.create_publisher(String, '~/state', latched)
        self._commands: dict[str, Callable[[], str]] = {
            'start': self._start, 'succeed': lambda: self._attempts.end(True),
            'fail': lambda: self._attempts.end(False), 'discard': self._attempts.discard,
            'closed': self._closed, NEXT: self._next}
        self._inputs = Inputs(self, of, self._receive)
        if of.outcomes == TOPIC:
            self.create_subscription(
                DiagnosticArray, 'grasp_outcome', guarded(self, self._on_outcome), 1000)
        self.create_subscription(String, '~/command', guarded(self, self._on_command), 10)
        # Spelt out, so that the documentation finds them.
        self.create_service(Trigger, '~/start', answering(self, self._service('start')))
        self.create_service(Trigger, '~/succeed', answering(self, self._service('succeed')))
        self.create_service(Trigger, '~/fail', answering(self, self._service('fail')))
        self.create_service(Trigger, '~/discard', answering(self, self._service('discard')))
        self.create_service(Trigger, '~/closed', answering(self, self._service('closed')))

    def _service(self, name: str) -> Callable[[Any, Trigger.Response], Trigger.Response]:
        def answer(_: Any, response: Trigger.Response) -> Trigger.Response:
            response.success, response.message = self._do(name)
            return response
        return answer

    def _on_command(self, message: String) -> None:
        name = message.data.strip()
        if name == STATUS:
            # Not logged, because it changes nothing.
            self._events.publish(String(data=f'{self._state}; {self._images} images so far; '
                                             f'{self._attempts.summary()}'))
        else:
            self._do(name)

    def _do(self, name: str) -> tuple[bool, str]:
        """Carry out a command, and say what was done or why not."""
        try:
            if name not in self._commands:
                raise RefusedError(f'command {name!r} is not known: expected one of '
                                   f'{", ".join(self._commands)}, {STATUS}')
            text = self._commands[name]()
        except (BagError, RefusedError) as error:
            self._say(str(error), 'attempt_refused')
            return False, str(error)
        finally:
            self._publish_state()
        self._say(text)
        return True, text

    def _start(self) -> str:
        if self._attempts.current is None and (problem := self._inputs.no_images()):
            raise RefusedError(f'{problem}: expected images to record')
        text = self._attempts.start()
        self._inputs.begin()
        for key, line in (*self._inputs.crowded(), *(
                ('clocks_apart', x) for x in self._stream.stamps.apart())):
            self._once(line, key)
        return text

    def _next(self) -> str:
        return self._start() if self._attempts.current is None else self._attempts.end(True)

    def _closed(self) -> str:
        self._stream.measures = True
        self._stream.closings.mark(self._ros_ns())
        return 'the fingers have closed'

    def _receive(self, topic: str, kind: str, raw: bytes) -> None:
        if not is_known(kind):
            self._once(f'{topic} is a {kind} and is not recorded: expected a type of ROS 2 Jazzy',
                       'not_recorded')
            return
        inputs, stream, now_ns = self._inputs, self._stream, self._now_ns()
        image_ns = 0
        if topic == inputs.images:
            try:
                image_ns, frame_id = header_of(raw)
            except BagError as error:
                self._once(f'{topic}: {error}', 'not_recorded')
                return
            if image_ns <= 0:
                self._once(f'{topic} has images without a stamp: expected stamps above 0',
                           'zero_stamp')
                return
            stream.image(image_ns, frame_id, self._ros_ns())
            self._images += 1
        elif topic == inputs.candidates:
            stream.candidates(read(PoseArray, raw))
        elif topic == inputs.executed:
            stream.executed(read(PoseStamped, raw), now_ns)
        elif topic == self._gripper_topic:
            self._take_gripper(kind, raw)
        elif kind == TRANSFORMS_TYPE and (topic.endswith('/tf_static') or self._unplaced_s):
            # Of a busy /tf, nothing is read while all frames are known.
            stream.frames.add(read(message_class(kind), raw))
        holds = topic in (inputs.camera_info, inputs.candidates, inputs.lead_times)
        self._attempts.take(Received(topic, kind, raw, now_ns, image_ns),
                            latched=holds or topic.endswith('/tf_static'), alone=holds)
        self._note_loss()

    def _take_gripper(self, kind: str, raw: bytes) -> None:
        try:
            self._gripper.take(kind, raw, self._ros_ns())
        except ConfigError as error:
            self._once(str(error), 'not_recorded')

    def _on_outcome(self, message: DiagnosticArray) -> None:
        for status in message.status:
            try:
                outcome = outcome_of(status)
                self._say(self._attempts.report(outcome, status.message))
                if outcome.executed:
                    self._warn_of_grasps(outcome.candidate is None)
            except ValueError as error:
                self._say(f'{status.name!r} is no outcome: {error}', 'no_outcome')
            except (BagError, RefusedError) as error:
                self._missed += 1
                self._say(str(error), 'attempt_refused')

    def _write_outcome(self, writer: AttemptWriter, message: str, outcome: Outcome) -> None:
        array = outcome_to_array(message, outcome, self._stream.frame_id, 'attempt_recorder')
        writer.serialised(self.resolve_topic_name('grasp_outcome'), type_name(DiagnosticArray),
                          self._now_ns(), serialize_message(array))

    def check(self) -> None:
        """Follow the graph, and warn of silent topics while an attempt is recorded."""
        self._inputs.check()
        now_s = time.monotonic()
        self._unplaced_s = {line: self._unplaced_s.get(line, now_s)
                            for line in self._stream.unplaced()}
        current = self._attempts.current
        if current is None:
            return
        since_s = (current.received_ns - self._clock_offset_ns) / 1e9
        decided = self._stream.decision(current.received_ns) is not None
        for line in self._inputs.silent(self._declared.values.silence, since_s, decided):
            self._say(line, 'silent_input')
        self._warn_of_grasps(not decided)
        if self._attempts.cut_short:
            self._once('the messages of run_up need more memory than run_up_mib: the time before '
                       'the start is shorter', 'short_run_up')

    def _warn_of_grasps(self, needed: bool) -> None:
        """
        Warn of grasps whose place is not known, and of executed grasps that can't come, once.

        :param needed: whether the executed grasp is still to come.
        """
        if needed and not self._executed_said and (line := self._inputs.no_executed()):
            self._executed_said = True
            self._say(line, 'silent_input')
        for line, since_s in self._unplaced_s.items():
            # tf can come a moment after the grasps.
            if time.monotonic() - since_s > self._declared.values.silence:
                self._once(line, 'frame_unknown')

    def _note_loss(self) -> None:
        if self._attempts.lost and self._attempts.current is None:
            self._once(self._attempts.lost, 'attempt_lost')

    def _once(self, line: str, key: str) -> None:
        if self._said.is_new(line):
            self._say(line, key)

    def _say(self, line: str, key: str = '') -> None:
        """Log and publish a line; a problem has a key of ``core.codes.CODES``."""
        # rclpy wants each level on a line of its own.
        if key:
            self.get_logger().warning(coded(key, line))
        else:
            self.get_logger().info(one_line(line))
        self._said.is_new(line)
        self._events.publish(String(data=one_line(line)))

    def _publish_state(self) -> None:
        state = IDLE if self._attempts.current is None else RECORDING
        if state != self._state:
            self._state = state
            self._states.publish(String(data=state))

    def _now_ns(self) -> int:
        return time.monotonic_ns() + self._clock_offset_ns

    def _ros_ns(self) -> int:
        return self.get_clock().now().nanoseconds


def _work(node: AttemptRecorder) -> None:
    with AttemptFolder(node.folder) as folder, serving(node) as spin:
        node.record(folder, spin)


def main(args: list[str] | None = None) -> int:
    """
    Run the node until enough attempts are recorded, or it is interrupted.

    :param args: command line with ROS arguments; ``None`` takes the process's own.
    :returns: exit status: 0; 1 on a known error.
    """
    logging.basicConfig(format='[%(levelname)s] %(message)s')
    return run_node('attempt_recorder', AttemptRecorder, _work, args)


if __name__ == '__main__':
    sys.exit(main())
