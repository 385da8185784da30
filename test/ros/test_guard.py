"""No callback of a node ends it by what a message holds."""

import ast
from pathlib import Path

from moss_perception.core.errors import BagError, MessageError
from moss_perception.ros.common.guard import answering, guard_of, guarded, Once, read, Tally
from moss_perception.ros.common.spinning import create_steady_timer
from moss_perception.ros.common.subscriptions import MatchedSubscription
from moss_perception.ros.monitor.picture import MotionHeat
import numpy as np
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger

PACKAGE = Path(__file__).resolve().parents[2] / 'moss_perception'
# These pass the callbacks of others on: the first guards them, the second has a guard of its own.
WITHOUT = {'ros/common/subscriptions.py', 'client/waiting.py'}


def until(node, done):
    for _ in range(500):
        if done():
            return
        node.spin()
    raise AssertionError('not seen within 10 s')


def calls_of(method, short=None):
    """List file, line and third argument of each call of a method, or its short name."""
    for path in PACKAGE.rglob('*.py'):
        for call in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(call, ast.Call) and (
                    getattr(call.func, 'attr', '') == method or called(call) == short):
                yield path.relative_to(PACKAGE).as_posix(), call.lineno, call.args[2]


def called(call):
    """Return the name of the function that is called; empty if it's something else."""
    return getattr(call.func, 'id', '') if isinstance(call, ast.Call) else ''


def test_every_subscription_of_the_package_is_guarded():
    found = list(calls_of('create_subscription', 'subscribe'))
    assert len(found) > 20 and {name for name, _, _ in found} >= WITHOUT
    for name, line, callback in found:
        assert name in WITHOUT or called(callback) == 'guarded', (
            f'{name}:{line}: expected guarded(node, callback) as the callback')


def failing(message):
    raise ValueError(f'because of {message.data}')


@pytest.mark.parametrize('matched', [False, True])
def test_an_exception_is_logged_and_counted_and_the_node_goes_on(node, matched, capfd):
    publisher, heard = node.create_publisher(String, '/text', 10), []

    def take(message):
        heard.append(message)
        failing(message)
    if matched:
        MatchedSubscription(node, String, '/text', take)
    else:
        node.create_subscription(String, '/text', guarded(node, take), 10)
    until(node, lambda: publisher.get_subscription_count())
    for word in 'ab':
        publisher.publish(String(data=word))
    until(node, lambda: len(heard) == 2)
    assert guard_of(node).failures == 2
    said = capfd.readouterr().err
    # Alike, so that the second is counted and not logged.
    assert said.count('internal error while handling a String (1 so far)') == 1
    assert 'because of a' in said and '[MOSS011]' in said and 'because of b' not in said


def test_a_timer_that_fails_does_not_end_its_node(node):
    calls = []

    def fail():
        calls.append(None)
        raise KeyError('a stranger chose this')
    create_steady_timer(node, 0.01, fail)
    until(node, lambda: len(calls) > 2)
    assert guard_of(node).failures == len(calls)


def test_every_service_of_the_package_is_guarded():
    found = list(calls_of('create_service'))
    assert len(found) >= 8
    for name, line, callback in found:
        assert called(callback) == 'answering', (
            f'{name}:{line}: expected answering(node, callback) as the callback')


@pytest.mark.parametrize('is_coroutine', [False, True])
def test_who_calls_a_service_that_fails_is_told_so_and_the_node_goes_on(
        node, is_coroutine, capfd):
    def fail(request, response):
        response.success = True
        raise KeyError('a stranger chose this')

    async def fail_later(request, response):
        return fail(request, response)
    node.create_service(Trigger, '/fails', answering(node, fail_later if is_coroutine else fail))
    client = node.create_client(Trigger, '/fails')
    until(node, client.service_is_ready)
    for _ in range(2):
        call = client.call_async(Trigger.Request())
        until(node, call.done)
        assert not call.result().success
        assert call.result().message == 'internal error: KeyError, see the log of the node'
    assert guard_of(node).failures == 2
    said = capfd.readouterr().err
    assert said.count('internal error while answering a Trigger_Request (1 so far)') == 1
    assert 'a stranger chose this' in said and '[MOSS011]' in said


def test_errors_that_must_end_the_node_do(node):
    def full(_):
        raise BagError('the disk is full')
    with pytest.raises(BagError, match='full'):
        guarded(node, full, BagError)(String())
    guarded(node, full)(String())
    assert guard_of(node).failures == 1


@pytest.mark.parametrize('raw', [b'', b'\0', b'\0\1\0\0' + b'\xff' * 9,
                                 serialize_message(Header(frame_id='camera'))[:-3]])
def test_bytes_that_are_no_message_are_a_coded_warning(node, raw, capfd):
    with pytest.raises(MessageError, match=f'{len(raw)} bytes are not a Header: .*; expected'):
        read(Header, raw)
    take = guarded(node, lambda raw: read(Header, raw))
    take(raw)
    take(raw)
    assert (guard_of(node).unreadable, guard_of(node).failures) == (2, 0)
    said = capfd.readouterr().err
    assert said.count('a message is left out (1 so far)') == 1 and '[MOSS014]' in said


def test_a_tally_remembers_no_more_kinds_than_a_stranger_may_invent():
    tally = Tally()
    for number in range(10_000):
        assert tally.line(f'kind {number}')
    assert len(tally._kinds) == 200
    assert len(tally.line('a' * 100_000)) == 200


def test_a_text_is_new_once_as_long_as_it_is_remembered():
    once = Once()
    assert [once.is_new('a'), once.is_new('a'), once.is_new('b')] == [True, False, True]
    for number in range(150):
        once.is_new(f'{number}')
    assert not once.is_new('a')


@pytest.mark.parametrize('changes', [
    {}, {'data': bytes(7)}, {'encoding': '32FC99999'}, {'encoding': '32FC0'}, {'data': b''},
    {'height': 2**32 - 1, 'width': 2**32 - 1}, {'data': np.full(12, np.nan, 'f4').tobytes()}])
def test_a_motion_map_of_any_size_is_shown_or_ignored(changes):
    heat, fields = MotionHeat(), {
        'height': 2, 'width': 3, 'encoding': '32FC2', 'data': np.ones(12, 'f4').tobytes()}
    heat.take(Image(**fields | changes))
    assert (heat.newest is None) == bool(changes)
