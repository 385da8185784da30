"""The page of moss monitor: over a real middleware, by WebSocket."""

import json
import time
import urllib.error
import urllib.request

from moss_perception.core.errors import MossError
from moss_perception.ros.monitor.access import Access
import pytest

pytest.importorskip('uvicorn', reason='the page needs uvicorn and starlette')
from page_viewer import served, state_of, TOKEN, viewer
from websockets.exceptions import ConnectionClosed, InvalidStatus

pytestmark = pytest.mark.timeout(180)


def keep(stage, harness, condition, **frame):
    """Publish frames and diagnostics until a condition holds."""
    def going():
        stage.diagnose()
        stage.frame(**frame)
        time.sleep(0.05)
        return condition()
    return harness.wait_for(going, 30, 'the condition')


def test_who_comes_before_the_system_sees_what_is_missing_then_the_system(
        address, harness, watcher, request):
    with viewer(address) as socket:
        before = state_of(socket)
        assert before['phase'] == 'waiting'
        assert before['message'].startswith('waits for /grasp_predictor: expected it to publish')
        stage = request.getfixturevalue('stage')
        def complete(state):
            return (state['picture'] and state['motion'] and state['selected'] == 1
                    and state['candidates'][0]['fingers'])

        pictures = []
        keep(stage, harness, lambda: complete(state_of(socket, pictures=pictures)))
        stage.attempt(1)
        now = state_of(socket, lambda x: complete(x) and x['attempts']['count'])
    assert now['phase'] == 'present' and pictures[-1][:2] == b'\xff\xd8'
    assert [one['score'] for one in now['candidates']] == pytest.approx([0.3, 0.9, 0.6])
    assert (now['best'], now['selected']) == (1, 1)
    # At 0.5 m, 4 cm are 24 pixels of 320, in the direction of its yaw.
    left, right = now['candidates'][0]['fingers']
    assert right[0] - left[0] == pytest.approx(48 / 320, abs=1e-3)
    assert left[1] == pytest.approx(right[1]) and now['picture']['size'] == [320, 240]
    assert (now['motion']['rows'], now['motion']['columns']) == (8, 8)
    assert now['attempts']['last'][0]['score'] == pytest.approx(0.9)


def test_images_are_subscribed_to_only_while_somebody_looks(address, stage, harness, watcher):
    def subscribers():
        return stage.images.get_subscription_count()
    # The stage has one of its own.
    harness.wait_for(lambda: subscribers() == 1, 10, 'no viewer')
    with viewer(address) as socket:
        state_of(socket)
        harness.wait_for(lambda: subscribers() == 2, 30, 'a viewer')
    harness.wait_for(lambda: subscribers() == 1, 30, 'no viewer again')


def test_ten_viewers_and_one_that_leaves_amid_the_stream(address, stage, harness, watcher):
    from contextlib import ExitStack
    with ExitStack() as stack:
        sockets = [stack.enter_context(viewer(address)) for _ in range(10)]
        for socket in sockets:
            socket.send('{"next":1}')
        sockets[0].socket.close()
        keep(stage, harness, lambda: watcher.state.shown_stamp_ns == stage.stamp_ns)
        stamp = stage.stamp_ns / 1e9
        for socket in sockets[1:]:
            state_of(socket, lambda x: x['viewers'] == 9 and abs(x['stamp'] - stamp) < 1e-3)


def test_the_buttons_act_on_the_nodes(address, stage, harness):
    stage.add_recorder()
    with viewer(address) as socket:
        for action in ('reset', 'pause', 'resume', 'start', 'fail'):
            stage.diagnose()
            answer = harness.wait_for(lambda name=action: done(socket, name), 20, action)
            assert answer['action'] == action and answer['text']
        state_of(socket, lambda x: x['recorder'] == 'idle')
        socket.send(json.dumps({'do': 'rm -rf'}))
        answer = answer_of(socket)
    assert stage.calls[-5:] == ['reset', 'pause', 'resume', 'start', 'fail']
    assert not answer['done'] and "'rm -rf' is not known: expected one of reset" in answer['text']


def done(socket, action):
    """Press a button; a service that is not discovered yet is not there."""
    socket.send(json.dumps({'do': action}))
    answer = answer_of(socket)
    return answer if answer['done'] else None


def answer_of(socket):
    while True:
        message = socket.recv(timeout=20)
        if isinstance(message, str) and 'answer' in (read := json.loads(message)):
            return read['answer']


def test_nonsense_from_a_viewer_changes_nothing(address):
    with viewer(address) as socket:
        for text in ('{', '[]', '{"do": 5}', '"next"'):
            socket.send(text)
        assert state_of(socket)['viewers'] == 1


def closed(address, token='', **headers):
    with viewer(address, token, **headers) as socket, pytest.raises(ConnectionClosed) as found:
        socket.recv(timeout=10)
    return found.value.rcvd.code


def get(address, path, **headers):
    request = urllib.request.Request(f'http://{address}{path}', headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_pages_of_others_and_foreign_names_are_refused(address):
    assert closed(address, Origin='http://evil.example') == 4403
    with viewer(address, Origin=f'http://{address}') as socket:
        assert state_of(socket)
    assert get(address, '/state', Host='evil.example')[0] == 400
    assert get(address, '/state')[0] == get(address, '/')[0] == 200
    assert get(address, '/../state.py')[0] == 404


@pytest.mark.parametrize(('host', 'asked', 'known'), [
    ('::1', '[::1]:8470', True), ('::1', '[::1]', True), ('0:0:0:0:0:0:0:1', '[::1]:8470', True),
    ('::1', 'localhost:8470', True), ('127.0.0.1', 'LocalHost:8470', True),
    ('127.0.0.2', '127.0.0.2:8470', True), ('::1', '[::2]:8470', False),
    ('::1', 'evil.example:8470', False), ('127.0.0.1', 'localhost.evil.example', False),
    ('127.0.0.1', '[::1].evil.example', False), ('127.0.0.1', 'x@127.0.0.1:8470', False),
    ('127.0.0.1', '[', False), ('127.0.0.1', '', False)])
def test_the_page_is_asked_for_by_its_own_names_only(host, asked, known):
    assert Access(host).is_asked_for(asked) == known
    assert Access(host, token=TOKEN).is_asked_for(asked)


def test_the_page_on_an_ipv6_address(watcher):
    access = Access('::1', port=0)
    try:
        access.listen().close()
    except MossError as error:
        pytest.skip(f'no IPv6 here: {error}')
    with served(watcher, access) as address:
        assert address.startswith('[::1]:') and get(address, '/')[0] == 200
        status, said = get(address, '/', Host='evil.example')
        assert status == 400 and said.startswith("Host 'evil.example' is not a name of this page")
        with viewer(address, Origin=f'http://{address}') as socket:
            assert state_of(socket)
        with pytest.raises(InvalidStatus, match='400'), viewer(address, Host='evil.example'):
            pass


def test_with_a_token_only_who_knows_it_is_let_in(watcher):
    with served(watcher, Access(port=0, token=TOKEN)) as address:
        assert closed(address) == closed(address, 'another one') == 4401
        with viewer(address, TOKEN) as socket:
            assert state_of(socket)
        assert get(address, '/state')[0] == 401
        status, text = get(address, '/state', Authorization=f'Bearer {TOKEN}')
        assert status == 200 and json.loads(text)['predictor'] == '/grasp_predictor'
