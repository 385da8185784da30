"""Guards callbacks: no message can end its node by what it holds."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from inspect import isawaitable
import math
import time
import traceback
from typing import Any
from weakref import WeakKeyDictionary

from moss_perception.core.codes import coded
from moss_perception.core.errors import MessageError
from moss_perception.core.recent import Recent
from moss_perception.core.text import one_line
from rclpy.node import Node
from rclpy.serialization import deserialize_message

# Kinds of events that are remembered: a stranger may choose the text of some.
_KINDS, _LENGTH = 200, 200


@dataclass
class _Kind:
    """When lines of a kind were logged last, and how many events were not since."""

    logged: deque[float]
    omitted: int = 0


class Tally:
    """
    Logs each event of a kind; in a burst only some, with the number of the omitted ones.

    It remembers the newest 200 kinds, of 200 characters each.

    :param burst: most lines of one kind within the period.
    :param period_s: seconds.
    :param clock: returns seconds that never go back.
    """

    def __init__(self, burst: int = 10, period_s: float = 5.0,
                 clock: Callable[[], float] = time.monotonic):
        self._burst, self._period_s, self._clock = burst, period_s, clock
        self._kinds: Recent[str, _Kind] = Recent(_KINDS)

    def line(self, kind: str, times: int = 1) -> str:
        """
        Count events.

        :param kind: what happened.
        :param times: how often, since the last call.
        :returns: the line to log, with the kind; empty if nothing is to be logged now.
        """
        kind = kind[:_LENGTH]
        now = self._clock()
        this = self._kinds[kind] = self._kinds.get(kind) or _Kind(deque(maxlen=self._burst))
        this.omitted += times
        if len(this.logged) == self._burst and now - this.logged[0] < self._period_s:
            return ''
        this.logged.append(now)
        count, this.omitted = this.omitted, 0
        return kind if count == 1 else f'{kind} ({count} times since the last line)'


class Once:
    """
    Tells whether a text is new; it remembers the newest 200 texts.

    A node runs for days, and a stranger may choose the texts.
    """

    def __init__(self):
        self._tally = Tally(1, math.inf)

    def is_new(self, text: str) -> bool:
        """Tell whether this text was not passed before, and remember it."""
        return bool(self._tally.line(text))


class Guard:
    """
    Logs and counts what callbacks of a node raise; any thread may call it.

    :param node: its logger is used, until its context is shut down.
    :ivar failures: unexpected exceptions so far.
    :ivar unreadable: messages that could not be deserialised so far.
    :ivar on_failure: called with each unexpected exception.
    """

    def __init__(self, node: Node):
        self._logger, self._context = node.get_logger(), node.context
        self._tally = Tally(burst=1)
        self.failures = self.unreadable = 0
        self.on_failure: Callable[[Exception], None] = lambda _: None

    def failure(self, where: str, error: Exception) -> None:
        """Log an unexpected exception with its traceback, unless one was logged a moment ago."""
        if not self._context.ok():
            return
        self.failures += 1
        self.on_failure(error)
        if self._tally.line(type(error).__name__):
            trace = ''.join(traceback.format_exception(type(error), error, error.__traceback__))
            self._logger.error(coded('internal_error', (
                f'internal error while {where} ({self.failures} so far):\n{trace.rstrip()}')))

    def unread(self, error: MessageError) -> None:
        """Log a message that could not be deserialised, unless one was logged a moment ago."""
        self.unreadable += 1
        if self._context.ok() and self._tally.line('unreadable'):
            self._logger.warning(coded('message_unreadable', (
                f'a message is left out ({self.unreadable} so far): {error}')))


_guards: WeakKeyDictionary[Node, Guard] = WeakKeyDictionary()


def guard_of(node: Node) -> Guard:
    """Return the guard of a node; all callbacks of a node have the same one."""
    if node not in _guards:
        _guards[node] = Guard(node)
    return _guards[node]


def guarded(node: Node, callback: Callable[..., object],
            ends: type[Exception] | tuple[()] = ()) -> Callable[..., None]:
    """
    Wrap the callback of a subscription or a timer: log what it raises instead of ending the node.

    :param ends: errors that end the node all the same, such as a full disk.
    """
    guard = guard_of(node)

    def run(*message: Any) -> None:
        try:
            callback(*message)
        except ends:
            raise
        except MessageError as error:
            guard.unread(error)
        except Exception as error:  # noqa: BLE001, whatever it is
            guard.failure(f'handling a {type(message[0]).__name__}' if message else
                          'a timer was served', error)
    return run


def answering(node: Node, callback: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """
    Wrap the callback of a service: who calls gets what it raises as an answer.

    :param callback: function or coroutine function of request and response; the response has
        ``success`` and ``message``.
    """
    guard = guard_of(node)

    async def answer(request: Any, response: Any) -> Any:
        try:
            answered = callback(request, response)
            return await answered if isawaitable(answered) else answered
        except Exception as error:  # noqa: BLE001, whatever it is
            guard.failure(f'answering a {type(request).__name__}', error)
            response.success = False
            response.message = f'internal error: {type(error).__name__}, see the log of the node'
            return response
    return answer


def read(kind: Any, raw: bytes) -> Any:
    """
    Deserialise a message.

    :param kind: class of the message.
    :param raw: CDR bytes.
    :raises MessageError: if they are none of this kind; :func:`guarded` makes it a warning.
    """
    try:
        return deserialize_message(raw, kind)
    except Exception as error:  # rclpy's RMWError is not public
        raise MessageError(f'{len(raw)} bytes are not a {kind.__name__}: '
                           f'{one_line(str(error))[:200]}; expected its CDR') from error
