"""Drive attempt_recorder from a terminal, by keys; works over SSH."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
import os
import select
import sys
import termios
import time
import tty

from moss_perception.core.errors import MossError
from moss_perception.ros.common.guard import guarded
from moss_perception.ros.common.spinning import run_node, serving, Spin, spin_until
from moss_perception.ros.recorder.node import NEXT, STATUS
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String

KEYS = ('s: start, and while recording: succeeded | f: failed | d: discard | '
        'c: the fingers have closed | q: quit')
_COMMANDS = {'s': NEXT, 'f': 'fail', 'd': 'discard', 'c': 'closed'}
_QUIT = 'q'
_POLL_S = 0.05
# A key that is held down repeats.
_BOUNCE_S = 0.7
_ANSWER_S = 60.0


class FrontEnd(Node):
    """
    Sends commands to a recorder, and prints what it says.

    :param recorder: name of its node; relative to the namespace of this one unless absolute.
    :param show: prints a line.
    :param bounce_s: time for which s does nothing after s, seconds.
    """

    def __init__(self, recorder: str, show: Callable[[str], None], bounce_s: float = 0.0):
        super().__init__('attempts')
        self._recorder, self._show, self._bounce_s = recorder, show, bounce_s
        self._heard = 0
        self._is_there = False
        self._pressed_s = -self._bounce_s
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        # By topics: a service that has not discovered its client yet answers nobody.
        self._commands = self.create_publisher(String, f'{recorder}/command', 10)
        self.create_subscription(String, f'{recorder}/events', guarded(self, self._on_event), 100)
        # The last: when its message comes, the recorder knows of the others.
        self.create_subscription(
            String, f'{recorder}/state', guarded(self, self._on_state), latched)

    def connect(self, spin: Spin, timeout_s: float) -> None:
        """
        Wait for the recorder.

        :raises MossError: if it does not appear.
        """
        if not spin_until(spin, lambda: self._is_there and self._is_connected(), timeout_s,
                          _POLL_S):
            raise MossError(f'{self._recorder} did not appear within {timeout_s:g} s: expected a '
                            'running attempt_recorder, or its name with --node')
        self._send(STATUS, spin)

    def press(self, key: str, spin: Spin) -> bool:
        """
        Act on a key.

        :returns: whether to go on.
        :raises MossError: if the recorder does not answer.
        """
        if key == _QUIT:
            return False
        if key not in _COMMANDS:
            if key.strip():
                self._show(f'{key!r} does nothing; {KEYS}')
            return True
        if key == 's':
            before_s, self._pressed_s = self._pressed_s, time.monotonic()
            if self._pressed_s - before_s < self._bounce_s:
                self._show(f's within {self._bounce_s:g} s of s is taken for a key held down')
                return True
        self._send(_COMMANDS[key], spin)
        return True

    def _send(self, command: str, spin: Spin) -> None:
        heard, deadline_s = self._heard, time.monotonic() + _ANSWER_S
        self._commands.publish(String(data=command))
        while not spin_until(spin, lambda: self._heard > heard, 1.0, _POLL_S):
            if time.monotonic() > deadline_s or not self._is_connected():
                raise MossError(f'{self._recorder} did not answer {command}: expected it to run')

    def _is_connected(self) -> bool:
        return self._commands.get_subscription_count() > 0

    def _on_event(self, message: String) -> None:
        self._heard += 1
        self._show(message.data)

    def _on_state(self, _: String) -> None:
        self._is_there = True


def drive(recorder: str, timeout_s: float, ros_args: Sequence[str]) -> int:
    """
    Read keys, or lines if stdin is no terminal, until q or the end of the input.

    :param recorder: name of the recorder's node.
    :param timeout_s: longest wait for it, seconds.
    :param ros_args: ``--ros-args`` and the arguments for ROS.
    :returns: 0; 1 if the recorder is missing; 130 if interrupted.
    """
    def work(node: FrontEnd) -> None:
        with serving(node) as spin, _keys() as read:
            node.connect(spin, timeout_s)
            _print(KEYS)
            while (key := read()) is not None:
                if key and not node.press(key, spin):
                    return
                spin(_POLL_S)

    bounce_s = _BOUNCE_S if sys.stdin.isatty() else 0.0
    return run_node('attempts', lambda: FrontEnd(recorder, _print, bounce_s), work,
                    ['attempts', *ros_args], interrupted=130)


def _print(line: str) -> None:
    print(line, flush=True)


class _Keys:
    """
    Keys of a terminal, or the first letters of lines.

    :param number: file descriptor to read.
    :param lines: whether each line is a key.
    """

    def __init__(self, number: int, lines: bool):
        self._number, self._lines = number, lines
        self._text, self._ended = '', False

    def next(self) -> str | None:
        """Return the next key, a space for an empty line, '' if there is none, None at the end."""
        if not self._ended and select.select([self._number], [], [], 0.0)[0]:
            # Not by sys.stdin: what its buffer holds, select does not see.
            data = os.read(self._number, 1024)
            self._text += data.decode(errors='replace')
            self._ended = not data
        if not self._lines:
            key, self._text = self._text[:1], self._text[1:]
        else:
            line, end, rest = self._text.partition('\n')
            if not end and not self._ended:
                return ''
            self._text, key = rest, line.strip()[:1] or end.replace('\n', ' ')
        return key.lower() or (None if self._ended else '')


@contextmanager
def _keys() -> Iterator[Callable[[], str | None]]:
    """Yield a function that returns the next key; see :meth:`_Keys.next`."""
    number = sys.stdin.fileno()
    if not sys.stdin.isatty():
        _print('stdin is no terminal: each line is a key')
        yield _Keys(number, lines=True).next
        return
    before = termios.tcgetattr(number)
    try:
        # Not raw: Ctrl-C still interrupts.
        tty.setcbreak(number)
        yield _Keys(number, lines=False).next
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
